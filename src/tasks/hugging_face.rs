//! What Hugging Face's `config.json` says of a model.

use std::collections::BTreeMap;

use serde::Deserialize;

const PRE_TRAINED: [&str; 2] = ["ForMaskedLM", "ForPreTraining"];

/// The keys of `config.json` that matter for serving; the rest is ignored.
#[derive(Debug, Default, Deserialize)]
pub struct HfConfig {
    #[serde(default)]
    pub architectures: Option<Vec<String>>,
    pub problem_type: Option<String>,
    #[serde(default)]
    id2label: Option<BTreeMap<String, String>>,
}

impl HfConfig {
    /// The task that the architecture's name ends in. `embeds`: the network gives vectors of tokens
    /// or texts.
    ///
    /// # Errors
    /// An architecture for a task that is not served.
    pub fn task(&self, embeds: bool) -> Result<Option<&'static str>, String> {
        let Some(architecture) = self.architectures.as_ref().and_then(|names| names.first()) else {
            return Ok(None);
        };
        match architecture {
            name if name.ends_with("ForImageClassification") => Ok(Some("image-classification")),
            name if name.ends_with("ForSequenceClassification") => Ok(Some("text-classification")),
            name if name.ends_with("ForTokenClassification") => Ok(Some("token-classification")),
            // An encoder exported without its head may keep the name that it was pre-trained under.
            name if embeds
                && (!name.contains("For") || PRE_TRAINED.iter().any(|h| name.ends_with(h))) =>
            {
                Ok(Some("feature-extraction"))
            }
            name if name.contains("For") => Err(format!(
                "config.json: architecture {name} has no task here (…ForImageClassification, \
                 …ForSequenceClassification, …ForTokenClassification and, for embeddings of text, \
                 …Model have), so it is served as tensors through /v2 alone, and not by /predict; \
                 task = \"tensors\" in model.toml says that this is meant"
            )),
            _ => Ok(None),
        }
    }

    /// Class names in the order of the outputs.
    ///
    /// # Errors
    /// Keys that are not 0, 1, 2, ….
    pub fn labels(&self) -> Result<Option<Vec<String>>, String> {
        let Some(id2label) = &self.id2label else { return Ok(None) };
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
