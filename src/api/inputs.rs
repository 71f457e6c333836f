//! JSON values to inputs, straight into their final form.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind};
use crate::tasks::{Cells, Column, Image, ImageSource, Text};

/// Reads `raw` as a `T`; an error names the place below `field`.
///
/// # Errors
/// Another kind of value than `T` is.
pub fn read<'a, T: Deserialize<'a>>(field: &str, raw: &'a RawValue) -> Result<T, Error> {
    from_json(field, raw.get())
}

fn from_json<'a, T: Deserialize<'a>>(field: &str, json: &'a str) -> Result<T, Error> {
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
        let kind = match error.classify() {
            serde_json::error::Category::Data => ErrorKind::InvalidInput,
            _ if error.to_string().starts_with("number out of range") => {
                return Error::invalid(field, "a finite number", "a number out of range");
            }
            _ => ErrorKind::Syntax,
        };
        let said = error.to_string();
        let said = said.split(" at line ").next().unwrap_or_default();
        // serde's own words: "invalid type: string "x", expected a number".
        match said.strip_prefix("invalid type: ").or(said.strip_prefix("invalid value: ")) {
            Some(rest) => match rest.rsplit_once(", expected ") {
                Some((got, expected)) => Error::field(kind, field, expected, got),
                None => Error::field(kind, field, "another kind of value", rest),
            },
            None => match said.split_once("; got ") {
                Some((expected, got)) => Error::field(kind, field, expected, got),
                None => Error::field(kind, field, "valid JSON", said),
            },
        }
    })
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
    let image = |field: String, data: Cow<'_, str>| Image {
        field,
        source: ImageSource::Base64(data.into_owned()),
    };
    Ok(match from_json(field, json)? {
        OneOrMany::One(Base64(data)) => vec![image(field.to_owned(), data)],
        OneOrMany::Many(many) => {
            let items = many.into_iter().enumerate();
            items.map(|(i, Base64(data))| image(format!("{field}[{i}]"), data)).collect()
        }
    })
}

/// One text or pair of texts, or a list of them.
///
/// # Errors
/// Something that is neither.
pub fn texts(field: &str, json: &str) -> Result<Vec<Text>, Error> {
    let text = |field: String, TextItem { text, pair }: TextItem| Text { field, text, pair };
    Ok(match from_json(field, json)? {
        OneOrMany::One(item) => vec![text(field.to_owned(), item)],
        OneOrMany::Many(many) => {
            let items = many.into_iter().enumerate();
            items.map(|(i, item)| text(format!("{field}[{i}]"), item)).collect()
        }
    })
}

/// Rows (`[[..],..]`, or one row `[..]`) or named columns (`{"name": [..]}`, or `{"name": value}`).
///
/// # Errors
/// Anything else, ragged rows or columns, non-numbers in a row.
pub fn cells(field: &str, json: &str) -> Result<Cells, Error> {
    from_json::<AnyCells>(field, json).map(|AnyCells(cells)| cells)
}

/// An item that is spelt as a scalar or object, or a list of such.
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

/// An item that [`OneOrMany`] can tell from a list of items.
trait Item<'de>: Deserialize<'de> {
    const EXPECTED: &'static str;
    fn from_str(text: Cow<'de, str>) -> Self;
    fn from_map<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error>;
}

impl<'de, T: Item<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any<T>(std::marker::PhantomData<T>);
        impl<'de, T: Item<'de>> Visitor<'de> for Any<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}, or a list of such", T::EXPECTED)
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(OneOrMany::One(T::from_str(text.into())))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(OneOrMany::One(T::from_str(text.to_owned().into())))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::from_map(map).map(OneOrMany::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(OneOrMany::Many(items))
            }
        }
        deserializer.deserialize_any(Any(std::marker::PhantomData))
    }
}

struct Base64<'a>(Cow<'a, str>);

impl<'de> Item<'de> for Base64<'de> {
    const EXPECTED: &'static str = "an image in base64";

    fn from_str(text: Cow<'de, str>) -> Self {
        Self(text)
    }

    fn from_map<A: MapAccess<'de>>(_: A) -> Result<Self, A::Error> {
        Err(A::Error::invalid_type(Unexpected::Map, &Self::EXPECTED))
    }
}

impl<'de> Deserialize<'de> for Base64<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Data;
        impl<'de> Visitor<'de> for Data {
            type Value = Base64<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Base64::EXPECTED)
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Base64(text.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Base64(text.to_owned().into()))
            }
        }
        deserializer.deserialize_str(Data)
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

    fn from_str(text: Cow<'de, str>) -> Self {
        Self { text: text.into_owned(), pair: None }
    }

    fn from_map<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        let fields = TextFields::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
        Ok(Self { text: fields.text, pair: fields.text_pair })
    }
}

impl<'de> Deserialize<'de> for TextItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = TextItem;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(TextItem::EXPECTED)
            }

            fn visit_str<E>(self, text: &str) -> Result<TextItem, E> {
                Ok(TextItem { text: text.to_owned(), pair: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TextItem, A::Error> {
                TextItem::from_map(map)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<TextItem, A::Error> {
                let wrong = |len| A::Error::invalid_length(len, &"a pair of two texts");
                let text = list.next_element()?.ok_or_else(|| wrong(0))?;
                let pair = list.next_element()?.ok_or_else(|| wrong(1))?;
                match list.next_element::<serde::de::IgnoredAny>()? {
                    None => Ok(TextItem { text, pair: Some(pair) }),
                    Some(_) => Err(wrong(3)),
                }
            }
        }
        deserializer.deserialize_any(Any)
    }
}

struct AnyCells(Cells);

impl<'de> Deserialize<'de> for AnyCells {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = AnyCells;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("rows [[1.0, 2.0], ..] or named features {\"name\": [1.0, ..]}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<AnyCells, A::Error> {
                let (mut values, mut columns, mut rows) = (Vec::new(), None, 0);
                while let Some(element) = list.next_element_seed(RowSeed(&mut values))? {
                    match (element, columns) {
                        // A bare number: the list itself is the only row.
                        (None, None) if rows == 0 => columns = Some(None),
                        (None, Some(None)) => {}
                        (Some(width), None) => columns = Some(Some(width)),
                        (Some(width), Some(Some(first))) if width == first => {}
                        (Some(width), Some(Some(first))) => {
                            return Err(A::Error::custom(format!(
                                "rows of one length, {first} numbers as in row 0; got {width} \
                                 numbers in row {rows}"
                            )));
                        }
                        _ => {
                            return Err(A::Error::custom(
                                "a list of rows or one row of numbers; got a mixture",
                            ));
                        }
                    }
                    rows += 1;
                }
                Ok(AnyCells(match columns {
                    Some(None) => Cells::Rows { columns: values.len(), values, rows: 1 },
                    columns => {
                        Cells::Rows { values, columns: columns.flatten().unwrap_or(0), rows }
                    }
                }))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AnyCells, A::Error> {
                let mut columns: Vec<(String, Column)> = Vec::new();
                let mut rows = None;
                while let Some(name) = map.next_key::<String>()? {
                    let AnyColumn(column) = map.next_value()?;
                    let len = match &column {
                        Column::Numbers(values) => values.len(),
                        Column::Strings(values) => values.len(),
                    };
                    if let Some((first, rows)) = rows.as_ref().filter(|(_, rows)| *rows != len) {
                        return Err(A::Error::custom(format!(
                            "columns of one length, {rows} as `{first}` has; got {len} in `{name}`"
                        )));
                    }
                    rows.get_or_insert((name.clone(), len));
                    if columns.iter().any(|(other, _)| *other == name) {
                        return Err(A::Error::custom(format!(
                            "each name once; got `{name}` twice"
                        )));
                    }
                    columns.push((name, column));
                }
                let rows = rows.map_or(0, |(_, rows)| rows);
                Ok(AnyCells(Cells::Columns { columns, rows }))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Appends a row's numbers (its width is given back), or one bare number.
struct RowSeed<'a>(&'a mut Vec<f64>);

impl<'de> serde::de::DeserializeSeed<'de> for RowSeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row of numbers")
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        self.0.push(value);
        Ok(None)
    }

    #[allow(clippy::cast_precision_loss)]
    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        self.visit_f64(value as f64)
    }

    #[allow(clippy::cast_precision_loss)]
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let start = self.0.len();
        while let Some(Number(value)) = list.next_element()? {
            self.0.push(value);
        }
        Ok(Some(self.0.len() - start))
    }
}

struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        #[allow(clippy::cast_precision_loss)]
        impl Visitor<'_> for Any {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number (text goes into named features)")
            }

            fn visit_f64<E>(self, value: f64) -> Result<Number, E> {
                Ok(Number(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }
        }
        deserializer.deserialize_f64(Any)
    }
}

struct AnyColumn(Column);

impl<'de> Deserialize<'de> for AnyColumn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        #[allow(clippy::cast_precision_loss)]
        impl<'de> Visitor<'de> for Any {
            type Value = AnyColumn;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a string, or a list of one of them")
            }

            fn visit_f64<E>(self, value: f64) -> Result<AnyColumn, E> {
                Ok(AnyColumn(Column::Numbers(vec![value])))
            }

            fn visit_i64<E>(self, value: i64) -> Result<AnyColumn, E> {
                Ok(AnyColumn(Column::Numbers(vec![value as f64])))
            }

            fn visit_u64<E>(self, value: u64) -> Result<AnyColumn, E> {
                Ok(AnyColumn(Column::Numbers(vec![value as f64])))
            }

            fn visit_str<E>(self, value: &str) -> Result<AnyColumn, E> {
                Ok(AnyColumn(Column::Strings(vec![value.to_owned()])))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<AnyColumn, A::Error> {
                let mut column = Column::Numbers(Vec::new());
                while let Some(Scalar(cell)) = list.next_element()? {
                    match (&mut column, cell) {
                        (Column::Numbers(values), Column::Numbers(mut one)) => {
                            values.append(&mut one);
                        }
                        (Column::Strings(values), Column::Strings(mut one)) => {
                            values.append(&mut one);
                        }
                        (Column::Numbers(values), strings) if values.is_empty() => column = strings,
                        _ => {
                            let said = "a column of numbers or of texts; got a mixture";
                            return Err(A::Error::custom(said));
                        }
                    }
                }
                Ok(AnyColumn(column))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// One cell of a named column, as a column of one.
struct Scalar(Column);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match AnyColumn::deserialize(deserializer)?.0 {
            Column::Numbers(values) if values.len() != 1 => {
                Err(D::Error::custom("a number or a string; got a list"))
            }
            Column::Strings(values) if values.len() != 1 => {
                Err(D::Error::custom("a number or a string; got a list"))
            }
            one => Ok(Self(one)),
        }
    }
}
