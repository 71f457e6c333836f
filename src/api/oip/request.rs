//! An inference request as HTTP carries it: JSON, then the binary tensors that it announces.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::infer::{InferRequest, InputTensor, InputValue, RequestedOutput, data_type, priority};
use super::{binary, data};
use crate::api::inputs::{from_body, kind_of};
use crate::error::Error;
use crate::model::Model;
use crate::signature::TensorSpec;
use crate::tasks::InputKind;
use crate::tasks::image::Format;
use crate::tensor::DataType;

/// A request, and which of its outputs are to be binary.
pub struct Parsed {
    pub request: InferRequest,
    pub binary: BinaryOutputs,
}

pub struct BinaryOutputs {
    default: bool,
    /// Those that say otherwise.
    named: Vec<(String, bool)>,
}

impl BinaryOutputs {
    /// Whether nothing of the answer is a number in JSON.
    #[must_use]
    pub fn of_all(&self) -> bool {
        self.default && self.named.iter().all(|(_, binary)| *binary)
    }

    #[must_use]
    pub fn of(&self, output: &str) -> bool {
        self.named
            .iter()
            .find(|(name, _)| name == output)
            .map_or(self.default, |(_, binary)| *binary)
    }
}

/// An inference in JSON. Unknown fields are the protocol's extensions and are passed over.
#[derive(Deserialize, ToSchema)]
#[schema(as = InferRequest)]
pub struct Body<'a> {
    /// Comes back in the answer.
    id: Option<String>,
    /// `priority` (0 and 1 go first, the rest is bulk work), `timeout` in microseconds,
    /// `binary_data_output`.
    #[serde(default)]
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
    /// A tensor for each of the network's inputs; or one called `image` or `text`, of `BYTES`, for a
    /// model that takes images (in base64) or texts.
    #[serde(borrow)]
    inputs: Vec<Input<'a>>,
    /// Which outputs to answer; all of them by default.
    #[serde(default)]
    outputs: Vec<Output>,
}

/// A tensor.
#[derive(Deserialize, ToSchema)]
#[schema(as = InferInput)]
pub struct Input<'a> {
    name: String,
    shape: Vec<usize>,
    #[serde(borrow)]
    #[schema(schema_with = crate::api::openapi::datatypes)]
    datatype: Cow<'a, str>,
    /// `binary_data_size`: the tensor comes as so many bytes after the JSON, in the place of `data`.
    #[serde(default)]
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
    /// The elements in row-major order: one flat list, or lists nested as the shape. `null` is a
    /// missing value: NaN, or an empty string.
    #[serde(borrow)]
    #[schema(value_type = Value, required = false)]
    data: Option<&'a RawValue>,
}

/// An output that is asked for.
#[derive(Deserialize, ToSchema)]
#[schema(as = InferRequestedOutput)]
pub struct Output {
    name: String,
    /// `binary_data`: answer as bytes after the JSON. `classification`: the best so many classes as
    /// `value:number:name`.
    #[serde(default)]
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
}

/// Reads a body of which the first `json` bytes are JSON and the rest are tensors.
///
/// # Errors
/// Broken JSON, tensors that are not as they are described, bytes that are left over.
pub fn parse(body: &Bytes, json: usize) -> Result<Parsed, Error> {
    if json > body.len() {
        let expected = format!("at most {}, which is the body's length", body.len());
        return Err(Error::invalid(
            super::rest::HEADER_LENGTH.as_str(),
            expected,
            json.to_string(),
        ));
    }
    let Body { id, parameters, inputs, outputs } = from_body(&body[..json])?;
    let mut rest = body.slice(json..);
    let mut tensors = Vec::with_capacity(inputs.len());
    for (index, input) in inputs.into_iter().enumerate() {
        tensors.push(tensor(input, &format!("inputs[{index}]"), &mut rest)?);
    }
    if !rest.is_empty() {
        let got = format!("{} bytes more", rest.len());
        return Err(Error::invalid("body", "the bytes that `binary_data_size` announces", got));
    }
    let read = |name| number(&parameters, "parameters", name);
    if read("sequence_id")?.is_some_and(|id| id > 0) {
        let expected = "no sequence, since models here keep no state between requests";
        return Err(Error::invalid("parameters.sequence_id", expected, "one"));
    }
    let mut binary = BinaryOutputs {
        default: flag(&parameters, "parameters", "binary_data_output")?.unwrap_or(false),
        named: Vec::new(),
    };
    let mut requested = Vec::with_capacity(outputs.len());
    for (index, Output { name, parameters }) in outputs.into_iter().enumerate() {
        let field = format!("outputs[{index}].parameters");
        no_shared_memory(&parameters, &field)?;
        if let Some(given) = flag(&parameters, &field, "binary_data")? {
            binary.named.push((name.clone(), given));
        }
        let classes = number(&parameters, &field, "classification")?.filter(|count| *count > 0);
        let classification = classes.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        requested.push(RequestedOutput { name, classification });
    }
    let timeout = read("timeout")?.filter(|timeout| *timeout > 0).map(Duration::from_micros);
    let request = InferRequest {
        id,
        pinned: false,
        as_json: false,
        priority: priority(read("priority")?.unwrap_or(0)),
        timeout,
        inputs: tensors,
        outputs: requested,
    };
    Ok(Parsed { request, binary })
}

fn tensor(input: Input<'_>, field: &str, rest: &mut Bytes) -> Result<InputTensor, Error> {
    let Input { name, shape, datatype, parameters, data } = input;
    let data_type = data_type(field, &name, &datatype)?;
    no_shared_memory(&parameters, &format!("{field}.parameters"))?;
    let size = number(&parameters, &format!("{field}.parameters"), "binary_data_size")?;
    let value = match (data, size) {
        (Some(data), None) => data::read(data_type, Some(&shape), data.get()).map_err(|wrong| {
            let place = wrong.element.map_or(String::new(), |element| format!("[{element}]"));
            let field = format!("{field}.data{place}");
            Error::invalid(field, format!("{} (`{name}`)", wrong.expected), wrong.got)
        })?,
        (None, Some(size)) => {
            let size = usize::try_from(size).ok().filter(|size| *size <= rest.len());
            let size = size.ok_or_else(|| {
                let expected = format!("that many bytes after the JSON (`{name}`)");
                Error::invalid(
                    format!("{field}.parameters.binary_data_size"),
                    expected,
                    rest.len().to_string(),
                )
            })?;
            binary::read(data_type, &shape, rest.split_to(size)).map_err(|wrong| {
                let (expected, got) = wrong.split_once(", got ").unwrap_or((&wrong, "others"));
                Error::invalid(field, format!("{expected} (`{name}`)"), got)
            })?
        }
        (Some(_), Some(_)) => {
            return Err(Error::invalid(field, "`data` or `binary_data_size`", "both"));
        }
        (None, None) => {
            return Err(Error::invalid(field, "`data` or `binary_data_size`", "neither"));
        }
    };
    Ok(InputTensor { name, value })
}

/// A body that is nothing but the only input, for one row: bytes of numbers, or an image's file.
///
/// # Errors
/// A model of several inputs, or of one whose shape the bytes do not tell.
pub fn raw(body: Bytes, model: &Model) -> Result<Parsed, Error> {
    let input = match model.input_kind() {
        InputKind::Image if Format::sniff(&body).is_some() => InputTensor {
            name: InputKind::Image.field().to_owned(),
            value: InputValue::Bytes { shape: vec![1], elements: vec![body] },
        },
        _ => {
            let [spec] = model.signature.inputs.as_slice() else {
                let expected = "a model with one input for a body that is nothing but a tensor";
                let got = format!("{} inputs", model.signature.inputs.len());
                return Err(Error::invalid("body", expected, got));
            };
            InputTensor { name: spec.name.clone(), value: only(spec, body)? }
        }
    };
    let request = InferRequest { inputs: vec![input], ..InferRequest::default() };
    Ok(Parsed { request, binary: BinaryOutputs { default: true, named: Vec::new() } })
}

fn only(spec: &TensorSpec, body: Bytes) -> Result<InputValue, Error> {
    let refuse = |expected: String, got: String| Error::invalid(&spec.name, expected, got);
    match spec.data_type() {
        None => Err(Error::invalid(&spec.name, "a tensor", spec.to_string())),
        Some(DataType::String) => {
            let shape = vec![1; spec.shape.len()];
            Ok(InputValue::Bytes { shape, elements: vec![body] })
        }
        Some(data_type) => {
            // One row where the first axis is open; one other axis may follow from the length.
            let mut shape = spec.shape.clone();
            if let (Some(first @ None), 2..) = (shape.first_mut(), spec.shape.len()) {
                *first = Some(1);
            }
            let known: usize = shape.iter().flatten().product();
            let element = binary::size(data_type);
            let open = body.len() / (known * element).max(1);
            if shape.iter().filter(|axis| axis.is_none()).count() > 1 {
                let expected = "an input with one open axis beside the batch's".to_owned();
                return Err(refuse(expected, spec.to_string()));
            }
            let shape: Vec<usize> = shape.iter().map(|axis| axis.unwrap_or(open)).collect();
            let length = body.len();
            binary::read(data_type, &shape, body)
                .map_err(|_| refuse(spec.to_string(), format!("{length} bytes")))
        }
    }
}

fn no_shared_memory(parameters: &Map<String, Value>, field: &str) -> Result<(), Error> {
    match parameters.contains_key("shared_memory_region") {
        true => {
            let field = format!("{field}.shared_memory_region");
            Err(Error::invalid(field, "tensors in the request, not in shared memory", "a region"))
        }
        false => Ok(()),
    }
}

fn number(parameters: &Map<String, Value>, at: &str, name: &str) -> Result<Option<u64>, Error> {
    let Some(value) = parameters.get(name) else { return Ok(None) };
    value.as_u64().map(Some).ok_or_else(|| {
        let got = if value.is_number() { value.to_string() } else { kind_of(value).to_owned() };
        Error::invalid(format!("{at}.{name}"), "a whole number from 0 on", got)
    })
}

fn flag(parameters: &Map<String, Value>, at: &str, name: &str) -> Result<Option<bool>, Error> {
    let Some(value) = parameters.get(name) else { return Ok(None) };
    value
        .as_bool()
        .map(Some)
        .ok_or_else(|| Error::invalid(format!("{at}.{name}"), "true or false", kind_of(value)))
}
