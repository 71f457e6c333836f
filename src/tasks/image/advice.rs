//! What to write into `model.toml` where no file says how images are prepared: every key at once, so that
//! following it once is enough.

use serde_json::{Map, Value, json};

use super::{ConfigError, from_hugging_face};

/// For a network that leaves its height or its width open, with nothing beside it.
#[must_use]
pub fn open_size(sides: (Option<usize>, Option<usize>), channels: usize) -> String {
    let side = |fixed: Option<usize>| fixed.and_then(|side| side.try_into().ok()).unwrap_or(224);
    let (_, line) = complete(Map::new(), Some((side(sides.0), side(sides.1))), channels);
    let any = match sides {
        (None, None) => "size",
        (Some(_), _) => "width",
        (_, Some(_)) => "height",
    };
    format!(
        "the network takes images of any {any}, and no file says how they are prepared; say it in \
         model.toml, with the values that it was trained with: {line}"
    )
}

/// For a `[preprocess]` that lacks keys.
#[must_use]
pub fn missing(keys: Map<String, Value>, size: Option<(u32, u32)>, channels: usize) -> String {
    let (missing, line) = complete(keys, size, channels);
    let missing = missing.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    format!(
        "model.toml: [preprocess] lacks {missing}; with the values that the network was trained with, \
         it is complete as {line}"
    )
}

/// The keys that are missing, and all of them as a line of TOML with usual values in their place.
fn complete(
    mut keys: Map<String, Value>,
    size: Option<(u32, u32)>,
    channels: usize,
) -> (Vec<&'static str>, String) {
    let (height, width) = size.unwrap_or((224, 224));
    let sides = json!({"height": height, "width": width});
    let (mean, std) = match channels {
        1 => (json!(0.0), json!(1.0)),
        _ => (json!([0.485, 0.456, 0.406]), json!([0.229, 0.224, 0.225])),
    };
    let mut missing = Vec::new();
    // There are no more keys than that.
    for _ in 0..8 {
        let json = Value::from(keys.clone()).to_string();
        let Err(ConfigError::Missing { key, .. }) = from_hugging_face(&json, None) else { break };
        let (key, value) = match key {
            "resample" => (key, json!(2)),
            "image_mean" => (key, mean.clone()),
            "image_std" => (key, std.clone()),
            // A bare number, which classes take for different things.
            "image_processor_type" => {
                let bare = |key: &&&str| keys.get(**key).is_some_and(Value::is_number);
                (["size", "crop_size"].iter().find(bare).map_or("size", |key| key), sides.clone())
            }
            _ => (key, sides.clone()),
        };
        keys.insert(key.to_owned(), value);
        missing.push(key);
    }
    let keys = keys.iter().map(|(key, value)| format!("{key} = {}", toml_value(value)));
    (missing, format!("preprocess = {{{}}}", keys.collect::<Vec<_>>().join(", ")))
}

fn toml_value(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| format!("{key} = {}", toml_value(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Array(list) => {
            format!("[{}]", list.iter().map(toml_value).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelConfig;

    /// Whether the advice works as it stands.
    fn works(told: &str) {
        let start = told.find("preprocess = ").unwrap();
        let keys = ModelConfig::parse(&told[start..]).unwrap().preprocess.unwrap();
        let json = serde_json::to_string(&keys).unwrap();
        assert!(from_hugging_face(&json, None).unwrap().output_size().is_some(), "{told}");
    }

    #[test]
    fn what_is_advised_is_enough() {
        for channels in [1, 3] {
            works(&open_size((None, None), channels));
        }
        let keys = |json: Value| json.as_object().unwrap().clone();
        let size = json!({"height": 48, "width": 192});
        let told = missing(keys(json!({"size": size})), None, 3);
        assert!(told.contains("lacks `resample`, `image_mean`, `image_std`;"), "{told}");
        assert!(told.contains("size = {height = 48, width = 192}"), "{told}");
        works(&told);
        works(&missing(keys(json!({"size": 224, "do_normalize": false})), None, 3));
        works(&missing(keys(json!({"do_center_crop": true, "do_resize": false})), Some((8, 8)), 3));
    }
}
