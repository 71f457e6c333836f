//! What a model's `config.json` says of its tokens. A value that says nothing (-1, null, a list) is passed
//! over.

use std::slice;

use serde_json::{Map, Value};

use super::super::ModelFiles;

/// Models that count positions from the padding token's id + 1 on.
const COUNT_FROM_PADDING: [&str; 17] = [
    "camembert",
    "clap",
    "data2vec-text",
    "esm",
    "ibert",
    "layoutlmv3",
    "lilt",
    "longformer",
    "luke",
    "markuplm",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
    "bridgetower",
];
/// Models that name their positions in another way.
const N_POSITIONS: [&str; 8] = [
    "codegen",
    "ctrl",
    "decision_transformer",
    "gpt2",
    "gpt_bigcode",
    "gptj",
    "imagegpt",
    "openai-gpt",
];
/// Models whose attention goes by whole windows.
const HAVE_WINDOWS: [&str; 2] = ["led", "longformer"];
/// How the names of models begin whose classifiers read the last token that is not `pad_token_id`, and so
/// tell padding by this key alone.
const READ_LAST_TOKEN: [&str; 31] = [
    "arcee",
    "bloom",
    "ctrl",
    "deepseek",
    "diffllama",
    "exaone",
    "falcon",
    "gemma",
    "glm",
    "gpt",
    "helium",
    "hunyuan",
    "jamba",
    "jetmoe",
    "llama",
    "minimax",
    "ministral",
    "mistral",
    "mixtral",
    "modernbert-decoder",
    "mpt",
    "nemotron",
    "openai-gpt",
    "opt",
    "persimmon",
    "phi",
    "qwen",
    "smollm",
    "stablelm",
    "starcoder",
    "zamba",
];

pub struct ModelConfig(Map<String, Value>);

impl ModelConfig {
    /// # Errors
    /// The file cannot be read.
    pub fn read(files: &ModelFiles) -> Result<Self, String> {
        let config: Option<Value> = files.json("config.json")?;
        Ok(Self(match config {
            Some(Value::Object(keys)) => keys,
            _ => Map::new(),
        }))
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    fn count(&self, key: &str) -> Option<usize> {
        super::count(self.0.get(key)?)
    }

    pub fn model_type(&self) -> Option<&str> {
        self.text("model_type")
    }

    pub fn tokenizer_class(&self) -> Option<&str> {
        self.text("tokenizer_class")
    }

    pub fn pad_token_id(&self) -> Option<u32> {
        self.0.get("pad_token_id")?.as_u64()?.try_into().ok()
    }

    /// Whether the network finds a text's last token by `pad_token_id`.
    pub fn reads_last_token(&self) -> bool {
        let architecture = self.0.get("architectures").and_then(|names| names.get(0)?.as_str());
        let begins = |name: &str| READ_LAST_TOKEN.iter().any(|start| name.starts_with(start));
        architecture.is_some_and(|name| name.ends_with("ForSequenceClassification"))
            && self.model_type().is_some_and(begins)
    }

    /// What a row's length must be a multiple of: windows of attention that the exported network does not fill
    /// up by itself.
    pub fn window(&self) -> Option<usize> {
        self.model_type().filter(|name| HAVE_WINDOWS.contains(name))?;
        let windows = self.0.get("attention_window")?;
        let of_layers = windows.as_array().map_or(slice::from_ref(windows), Vec::as_slice);
        of_layers.iter().filter_map(super::count).max()
    }

    /// Most tokens that the position embeddings have room for.
    pub fn max_positions(&self) -> Option<usize> {
        let is_one_of =
            |names: &[&str]| self.model_type().is_some_and(|name| names.contains(&name));
        let alias = || is_one_of(&N_POSITIONS).then(|| self.count("n_positions")).flatten();
        let room = self.count("max_position_embeddings").or_else(alias)?;
        if !is_one_of(&COUNT_FROM_PADDING) {
            return Some(room);
        }
        let first = self.pad_token_id().unwrap_or(1) as usize + 1;
        room.checked_sub(first).filter(|room| *room > 0)
    }
}
