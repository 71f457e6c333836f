//! The JSON body of `/predict`: which model, which input, which parameters.
//!
//! Two passes: the first checks the syntax of the whole and leaves the input as it stands, the
//! second reads the input as the model's kind. So an error names its field, and no intermediate
//! tree is built.

use std::cell::OnceCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::cells::features;
use super::inputs;
use super::predict::{Prepared, Target, find_model, set_model};
use crate::error::{Error, ErrorKind, excerpt, one_of};
use crate::json::{Scalars, ScalarsSeed, TextSeed, text_there};
use crate::meter::Meter;
use crate::model::Model;
use crate::model::repository::{Lookup, ModelRepository};
use crate::tasks::{Input, InputKind, Parameters, Reading, Taken};

/// Fields of the body. `inputs` is Hugging Face's name for any of the three kinds.
pub const FIELDS: [&str; 6] = ["model", "image", "text", "features", "inputs", "parameters"];
/// Of a line of a stream alone.
const ID: &str = "id";
/// Fields of `parameters`, names in a query and parts of a form.
pub const PARAMETERS: [&str; 3] = ["top_k", "raw_scores", "truncate"];

/// Bytes of an `id`, which comes back, at most.
pub const MAX_ID: usize = 1024;

/// What a line asks, and its `id`.
pub type Named<T> = (Option<Box<RawValue>>, Result<T, Error>);

/// # Errors
/// Broken JSON with its line and column, an unknown field with the nearest known one, a missing or
/// an ambiguous input, an unknown model.
pub fn parse(
    body: &[u8],
    target: Target,
    parameters: Parameters,
    lookup: &Lookup,
    meter: &Meter<'_>,
) -> Result<Prepared, Error> {
    let mut envelope = Envelope::read("body", without_mark(body), meter)?;
    if envelope.id.is_some() {
        envelope.unknown.get_or_insert_with(|| (ID.to_owned(), one_of(ID, FIELDS)));
    }
    prepare("body", envelope, target, parameters, lookup, meter)
}

/// Programs of Windows put a byte order mark before a text.
fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// A line of a stream: a body that may have an `id`, which comes back whatever else is wrong.
pub fn parse_line(
    line: &[u8],
    target: Target,
    parameters: Parameters,
    lookup: &Lookup,
    meter: &Meter<'_>,
) -> Named<Prepared> {
    let envelope = match Envelope::read("line", without_mark(line), meter) {
        Ok(envelope) => envelope,
        Err(error) => return (None, Err(error)),
    };
    match envelope.id.map(read_id).transpose() {
        Ok(id) => {
            let prepared = prepare("line", envelope, target, parameters, lookup, meter);
            (id.flatten(), prepared)
        }
        Err(error) => (None, Err(error)),
    }
}

/// # Errors
/// Neither a string nor a number, or one that is too long; `null` is none.
fn read_id(raw: &RawValue) -> Result<Option<Box<RawValue>>, Error> {
    match raw.get().as_bytes().first() {
        Some(b'"' | b'-' | b'0'..=b'9') => {
            check_id(raw.get().len())?;
            Ok(Some(raw.to_owned()))
        }
        Some(b'n') => Ok(None),
        _ => Err(Error::invalid(ID, "a string or a number", "something else")),
    }
}

/// Whether an `id` of so many bytes may come back.
///
/// # Errors
/// It may not.
pub fn check_id(bytes: usize) -> Result<(), Error> {
    match bytes {
        ..=MAX_ID => Ok(()),
        _ => {
            let expected = format!("at most {MAX_ID} bytes, since it comes back");
            Err(Error::invalid(ID, expected, format!("{bytes} bytes")))
        }
    }
}

/// A line for a model of this kind, outside a server: what [`parse_line`] takes, but for a model's name.
pub fn parse_item(
    line: &[u8],
    kind: InputKind,
    parameters: Parameters,
) -> Named<(Input, Parameters)> {
    let meter = Meter::unbounded();
    let envelope = match Envelope::read("line", line, &meter) {
        Ok(envelope) => envelope,
        Err(error) => return (None, Err(error)),
    };
    let id = match envelope.id.map(read_id).transpose() {
        Ok(id) => id.flatten(),
        Err(error) => return (None, Err(error)),
    };
    let opened = envelope.open("line", parameters, &meter).and_then(|opened| {
        if opened.model.is_some() {
            let expected = "none: the command names the model";
            return Err(Error::invalid("model", expected, "a name"));
        }
        let kind = opened.kind.unwrap_or(kind);
        let input = input(opened.field, kind, opened.raw, Reading::unbounded(&meter))?;
        Ok((input, opened.parameters))
    });
    (id, opened)
}

/// What an envelope holds, with the input as it stands.
struct Opened<'a> {
    model: Option<&'a RawValue>,
    field: &'static str,
    /// What the field tells of the input.
    kind: Option<InputKind>,
    raw: &'a RawValue,
    parameters: Parameters,
}

impl<'a> Envelope<'a> {
    /// The first pass; `whole` is what the envelope is called.
    fn read(whole: &str, json: &'a [u8], meter: &Meter<'_>) -> Result<Self, Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let read = EnvelopeSeed(meter).deserialize(&mut deserializer);
        let read = read.and_then(|read| deserializer.end().map(|()| read));
        read.map_err(|error| meter.ended().unwrap_or_else(|| broken(whole, json, &error)))
    }

    fn open(
        self,
        whole: &str,
        mut parameters: Parameters,
        meter: &Meter<'_>,
    ) -> Result<Opened<'a>, Error> {
        if let Some((name, expected)) = self.unknown {
            return Err(Error::invalid(name, expected, "an unknown field"));
        }
        if let Some(name) = self.twice {
            return Err(Error::invalid(name, "one field of that name", "several"));
        }
        if let Some(given) = self.parameters {
            read_parameters(given.get(), &mut parameters, meter)?;
        }
        let model = self.model;
        match self.inputs.as_slice() {
            [(field, raw)] => Ok(Opened { model, field, kind: kind(field), raw, parameters }),
            [] => {
                let expected = "one of the fields `image`, `text`, `features`, `inputs`";
                Err(Error::invalid(whole, expected, "none of them"))
            }
            several => {
                let names: Vec<_> = several.iter().map(|(name, _)| format!("`{name}`")).collect();
                Err(Error::invalid(whole, "one input field", names.join(" and ")))
            }
        }
    }
}

/// The second pass.
fn prepare(
    whole: &str,
    envelope: Envelope<'_>,
    mut target: Target,
    parameters: Parameters,
    lookup: &Lookup,
    meter: &Meter<'_>,
) -> Result<Prepared, Error> {
    let Opened { model, field, kind, raw, parameters } = envelope.open(whole, parameters, meter)?;
    if let Some(model) = model {
        set_model(&mut target, &inputs::text("model", model.get(), meter)?)?;
    }
    let model = find_model(lookup, &target, kind)?;
    if model.input_kind() == InputKind::Tensors {
        return Err(tensors_only(&model));
    }
    let kind = kind.unwrap_or(model.input_kind());
    model.check_kind(kind)?;
    let input =
        reading(&model, lookup.repository(), meter, |reading| input(field, kind, raw, reading))?;
    Ok(Prepared { model, input, parameters })
}

/// Reads an input for a model, within its bounds.
pub fn reading<T>(
    model: &Model,
    repository: &ModelRepository,
    meter: &Meter<'_>,
    read: impl FnOnce(Reading<'_>) -> T,
) -> T {
    let shadow = OnceCell::new();
    let takes = |name: &str| match model.takes(name) {
        // What a version does without, the one that is given a copy may take.
        Taken::PassedOver => {
            let shadow = shadow.get_or_init(|| repository.shadow_of(model));
            match shadow.as_ref().map(|shadow| shadow.takes(name)) {
                Some(Taken::Taken) => Taken::Taken,
                _ => Taken::PassedOver,
            }
        }
        taken => taken,
    };
    read(Reading { meter, most: model.most_items(), takes: &takes })
}

fn input(
    field: &str,
    kind: InputKind,
    raw: &RawValue,
    reading: Reading<'_>,
) -> Result<Input, Error> {
    let raw = raw.get();
    Ok(match kind {
        InputKind::Image => Input::Images(inputs::images(field, raw, reading)?),
        InputKind::Text => Input::Texts(inputs::texts(field, raw, reading)?),
        InputKind::Features | InputKind::Tensors => Input::Features(features(field, raw, reading)?),
    })
}

/// A model without a task has no words for `/predict`.
fn tensors_only(model: &Model) -> Error {
    let (expected, got) =
        ("a model with a task; this one is served through /v2 alone", &model.name);
    Error::invalid("model", expected, format!("`{got}`"))
}

fn kind(field: &str) -> Option<InputKind> {
    match field {
        "image" => Some(InputKind::Image),
        "text" => Some(InputKind::Text),
        "features" => Some(InputKind::Features),
        _ => None,
    }
}

/// A syntax error with its place; a body that is JSON but no object is an error of content.
fn broken(whole: &str, body: &[u8], error: &serde_json::Error) -> Error {
    if error.classify() == serde_json::error::Category::Data {
        let got = inputs::kind_of(body);
        return Error::invalid(whole, "a JSON object such as {\"text\": \"…\"}", got);
    }
    let place = format!("line {}, column {}", error.line(), error.column());
    // A number such as 1e999 is well-formed; no finite value can hold it.
    if error.to_string().starts_with("number out of range") {
        return Error::invalid(whole, "finite numbers", format!("one out of range at {place}"));
    }
    if inputs::is_not_a_number(body, error) {
        let got = format!("one of them at {place}");
        return Error::field(ErrorKind::Syntax, whole, inputs::NUMBERS, got);
    }
    let said = error.to_string();
    let said = said.split(" at line ").next().unwrap_or_default();
    Error::field(ErrorKind::Syntax, whole, "valid JSON", format!("an error at {place}: {said}"))
}

/// Sets the parameter of this name from text, as queries and forms have it. `false`: no such name.
///
/// # Errors
/// A value of the wrong kind.
pub fn set_parameter(parameters: &mut Parameters, name: &str, value: &str) -> Result<bool, Error> {
    let wrong = |expected: &str| Error::invalid(name, expected, format!("`{}`", excerpt(value)));
    let flag = || value.parse::<bool>().map_err(|_| wrong("true or false"));
    match name {
        "top_k" => {
            let count = value.parse::<usize>().ok().filter(|count| *count > 0);
            parameters.top_k = count.ok_or_else(|| wrong("a whole number from 1 on"))?;
        }
        "raw_scores" => parameters.raw_scores = flag()?,
        "truncate" => parameters.truncate = flag()?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn read_parameters(
    json: &str,
    parameters: &mut Parameters,
    meter: &Meter<'_>,
) -> Result<(), Error> {
    let seed = ScalarsSeed { names: PARAMETERS, meter };
    let Scalars { values, unknown } = inputs::from_json("parameters", json, seed, meter)?;
    if let Some((name, _)) = unknown {
        let expected = format!("{} in `parameters`", one_of(&name, PARAMETERS));
        return Err(Error::invalid(format!("parameters.{name}"), expected, "an unknown parameter"));
    }
    for (name, value) in PARAMETERS.into_iter().zip(values) {
        // JSON's numbers and truth values are spelt as in a query; a string must not pass for one.
        let Some(spelt) = value.map(|value| value.spelt()) else { continue };
        set_parameter(parameters, name, &spelt).map_err(|error| error.within("parameters."))?;
    }
    Ok(())
}

/// The body after the first pass.
#[derive(Default)]
struct Envelope<'a> {
    id: Option<&'a RawValue>,
    model: Option<&'a RawValue>,
    parameters: Option<&'a RawValue>,
    inputs: Vec<(&'static str, &'a RawValue)>,
    /// The first unknown field, if long its beginning, and what was expected instead.
    unknown: Option<(String, String)>,
    twice: Option<&'static str>,
}

/// Reads an [`Envelope`].
struct EnvelopeSeed<'m>(&'m Meter<'m>);

impl<'de> DeserializeSeed<'de> for EnvelopeSeed<'_> {
    type Value = Envelope<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Envelope<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for EnvelopeSeed<'_> {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Envelope<'de>, E> {
        Err(text_there(text, &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(name) = map.next_key_seed(TextSeed)? {
            self.0.step().map_err(|error| self.0.ends::<A::Error>(error))?;
            let known = FIELDS.into_iter().chain([ID]).find(|field| *field == name);
            let Some(field) = known else {
                map.next_value::<IgnoredAny>()?;
                envelope.unknown.get_or_insert_with(|| (excerpt(&name), one_of(&name, FIELDS)));
                continue;
            };
            let value: &RawValue = map.next_value()?;
            let twice = match field {
                ID => envelope.id.replace(value).is_some(),
                "model" => envelope.model.replace(value).is_some(),
                "parameters" => envelope.parameters.replace(value).is_some(),
                _ if envelope.inputs.iter().any(|(name, _)| *name == field) => true,
                _ => {
                    envelope.inputs.push((field, value));
                    false
                }
            };
            if twice {
                envelope.twice.get_or_insert(field);
            }
        }
        Ok(envelope)
    }
}
