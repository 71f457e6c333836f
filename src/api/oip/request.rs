//! An inference request as HTTP carries it: JSON, then the binary tensors that it announces.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::data::MAX_AXES;
use super::elements::Elements;
use super::infer::{
    InferRequest, InputTensor, InputValue, Inputs, RequestedOutput, data_type, most_named,
    priority, too_many, understand,
};
use super::{binary, data};
use crate::api::envelope::check_id;
use crate::api::inputs::{from_body, kept};
use crate::error::{Error, excerpt};
use crate::json::{
    Fields, ListSeed, ObjectSeed, OptionSeed, Scalar, Scalars, ScalarsSeed, TextSeed, WholeSeed,
};
use crate::meter::Meter;
use crate::model::Model;
use crate::signature::TensorSpec;
use crate::tasks::image::Format;
use crate::tasks::{self, Image, ImageSource, InputKind};
use crate::tensor::DataType;

/// A request, and which of its outputs are to be binary.
pub struct Parsed {
    pub request: InferRequest,
    pub binary: BinaryOutputs,
}

pub struct BinaryOutputs {
    default: bool,
    /// Those that say otherwise.
    named: HashMap<String, bool>,
}

impl BinaryOutputs {
    /// Whether nothing of the answer is a number in JSON.
    #[must_use]
    pub fn of_all(&self) -> bool {
        self.default && self.named.values().all(|binary| *binary)
    }

    #[must_use]
    pub fn of(&self, output: &str) -> bool {
        self.named.get(output).copied().unwrap_or(self.default)
    }
}

/// Parameters that are read; of others nothing is kept.
const OF_REQUEST: [&str; 4] = ["sequence_id", "priority", "timeout", "binary_data_output"];
const OF_INPUT: [&str; 2] = ["binary_data_size", SHARED_MEMORY];
const OF_OUTPUT: [&str; 3] = ["binary_data", "classification", SHARED_MEMORY];
const SHARED_MEMORY: &str = "shared_memory_region";

/// An inference in JSON. Unknown fields are the protocol's extensions and are passed over.
#[derive(Default, ToSchema)]
#[schema(as = InferRequest)]
pub struct Body<'a> {
    /// Comes back in the answer; at most 1024 bytes.
    id: Option<String>,
    /// `priority` (0 and 1 go first, the rest is bulk work), `timeout` in microseconds,
    /// `binary_data_output`.
    #[schema(value_type = Object, required = false)]
    parameters: Scalars<4>,
    /// A tensor for each of the network's inputs; or one called `image` or `text`, of `BYTES`, for a
    /// model that takes images (in base64) or texts.
    #[schema(value_type = Vec<Input<'_>>)]
    inputs: Option<Vec<Input<'a>>>,
    /// Which outputs to answer; all of them by default.
    #[schema(required = false)]
    outputs: Vec<Output>,
    /// Of inputs and outputs at most so many.
    #[schema(ignore)]
    most: [usize; 2],
}

/// A tensor.
#[derive(Default, ToSchema)]
#[schema(as = InferInput)]
pub struct Input<'a> {
    #[schema(value_type = String)]
    name: Option<String>,
    #[schema(value_type = Vec<usize>)]
    shape: Option<Vec<usize>>,
    #[schema(schema_with = crate::api::openapi::datatypes, required = true)]
    datatype: Option<Cow<'a, str>>,
    /// `binary_data_size`: the tensor comes as so many bytes after the JSON, in the place of `data`.
    #[schema(value_type = Object, required = false)]
    parameters: Scalars<2>,
    /// The elements in row-major order: one flat list, or lists nested as the shape. `null` is a
    /// missing value: NaN, or an empty string.
    #[schema(value_type = Value, required = false)]
    data: Option<&'a RawValue>,
}

/// An output that is asked for.
#[derive(Default, ToSchema)]
#[schema(as = InferRequestedOutput)]
pub struct Output {
    #[schema(value_type = String)]
    name: Option<String>,
    /// `binary_data`: answer as bytes after the JSON. `classification`: the best so many classes as
    /// `value:number:name`.
    #[schema(value_type = Object, required = false)]
    parameters: Scalars<3>,
}

impl<'de> Fields<'de> for Body<'de> {
    const NAMES: &'static [&'static str] = &["id", "parameters", "inputs", "outputs"];

    fn read<A: MapAccess<'de>>(
        &mut self,
        field: usize,
        map: &mut A,
        meter: &Meter<'_>,
    ) -> Result<(), A::Error> {
        let [inputs, outputs] = self.most;
        match field {
            0 => {
                let id = map.next_value_seed(OptionSeed(TextSeed))?;
                check_id(id.as_ref().map_or(0, |id| id.len())).map_err(|e| meter.ends(e))?;
                self.id = id.map(Cow::into_owned);
            }
            1 => {
                let names = OF_REQUEST;
                self.parameters = map.next_value_seed(ScalarsSeed { names, meter })?;
            }
            2 => {
                let (each, over) = (InputSeed(meter), &too_many(inputs));
                let list = ListSeed { each, most: inputs, over, meter };
                self.inputs = Some(map.next_value_seed(list)?);
            }
            _ => {
                let (each, over) = (OutputSeed(meter), &too_many(outputs));
                let list = ListSeed { each, most: outputs, over, meter };
                self.outputs = map.next_value_seed(list)?;
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct InputSeed<'m>(&'m Meter<'m>);

impl<'de> DeserializeSeed<'de> for InputSeed<'_> {
    type Value = Input<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Input<'de>, D::Error> {
        let seed = ObjectSeed { into: Input::default(), meter: self.0 };
        let input = seed.deserialize(deserializer)?;
        let missing = [
            ("name", input.name.is_none()),
            ("shape", input.shape.is_none()),
            ("datatype", input.datatype.is_none()),
        ];
        match missing.into_iter().find(|(_, missing)| *missing) {
            Some((name, _)) => Err(D::Error::missing_field(name)),
            None => Ok(input),
        }
    }
}

impl<'de> Fields<'de> for Input<'de> {
    const NAMES: &'static [&'static str] = &["name", "shape", "datatype", "parameters", "data"];

    fn read<A: MapAccess<'de>>(
        &mut self,
        field: usize,
        map: &mut A,
        meter: &Meter<'_>,
    ) -> Result<(), A::Error> {
        match field {
            0 => self.name = Some(kept(map.next_value_seed(TextSeed)?, meter)?),
            1 => {
                let over = &format!("at most {MAX_AXES} axes; got more");
                let list = ListSeed { each: WholeSeed, most: MAX_AXES, over, meter };
                self.shape = Some(map.next_value_seed(list)?);
            }
            2 => self.datatype = Some(map.next_value_seed(TextSeed)?),
            3 => {
                let names = OF_INPUT;
                self.parameters = map.next_value_seed(ScalarsSeed { names, meter })?;
            }
            _ => {
                let data: &RawValue = map.next_value()?;
                self.data = Some(data).filter(|data| data.get() != "null");
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct OutputSeed<'m>(&'m Meter<'m>);

impl<'de> DeserializeSeed<'de> for OutputSeed<'_> {
    type Value = Output;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Output, D::Error> {
        let seed = ObjectSeed { into: Output::default(), meter: self.0 };
        let output = seed.deserialize(deserializer)?;
        match output.name {
            None => Err(D::Error::missing_field("name")),
            Some(_) => Ok(output),
        }
    }
}

impl<'de> Fields<'de> for Output {
    const NAMES: &'static [&'static str] = &["name", "parameters"];

    fn read<A: MapAccess<'de>>(
        &mut self,
        field: usize,
        map: &mut A,
        meter: &Meter<'_>,
    ) -> Result<(), A::Error> {
        match field {
            0 => self.name = Some(kept(map.next_value_seed(TextSeed)?, meter)?),
            _ => {
                let names = OF_OUTPUT;
                self.parameters = map.next_value_seed(ScalarsSeed { names, meter })?;
            }
        }
        Ok(())
    }
}

/// Reads a body of which the first `json` bytes are JSON and the rest are tensors.
///
/// # Errors
/// Broken JSON, tensors that are not as they are described, bytes that are left over.
pub fn parse(body: &Bytes, json: usize, model: &Model, meter: &Meter<'_>) -> Result<Parsed, Error> {
    if json > body.len() {
        let expected = format!("at most {}, which is the body's length", body.len());
        return Err(Error::invalid(
            super::rest::HEADER_LENGTH.as_str(),
            expected,
            json.to_string(),
        ));
    }
    let into = Body { most: most_named(model), ..Body::default() };
    let read = from_body(&body[..json], ObjectSeed { into, meter }, meter)?;
    let Body { id, parameters, inputs, outputs, .. } = read;
    let Some(inputs) = inputs else {
        return Err(Error::invalid("body", "valid JSON", "missing field `inputs`"));
    };
    let mut rest = body.slice(json..);
    let mut tensors = Vec::with_capacity(inputs.len());
    for (index, input) in inputs.into_iter().enumerate() {
        tensors.push(tensor(input, &format!("inputs[{index}]"), &mut rest, meter)?);
    }
    if !rest.is_empty() {
        let got = format!("{} bytes more", rest.len());
        return Err(Error::invalid("body", "the bytes that `binary_data_size` announces", got));
    }
    let [sequence, level, timeout, all_binary] = &parameters.values;
    let read = |value, name| number(value, "parameters", name);
    if read(sequence, "sequence_id")?.is_some_and(|id| id > 0) {
        let expected = "no sequence, since models here keep no state between requests";
        return Err(Error::invalid("parameters.sequence_id", expected, "one"));
    }
    let default = flag(all_binary.as_ref(), "parameters", "binary_data_output")?.unwrap_or(false);
    let mut binary = BinaryOutputs { default, named: HashMap::new() };
    let mut requested = Vec::with_capacity(outputs.len());
    for (index, Output { name, parameters }) in outputs.into_iter().enumerate() {
        let (name, field) = (name.unwrap_or_default(), format!("outputs[{index}].parameters"));
        let [as_bytes, classes, region] = &parameters.values;
        no_shared_memory(region, &field)?;
        if let Some(given) = flag(as_bytes.as_ref(), &field, "binary_data")? {
            binary.named.entry(name.clone()).or_insert(given);
        }
        let classes = number(classes, &field, "classification")?.filter(|count| *count > 0);
        let classification = classes.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        requested.push(RequestedOutput { name, classification });
    }
    let timeout = read(timeout, "timeout")?.filter(|timeout| *timeout > 0);
    let request = InferRequest {
        id,
        priority: priority(read(level, "priority")?.unwrap_or(0)),
        timeout: timeout.map(Duration::from_micros),
        inputs: understand(model, tensors, !binary.of_all(), meter)?,
        outputs: requested,
        ..InferRequest::default()
    };
    Ok(Parsed { request, binary })
}

fn tensor(
    input: Input<'_>,
    field: &str,
    rest: &mut Bytes,
    meter: &Meter<'_>,
) -> Result<InputTensor, Error> {
    let Input { name, shape, datatype, parameters, data } = input;
    let (name, shape) = (name.unwrap_or_default(), shape.unwrap_or_default());
    let data_type = data_type(field, &name, &datatype.unwrap_or_default())?;
    let at = format!("{field}.parameters");
    let [size, region] = &parameters.values;
    no_shared_memory(region, &at)?;
    let size = number(size, &at, "binary_data_size")?;
    let told = |expected: String| format!("{expected} (`{}`)", excerpt(&name));
    let value = match (data, size) {
        (Some(data), None) => {
            data::read(data_type, Some(&shape), data.get(), meter).map_err(|wrong| {
                wrong.told(|wrong| {
                    let place = wrong.element.map_or(String::new(), |place| format!("[{place}]"));
                    Error::invalid(format!("{field}.data{place}"), told(wrong.expected), wrong.got)
                })
            })?
        }
        (None, Some(size)) => {
            let size = usize::try_from(size).ok().filter(|size| *size <= rest.len());
            let size = size.ok_or_else(|| {
                let expected = told("that many bytes after the JSON".to_owned());
                let got = rest.len().to_string();
                Error::invalid(format!("{at}.binary_data_size"), expected, got)
            })?;
            binary::read(data_type, &shape, rest.split_to(size), meter).map_err(|wrong| {
                wrong.told(|wrong| Error::invalid(field, told(wrong.expected), wrong.got))
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
pub fn raw(body: Bytes, model: &Model, meter: &Meter<'_>) -> Result<Parsed, Error> {
    let inputs = match model.input_kind() {
        InputKind::Image if Format::sniff(&body).is_some() => {
            let (field, source) = (InputKind::Image.field(), ImageSource::File(body, None));
            Inputs::Task(tasks::Input::Images(vec![Image { field: format!("{field}[0]"), source }]))
        }
        _ => {
            let [spec] = model.signature.inputs.as_slice() else {
                let expected = "a model with one input for a body that is nothing but a tensor";
                let got = format!("{} inputs", model.signature.inputs.len());
                return Err(Error::invalid("body", expected, got));
            };
            let input = InputTensor { name: spec.name.clone(), value: only(spec, body, meter)? };
            understand(model, vec![input], false, meter)?
        }
    };
    let request = InferRequest { inputs, ..InferRequest::default() };
    Ok(Parsed { request, binary: BinaryOutputs { default: true, named: HashMap::new() } })
}

fn only(spec: &TensorSpec, body: Bytes, meter: &Meter<'_>) -> Result<InputValue, Error> {
    let refuse = |expected: String, got: String| Error::invalid(&spec.name, expected, got);
    match spec.data_type() {
        None => Err(Error::invalid(&spec.name, "a tensor", spec.to_string())),
        Some(DataType::String) => {
            meter.take(body.len())?;
            let text = String::from_utf8(body.into()).map_err(|_| {
                Error::invalid(format!("{}[0]", spec.name), "text in UTF-8", "other bytes")
            })?;
            let (shape, elements) = (vec![1; spec.shape.len()], Elements::Texts(vec![text]));
            Ok(InputValue::Bytes { shape, elements })
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
            binary::read(data_type, &shape, body, meter).map_err(|wrong| {
                wrong.told(|_| refuse(spec.to_string(), format!("{length} bytes")))
            })
        }
    }
}

pub fn no_shared_memory(region: &Option<Scalar>, field: &str) -> Result<(), Error> {
    match region {
        Some(_) => {
            let field = format!("{field}.{SHARED_MEMORY}");
            Err(Error::invalid(field, "tensors in the request, not in shared memory", "a region"))
        }
        None => Ok(()),
    }
}

pub fn number(value: &Option<Scalar>, at: &str, name: &str) -> Result<Option<u64>, Error> {
    let got = match value {
        None => return Ok(None),
        Some(Scalar::Whole(number)) => return Ok(Some(*number)),
        Some(Scalar::Number(number)) => number,
        Some(other) => other.kind(),
    };
    Err(Error::invalid(format!("{at}.{name}"), "a whole number from 0 on", got))
}

fn flag(value: Option<&Scalar>, at: &str, name: &str) -> Result<Option<bool>, Error> {
    match value {
        None => Ok(None),
        Some(Scalar::Bool(flag)) => Ok(Some(*flag)),
        Some(other) => Err(Error::invalid(format!("{at}.{name}"), "true or false", other.kind())),
    }
}
