//! Feature rows and named features from JSON, straight into their final form.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};

use super::inputs::from_json;
use super::item::{Item, One, OneOrMany};
use crate::error::Error;
use crate::tasks::{Cells, Column, Features};

/// Rows (`[[..],..]`, or one row `[..]`) or named columns (`{"name": [..]}`, or `{"name": value}`).
///
/// # Errors
/// Anything else, ragged rows or columns, non-numbers in a row.
pub fn features(field: &str, json: &str) -> Result<Features, Error> {
    let AnyCells(cells) = from_json(field, json)?;
    Ok(Features { field: field.to_owned(), cells })
}

struct Number(f64);

impl Item<'_> for Number {
    const EXPECTED: &'static str = "a number (text goes into named features)";

    fn from_number<E: serde::de::Error>(number: f64) -> Result<Self, E> {
        Ok(Self(number))
    }
}

/// A cell of a named column.
enum Cell {
    Number(f64),
    Text(String),
}

impl<'de> Item<'de> for Cell {
    const EXPECTED: &'static str = "a number or a string";

    fn from_number<E: serde::de::Error>(number: f64) -> Result<Self, E> {
        Ok(Self::Number(number))
    }

    fn from_str<E: serde::de::Error>(text: Cow<'de, str>) -> Result<Self, E> {
        Ok(Self::Text(text.into_owned()))
    }
}

/// A column of the cells' one kind; `None` if they are of several.
fn column(cells: OneOrMany<Cell>) -> Option<Column> {
    let cells = match cells {
        OneOrMany::One(cell) => vec![cell],
        OneOrMany::Many(cells) => cells,
    };
    if cells.iter().all(|cell| matches!(cell, Cell::Number(_))) {
        let number = |cell| if let Cell::Number(number) = cell { Some(number) } else { None };
        return Some(Column::Numbers(cells.into_iter().filter_map(number).collect()));
    }
    let text = |cell| if let Cell::Text(text) = cell { Some(text) } else { None };
    cells.into_iter().map(text).collect::<Option<_>>().map(Column::Strings)
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

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<AnyCells, A::Error> {
                rows(list).map(AnyCells)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AnyCells, A::Error> {
                columns(map).map(AnyCells)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

fn rows<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Cells, A::Error> {
    let mut values = Vec::new();
    let Some(first) = list.next_element_seed(RowSeed(&mut values))? else {
        return Ok(Cells::Rows { values, columns: 0, rows: 0 });
    };
    let mut rows = 1;
    while let Some(width) = list.next_element_seed(RowSeed(&mut values))? {
        match (first, width) {
            (Some(first), Some(width)) if width != first => {
                return Err(A::Error::custom(format!(
                    "rows of one length, {first} numbers as in row 0; got {width} numbers in row \
                     {rows}"
                )));
            }
            (Some(_), Some(_)) | (None, None) => rows += 1,
            _ => return Err(A::Error::custom("rows or one row of numbers; got a mixture")),
        }
    }
    Ok(match first {
        Some(columns) => Cells::Rows { values, columns, rows },
        // Bare numbers: the list itself is the only row.
        None => Cells::Rows { columns: values.len(), values, rows: 1 },
    })
}

fn columns<'de, A: MapAccess<'de>>(mut map: A) -> Result<Cells, A::Error> {
    let mut columns: Vec<(String, Column)> = Vec::new();
    let mut rows = 0;
    while let Some(name) = map.next_key::<String>()? {
        let Some(column) = column(map.next_value()?) else {
            return Err(A::Error::custom("a column of numbers or of texts; got a mixture"));
        };
        let length = match &column {
            Column::Numbers(values) => values.len(),
            Column::Strings(values) => values.len(),
        };
        match columns.first() {
            Some((first, _)) if length != rows => {
                return Err(A::Error::custom(format!(
                    "columns of one length, {rows} as `{first}` has; got {length} in `{name}`"
                )));
            }
            _ => rows = length,
        }
        if columns.iter().any(|(other, _)| *other == name) {
            return Err(A::Error::custom(format!("each name once; got `{name}` twice")));
        }
        columns.push((name, column));
    }
    Ok(Cells::Columns { columns, rows })
}

/// Appends a row's numbers and gives its width, or appends one bare number and gives `None`.
struct RowSeed<'a>(&'a mut Vec<f64>);

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
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

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let start = self.0.len();
        while let Some(One(Number(value))) = list.next_element()? {
            self.0.push(value);
        }
        Ok(Some(self.0.len() - start))
    }
}
