//! What Hugging Face's `config.json` says of a model.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::ModelFiles;

/// The keys of `config.json` that matter for serving; the rest is ignored. As transformers does, a value
/// that says nothing (such as -1 for a length) is passed over, and is no reason to refuse the model.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct HfConfig {
    #[serde(deserialize_with = "names")]
    pub architectures: Option<Vec<String>>,
    #[serde(deserialize_with = "word")]
    pub problem_type: Option<String>,
    id2label: Option<Value>,
    label2id: Option<Value>,
    /// Of timm's own form.
    pub pretrained_cfg: Option<Value>,
    #[serde(deserialize_with = "count")]
    pub num_classes: Option<usize>,
    /// timm's form of `id2label`.
    label_names: Option<Value>,
    /// sentence-transformers' own part, for a cross-encoder.
    sentence_transformers: Option<Value>,
    /// Its older form.
    #[serde(deserialize_with = "word")]
    sbert_ce_default_activation_function: Option<String>,
    /// Its newest form, of a file of its own.
    #[serde(skip)]
    activation_beside: Option<String>,
}

/// `config_sentence_transformers.json` of a cross-encoder.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Beside {
    #[serde(deserialize_with = "word")]
    activation_fn: Option<String>,
}

/// What becomes of logits, as the folder says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Identity,
    Sigmoid,
    Softmax,
}

/// A list of names, or a single one.
fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    let names = match Value::deserialize(deserializer)? {
        Value::String(name) => vec![name],
        Value::Array(names) => {
            names.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
        }
        _ => Vec::new(),
    };
    Ok(Some(names).filter(|names: &Vec<String>| !names.is_empty()))
}

fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_str().map(ToOwned::to_owned))
}

/// A number from 0 on, also one that Python wrote as a fraction (`512.0`).
fn count<'de, D: Deserializer<'de>, T: TryFrom<u64>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let whole = |number: f64| {
        (number.fract() == 0.0 && (0.0..1e15).contains(&number)).then_some(number as u64)
    };
    let number = value.as_u64().or_else(|| value.as_f64().and_then(whole));
    Ok(number.and_then(|number| number.try_into().ok()))
}

/// A class's name as a file has it: of a list, such as `["n01440764", "tench"]`, the last.
fn name(value: &Value) -> Option<String> {
    match value {
        Value::String(name) => Some(name.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Array(list) => list.last().filter(|last| !last.is_array()).and_then(name),
        Value::Null | Value::Object(_) => None,
    }
}

/// Names of classes by number: a list of them, or an object of numbers and names. `None` for an object of
/// something else.
pub(super) fn numbered(value: &Value) -> Option<BTreeMap<usize, String>> {
    let named = |index: usize, value: &Value| {
        (index, name(value).unwrap_or_else(|| format!("LABEL_{index}")))
    };
    match value {
        Value::Array(list) => {
            Some(list.iter().enumerate().map(|(i, value)| named(i, value)).collect())
        }
        Value::Object(map) => {
            map.iter().map(|(id, value)| Some(named(id.trim().parse().ok()?, value))).collect()
        }
        _ => None,
    }
}

/// The same of an object the other way round.
pub(super) fn numbers_of(value: &Value) -> Option<BTreeMap<usize, String>> {
    let number = |value: &Value| match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_u64().and_then(|number| usize::try_from(number).ok()),
    };
    value.as_object()?.iter().map(|(name, id)| Some((number(id)?, name.clone()))).collect()
}

/// Whether classes are numbered from 0 on without a gap.
pub(super) fn is_complete(names: &BTreeMap<usize, String>) -> bool {
    !names.is_empty() && names.keys().copied().eq(0..names.len())
}

impl HfConfig {
    /// Of a model's files; empty where there is no `config.json`.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(files: &ModelFiles) -> Result<Self, String> {
        let beside: Beside = files.json("config_sentence_transformers.json")?.unwrap_or_default();
        let read: Self = files.json("config.json")?.unwrap_or_default();
        Ok(Self { activation_beside: beside.activation_fn, ..read })
    }

    /// Whether its architecture classifies.
    #[must_use]
    pub fn is_classifier(&self) -> bool {
        let names = self.architectures.iter().flatten();
        let is_timm = self.pretrained_cfg.is_some() && self.num_classes != Some(0);
        is_timm || names.into_iter().any(|name| name.contains("Classification"))
    }

    fn activation_name(&self) -> Option<&str> {
        let newer =
            self.sentence_transformers.as_ref().and_then(|it| it.get("activation_fn")?.as_str());
        let newer = self.activation_beside.as_deref().or(newer);
        newer.or(self.sbert_ce_default_activation_function.as_deref())?.rsplit('.').next()
    }

    /// The activation that sentence-transformers names: a class of torch, by its last word.
    #[must_use]
    pub fn activation(&self) -> Option<Activation> {
        match self.activation_name()? {
            "Identity" => Some(Activation::Identity),
            "Sigmoid" => Some(Activation::Sigmoid),
            "Softmax" => Some(Activation::Softmax),
            _ => None,
        }
    }

    /// The name of an activation that is said and not served.
    #[must_use]
    pub fn unserved_activation(&self) -> Option<&str> {
        self.activation_name().filter(|_| self.activation().is_none())
    }

    /// Class names in the order of the outputs: of `id2label`, else of timm's `label_names`, else of `label2id`.
    ///
    /// # Errors
    /// Keys of `id2label` that are not 0, 1, 2, ….
    pub fn labels(&self) -> Result<Option<Vec<String>>, String> {
        let by_id = match &self.id2label {
            Some(Value::Object(map)) if !map.is_empty() => {
                let odd = || map.keys().find(|key| key.trim().parse::<usize>().is_err());
                let by_id = self.id2label.as_ref().and_then(numbered).ok_or_else(|| {
                    format!(
                        "config.json: id2label has the key `{}`",
                        odd().map_or("", String::as_str)
                    )
                })?;
                if !is_complete(&by_id) {
                    return Err("config.json: id2label does not number its labels from 0 on".into());
                }
                Some(by_id)
            }
            Some(list @ Value::Array(_)) => numbered(list),
            _ => None,
        };
        let by_id = by_id.or_else(|| self.label_names.as_ref().and_then(numbered));
        let by_id = by_id.or_else(|| self.label2id.as_ref().and_then(numbers_of));
        Ok(by_id.filter(is_complete).map(|names| names.into_values().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> HfConfig {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn labels_that_are_numbers_are_names_and_other_forms_of_them_are_read() {
        for (json, expected) in [
            (r#"{"id2label": {"0": 0, "1": 7, "2": true}}"#, &["0", "7", "true"][..]),
            (r#"{"id2label": {"1": "b", "0": null}}"#, &["LABEL_0", "b"]),
            (r#"{"id2label": ["a", 5]}"#, &["a", "5"]),
            (r#"{"label2id": {"b": 1, "a": "0"}}"#, &["a", "b"]),
            (r#"{"id2label": null, "label2id": {"a": 0}}"#, &["a"]),
            (r#"{"id2label": {"0": ["n01440764", "tench"]}}"#, &["tench"]),
        ] {
            let expected: Vec<String> = expected.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(read(json).labels(), Ok(Some(expected)), "{json}");
        }
        for json in ["{}", r#"{"id2label": {}}"#, r#"{"id2label": 3}"#, r#"{"label2id": {"a": 4}}"#]
        {
            assert_eq!(read(json).labels(), Ok(None), "{json}");
        }
        assert!(read(r#"{"id2label": {"1": "a"}}"#).labels().unwrap_err().contains("from 0 on"));
        assert!(read(r#"{"id2label": {"x": "a"}}"#).labels().unwrap_err().contains("`x`"));
    }

    #[test]
    fn values_that_say_nothing_are_passed_over() {
        let odd = read(
            r#"{"architectures": "BertForTokenClassification", "problem_type": 3, "num_classes": -1,
                "sentence_transformers": 4}"#,
        );
        assert!(odd.is_classifier());
        assert_eq!((odd.activation(), odd.num_classes, odd.problem_type), (None, None, None));
        assert_eq!(read(r#"{"architectures": []}"#).architectures, None);
    }
}
