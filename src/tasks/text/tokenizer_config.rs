//! What the files beside `tokenizer.json` say, put together as transformers does.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::super::ModelFiles;
use super::model_config::ModelConfig;
use super::tokenizer_class::TokenizerClass;

/// `tokenizer_config.json`, with `special_tokens_map.json` and `added_tokens.json` where these are read. A
/// value that is none of its key's kind is passed over.
pub struct TokenizerConfig {
    keys: Map<String, Value>,
    pub class: TokenizerClass,
    /// The class's name, where a file gives it.
    pub class_name: Option<String>,
    /// Tokens that are there besides those of `tokenizer.json`, in the order of their ids.
    pub added: Vec<AddedToken>,
}

/// A value that only `tokenizer.json` says otherwise, and where it is from.
pub struct Said<T> {
    pub value: T,
    pub from: &'static str,
}

const FILE: &str = "tokenizer_config.json";
/// Keys of tokens that mean something.
const SPECIAL: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Keys of lists of these.
const LISTS: [&str; 2] = ["additional_special_tokens", "extra_special_tokens"];

impl TokenizerConfig {
    /// # Errors
    /// A file cannot be read, or is no JSON.
    pub fn read(files: &ModelFiles, model: &ModelConfig) -> Result<Self, String> {
        let object = |name: &str| -> Result<Map<String, Value>, String> {
            Ok(match files.json(name)? {
                Some(Value::Object(keys)) => keys,
                _ => Map::new(),
            })
        };
        let mut keys = object(FILE)?;
        let mut added = BTreeMap::new();
        if let Some(tokens) = keys.get("added_tokens_decoder") {
            for (id, token) in tokens.as_object().into_iter().flatten() {
                if let (Ok(id), Some(token)) = (id.parse::<u32>(), added_token(token, false)) {
                    added.insert(id, token);
                }
            }
        } else {
            // Only then the older files are read.
            keys.extend(object("special_tokens_map.json")?);
            for (token, id) in object("added_tokens.json")? {
                let special = SPECIAL.iter().any(|key| token_of(keys.get(*key)) == Some(&token));
                if let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) {
                    added.insert(id, AddedToken::from(token, special));
                }
            }
        }
        let name = keys.get("tokenizer_class").and_then(Value::as_str);
        let class_name = name.or(model.tokenizer_class()).map(ToOwned::to_owned);
        let class = match (&class_name, model.model_type()) {
            (Some(name), _) => TokenizerClass::named(name),
            (None, model_type) => TokenizerClass::of_model(model_type.unwrap_or_default()),
        };
        Ok(Self { keys, class, class_name, added: added.into_values().collect() })
    }

    /// A number of tokens.
    pub fn count(&self, key: &str) -> Option<usize> {
        super::count(self.keys.get(key)?)
    }

    pub fn flag(&self, key: &str) -> Option<bool> {
        self.keys.get(key)?.as_bool()
    }

    /// `left` or `right`.
    pub fn is_left(&self, key: &str) -> Option<bool> {
        match self.keys.get(key)?.as_str()? {
            "left" => Some(true),
            "right" => Some(false),
            _ => None,
        }
    }

    /// A token's text.
    pub fn token(&self, key: &str) -> Option<&str> {
        token_of(self.keys.get(key))
    }

    /// Whether the key is there, if only as null.
    pub fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// A flag that the class has: what the file says, else the default.
    pub fn argument(&self, key: &str, default: bool) -> Said<bool> {
        match self.flag(key) {
            Some(value) => Said { value, from: FILE },
            None => Said { value: default, from: "the tokenizer's class" },
        }
    }

    /// All tokens that mean something, as the files name them.
    pub fn special_tokens(&self) -> Vec<AddedToken> {
        let named = SPECIAL.iter().filter_map(|key| self.keys.get(*key));
        let listed = LISTS.iter().filter_map(|key| self.keys.get(*key)?.as_array()).flatten();
        named.chain(listed).filter_map(|token| added_token(token, true)).collect()
    }

    /// Written by transformers 5, whose `tokenizer.json` says everything of the tokens around a text.
    pub fn is_of_transformers_5(&self) -> bool {
        self.has("backend")
    }
}

fn token_of(token: Option<&Value>) -> Option<&str> {
    match token? {
        Value::String(token) => Some(token),
        token => token.get("content")?.as_str(),
    }
}

/// A token in either of its forms: its text, or an object.
fn added_token(token: &Value, special: bool) -> Option<AddedToken> {
    let flag = |key: &str| token.get(key).and_then(Value::as_bool);
    let special = special || flag("special").unwrap_or(false);
    Some(
        AddedToken::from(token_of(Some(token))?, special)
            .single_word(flag("single_word").unwrap_or(false))
            .lstrip(flag("lstrip").unwrap_or(false))
            .rstrip(flag("rstrip").unwrap_or(false))
            .normalized(flag("normalized").unwrap_or(!special)),
    )
}
