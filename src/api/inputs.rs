//! JSON values to inputs, straight into their final form.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{Error as _, MapAccess, SeqAccess};
use serde_json::value::RawValue;

use super::item::{Item, OneOrMany};
use crate::error::{Error, ErrorKind};
use crate::tasks::{Image, ImageSource, Text};

/// Reads `raw` as a `T`; an error names the place below `field`.
///
/// # Errors
/// Another kind of value than `T` is.
pub fn read<'a, T: Deserialize<'a>>(field: &str, raw: &'a RawValue) -> Result<T, Error> {
    from_json(field, raw.get())
}

/// The same from JSON text.
///
/// # Errors
/// Another kind of value than `T` is.
pub fn from_json<'a, T: Deserialize<'a>>(field: &str, json: &'a str) -> Result<T, Error> {
    if let Ok(read) = serde_json::from_str(json) {
        return Ok(read);
    }
    // Once more for the place of the error, since keeping track of it takes time.
    let mut deserializer = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let path = match path.as_str() {
            "." => String::new(),
            index if index.starts_with('[') => index.to_owned(),
            name => format!(".{name}"),
        };
        let field = format!("{field}{path}");
        let error = error.into_inner();
        if is_not_a_number(json.as_bytes(), &error) {
            return Error::field(ErrorKind::Syntax, field, NUMBERS, "one of them");
        }
        let kind = match error.classify() {
            serde_json::error::Category::Data => ErrorKind::InvalidInput,
            _ if error.to_string().starts_with("number out of range") => {
                return Error::invalid(field, "a finite number", "a number out of range");
            }
            _ => ErrorKind::Syntax,
        };
        let said = error.to_string();
        let said = said.split(" at line ").next().unwrap_or_default();
        let (expected, got) = explain(said);
        Error::field(kind, field, expected, got)
    })
}

/// A whole body as a `T`, which is an object.
///
/// # Errors
/// Other text than UTF-8; another kind of value; those of [`from_json`].
pub fn from_body<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let got = format!("other bytes after byte {}", error.valid_up_to());
        Error::field(ErrorKind::Syntax, "body", "JSON in UTF-8", got)
    })?;
    // serde would take a list of the fields' values for an object.
    if text.trim_start().starts_with('[') {
        return Err(Error::invalid("body", "a JSON object", "a list"));
    }
    from_json("body", text)
}

/// What is expected where NaN or infinity came.
pub const NUMBERS: &str =
    "finite numbers, or null for a missing value, since JSON has neither NaN nor infinity";

/// Whether it was NaN or infinity, as some clients write them, that ended the reading.
pub fn is_not_a_number(json: &[u8], error: &serde_json::Error) -> bool {
    let line = json.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1));
    let rest = line.and_then(|line| line.get(error.column().saturating_sub(1)..));
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

/// A value's kind in JSON's words.
pub fn kind_of(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "true or false",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::String(_) => "a string",
        serde_json::Value::Array(_) => "a list",
        serde_json::Value::Object(_) => "an object",
    }
}

/// One image in base64, or a list of them.
///
/// # Errors
/// Something that is no string.
pub fn images(field: &str, json: &str) -> Result<Vec<Image>, Error> {
    let items = from_json::<OneOrMany<Base64<'_>>>(field, json)?.with_fields(field);
    let image = |(field, Base64(data)): (String, Base64<'_>)| Image {
        field,
        source: ImageSource::Base64(data.into_owned()),
    };
    Ok(items.map(image).collect())
}

/// One text or pair of texts, or a list of them.
///
/// # Errors
/// Something that is neither.
pub fn texts(field: &str, json: &str) -> Result<Vec<Text>, Error> {
    let items = from_json::<OneOrMany<TextItem>>(field, json)?.with_fields(field);
    Ok(items.map(|(field, TextItem { text, pair })| Text { field, text, pair }).collect())
}

struct Base64<'a>(Cow<'a, str>);

impl<'de> Item<'de> for Base64<'de> {
    const EXPECTED: &'static str = "an image in base64";

    fn from_str<E: serde::de::Error>(text: Cow<'de, str>) -> Result<Self, E> {
        Ok(Self(text))
    }
}

/// `"text"`, `["text", "pair"]` (in a list only) or `{"text": .., "text_pair": ..}`.
struct TextItem {
    text: String,
    pair: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextFields {
    text: String,
    text_pair: Option<String>,
}

impl<'de> Item<'de> for TextItem {
    const EXPECTED: &'static str = "a text, or a pair as [\"a\", \"b\"] within a list or {\"text\": \"a\", \"text_pair\": \"b\"}";

    fn from_str<E: serde::de::Error>(text: Cow<'de, str>) -> Result<Self, E> {
        Ok(Self { text: text.into_owned(), pair: None })
    }

    fn from_map<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        let fields = TextFields::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
        Ok(Self { text: fields.text, pair: fields.text_pair })
    }

    fn from_seq<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut texts: Vec<String> = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        match <[String; 2]>::try_from(texts) {
            Ok([text, pair]) => Ok(Self { text, pair: Some(pair) }),
            Err(texts) => {
                let got = texts.len();
                Err(A::Error::custom(format!("a pair of two texts; got a list of {got}")))
            }
        }
    }
}
