//! The forms of rows that are read from JSON, straight into their final form: lists of numbers,
//! records (`[{"age": 30}, ..]`) and columns (`{"age": [30, ..]}`).
//!
//! In each of them `null` is a missing value, and `true` and `false` are 1 and 0. What does not fit is
//! said as `expected; got what`, which the caller takes apart.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{Cells, Column, Number, Numbers};

const FORMS: &str = "rows [[1.0, 2.0], ..], records [{\"name\": 1.0, ..}, ..] or named features {\"name\": [1.0, ..]}";
/// Of a cell that has no name.
const NUMBER: &str = "a number, true, false or null (text goes into named features)";
/// Of a cell that has one. pandas' other forms nest lists and objects here.
const CELL: &str = "a number, a string, true, false or null (pandas' forms that are read here are to_dict(\"records\"), to_dict(\"list\") and values.tolist())";

impl<'de> Deserialize<'de> for Cells {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Cells;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(FORMS)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Cells, A::Error> {
                rows(list)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Cells, A::Error> {
                columns(map)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

fn rows<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Cells, A::Error> {
    // Mostly there are none, so that nothing is made for them.
    let (mut values, mut records) = (Numbers::default(), None::<Box<Records>>);
    let mut rows = 0;
    let mut first = None;
    while let Some(item) =
        list.next_element_seed(ItemSeed { values: &mut values, records: &mut records })?
    {
        match (first.get_or_insert(item), item) {
            (Item::Row(first), Item::Row(width)) if width != *first => {
                return Err(A::Error::custom(format!(
                    "rows of one length, {first} numbers as in row 0; got {width} numbers in row \
                     {rows}"
                )));
            }
            (Item::Row(_), Item::Row(_))
            | (Item::Number, Item::Number)
            | (Item::Record, Item::Record) => rows += 1,
            _ => {
                let expected = "rows, records or one row of numbers";
                return Err(A::Error::custom(format!("{expected}; got a mixture")));
            }
        }
    }
    Ok(match first {
        None => Cells::Rows { values, columns: 0, rows: 0 },
        Some(Item::Row(columns)) => Cells::Rows { values, columns, rows },
        // Bare numbers: the list itself is the only row.
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

struct ItemSeed<'a> {
    values: &'a mut Numbers,
    records: &'a mut Option<Box<Records>>,
}

impl<'de> DeserializeSeed<'de> for ItemSeed<'_> {
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

impl<'de> Visitor<'de> for ItemSeed<'_> {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row of numbers, or a record {\"name\": value, ..}")
    }

    visit_numbers!(Item, |seed: Self, number| {
        seed.values.push(number);
        Ok(Item::Number)
    });

    fn visit_unit<E: Error>(self) -> Result<Item, E> {
        self.values.push_missing();
        Ok(Item::Number)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Item, A::Error> {
        let start = self.values.len();
        while list.next_element_seed(NumberSeed(self.values))?.is_some() {}
        Ok(Item::Row(self.values.len() - start))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item, A::Error> {
        self.records.get_or_insert_default().read(map)?;
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

    visit_numbers!((), |seed: Self, number| {
        seed.0.push(number);
        Ok(())
    });

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.push_missing();
        Ok(())
    }
}

/// Appends a cell of a name to its column.
struct CellSeed<'a>(&'a mut Column);

impl CellSeed<'_> {
    fn push<E: Error>(self, number: Number) -> Result<(), E> {
        match self.0 {
            Column::Numbers(numbers) => numbers.push(number),
            _ => return Err(mixture("a number")),
        }
        Ok(())
    }
}

fn mixture<E: Error>(got: &str) -> E {
    E::custom(format!("a column of numbers or of texts; got {got} among the others"))
}

impl<'de> DeserializeSeed<'de> for CellSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for CellSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CELL)
    }

    visit_numbers!((), |seed: Self, number| seed.push(number));

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<(), E> {
        match self.0 {
            Column::Texts(texts) => texts.push(Some(text)),
            Column::Numbers(numbers) if numbers.are_missing() => {
                let mut texts = vec![None; numbers.len()];
                texts.push(Some(text));
                *self.0 = Column::Texts(texts);
            }
            _ => return Err(mixture("a string")),
        }
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match self.0 {
            Column::Texts(texts) => texts.push(None),
            Column::Numbers(numbers) => numbers.push_missing(),
            Column::Written(_) | Column::Lacking(_) => {}
        }
        Ok(())
    }
}

fn columns<'de, A: MapAccess<'de>>(mut map: A) -> Result<Cells, A::Error> {
    let mut columns: Vec<(String, Column)> = Vec::new();
    let mut rows = None;
    // Of another form than this, such as pandas' "split", the cells say more.
    let mut uneven = None;
    while let Some(name) = map.next_key::<String>()? {
        let mut column = Column::Numbers(Numbers::default());
        let length = map.next_value_seed(ColumnSeed(&mut column))?;
        let first = *rows.get_or_insert(length);
        if length != first && uneven.is_none() {
            uneven = Some(format!(
                "columns of one length, {first} as `{}` has; got {length} in `{name}`",
                columns[0].0
            ));
        }
        columns.push((name, column));
    }
    if let Some(uneven) = uneven {
        return Err(A::Error::custom(uneven));
    }
    if let Some(name) = twice(&columns) {
        return Err(A::Error::custom(format!("each name once; got `{name}` twice")));
    }
    Ok(Cells::Columns { columns, rows: rows.unwrap_or(0), records: false })
}

/// A name that is there more than once. Not pair by pair, which would take a hostile body's square.
fn twice(columns: &[(String, Column)]) -> Option<&str> {
    let mut names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// One cell, or a list of them; how many there were.
struct ColumnSeed<'a>(&'a mut Column);

impl<'de> DeserializeSeed<'de> for ColumnSeed<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ColumnSeed<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{CELL}, or a list of such")
    }

    visit_numbers!(usize, |seed: Self, number| CellSeed(seed.0).push(number).map(|()| 1));

    fn visit_str<E: Error>(self, text: &str) -> Result<usize, E> {
        CellSeed(self.0).visit_str(text).map(|()| 1)
    }

    fn visit_unit<E: Error>(self) -> Result<usize, E> {
        CellSeed(self.0).visit_unit().map(|()| 1)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while list.next_element_seed(CellSeed(self.0))?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}

/// Columns in the making, from records whose names may come in any order.
#[derive(Default)]
struct Records {
    columns: Vec<(String, Column)>,
    /// For each column, so many records up to the last one that had it.
    seen: Vec<usize>,
    places: HashMap<String, usize>,
    rows: usize,
}

impl Records {
    /// Apart from rows, which are the more frequent and quicker without it.
    #[inline(never)]
    fn read<'de, A: MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
        let mut next = 0;
        while let Some(place) = map.next_key_seed(NameSeed { records: self, next })? {
            next = place + 1;
            let (name, column) = &mut self.columns[place];
            let seen = std::mem::replace(&mut self.seen[place], self.rows + 1);
            if seen > self.rows {
                return Err(A::Error::custom(format!("each name once; got `{name}` twice")));
            }
            // Whether a model takes the name, and so misses it, is not known here.
            if seen < self.rows && !matches!(column, Column::Lacking(_)) {
                *column = Column::Lacking(seen);
            }
            map.next_value_seed(CellOrNothing(column))?;
        }
        self.rows += 1;
        Ok(())
    }

    fn finish(self) -> Cells {
        let Self { mut columns, seen, rows, .. } = self;
        for ((_, column), seen) in columns.iter_mut().zip(seen) {
            if seen < rows && !matches!(column, Column::Lacking(_)) {
                *column = Column::Lacking(seen);
            }
        }
        Cells::Columns { columns, rows, records: true }
    }
}

/// A cell of a record; of a name that some records lack it is read and not kept.
struct CellOrNothing<'a>(&'a mut Column);

impl<'de> DeserializeSeed<'de> for CellOrNothing<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0 {
            Column::Lacking(_) => serde::de::IgnoredAny::deserialize(deserializer).map(|_| ()),
            column => deserializer.deserialize_any(CellSeed(column)),
        }
    }
}

/// The place of a name, which is mostly the one after the name before.
struct NameSeed<'a> {
    records: &'a mut Records,
    next: usize,
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        let Records { columns, seen, places, .. } = self.records;
        if columns.get(self.next).is_some_and(|(known, _)| known == name) {
            return Ok(self.next);
        }
        if let Some(place) = places.get(name) {
            return Ok(*place);
        }
        let place = columns.len();
        places.insert(name.to_owned(), place);
        columns.push((name.to_owned(), Column::Numbers(Numbers::default())));
        seen.push(0);
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Cells, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
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
    fn a_body_of_many_names_takes_no_square_of_them() {
        let names: Vec<String> = (0..20_000).map(|name| format!("\"{name}\":1")).collect();
        let columns = format!("{{{}}}", names.join(","));
        // Each record has a name of its own.
        let records: Vec<String> = names.iter().map(|name| format!("{{{name}}}")).collect();
        let records = format!("[{}]", records.join(","));
        let Cells::Columns { columns, .. } = read(&columns).unwrap() else { unreachable!() };
        assert_eq!(columns.len(), names.len());
        let Cells::Columns { columns, rows, .. } = read(&records).unwrap() else { unreachable!() };
        assert_eq!((columns.len(), rows), (names.len(), names.len()));
        let kept = |(_, column): &(String, Column)| matches!(column, Column::Lacking(_));
        assert!(columns.iter().all(kept));
    }
}
