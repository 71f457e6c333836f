//! What the files of sentence-transformers say of a model.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use serde::Deserialize;
use serde_json::Value;

use super::text::Preparation;
use super::{ModelFiles, Note, Unserved};
use crate::config::Pooling;

const MODULES: &str = "modules.json";
/// Its name since the second release; older ones name the architecture.
pub const TRANSFORMER: &str = "sentence_bert_config.json";
const TRANSFORMERS: [&str; 7] = [
    TRANSFORMER,
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];
const PROMPTS: &str = "config_sentence_transformers.json";
/// The first release that leaves the white space around a text.
const KEEPS_SPACES: (u32, u32) = (5, 4);
/// Names of prompts that are there, if empty, without being saved.
const USUAL_PROMPTS: [&str; 2] = ["query", "document"];

/// The steps around the network. Empty where there are no such files.
#[derive(Debug, Default)]
pub struct SentenceTransformer {
    /// Several are put one behind the other. `None` if no file says it.
    pub pooling: Option<Vec<Pooling>>,
    pub normalize: bool,
    /// How many of a vector's first numbers are kept, after all other steps.
    pub dimensions: Option<usize>,
    /// Most tokens of a text.
    pub max_tokens: Option<usize>,
    /// What a text becomes before it is tokenised.
    pub preparation: Preparation,
    /// The prompt's tokens do not count when the vectors are pooled.
    pub skips_prompt: bool,
    /// Prompts that stand before no text, since none of them is the default.
    pub other_prompts: Vec<String>,
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
    include_prompt: Option<bool>,
    #[serde(flatten)]
    flags: BTreeMap<String, Value>,
}

/// The older form's flags, in the order in which sentence-transformers puts the results together.
const FLAGS: [(&str, Pooling); 6] = [
    ("pooling_mode_cls_token", Pooling::Cls),
    ("pooling_mode_max_tokens", Pooling::Max),
    ("pooling_mode_mean_tokens", Pooling::Mean),
    ("pooling_mode_mean_sqrt_len_tokens", Pooling::MeanSqrtLen),
    ("pooling_mode_weightedmean_tokens", Pooling::WeightedMean),
    ("pooling_mode_lasttoken", Pooling::LastToken),
];

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Pooling),
    Many(Vec<Pooling>),
}

/// `sentence_bert_config.json`.
#[derive(Default, Deserialize)]
struct TransformerConfig {
    max_seq_length: Option<Value>,
    do_lower_case: Option<bool>,
    modality_config: Option<BTreeMap<String, Value>>,
    processing_kwargs: Option<Value>,
}

/// `config_sentence_transformers.json`.
#[derive(Default, Deserialize)]
struct Prompts {
    #[serde(rename = "prompts")]
    by_name: Option<BTreeMap<String, Option<String>>>,
    default_prompt_name: Option<String>,
    truncate_dim: Option<NonZeroUsize>,
    #[serde(rename = "__version__")]
    version: Option<Value>,
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
    pub fn read(files: &ModelFiles) -> Result<Self, Unserved> {
        let mut found = Self::default();
        let modules = modules(files)?;
        let of_transformer = modules.iter().find(|module| module.name() == "Transformer");
        let folder = of_transformer.map_or("", |module| module.path.as_str());
        let own = TransformerConfig::read(files, folder)?;
        found.max_tokens = own.max_tokens();
        found.preparation.lower_case = own.do_lower_case == Some(true);
        let prompts: Prompts = files.json(PROMPTS)?.unwrap_or_default();
        found.dimensions = prompts.truncate_dim.map(NonZeroUsize::get);
        // They are its files only if there are modules.
        found.preparation.strip = of_transformer.is_some() && prompts.strips();
        (found.preparation.prompt, found.other_prompts) = prompts.choose()?;
        for module in modules {
            match module.name() {
                "Transformer" | "Dropout" => {}
                "Normalize" => found.normalize = true,
                "Pooling" => {
                    let file = format!("{}/config.json", module.path);
                    let config: PoolingConfig = files
                        .json(&file)?
                        .ok_or_else(|| format!("{MODULES} names {file}, which is missing"))?;
                    found.skips_prompt =
                        config.include_prompt == Some(false) && found.preparation.prompt.is_some();
                    found.pooling = Some(config.modes());
                }
                other => found.unserved = Some(other.to_owned()),
            }
        }
        Ok(found)
    }

    /// What is done to a text.
    pub fn notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        if let Some(prompt) = &self.preparation.prompt {
            notes.push(Note::new("prompt", prompt.clone(), PROMPTS));
        } else if !self.other_prompts.is_empty() {
            let names = self.other_prompts.join(", ");
            let value =
                format!("none: no default is named of {names}, which clients put before texts");
            notes.push(Note::new("prompt", value, PROMPTS));
        }
        if let Some(dimensions) = self.dimensions {
            let value = format!("the first {dimensions} of a vector's numbers (truncate_dim)");
            notes.push(Note::new("dimensions", value, PROMPTS));
        }
        if self.skips_prompt {
            notes.push(Note::new("pooling", "without the prompt's tokens", MODULES));
        }
        if self.preparation.lower_case {
            notes.push(Note::new("letters", "made lower case", TRANSFORMER));
        }
        notes
    }
}

impl TransformerConfig {
    /// `folder`: of the module, whose files older releases keep apart.
    fn read(files: &ModelFiles, folder: &str) -> Result<Self, Unserved> {
        for name in TRANSFORMERS {
            let apart = format!("{folder}/{name}");
            for name in [name, &apart] {
                if let Some(config) = files.json::<Self>(name)? {
                    if config.modality_config.as_ref().is_some_and(|it| it.contains_key("message"))
                    {
                        return Err(Unserved::Unfit(format!(
                            "{name}: texts go through a chat template (modality_config: message), \
                             which is not served"
                        )));
                    }
                    return Ok(config);
                }
            }
        }
        Ok(Self::default())
    }

    fn max_tokens(&self) -> Option<usize> {
        let kwargs = self.processing_kwargs.as_ref();
        let kwarg = |of: &str| kwargs.and_then(|kwargs| kwargs.get(of)?.get("max_length"));
        let said = [kwarg("text"), kwarg("common"), self.max_seq_length.as_ref()];
        said.into_iter().flatten().find_map(super::text::count)
    }
}

impl Prompts {
    /// Whether the release that wrote the folder drops white space around a text.
    fn strips(&self) -> bool {
        let release = || self.version.as_ref()?.get("sentence_transformers")?.as_str();
        let mut parts = release().unwrap_or_default().split('.').map(|part| part.parse().ok());
        match (parts.next().flatten(), parts.next().flatten()) {
            (Some(major), Some(minor)) => (major, minor) < KEEPS_SPACES,
            _ => true,
        }
    }

    /// The default, and the names of the others.
    fn choose(self) -> Result<(Option<String>, Vec<String>), String> {
        let mut prompts = self.by_name.unwrap_or_default();
        prompts.retain(|name, prompt| {
            let empty = prompt.as_ref().is_none_or(String::is_empty);
            !empty || self.default_prompt_name.as_ref() == Some(name)
        });
        let Some(name) = self.default_prompt_name else {
            return Ok((None, prompts.into_keys().collect()));
        };
        match prompts.remove(&name) {
            Some(prompt) => Ok((prompt.filter(|prompt| !prompt.is_empty()), Vec::new())),
            None if USUAL_PROMPTS.contains(&name.as_str()) => Ok((None, Vec::new())),
            None => Err(format!(
                "{PROMPTS}: default_prompt_name is \"{name}\", which is none of its prompts"
            )),
        }
    }
}

impl PoolingConfig {
    fn modes(self) -> Vec<Pooling> {
        match self.pooling_mode {
            Some(OneOrMany::One(mode)) => return vec![mode],
            Some(OneOrMany::Many(modes)) if !modes.is_empty() => return modes,
            _ => {}
        }
        let is_set = |flag: &str| self.flags.get(flag).and_then(Value::as_bool) == Some(true);
        let set = FLAGS.into_iter().filter(|(flag, _)| is_set(flag));
        let set: Vec<Pooling> = set.map(|(_, mode)| mode).collect();
        if set.is_empty() { vec![Pooling::Mean] } else { set }
    }
}
