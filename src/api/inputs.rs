//! JSON values to inputs, straight into their final form.

use std::borrow::Cow;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess};

use super::item::{Item, ItemsSeed};
use crate::error::{Error, ErrorKind, excerpt};
use crate::json::{Fields, OptionSeed, TextSeed, read_fields};
use crate::meter::Meter;
use crate::tasks::{Image, ImageSource, Reading, Text};

/// Reads JSON text by `seed`; an error names the place below `field`.
///
/// # Errors
/// Another kind of value than the seed reads; more than the meter lets it cost.
pub fn from_json<'a, S: DeserializeSeed<'a>>(
    field: &str,
    json: &'a str,
    seed: S,
    meter: &Meter<'_>,
) -> Result<S::Value, Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let read = seed.deserialize(&mut deserializer);
    let read = read.and_then(|read| deserializer.end().map(|()| read));
    read.map_err(|error| failed(field, json, &error, meter))
}

fn failed(field: &str, json: &str, error: &serde_json::Error, meter: &Meter<'_>) -> Error {
    let place = meter.place();
    if let Some(ended) = meter.ended() {
        return ended;
    }
    let field = format!("{field}{place}");
    if is_not_a_number(json.as_bytes(), error) {
        return Error::field(ErrorKind::Syntax, field, NUMBERS, "one of them");
    }
    let said = error.to_string();
    let kind = match error.classify() {
        serde_json::error::Category::Data => ErrorKind::InvalidInput,
        _ if said.starts_with("number out of range") => {
            return Error::invalid(field, "a finite number", "a number out of range");
        }
        _ => ErrorKind::Syntax,
    };
    let said = said.split(" at line ").next().unwrap_or_default();
    let (expected, got) = explain(said);
    Error::field(kind, field, expected, got)
}

/// A whole body, which is an object, by `seed`.
///
/// # Errors
/// Other text than UTF-8; another kind of value; those of [`from_json`].
pub fn from_body<'a, S: DeserializeSeed<'a>>(
    body: &'a [u8],
    seed: S,
    meter: &Meter<'_>,
) -> Result<S::Value, Error> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let got = format!("other bytes after byte {}", error.valid_up_to());
        Error::field(ErrorKind::Syntax, "body", "JSON in UTF-8", got)
    })?;
    // Else it would be told as of another type than a map.
    if text.trim_start().starts_with('[') {
        return Err(Error::invalid("body", "a JSON object", "a list"));
    }
    from_json("body", text, seed, meter)
}

/// A single text.
///
/// # Errors
/// Another kind of value.
pub fn text<'a>(field: &str, json: &'a str, meter: &Meter<'_>) -> Result<Cow<'a, str>, Error> {
    from_json(field, json, TextSeed, meter)
}

/// What is expected where NaN or infinity came.
pub const NUMBERS: &str =
    "finite numbers, or null for a missing value, since JSON has neither NaN nor infinity";

/// Whether it was NaN or infinity, as some clients write them, that ended the reading.
pub fn is_not_a_number(json: &[u8], error: &serde_json::Error) -> bool {
    let start = match error.line() {
        0 | 1 => Some(0),
        line => memchr::memchr_iter(b'\n', json).nth(line - 2).map(|end| end + 1),
    };
    let rest = start.and_then(|start| json.get(start + error.column().saturating_sub(1)..));
    let names = [b"NaN".as_slice(), b"nan", b"Inf", b"inf", b"-I", b"-i"];
    rest.is_some_and(|rest| names.iter().any(|name| rest.starts_with(name)))
}

/// serde's own words as what was expected and what came, in JSON's words.
fn explain(said: &str) -> (String, String) {
    let in_json = |words: &str| match words {
        "map" => "an object".to_owned(),
        "a map" => "an object".to_owned(),
        "sequence" => "a list".to_owned(),
        "usize" | "u64" => "a whole number from 0 on".to_owned(),
        other => other.to_owned(),
    };
    let wrong = ["invalid type: ", "invalid value: ", "invalid "];
    let wrong = wrong.iter().find_map(|prefix| said.strip_prefix(prefix));
    if let Some((got, expected)) = wrong.and_then(|rest| rest.rsplit_once(", expected ")) {
        (in_json(expected), in_json(got))
    } else if let Some((got, expected)) = said.split_once(", expected ") {
        (expected.to_owned(), format!("the {got}"))
    } else if let Some((expected, got)) = said.split_once("; got ") {
        // Our own visitors'.
        (expected.to_owned(), got.to_owned())
    } else {
        ("valid JSON".to_owned(), said.to_owned())
    }
}

/// The kind of a value in JSON's words, by its first byte.
pub fn kind_of(json: &[u8]) -> &'static str {
    match json.trim_ascii_start().first() {
        Some(b'n') => "null",
        Some(b't' | b'f') => "true or false",
        Some(b'"') => "a string",
        Some(b'[') => "a list",
        Some(b'{') => "an object",
        Some(b'-' | b'0'..=b'9') => "a number",
        _ => "something else",
    }
}

/// One image in base64, or a list of them.
///
/// # Errors
/// Something that is no string; too many.
pub fn images(field: &str, json: &str, reading: Reading<'_>) -> Result<Vec<Image>, Error> {
    items::<Base64<'_>>(field, json, reading)
}

/// One text or pair of texts, or a list of them.
///
/// # Errors
/// Something that is neither; too many.
pub fn texts(field: &str, json: &str, reading: Reading<'_>) -> Result<Vec<Text>, Error> {
    items::<TextItem>(field, json, reading)
}

/// One item, or a list of them.
///
/// # Errors
/// Something that is no such item; too many.
pub fn items<'a, T: Item<'a>>(
    field: &str,
    json: &'a str,
    reading: Reading<'_>,
) -> Result<Vec<T::Input>, Error> {
    let seed = ItemsSeed::<T> { field, reading, item: PhantomData };
    from_json(field, json, seed, reading.meter)
}

/// A text's own copy, which is paid.
///
/// # Errors
/// As [`Meter::take`].
pub fn kept<E: serde::de::Error>(text: Cow<'_, str>, meter: &Meter<'_>) -> Result<String, E> {
    meter.take(text.len()).map_err(|error| meter.ends::<E>(error))?;
    Ok(text.into_owned())
}

/// An image in base64.
pub struct Base64<'a>(pub Cow<'a, str>);

impl<'de> Item<'de> for Base64<'de> {
    const EXPECTED: &'static str = "an image in base64";

    type Input = Image;

    fn into_input(self, field: String) -> Image {
        Image { field, source: ImageSource::Base64(self.0.into_owned()) }
    }

    fn from_str<E: serde::de::Error>(text: Cow<'de, str>, meter: &Meter<'_>) -> Result<Self, E> {
        meter.take(text.len()).map_err(|error| meter.ends::<E>(error))?;
        Ok(Self(text))
    }
}

/// `"text"`, `["text", "pair"]` (in a list only) or `{"text": .., "text_pair": ..}`.
struct TextItem {
    text: String,
    pair: Option<String>,
}

/// The form as an object.
#[derive(Default)]
struct TextFields {
    text: Option<String>,
    pair: Option<String>,
}

impl<'de> Fields<'de> for TextFields {
    const NAMES: &'static [&'static str] = &["text", "text_pair"];

    fn read<A: MapAccess<'de>>(
        &mut self,
        field: usize,
        map: &mut A,
        meter: &Meter<'_>,
    ) -> Result<(), A::Error> {
        let kept = |text| kept::<A::Error>(text, meter);
        match field {
            0 => self.text = Some(kept(map.next_value_seed(TextSeed)?)?),
            _ => self.pair = map.next_value_seed(OptionSeed(TextSeed))?.map(kept).transpose()?,
        }
        Ok(())
    }

    fn other<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        _: &mut A,
        _: &Meter<'_>,
    ) -> Result<(), A::Error> {
        Err(A::Error::unknown_field(&excerpt(name), Self::NAMES))
    }
}

impl<'de> Item<'de> for TextItem {
    const EXPECTED: &'static str = "a text, or a pair as [\"a\", \"b\"] within a list or {\"text\": \"a\", \"text_pair\": \"b\"}";

    type Input = Text;

    fn into_input(self, field: String) -> Text {
        Text { field, text: self.text, pair: self.pair }
    }

    fn from_str<E: serde::de::Error>(text: Cow<'de, str>, meter: &Meter<'_>) -> Result<Self, E> {
        Ok(Self { text: kept(text, meter)?, pair: None })
    }

    fn from_map<A: MapAccess<'de>>(map: A, meter: &Meter<'_>) -> Result<Self, A::Error> {
        let TextFields { text, pair } = read_fields(TextFields::default(), map, meter)?;
        let text = text.ok_or_else(|| A::Error::missing_field("text"))?;
        Ok(Self { text, pair })
    }

    fn from_seq<A: SeqAccess<'de>>(mut list: A, meter: &Meter<'_>) -> Result<Self, A::Error> {
        let mut next = |place| list.next_element_seed(TextSeed).inspect_err(|_| meter.at(place));
        let of = |got| A::Error::custom(format!("a pair of two texts; got a list of {got}"));
        let text = kept(next(0)?.ok_or_else(|| of("0"))?, meter)?;
        let pair = kept(next(1)?.ok_or_else(|| of("1"))?, meter)?;
        match next(2)? {
            None => Ok(Self { text, pair: Some(pair) }),
            Some(_) => Err(of("more than two")),
        }
    }
}
