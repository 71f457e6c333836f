//! What Hugging Face's `config.json` says of a model.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The keys of `config.json` that matter for serving; the rest is ignored.
#[derive(Debug, Default, Deserialize)]
pub struct HfConfig {
    #[serde(default)]
    pub architectures: Option<Vec<String>>,
    pub problem_type: Option<String>,
    #[serde(default)]
    id2label: Option<BTreeMap<String, String>>,
    /// Of timm's own form.
    #[serde(default)]
    pub pretrained_cfg: Option<serde::de::IgnoredAny>,
    pub num_classes: Option<usize>,
    /// timm's form of `id2label`.
    label_names: Option<Vec<String>>,
    /// sentence-transformers' own part.
    sentence_transformers: Option<CrossEncoder>,
    /// Its older form.
    sbert_ce_default_activation_function: Option<String>,
}

/// What sentence-transformers writes of a cross-encoder.
#[derive(Debug, Default, Deserialize)]
struct CrossEncoder {
    activation_fn: Option<String>,
}

/// What becomes of logits, as the folder says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Identity,
    Sigmoid,
    Softmax,
}

impl HfConfig {
    /// Whether its architecture classifies.
    #[must_use]
    pub fn is_classifier(&self) -> bool {
        let names = self.architectures.iter().flatten();
        let is_timm = self.pretrained_cfg.is_some() && self.num_classes != Some(0);
        is_timm || names.into_iter().any(|name| name.contains("Classification"))
    }

    /// The activation that sentence-transformers names: a class of PyTorch, by its last word.
    #[must_use]
    pub fn activation(&self) -> Option<Activation> {
        let newer = self.sentence_transformers.as_ref().and_then(|it| it.activation_fn.as_ref());
        let name = newer.or(self.sbert_ce_default_activation_function.as_ref())?;
        match name.rsplit('.').next()? {
            "Identity" => Some(Activation::Identity),
            "Sigmoid" => Some(Activation::Sigmoid),
            "Softmax" => Some(Activation::Softmax),
            _ => None,
        }
    }

    /// Class names in the order of the outputs.
    ///
    /// # Errors
    /// Keys that are not 0, 1, 2, ….
    pub fn labels(&self) -> Result<Option<Vec<String>>, String> {
        let Some(id2label) = &self.id2label else { return Ok(self.label_names.clone()) };
        let mut by_id = BTreeMap::new();
        for (id, label) in id2label {
            let id: usize =
                id.parse().map_err(|_| format!("config.json: id2label has the key `{id}`"))?;
            by_id.insert(id, label.clone());
        }
        match by_id.keys().copied().eq(0..by_id.len()) {
            true => Ok(Some(by_id.into_values().collect())),
            false => Err("config.json: id2label does not number its labels from 0 on".into()),
        }
    }
}
