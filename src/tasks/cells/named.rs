//! Features by name: columns, and records, whose names may come in any order. What the model does not
//! take is read and not kept.

use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::read::{CellsSeed, visit_numbers};
use super::{Cells, Column, Number, Numbers, Reading, Taken};
use crate::error::excerpt;
use crate::json::TextSeed;

/// Of a cell that has a name. pandas' other forms nest lists and objects here.
const CELL: &str = "a number, a string, true, false or null (pandas' forms that are read here are to_dict(\"records\"), to_dict(\"list\") and values.tolist())";

/// How many cells a column is likely to have.
#[derive(Clone, Copy)]
enum Likely {
    /// As many as there are records.
    Records,
    /// Of the first column: not more than all cells.
    First,
    /// As many as the first column.
    Rows(usize),
}

/// Appends a cell of a name to its column; [`Column::Lacking`] keeps none.
struct CellSeed<'a, 's> {
    column: &'a mut Column,
    likely: Likely,
    seed: &'a CellsSeed<'s>,
}

impl CellSeed<'_, '_> {
    fn expected(likely: Likely, seed: &CellsSeed<'_>) -> usize {
        match likely {
            Likely::Records => seed.records(),
            Likely::First => seed.cells().min(seed.reading.most),
            Likely::Rows(rows) => rows,
        }
    }

    fn push<E: Error>(self, number: Number) -> Result<(), E> {
        let Self { column, likely, seed } = self;
        match column {
            Column::Numbers(numbers) => {
                let room = numbers.room(seed.reading.meter, || Self::expected(likely, seed));
                room.map_err(|error| seed.ends(error))?;
                numbers.push(number);
                Ok(())
            }
            Column::Lacking(_) => Ok(()),
            _ => Err(mixture("a number")),
        }
    }

    fn push_text<E: Error>(self, text: Option<&str>) -> Result<(), E> {
        let Self { column, likely, seed } = self;
        let meter = seed.reading.meter;
        let expected = || Self::expected(likely, seed);
        let mut pushed = || {
            match column {
                Column::Texts(texts) => {
                    meter.take(text.map_or(0, str::len))?;
                    meter.room(texts, expected)?;
                    texts.push(text.map(ToOwned::to_owned));
                }
                Column::Numbers(numbers) if text.is_none() => {
                    numbers.room(meter, expected)?;
                    numbers.push_missing();
                }
                // The numbers so far are missing values, which texts have as well.
                Column::Numbers(numbers) => {
                    let mut texts: Vec<Option<String>> = Vec::new();
                    let least = numbers.len() + 1;
                    meter.room(&mut texts, || expected().max(least))?;
                    texts.resize(numbers.len(), None);
                    meter.take(text.map_or(0, str::len))?;
                    texts.push(text.map(ToOwned::to_owned));
                    *column = Column::Texts(texts);
                }
                Column::Written(_) | Column::Lacking(_) => {}
            }
            Ok(())
        };
        pushed().map_err(|error| seed.ends(error))
    }
}

fn mixture<E: Error>(got: &str) -> E {
    E::custom(format!("a column of numbers or of texts; got {got} among the others"))
}

impl<'de> DeserializeSeed<'de> for CellSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for CellSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CELL)
    }

    visit_numbers!((), |cell: Self, number| cell.push(number));

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.column {
            Column::Numbers(numbers) if !numbers.are_missing() => Err(mixture("a string")),
            _ => self.push_text(Some(text)),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.push_text(None)
    }
}

/// Columns in the making.
#[derive(Default)]
struct Named {
    columns: Vec<(String, Column)>,
    places: HashMap<String, usize>,
    /// The first name that the model does not know.
    unknown: Option<String>,
}

impl Named {
    /// The column of a name; a new one for a name that the model takes.
    fn place(&mut self, name: &str, takes: &dyn Fn(&str) -> Taken) -> Place {
        if let Some(place) = self.places.get(name) {
            return Place::Known(*place);
        }
        match takes(name) {
            Taken::Taken => {
                let place = self.columns.len();
                self.places.insert(name.to_owned(), place);
                self.columns.push((name.to_owned(), Column::Numbers(Numbers::default())));
                Place::New(place)
            }
            Taken::PassedOver => Place::None,
            Taken::Unknown => {
                self.unknown.get_or_insert_with(|| excerpt(name));
                Place::None
            }
        }
    }

    fn finish(self, rows: usize, records: bool) -> Cells {
        let Self { mut columns, unknown, .. } = self;
        // The model's task has the words for it.
        columns.extend(unknown.map(|name| (name, Column::Lacking(0))));
        Cells::Columns { columns, rows, records }
    }
}

/// Where the column of a name is.
enum Place {
    Known(usize),
    New(usize),
    /// It is not kept.
    None,
}

fn twice<E: Error>(name: &str) -> E {
    E::custom(format!("each name once; got `{}` twice", excerpt(name)))
}

/// Columns, from an object.
pub fn columns<'de, A: MapAccess<'de>>(
    mut map: A,
    seed: &CellsSeed<'_>,
) -> Result<Cells, A::Error> {
    let Reading { meter, takes, .. } = seed.reading;
    let mut named = Named::default();
    // The first column's name and length.
    let mut first: Option<(String, usize)> = None;
    // Of another form than this, such as pandas' "split", the cells say more.
    let mut uneven = None;
    while let Some(name) = map.next_key_seed(TextSeed)? {
        let mut nowhere = Column::Lacking(0);
        let column = match named.place(&name, takes) {
            Place::New(place) => &mut named.columns[place].1,
            Place::None => &mut nowhere,
            Place::Known(_) => return Err(twice(&name)),
        };
        let likely = first.as_ref().map_or(Likely::First, |(_, rows)| Likely::Rows(*rows));
        let value = ColumnSeed(CellSeed { column, likely, seed });
        let length = map.next_value_seed(value).inspect_err(|_| meter.at_name(&name))?;
        match &first {
            None => {
                if let Column::Numbers(numbers) = column {
                    numbers.shrink(meter);
                }
                first = Some((excerpt(&name), length));
            }
            Some((first, rows)) if length != *rows && uneven.is_none() => {
                uneven = Some(format!(
                    "columns of one length, {rows} as `{first}` has; got {length} in `{}`",
                    excerpt(&name)
                ));
            }
            Some(_) => {}
        }
        meter.step().map_err(|error| seed.ends(error))?;
    }
    match uneven {
        Some(uneven) => Err(A::Error::custom(uneven)),
        None => Ok(named.finish(first.map_or(0, |(_, rows)| rows), false)),
    }
}

/// One cell, or a list of them; how many there were.
struct ColumnSeed<'a, 's>(CellSeed<'a, 's>);

impl<'de> DeserializeSeed<'de> for ColumnSeed<'_, '_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ColumnSeed<'_, '_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{CELL}, or a list of such")
    }

    visit_numbers!(usize, |column: Self, number| column.0.push(number).map(|()| 1));

    fn visit_str<E: Error>(self, text: &str) -> Result<usize, E> {
        self.0.visit_str(text).map(|()| 1)
    }

    fn visit_unit<E: Error>(self) -> Result<usize, E> {
        self.0.visit_unit().map(|()| 1)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<usize, A::Error> {
        let CellSeed { column, likely, seed } = self.0;
        let Reading { meter, most, .. } = seed.reading;
        let mut count = 0;
        loop {
            let cell = list.next_element_seed(CellSeed { column: &mut *column, likely, seed });
            if cell.inspect_err(|_| meter.at(count))?.is_none() {
                return Ok(count);
            }
            count += 1;
            if count > most {
                return Err(seed.too_many());
            }
            meter.step().map_err(|error| seed.ends(error))?;
        }
    }
}

/// Columns in the making, from records.
#[derive(Default)]
pub struct Records {
    named: Named,
    /// For each column, so many records up to the last one that had it.
    seen: Vec<usize>,
    rows: usize,
}

impl Records {
    /// Apart from rows, which are the more frequent and quicker without it.
    #[inline(never)]
    pub fn read<'de, A: MapAccess<'de>>(
        &mut self,
        mut map: A,
        seed: &CellsSeed<'_>,
    ) -> Result<(), A::Error> {
        let meter = seed.reading.meter;
        let (mut next, mut nowhere) = (0, Column::Lacking(0));
        while let Some(name) = map.next_key_seed(NameSeed { records: self, next, seed })? {
            let column = match name {
                Name::Kept(place) => {
                    next = place + 1;
                    let (name, column) = &mut self.named.columns[place];
                    let seen = std::mem::replace(&mut self.seen[place], self.rows + 1);
                    if seen > self.rows {
                        return Err(twice(name));
                    }
                    // Whether a model takes the name, and so misses it, is not known here.
                    if seen < self.rows && !matches!(column, Column::Lacking(_)) {
                        *column = Column::Lacking(seen);
                    }
                    column
                }
                Name::Not(_) => &mut nowhere,
            };
            let value = CellSeed { column, likely: Likely::Records, seed };
            map.next_value_seed(value).inspect_err(|_| match name {
                Name::Kept(place) => meter.at_name(&self.named.columns[place].0),
                Name::Not(name) => meter.at_name(name),
            })?;
            meter.step().map_err(|error| seed.ends(error))?;
        }
        self.rows += 1;
        Ok(())
    }

    pub fn finish(self) -> Cells {
        let Self { mut named, seen, rows } = self;
        for ((_, column), seen) in named.columns.iter_mut().zip(seen) {
            if seen < rows && !matches!(column, Column::Lacking(_)) {
                *column = Column::Lacking(seen);
            }
        }
        named.finish(rows, true)
    }
}

/// The place of a name, which is mostly the one after the name before.
struct NameSeed<'a, 's> {
    records: &'a mut Records,
    next: usize,
    seed: &'a CellsSeed<'s>,
}

/// A name of a record.
enum Name<'de> {
    /// The place of its column.
    Kept(usize),
    /// As it stands, if it does.
    Not(&'de str),
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_, '_> {
    type Value = Name<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl NameSeed<'_, '_> {
    fn place(self, name: &str) -> Option<usize> {
        let Records { named, seen, .. } = self.records;
        if named.columns.get(self.next).is_some_and(|(known, _)| known == name) {
            return Some(self.next);
        }
        match named.place(name, self.seed.reading.takes) {
            Place::Known(place) => Some(place),
            Place::New(place) => {
                seen.push(0);
                Some(place)
            }
            Place::None => None,
        }
    }
}

impl<'de> Visitor<'de> for NameSeed<'_, '_> {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(self.place(name).map_or(Name::Not(name), Name::Kept))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.place(name).map_or(Name::Not(""), Name::Kept))
    }
}
