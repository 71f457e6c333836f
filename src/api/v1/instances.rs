//! What a request of V1 asks: instances and inputs as tensors, or as an input for the model's task.
//! `rows.rs`: instances that are objects.

mod rows;

use std::collections::HashMap;

use serde::de::{DeserializeSeed, Error as _, MapAccess};
use serde_json::value::RawValue;

use super::Request;
use crate::api::cells;
use crate::api::envelope::reading;
use crate::api::inputs::{self, Base64, from_body, from_json, kept};
use crate::api::item::Item;
use crate::api::oip::data::{self, Wrong};
use crate::api::oip::elements::Elements;
use crate::api::oip::infer::{InputTensor, InputValue, Inputs, understand};
use crate::error::{Error, excerpt, one_of};
use crate::json::{Fields, ObjectSeed, TextSeed, read_fields};
use crate::meter::Meter;
use crate::model::Model;
use crate::model::repository::ModelRepository;
use crate::signature::TensorSpec;
use crate::tasks::{Cells, Column, Image, Input, InputKind, Numbers, Reading};
use crate::tensor::{DataType, Tensor};

/// What is asked, and whether by rows (`instances`).
///
/// # Errors
/// What is neither of the two, and what the model does not take, by its place.
pub fn parse(
    bytes: &[u8],
    model: &Model,
    repository: &ModelRepository,
    meter: &Meter<'_>,
) -> Result<(Inputs, bool), Error> {
    let seed = ObjectSeed { into: Request::default(), meter };
    let Request { instances, inputs } = from_body(bytes, seed, meter)?;
    let (field, raw, by_row) = match (instances, inputs) {
        (Some(raw), None) => ("instances", raw.get(), true),
        (None, Some(raw)) => ("inputs", raw.get(), false),
        _ => {
            let expected = "either `instances` or `inputs`";
            return Err(Error::invalid("body", expected, "both or neither"));
        }
    };
    reading(model, repository, meter, |reading| {
        if let Some(input) = for_task(field, raw, model, reading)? {
            return Ok((Inputs::Task(input), by_row));
        }
        let features = by_row.then(|| features(field, raw, model, reading)).transpose()?;
        let inputs = match features.flatten() {
            Some(inputs) => inputs,
            None => own(field, raw, by_row, model, meter)?,
        };
        Ok((understand(model, inputs, true, meter)?, by_row))
    })
}

/// The network's own inputs.
fn own(
    field: &str,
    raw: &str,
    by_row: bool,
    model: &Model,
    meter: &Meter<'_>,
) -> Result<Vec<InputTensor>, Error> {
    let specs = model.signature.inputs.as_slice();
    match (by_row, first_of_list(raw), raw.starts_with('{')) {
        (true, Some('{'), _) => rows::read(field, raw, model, meter),
        (false, _, true) => wholes(field, raw, model, meter),
        _ => match specs {
            [only] => Ok(vec![tensor(field, only, raw, meter)?]),
            several => {
                let expected = format!("objects by the names of the {} inputs", several.len());
                Err(Error::invalid(field, expected, "values without names"))
            }
        },
    }
}

/// The first character of a list's first element.
fn first_of_list(json: &str) -> Option<char> {
    json.strip_prefix('[')?.trim_start().chars().next()
}

/// Images and texts of a model with a task; `None` for the network's own tensors.
fn for_task(
    field: &str,
    raw: &str,
    model: &Model,
    reading: Reading<'_>,
) -> Result<Option<Input>, Error> {
    let first = first_of_list(raw).or(raw.chars().next());
    let own =
        || model.signature.inputs.iter().any(|spec| raw.contains(&format!("\"{}\"", spec.name)));
    Ok(match (model.input_kind(), first) {
        (InputKind::Text, Some('"' | '{')) if !(first == Some('{') && own()) => {
            Some(Input::Texts(inputs::texts(field, raw, reading)?))
        }
        (InputKind::Image, Some('"')) => Some(Input::Images(inputs::images(field, raw, reading)?)),
        (InputKind::Image, Some('{')) if !own() => {
            Some(Input::Images(inputs::items::<File>(field, raw, reading)?))
        }
        _ => None,
    })
}

/// A file as TensorFlow Serving writes it, bare (`{"b64": ".."}`) or under a name.
struct File(String);

#[derive(Default)]
struct FileFields(Option<String>);

impl<'de> Fields<'de> for FileFields {
    const NAMES: &'static [&'static str] = &["b64", "image"];

    fn read<A: MapAccess<'de>>(
        &mut self,
        field: usize,
        map: &mut A,
        meter: &Meter<'_>,
    ) -> Result<(), A::Error> {
        self.0 = match field {
            0 => Some(kept(map.next_value_seed(TextSeed)?, meter)?),
            _ => map.next_value_seed(ObjectSeed { into: Self::default(), meter })?.0,
        };
        Ok(())
    }
}

impl<'de> Item<'de> for File {
    const EXPECTED: &'static str = "{\"b64\": \"..\"} or {\"image\": {\"b64\": \"..\"}}";

    type Input = Image;

    fn into_input(self, field: String) -> Image {
        Base64(self.0.into()).into_input(field)
    }

    fn from_map<A: MapAccess<'de>>(map: A, meter: &Meter<'_>) -> Result<Self, A::Error> {
        let FileFields(file) = read_fields(FileFields::default(), map, meter)?;
        let other = || A::Error::custom(format!("{}; got another object", Self::EXPECTED));
        file.map(Self).ok_or_else(other)
    }
}

/// Rows of features as `/predict` takes them: records, and rows where the network has an input for each
/// column. `None` for what the network takes as it stands.
fn features(
    field: &str,
    raw: &str,
    model: &Model,
    reading: Reading<'_>,
) -> Result<Option<Vec<InputTensor>>, Error> {
    let inputs = model.signature.inputs.as_slice();
    let is_row = match (model.input_kind(), first_of_list(raw), inputs) {
        (InputKind::Features, Some('{'), inputs) => is_record(raw, inputs, reading.meter),
        // Rows of the only input, lists or numbers, are that input's tensor.
        (InputKind::Features, Some('['), [_, _, ..]) => true,
        _ => false,
    };
    if !is_row {
        return Ok(None);
    }
    let rows = cells::features(field, raw, reading)?;
    reading.meter.take(encoded(&rows.cells))?;
    let tensors = model.network_inputs_of(&Input::Features(rows))?;
    let tensors = tensors.0.into_iter().map(|(name, tensor)| {
        let value = match tensor {
            Tensor::String(texts) => InputValue::Bytes {
                shape: texts.shape().to_vec(),
                elements: Elements::Texts(texts.into_iter().collect()),
            },
            numbers => InputValue::Numbers(numbers),
        };
        InputTensor { name, value }
    });
    Ok(Some(tensors.collect()))
}

/// Bytes that rows need as tensors beside what their cells do: for copies of texts, and to tell which
/// rows lack a value.
fn encoded(cells: &Cells) -> usize {
    const TEXT: usize = 32;
    const LACKING: usize = 96;
    let lacking = |numbers: &Numbers| if numbers.have_missing() { numbers.len() } else { 0 };
    let of_text = |text: &Option<String>| match text.as_deref() {
        None | Some("") => TEXT + LACKING,
        Some(text) => TEXT + text.len(),
    };
    let of_column = |column: &Column| match column {
        Column::Numbers(numbers) => LACKING * lacking(numbers),
        Column::Texts(texts) => texts.iter().map(of_text).sum(),
        Column::Written(_) | Column::Lacking(_) => 0,
    };
    match cells {
        Cells::Rows { values, rows, .. } => LACKING * lacking(values).min(*rows),
        Cells::Columns { columns, .. } => columns.iter().map(|(_, column)| of_column(column)).sum(),
    }
}

/// Whether the first instance has a value for each name, rather than lists or the only input as a whole.
fn is_record(raw: &str, inputs: &[TensorSpec], meter: &Meter<'_>) -> bool {
    /// The names and values of an object, of which nothing is kept.
    struct Record<'a> {
        only: Option<&'a str>,
        is_one: bool,
    }
    impl<'de> Fields<'de> for Record<'_> {
        fn other<A: MapAccess<'de>>(
            &mut self,
            name: &str,
            map: &mut A,
            _: &Meter<'_>,
        ) -> Result<(), A::Error> {
            let value: &RawValue = map.next_value()?;
            self.is_one &= self.only != Some(name) && !value.get().starts_with(['[', '{']);
            Ok(())
        }
    }
    let first = raw.strip_prefix('[').unwrap_or(raw);
    let only = if let [only] = inputs { Some(only.name.as_str()) } else { None };
    let seed = ObjectSeed { into: Record { only, is_one: true }, meter };
    let record = seed.deserialize(&mut serde_json::Deserializer::from_str(first));
    // What is wrong with it is told when it is read.
    let _ = (meter.place(), meter.ended());
    record.map_or(true, |record| record.is_one)
}

/// `{"a": .., "b": ..}` as a tensor for each name.
fn wholes(
    field: &str,
    raw: &str,
    model: &Model,
    meter: &Meter<'_>,
) -> Result<Vec<InputTensor>, Error> {
    let seed =
        ObjectSeed { into: Wholes { field, own: OwnInputs::of(model), read: Vec::new() }, meter };
    let Wholes { read, .. } = from_json(field, raw, seed, meter)?;
    Ok(read)
}

struct Wholes<'a> {
    field: &'a str,
    own: OwnInputs<'a>,
    read: Vec<InputTensor>,
}

impl<'de> Fields<'de> for Wholes<'_> {
    fn other<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        map: &mut A,
        meter: &Meter<'_>,
    ) -> Result<(), A::Error> {
        let raw: &RawValue = map.next_value()?;
        let spec = self.own.take::<A::Error>(self.field, name, meter)?;
        let tensor = tensor(self.field, spec, raw.get(), meter);
        self.read.push(tensor.map_err(|error| meter.ends::<A::Error>(error))?);
        Ok(())
    }
}

/// The network's inputs by name, each to be taken once.
struct OwnInputs<'a> {
    specs: &'a [TensorSpec],
    places: HashMap<&'a str, usize>,
    taken: Vec<bool>,
}

impl<'a> OwnInputs<'a> {
    fn of(model: &'a Model) -> Self {
        let specs = model.signature.inputs.as_slice();
        let places = specs.iter().map(|spec| spec.name.as_str()).zip(0..).collect();
        Self { specs, places, taken: vec![false; specs.len()] }
    }

    fn take<E: serde::de::Error>(
        &mut self,
        field: &str,
        name: &str,
        meter: &Meter<'_>,
    ) -> Result<&'a TensorSpec, E> {
        let Some(place) = self.places.get(name).copied() else {
            let known = self.specs.iter().map(|spec| spec.name.as_str());
            let (expected, got) = (one_of(name, known), format!("`{}`", excerpt(name)));
            return Err(meter.ends(Error::invalid(field, expected, got)));
        };
        match std::mem::replace(&mut self.taken[place], true) {
            true => Err(twice(name)),
            false => Ok(&self.specs[place]),
        }
    }
}

fn twice<E: serde::de::Error>(name: &str) -> E {
    E::custom(format!("each name once; got `{}` twice", excerpt(name)))
}

/// The tensor of this input; its shape is that of the lists.
fn tensor(
    field: &str,
    spec: &TensorSpec,
    json: &str,
    meter: &Meter<'_>,
) -> Result<InputTensor, Error> {
    let value = data::read(data_type(spec)?, None, json, meter);
    Ok(shaped(spec, value.map_err(|wrong| told(wrong, field, spec))?))
}

fn data_type(spec: &TensorSpec) -> Result<DataType, Error> {
    let data_type = spec.data_type();
    data_type.ok_or_else(|| Error::invalid(&spec.name, "a tensor", spec.to_string()))
}

/// What does not fit into this input.
fn told(wrong: Wrong, field: &str, spec: &TensorSpec) -> Error {
    wrong.told(|wrong| {
        let place = wrong.element.map_or(String::new(), |element| format!(" (element {element})"));
        let expected = format!("{} for `{}`{place}", wrong.expected, spec.name);
        Error::invalid(field, expected, wrong.got)
    })
}

/// With the axis of a column of single values, which instances write without a list around each.
fn shaped(spec: &TensorSpec, mut value: InputValue) -> InputTensor {
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
    InputTensor { name: spec.name.clone(), value }
}
