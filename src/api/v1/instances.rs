//! What a request of V1 asks: instances and inputs as tensors, or as an input for the model's task.

use std::fmt;

use bytes::Bytes;
use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Request;
use crate::api::cells;
use crate::api::inputs::{self, from_body, from_json};
use crate::api::oip::data;
use crate::api::oip::infer::{InputTensor, InputValue};
use crate::error::{Error, excerpt};
use crate::model::Model;
use crate::signature::TensorSpec;
use crate::tasks::{Image, ImageSource, Input, InputKind};
use crate::tensor::Tensor;

/// What a model is asked for.
pub enum Asked {
    /// By its task, as by `/predict`.
    Task(Input),
    /// By its network's inputs.
    Tensors(Vec<InputTensor>),
}

/// What is asked, and whether by rows (`instances`).
///
/// # Errors
/// What is neither of the two, and what the model does not take, by its place.
pub fn parse(bytes: &[u8], model: &Model) -> Result<(Asked, bool), Error> {
    let request: Request<'_> = from_body(bytes)?;
    let (field, raw, by_row) = match (request.instances, request.inputs) {
        (Some(raw), None) => ("instances", raw.get(), true),
        (None, Some(raw)) => ("inputs", raw.get(), false),
        _ => {
            let expected = "either `instances` or `inputs`";
            return Err(Error::invalid("body", expected, "both or neither"));
        }
    };
    if let Some(input) = for_task(field, raw, model)? {
        return Ok((Asked::Task(input), by_row));
    }
    if by_row && let Some(inputs) = features(field, raw, model)? {
        return Ok((Asked::Tensors(inputs), by_row));
    }
    let inputs = match (by_row, first_of_list(raw), raw.starts_with('{')) {
        (true, Some('{'), _) => objects(field, raw, model)?,
        (false, _, true) => {
            let Object(named) = from_json(field, raw)?;
            let one = |(name, raw): (&String, &&RawValue)| tensor(field, name, raw.get(), model);
            named.iter().map(one).collect::<Result<_, _>>()?
        }
        _ => match model.signature.inputs.as_slice() {
            [only] => vec![tensor(field, &only.name, raw, model)?],
            several => {
                let expected = format!("objects by the names of the {} inputs", several.len());
                return Err(Error::invalid(field, expected, "values without names"));
            }
        },
    };
    Ok((Asked::Tensors(inputs), by_row))
}

/// The first character of a list's first element.
fn first_of_list(json: &str) -> Option<char> {
    json.strip_prefix('[')?.trim_start().chars().next()
}

/// Images and texts of a model with a task; `None` for the network's own tensors.
fn for_task(field: &str, raw: &str, model: &Model) -> Result<Option<Input>, Error> {
    let first = first_of_list(raw).or(raw.chars().next());
    let own =
        || model.signature.inputs.iter().any(|spec| raw.contains(&format!("\"{}\"", spec.name)));
    Ok(match (model.input_kind(), first) {
        (InputKind::Text, Some('"' | '{')) if !(first == Some('{') && own()) => {
            Some(Input::Texts(inputs::texts(field, raw)?))
        }
        (InputKind::Image, Some('"')) => Some(Input::Images(inputs::images(field, raw)?)),
        (InputKind::Image, Some('{')) if !own() => {
            let files: Vec<File> = from_json(field, raw)?;
            let image = |(index, file): (usize, File)| Image {
                field: format!("{field}[{index}]"),
                source: ImageSource::Base64(file.b64()),
            };
            Some(Input::Images(files.into_iter().enumerate().map(image).collect()))
        }
        _ => None,
    })
}

/// A file as TensorFlow Serving writes it, bare or under a name.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "{\"b64\": \"..\"} or {\"image\": {\"b64\": \"..\"}}; got another object"
)]
enum File {
    Bare { b64: String },
    Named { image: Box<File> },
}

impl File {
    fn b64(self) -> String {
        match self {
            Self::Bare { b64 } => b64,
            Self::Named { image } => image.b64(),
        }
    }
}

/// Rows of features as `/predict` takes them: records, and rows where the network has an input for each
/// column. `None` for what the network takes as it stands.
fn features(field: &str, raw: &str, model: &Model) -> Result<Option<Vec<InputTensor>>, Error> {
    let inputs = model.signature.inputs.as_slice();
    let is_row = match (model.input_kind(), first_of_list(raw), inputs) {
        (InputKind::Features, Some('{'), inputs) => is_record(raw, inputs),
        // Rows of the only input, lists or numbers, are that input's tensor.
        (InputKind::Features, Some('['), [_, _, ..]) => true,
        _ => false,
    };
    if !is_row {
        return Ok(None);
    }
    let rows = cells::features(field, raw)?;
    let tensors = model.network_inputs_of(&Input::Features(rows))?;
    let tensors = tensors.0.into_iter().map(|(name, tensor)| {
        let value = match tensor {
            Tensor::String(texts) => InputValue::Bytes {
                shape: texts.shape().to_vec(),
                elements: texts.into_iter().map(Bytes::from).collect(),
            },
            numbers => InputValue::Numbers(numbers),
        };
        InputTensor { name, value }
    });
    Ok(Some(tensors.collect()))
}

/// Whether the first instance has a value for each name, rather than lists or the only input as a whole.
fn is_record(raw: &str, inputs: &[TensorSpec]) -> bool {
    let first = raw.strip_prefix('[').unwrap_or(raw);
    let mut deserializer = serde_json::Deserializer::from_str(first);
    let Ok(Object(first)) = Object::deserialize(&mut deserializer) else { return true };
    let whole = matches!(inputs, [only] if first.contains_key(&only.name));
    !whole && first.values().all(|value| !value.get().starts_with(['[', '{']))
}

/// An object with each name once.
struct Object<'a>(IndexMap<String, &'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut object = IndexMap::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if let Some(name) = object.get(&name).map(|_| excerpt(&name)) {
                        let said = format!("each name once; got `{name}` twice");
                        return Err(serde::de::Error::custom(said));
                    }
                    object.insert(name, value);
                }
                Ok(Object(object))
            }
        }
        deserializer.deserialize_map(Once)
    }
}

/// `[{"a": 1, "b": 2}, ..]` as a tensor for each name.
fn objects(field: &str, raw: &str, model: &Model) -> Result<Vec<InputTensor>, Error> {
    let rows: Vec<Object<'_>> = from_json(field, raw)?;
    let Some(Object(first)) = rows.first() else { return Ok(Vec::new()) };
    for (index, Object(row)) in rows.iter().enumerate() {
        let refuse = |expected, got| Error::invalid(format!("{field}[{index}]"), expected, got);
        if let Some(name) = first.keys().find(|name| !row.contains_key(*name)) {
            let expected = format!("a value for `{}`, as the first instance has", excerpt(name));
            return Err(refuse(expected, "an object without one".to_owned()));
        }
        if let Some(name) = row.keys().find(|name| !first.contains_key(*name)) {
            let expected = "the names that the first instance has".to_owned();
            return Err(refuse(expected, format!("the name `{}` as well", excerpt(name))));
        }
    }
    let column = |name: &String| {
        let values: Vec<&str> = rows.iter().map(|Object(row)| row[name].get()).collect();
        tensor(field, name, &format!("[{}]", values.join(",")), model)
    };
    first.keys().map(column).collect()
}

/// The tensor of this input; its shape is that of the lists.
fn tensor(field: &str, name: &str, json: &str, model: &Model) -> Result<InputTensor, Error> {
    let name = name.to_owned();
    let Some(spec) = model.signature.input(&name) else {
        let known: Vec<_> = model.signature.inputs.iter().map(|spec| spec.name.as_str()).collect();
        let expected = crate::error::one_of(&name, known);
        return Err(Error::invalid(field, expected, format!("`{}`", excerpt(&name))));
    };
    let Some(data_type) = spec.data_type() else {
        return Err(Error::invalid(name, "a tensor", spec.to_string()));
    };
    let mut value = data::read(data_type, None, json).map_err(|wrong| {
        let place = wrong.element.map_or(String::new(), |element| format!(" (element {element})"));
        Error::invalid(field, format!("{} for `{name}`{place}", wrong.expected), wrong.got)
    })?;
    // A column of single values, which instances write without a list around each.
    let given = value.shape().len();
    if spec.shape.len() == given + 1 && spec.shape.last() == Some(&Some(1)) {
        value = match value {
            InputValue::Numbers(tensor) => InputValue::Numbers(tensor.add_last_axis()),
            InputValue::Bytes { mut shape, elements } => {
                shape.push(1);
                InputValue::Bytes { shape, elements }
            }
        };
    }
    Ok(InputTensor { name, value })
}
