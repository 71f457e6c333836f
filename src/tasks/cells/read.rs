//! The forms of rows that are read from JSON, straight into their final form: lists of numbers,
//! records (`[{"age": 30}, ..]`) and columns (`{"age": [30, ..]}`, in `named.rs`).
//!
//! In each of them `null` is a missing value, and `true` and `false` are 1 and 0. What does not fit is
//! said as `expected; got what`, which the caller takes apart.

use std::cell::OnceCell;
use std::fmt;

use memchr::memchr_iter;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::named::{Records, columns};
use super::{Cells, Number, Numbers, Reading};
use crate::error;
use crate::json::text_there;
use crate::meter::Meter;

const FORMS: &str = "rows [[1.0, 2.0], ..], records [{\"name\": 1.0, ..}, ..] or named features {\"name\": [1.0, ..]}";
/// Of a cell that has no name.
const NUMBER: &str = "a number, true, false or null (text goes into named features)";
/// Cells between two looks at whether anybody waits.
const LOOK: usize = 1024;

/// Reads the value of `field`, which is `json`.
pub struct CellsSeed<'a> {
    field: &'a str,
    json: &'a str,
    pub(super) reading: Reading<'a>,
    cells: OnceCell<usize>,
    records: OnceCell<usize>,
}

impl<'a> CellsSeed<'a> {
    #[must_use]
    pub fn new(field: &'a str, json: &'a str, reading: Reading<'a>) -> Self {
        Self { field, json, reading, cells: OnceCell::new(), records: OnceCell::new() }
    }

    /// Not fewer than there are cells, since a comma is between any two.
    pub(super) fn cells(&self) -> usize {
        *self.cells.get_or_init(|| {
            let commas = memchr_iter(b',', self.json.as_bytes()).count();
            commas.min(self.json.len() / 2) + 1
        })
    }

    /// Not fewer than there are records.
    pub(super) fn records(&self) -> usize {
        let count = || memchr_iter(b'{', self.json.as_bytes()).count();
        (*self.records.get_or_init(count)).min(self.reading.most)
    }

    pub(super) fn too_many<E: Error>(&self) -> E {
        let expected = format!("at most {} items in one request", self.reading.most);
        self.ends(error::Error::too_large(self.field, expected, "more"))
    }

    pub(super) fn ends<E: Error>(&self, error: error::Error) -> E {
        self.reading.meter.ends(error)
    }
}

/// For the operator's own files.
impl<'de> Deserialize<'de> for Cells {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let meter = Meter::unbounded();
        CellsSeed::new("", "", Reading::unbounded(&meter)).deserialize(deserializer)
    }
}

impl<'de> DeserializeSeed<'de> for CellsSeed<'_> {
    type Value = Cells;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cells, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CellsSeed<'_> {
    type Value = Cells;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORMS)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cells, E> {
        Err(text_there(text, &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Cells, A::Error> {
        rows(list, &self)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Cells, A::Error> {
        columns(map, &self)
    }
}

fn rows<'de, A: SeqAccess<'de>>(mut list: A, seed: &CellsSeed<'_>) -> Result<Cells, A::Error> {
    let Reading { meter, most, .. } = seed.reading;
    // Mostly there are none, so that nothing is made for them.
    let (mut values, mut records) = (Numbers::default(), None::<Box<Records>>);
    let mut rows = 0;
    let mut first = None;
    loop {
        let item = ItemSeed { values: &mut values, records: &mut records, seed };
        let item = list.next_element_seed(item).inspect_err(|_| meter.at(rows))?;
        let Some(item) = item else { break };
        match (first.get_or_insert(item), item) {
            (Item::Row(first), Item::Row(width)) if width != *first => {
                return Err(A::Error::custom(format!(
                    "rows of one length, {first} numbers as in row 0; got {width} numbers in row \
                     {rows}"
                )));
            }
            (Item::Row(_), Item::Row(_)) | (Item::Record, Item::Record) => {
                rows += 1;
                if rows > most {
                    return Err(seed.too_many());
                }
                meter.step().map_err(|error| seed.ends(error))?;
            }
            // The list itself is the only row.
            (Item::Number, Item::Number) => {
                rows += 1;
                if rows % LOOK == 0 {
                    meter.steps(LOOK as u64).map_err(|error| seed.ends(error))?;
                }
            }
            _ => {
                let expected = "rows, records or one row of numbers";
                return Err(A::Error::custom(format!("{expected}; got a mixture")));
            }
        }
    }
    Ok(match first {
        None => Cells::Rows { values, columns: 0, rows: 0 },
        Some(Item::Row(columns)) => Cells::Rows { values, columns, rows },
        Some(Item::Number) => Cells::row(values),
        Some(Item::Record) => records.unwrap_or_default().finish(),
    })
}

/// What an element of the list is.
#[derive(Debug, Clone, Copy)]
enum Item {
    Number,
    /// With so many numbers.
    Row(usize),
    Record,
}

struct ItemSeed<'a, 's> {
    values: &'a mut Numbers,
    records: &'a mut Option<Box<Records>>,
    seed: &'a CellsSeed<'s>,
}

impl ItemSeed<'_, '_> {
    fn room<E: Error>(&mut self) -> Result<(), E> {
        let room = self.values.room_for_all(self.seed.reading.meter, || self.seed.cells());
        room.map_err(|error| self.seed.ends(error))
    }
}

impl<'de> DeserializeSeed<'de> for ItemSeed<'_, '_> {
    type Value = Item;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Item, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// The visits of a cell that is no text: `$push` takes the visitor and a [`Number`].
macro_rules! visit_numbers {
    ($value:ty, $push:expr) => {
        fn visit_f64<E: Error>(self, value: f64) -> Result<$value, E> {
            $push(self, Number::Fraction(value))
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<$value, E> {
            $push(self, Number::Signed(value))
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<$value, E> {
            $push(self, Number::Unsigned(value))
        }

        fn visit_bool<E: Error>(self, value: bool) -> Result<$value, E> {
            $push(self, Number::Signed(value.into()))
        }
    };
}
pub(super) use visit_numbers;

impl<'de> Visitor<'de> for ItemSeed<'_, '_> {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row of numbers, or a record {\"name\": value, ..}")
    }

    visit_numbers!(Item, |mut item: Self, number| {
        item.room()?;
        item.values.push(number);
        Ok(Item::Number)
    });

    fn visit_str<E: Error>(self, text: &str) -> Result<Item, E> {
        Err(text_there(text, &self))
    }

    fn visit_unit<E: Error>(mut self) -> Result<Item, E> {
        self.room()?;
        self.values.push_missing();
        Ok(Item::Number)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Item, A::Error> {
        self.room()?;
        let (meter, start) = (self.seed.reading.meter, self.values.len());
        loop {
            let cell = list.next_element_seed(NumberSeed(self.values));
            let cell = cell.inspect_err(|_| meter.at(self.values.len() - start))?;
            if cell.is_none() {
                return Ok(Item::Row(self.values.len() - start));
            }
            if self.values.len().is_multiple_of(LOOK) {
                meter.steps(LOOK as u64).map_err(|error| self.seed.ends(error))?;
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item, A::Error> {
        self.records.get_or_insert_default().read(map, self.seed)?;
        Ok(Item::Record)
    }
}

/// Appends a cell of a row.
struct NumberSeed<'a>(&'a mut Numbers);

impl<'de> DeserializeSeed<'de> for NumberSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for NumberSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NUMBER)
    }

    visit_numbers!((), |cell: Self, number| {
        cell.0.push(number);
        Ok(())
    });

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        Err(text_there(text, &self))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.push_missing();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::tasks::cells::{Column, Taken};

    fn read_with(json: &str, most: usize, takes: &dyn Fn(&str) -> Taken) -> Result<Cells, String> {
        let meter = Meter::new(json.len(), &|| true);
        let seed = CellsSeed::new("features", json, Reading { meter: &meter, most, takes });
        let read = seed.deserialize(&mut serde_json::Deserializer::from_str(json));
        read.map_err(|error| meter.ended().map_or(error.to_string(), |error| error.detail))
    }

    fn read(json: &str) -> Result<Cells, String> {
        read_with(json, usize::MAX, &|_| Taken::Taken)
    }

    fn said(json: &str) -> String {
        read(json).unwrap_err()
    }

    #[test]
    fn doubles_are_the_nearest_to_what_is_written() {
        let written = [
            "0.1234567890123456789",
            "6.02214076e23",
            "2.2250738585072014e-308",
            "123456789012345680.5",
            "0.30000000000000004",
            "1.7976931348623157e308",
        ];
        let Cells::Rows { values, .. } = read(&format!("[{}]", written.join(","))).unwrap() else {
            unreachable!()
        };
        let nearest: Vec<f64> = written.iter().map(|number| number.parse().unwrap()).collect();
        assert_eq!(values.values(), nearest);
    }

    #[test]
    fn records_may_name_their_cells_in_any_order() {
        let cells = read(r#"[{"a": 1, "b": null}, {"b": "x", "a": true}]"#).unwrap();
        let columns = vec![
            ("a".to_owned(), Column::Numbers(vec![1.0, 1.0].into())),
            ("b".to_owned(), Column::Texts(vec![None, Some("x".to_owned())])),
        ];
        assert_eq!(cells, Cells::Columns { columns, rows: 2, records: true });
    }

    #[test]
    fn a_name_that_some_records_lack_is_told_by_the_first_of_these() {
        let cells = read(r#"[{"a": 1, "late": 1}, {"new": 5, "a": 2}, {"a": 3}]"#).unwrap();
        let Cells::Columns { columns, rows: 3, .. } = cells else { panic!("{cells:?}") };
        let lacking: Vec<_> = columns[1..].iter().map(|(_, column)| column.clone()).collect();
        assert_eq!(lacking, [Column::Lacking(1), Column::Lacking(0)]);
    }

    #[test]
    fn names_that_come_twice_are_refused() {
        for json in [r#"{"a": [1], "a": [2]}"#, r#"[{"a": 1, "a": 2}]"#] {
            assert!(said(json).contains("each name once; got `a` twice"), "{json}");
        }
    }

    #[test]
    fn forms_that_are_not_read_are_told_those_that_are() {
        let split = r#"{"index": [0], "columns": ["a", "b"], "data": [[1, 2]]}"#;
        let of_columns = r#"{"a": {"0": 1}}"#;
        for json in [split, of_columns] {
            assert!(said(json).contains("to_dict(\"records\")"), "{}", said(json));
        }
        assert!(said("[[1], {\"a\": 1}]").contains("got a mixture"));
        assert!(said("{\"a\": [1, \"x\"]}").contains("got a string among the others"));
    }

    #[test]
    fn items_over_the_limit_end_the_reading() {
        let broken_after = ["[[1],[2],[3],[", "[{\"a\":1},{},{},{", "{\"a\":[1,2,3,"];
        for json in broken_after {
            let said = read_with(json, 2, &|_| Taken::Taken).unwrap_err();
            assert!(said.contains("at most 2 items in one request, got more"), "{said}");
        }
        // Numbers of one row are no items.
        assert_eq!(read_with("[1,2,3]", 2, &|_| Taken::Taken).unwrap().len(), 3);
    }

    #[test]
    fn of_columns_that_the_model_does_not_take_nothing_is_kept() {
        let takes = |name: &str| match name {
            "a" => Taken::Taken,
            "b" => Taken::PassedOver,
            _ => Taken::Unknown,
        };
        let one = |rows: &[f64]| ("a".to_owned(), Column::Numbers(rows.to_vec().into()));
        for (json, records) in [
            (r#"{"b": ["x", "y"], "a": [1, 2]}"#, false),
            (r#"[{"b": "x", "a": 1}, {"a": 2, "b": 3}]"#, true),
        ] {
            let columns = vec![one(&[1.0, 2.0])];
            let cells = Cells::Columns { columns, rows: 2, records };
            assert_eq!(read_with(json, 9, &takes).unwrap(), cells, "{json}");
        }
        // Of those that it does not know the first is told.
        let cells = read_with(r#"{"c": 1, "d": 1, "a": 2}"#, 9, &takes).unwrap();
        let columns = vec![one(&[2.0]), ("c".to_owned(), Column::Lacking(0))];
        assert_eq!(cells, Cells::Columns { columns, rows: 1, records: false });
        // Their cells are looked at all the same.
        assert!(read_with(r#"{"c": [[1]]}"#, 9, &takes).unwrap_err().contains("pandas"));
    }
}
