//! What the files of sentence-transformers say of a model.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::ModelFiles;
use crate::config::Pooling;

const MODULES: &str = "modules.json";

/// The steps around the network. Empty where there are no such files.
#[derive(Debug, Default)]
pub struct SentenceTransformer {
    /// Several are put one behind the other. `None` if no file says it.
    pub pooling: Option<Vec<Pooling>>,
    pub normalize: bool,
    /// Most tokens of a text.
    pub max_tokens: Option<usize>,
    pub lower_case: bool,
    /// Stands before every text.
    pub prompt: Option<String>,
    /// A step that is not served, unless the network has it.
    pub unserved: Option<String>,
}

/// An entry of `modules.json`.
#[derive(Deserialize)]
struct Module {
    /// A Python class, whose name behind the last dot counts.
    #[serde(rename = "type")]
    class: String,
    /// Its folder.
    #[serde(default)]
    path: String,
}

impl Module {
    fn name(&self) -> &str {
        self.class.rsplit('.').next().unwrap_or(&self.class)
    }
}

/// `1_Pooling/config.json`, in its older form (a flag for each mode) or its newer (the modes' names).
#[derive(Default, Deserialize)]
struct PoolingConfig {
    pooling_mode: Option<OneOrMany>,
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
    #[serde(default)]
    pooling_mode_weightedmean_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
    include_prompt: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Pooling),
    Many(Vec<Pooling>),
}

/// `sentence_bert_config.json`.
#[derive(Default, Deserialize)]
struct TransformerConfig {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

/// `config_sentence_transformers.json`.
#[derive(Default, Deserialize)]
struct Prompts {
    prompts: Option<BTreeMap<String, String>>,
    default_prompt_name: Option<String>,
}

/// Whether the files say that the vectors of tokens are pooled to one.
///
/// # Errors
/// `modules.json` cannot be read.
pub fn pools(files: &ModelFiles) -> Result<bool, String> {
    Ok(modules(files)?.iter().any(|module| module.name() == "Pooling"))
}

fn modules(files: &ModelFiles) -> Result<Vec<Module>, String> {
    Ok(files.json(MODULES)?.unwrap_or_default())
}

impl SentenceTransformer {
    /// # Errors
    /// A file cannot be read, or says what is not served.
    pub fn read(files: &ModelFiles) -> Result<Self, String> {
        let mut found = Self::default();
        let own: TransformerConfig = files.json("sentence_bert_config.json")?.unwrap_or_default();
        found.max_tokens = own.max_seq_length;
        found.lower_case = own.do_lower_case;
        found.prompt = prompt(files)?;
        for module in modules(files)? {
            match module.name() {
                "Transformer" => {}
                "Normalize" => found.normalize = true,
                "Pooling" => {
                    let file = format!("{}/config.json", module.path);
                    let config: PoolingConfig = files
                        .json(&file)?
                        .ok_or_else(|| format!("{MODULES} names {file}, which is missing"))?;
                    if config.include_prompt == Some(false) && found.prompt.is_some() {
                        return Err(format!(
                            "{file}: include_prompt = false beside a default prompt is not served"
                        ));
                    }
                    found.pooling = Some(config.modes());
                }
                other => found.unserved = Some(other.to_owned()),
            }
        }
        Ok(found)
    }
}

impl PoolingConfig {
    /// In the order in which sentence-transformers puts them together.
    fn modes(self) -> Vec<Pooling> {
        match self.pooling_mode {
            Some(OneOrMany::One(mode)) => return vec![mode],
            Some(OneOrMany::Many(modes)) if !modes.is_empty() => return modes,
            _ => {}
        }
        let flags = [
            (self.pooling_mode_cls_token, Pooling::Cls),
            (self.pooling_mode_max_tokens, Pooling::Max),
            (self.pooling_mode_mean_tokens, Pooling::Mean),
            (self.pooling_mode_mean_sqrt_len_tokens, Pooling::MeanSqrtLen),
            (self.pooling_mode_weightedmean_tokens, Pooling::WeightedMean),
            (self.pooling_mode_lasttoken, Pooling::LastToken),
        ];
        let set: Vec<Pooling> =
            flags.into_iter().filter(|(set, _)| *set).map(|(_, mode)| mode).collect();
        if set.is_empty() { vec![Pooling::Mean] } else { set }
    }
}

fn prompt(files: &ModelFiles) -> Result<Option<String>, String> {
    const FILE: &str = "config_sentence_transformers.json";
    let Prompts { prompts, default_prompt_name } = files.json(FILE)?.unwrap_or_default();
    let Some(name) = default_prompt_name else { return Ok(None) };
    let prompt = prompts.and_then(|mut prompts| prompts.remove(&name)).ok_or_else(|| {
        format!("{FILE}: default_prompt_name is \"{name}\", which is none of its prompts")
    })?;
    Ok(Some(prompt).filter(|prompt| !prompt.is_empty()))
}
