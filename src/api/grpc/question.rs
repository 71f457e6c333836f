//! A question for inference (`ModelInferRequest` in `proto/`), read out of the bytes of its message in
//! two passes: the first finds the model's name and counts, the second takes no more than that model has.

use std::time::Duration;

use bytes::Bytes;

use super::contents::typed;
use super::fields::{Fields, Value, other_type};
use crate::api::envelope::check_id;
use crate::api::oip::data::{MAX_AXES, Mismatch};
use crate::api::oip::infer::{
    InferRequest, InputTensor, RequestedOutput, data_type, priority, too_many,
};
use crate::api::oip::{binary, request};
use crate::error::{Error, excerpt};
use crate::json::Scalar;
use crate::meter::Meter;

/// Parameters that are read; of others nothing is kept.
const OF_REQUEST: [&str; 3] = ["sequence_id", "priority", "timeout"];
const OF_INPUT: [&str; 1] = ["shared_memory_region"];
const OF_OUTPUT: [&str; 2] = ["classification", "shared_memory_region"];

/// What a question says of itself, and how much is in it.
#[derive(Default)]
pub struct Outline<'a> {
    pub model_name: &'a str,
    pub model_version: &'a str,
    pub id: &'a str,
    parameters: [Option<Scalar>; 3],
    inputs: usize,
    outputs: usize,
    /// Tensors that came as bytes.
    raw: usize,
}

impl<'a> Outline<'a> {
    /// The first pass.
    ///
    /// # Errors
    /// Bytes that are no such message; an `id` that is too long.
    pub fn read(bytes: &'a [u8], meter: &Meter<'_>) -> Result<Self, Error> {
        let (mut outline, mut fields) = (Self::default(), Fields(bytes));
        while let Some((number, value)) = fields.next_field()? {
            meter.step()?;
            match number {
                1 => outline.model_name = value.text()?,
                2 => outline.model_version = value.text()?,
                3 => outline.id = value.text()?,
                4 => parameter(value.bytes()?, OF_REQUEST, &mut outline.parameters, meter)?,
                5 => outline.inputs += 1,
                6 => outline.outputs += 1,
                7 => outline.raw += 1,
                _ => {}
            }
        }
        check_id(outline.id.len())?;
        Ok(outline)
    }

    /// Whether tensors came as bytes, so that the answer's go as bytes.
    pub fn is_raw(&self) -> bool {
        self.raw > 0
    }
}

/// The second pass: the question with inputs that are not understood yet. `most`: of inputs and outputs.
///
/// # Errors
/// Tensors that are not as they are described, parameters of another type, shared memory, sequences, more
/// inputs or outputs than there may be.
pub fn read(
    bytes: &Bytes,
    outline: &Outline<'_>,
    [most_inputs, most_outputs]: [usize; 2],
    meter: &Meter<'_>,
) -> Result<(InferRequest, Vec<InputTensor>), Error> {
    let Outline { parameters, inputs, outputs, raw, .. } = outline;
    if *raw > 0 && raw != inputs {
        let expected = format!("one entry for each of the {inputs} inputs, or none");
        return Err(Error::invalid("raw_input_contents", expected, raw.to_string()));
    }
    for (field, count, most) in
        [("inputs", *inputs, most_inputs), ("outputs", *outputs, most_outputs)]
    {
        if count > most {
            let said = too_many(most);
            let (expected, got) = said.split_once("; got ").unwrap_or_default();
            return Err(Error::invalid(field, expected, got));
        }
    }
    let (mut described, mut raws) = (Vec::with_capacity(*inputs), Vec::with_capacity(*raw));
    let mut requested = Vec::with_capacity(*outputs);
    let mut fields = Fields(bytes);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            5 => described.push(value.bytes()?),
            6 => requested.push(output(value.bytes()?, requested.len(), meter)?),
            7 => raws.push(value.bytes()?),
            _ => {}
        }
    }
    let mut raws = raws.into_iter();
    let mut tensors = Vec::with_capacity(described.len());
    for (index, input) in described.into_iter().enumerate() {
        let raw = raws.next().map(|raw| bytes.slice_ref(raw));
        tensors.push(tensor(&format!("inputs[{index}]"), input, raw, meter)?);
    }
    let [sequence, level, timeout] = parameters;
    let read = |value, name| request::number(value, "parameters", name);
    if read(sequence, "sequence_id")?.is_some_and(|id| id > 0) {
        let expected = "no sequence, since models here keep no state between requests";
        return Err(Error::invalid("parameters.sequence_id", expected, "one"));
    }
    let timeout = read(timeout, "timeout")?.filter(|timeout| *timeout > 0);
    let request = InferRequest {
        pinned: !outline.model_version.is_empty(),
        id: Some(outline.id.to_owned()).filter(|id| !id.is_empty()),
        priority: priority(read(level, "priority")?.unwrap_or(0)),
        timeout: timeout.map(Duration::from_micros),
        outputs: requested,
        ..InferRequest::default()
    };
    Ok((request, tensors))
}

/// `InferInputTensor`.
fn tensor(
    field: &str,
    message: &[u8],
    raw: Option<Bytes>,
    meter: &Meter<'_>,
) -> Result<InputTensor, Error> {
    let (mut name, mut datatype, mut contents) = ("", "", None);
    let (mut shape, mut parameters) = (Vec::new(), [None]);
    let mut fields = Fields(message);
    while let Some((number, value)) = fields.next_field()? {
        meter.step()?;
        match number {
            1 => name = value.text()?,
            2 => datatype = value.text()?,
            3 => axes(field, value, &mut shape)?,
            4 => parameter(value.bytes()?, OF_INPUT, &mut parameters, meter)?,
            5 if contents.is_some() => {
                return Err(Error::invalid(format!("{field}.contents"), "them once", "several"));
            }
            5 => contents = Some(value.bytes()?),
            _ => {}
        }
    }
    let data_type = data_type(field, name, datatype)?;
    request::no_shared_memory(&parameters[0], &format!("{field}.parameters"))?;
    let axis = |axis: &i64| {
        usize::try_from(*axis).map_err(|_| {
            let expected = format!("axes from 0 on (`{}`)", excerpt(name));
            Error::invalid(format!("{field}.shape"), expected, axis.to_string())
        })
    };
    let shape: Vec<usize> = shape.iter().map(axis).collect::<Result<_, Error>>()?;
    let value = match (raw, contents) {
        (Some(_), Some(_)) => {
            let expected = "no contents beside `raw_input_contents`";
            return Err(Error::invalid(format!("{field}.contents"), expected, "some"));
        }
        (Some(bytes), None) => binary::read(data_type, &shape, bytes, meter),
        (None, contents) => typed(data_type, &shape, contents.unwrap_or_default(), meter),
    };
    let value = value.map_err(|wrong| {
        wrong.told(|Mismatch { expected, got, .. }| {
            Error::invalid(field, format!("{expected} (`{}`)", excerpt(name)), got)
        })
    })?;
    meter.take(name.len())?;
    Ok(InputTensor { name: name.to_owned(), value })
}

/// Adds the axes of a field, one or packed.
fn axes(field: &str, value: Value<'_>, shape: &mut Vec<i64>) -> Result<(), Error> {
    let mut packed = match value {
        Value::Varint(axis) => {
            shape.push(axis as i64);
            Fields(&[])
        }
        other => Fields(other.bytes()?),
    };
    while !packed.0.is_empty() && shape.len() <= MAX_AXES {
        shape.push(packed.varint()? as i64);
    }
    match shape.len() {
        ..=MAX_AXES => Ok(()),
        _ => {
            let expected = format!("at most {MAX_AXES} axes");
            Err(Error::invalid(format!("{field}.shape"), expected, "more"))
        }
    }
}

/// `InferRequestedOutputTensor`.
fn output(message: &[u8], index: usize, meter: &Meter<'_>) -> Result<RequestedOutput, Error> {
    let (mut name, mut parameters) = ("", [None, None]);
    let mut fields = Fields(message);
    while let Some((number, value)) = fields.next_field()? {
        meter.step()?;
        match number {
            1 => name = value.text()?,
            2 => parameter(value.bytes()?, OF_OUTPUT, &mut parameters, meter)?,
            _ => {}
        }
    }
    let field = format!("outputs[{index}].parameters");
    let [classes, region] = &parameters;
    request::no_shared_memory(region, &field)?;
    let classes = request::number(classes, &field, "classification")?.filter(|count| *count > 0);
    let classification = classes.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
    meter.take(name.len())?;
    Ok(RequestedOutput { name: name.to_owned(), classification })
}

/// An entry of a map of `InferParameter`: kept if it is one of these.
fn parameter<const N: usize>(
    entry: &[u8],
    names: [&str; N],
    values: &mut [Option<Scalar>; N],
    meter: &Meter<'_>,
) -> Result<(), Error> {
    let (mut name, mut given) = ("", Scalar::Null);
    let mut fields = Fields(entry);
    while let Some((number, value)) = fields.next_field()? {
        meter.step()?;
        match number {
            1 => name = value.text()?,
            2 => given = choice(value.bytes()?, meter)?,
            _ => {}
        }
    }
    if let Some(place) = names.iter().position(|known| *known == name) {
        values[place] = Some(given);
    }
    Ok(())
}

/// `InferParameter`, of which the last field counts.
fn choice(message: &[u8], meter: &Meter<'_>) -> Result<Scalar, Error> {
    let (mut scalar, mut fields) = (Scalar::Null, Fields(message));
    while let Some((number, value)) = fields.next_field()? {
        meter.step()?;
        scalar = match (number, value) {
            (1, Value::Varint(flag)) => Scalar::Bool(flag != 0),
            (2, Value::Varint(number)) => match u64::try_from(number as i64) {
                Ok(number) => Scalar::Whole(number),
                Err(_) => Scalar::Number((number as i64).to_string()),
            },
            (3, text) => Scalar::Text(excerpt(text.text()?)),
            (4, Value::Fixed64(bytes)) => Scalar::Number(f64::from_le_bytes(bytes).to_string()),
            (5, Value::Varint(number)) => Scalar::Whole(number),
            (1 | 2 | 4 | 5, _) => return Err(other_type()),
            _ => continue,
        };
    }
    Ok(scalar)
}
