//! Instances that are objects, `[{"a": 1, "b": 2}, ..]`: a tensor for each name, to which each instance
//! adds its part as it is read.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fmt;

use memchr::memchr_iter;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{OwnInputs, data_type, shaped, told, twice};
use crate::api::inputs::from_json;
use crate::api::oip::data::{self, Building};
use crate::api::oip::infer::InputTensor;
use crate::error::{Error, excerpt};
use crate::json::{TextSeed, text_there};
use crate::meter::Meter;
use crate::model::Model;
use crate::signature::TensorSpec;

/// Reads `raw`, the value of `field`.
///
/// # Errors
/// Names that are not the network's, instances with others than the first, values that do not fit.
pub fn read(
    field: &str,
    raw: &str,
    model: &Model,
    meter: &Meter<'_>,
) -> Result<Vec<InputTensor>, Error> {
    let (own, count) = (OwnInputs::of(model), OnceCell::new());
    let mut rows =
        Rows { field, raw, meter, own, count, columns: Vec::new(), places: HashMap::new() };
    from_json(field, raw, RowsSeed(&mut rows), meter)?;
    let tensor = |Column { spec, mut building, .. }: Column<'_>| {
        let value = building.feed("]").and_then(|()| building.finish());
        Ok(shaped(spec, value.map_err(|wrong| told(wrong, field, spec))?))
    };
    rows.columns.into_iter().map(tensor).collect()
}

/// The tensors in the making.
struct Rows<'a> {
    field: &'a str,
    raw: &'a str,
    meter: &'a Meter<'a>,
    own: OwnInputs<'a>,
    /// How many instances there are, about.
    count: OnceCell<usize>,
    /// In the order in which the first instance has them.
    columns: Vec<Column<'a>>,
    places: HashMap<&'a str, usize>,
}

struct Column<'a> {
    spec: &'a TensorSpec,
    building: Box<dyn Building + 'a>,
    /// Instances that had it.
    rows: usize,
}

impl Rows<'_> {
    /// The place of this name in the first instance.
    fn begin<E: serde::de::Error>(&mut self, name: &str, first: &str) -> Result<usize, E> {
        let (field, meter) = (self.field, self.meter);
        let spec = self.own.take::<E>(field, name, meter)?;
        let begun = || {
            let data_type = data_type(spec)?;
            let count = || memchr_iter(b'{', self.raw.as_bytes()).count().max(1);
            let likely =
                || data::likely(data_type, first).saturating_mul(*self.count.get_or_init(count));
            let building = data::builder(data_type, None, likely, meter);
            let mut building = building.map_err(|wrong| told(wrong, field, spec))?;
            building.feed("[").map_err(|wrong| told(wrong, field, spec))?;
            Ok(building)
        };
        let building = begun().map_err(|error| meter.ends::<E>(error))?;
        let place = self.columns.len();
        self.places.insert(&spec.name, place);
        self.columns.push(Column { spec, building, rows: 0 });
        Ok(place)
    }

    /// The place of this name, which is mostly the one after that of the name before.
    fn place(&self, name: &str, next: usize) -> Option<usize> {
        match self.columns.get(next) {
            Some(column) if column.spec.name == name => Some(next),
            _ => self.places.get(name).copied(),
        }
    }

    /// That an instance has other names than the first one.
    fn refuse(&self, index: usize, expected: String, got: String) -> Error {
        Error::invalid(format!("{}[{index}]", self.field), expected, got)
    }
}

struct RowsSeed<'r, 'a>(&'r mut Rows<'a>);

impl<'de> DeserializeSeed<'de> for RowsSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RowsSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        Err(text_there(text, &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let meter = self.0.meter;
        let mut index = 0;
        loop {
            let row = list.next_element_seed(RowSeed { rows: &mut *self.0, index });
            if row.inspect_err(|_| meter.at(index))?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }
}

/// Adds an instance.
struct RowSeed<'r, 'a> {
    rows: &'r mut Rows<'a>,
    index: usize,
}

impl<'de> DeserializeSeed<'de> for RowSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        Err(text_there(text, &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { rows, index } = self;
        let (meter, field) = (rows.meter, rows.field);
        let (mut next, mut count) = (0, 0);
        while let Some(name) = map.next_key_seed(TextSeed)? {
            meter.step().map_err(|error| meter.ends::<A::Error>(error))?;
            let raw: &RawValue = map.next_value()?;
            let place = match (rows.place(&name, next), index) {
                (Some(place), _) => place,
                (None, 0) => rows.begin(&name, raw.get())?,
                (None, _) => {
                    let expected = "the names that the first instance has".to_owned();
                    let got = format!("the name `{}` as well", excerpt(&name));
                    return Err(meter.ends(rows.refuse(index, expected, got)));
                }
            };
            let column = &mut rows.columns[place];
            if std::mem::replace(&mut column.rows, index + 1) > index {
                return Err(twice(&name));
            }
            let fed = column.building.feed(raw.get());
            fed.map_err(|wrong| meter.ends::<A::Error>(told(wrong, field, column.spec)))?;
            (next, count) = (place + 1, count + 1);
        }
        if count < rows.columns.len()
            && let Some(lacking) = rows.columns.iter().find(|column| column.rows <= index)
        {
            let name = excerpt(&lacking.spec.name);
            let expected = format!("a value for `{name}`, as the first instance has");
            let got = "an object without one".to_owned();
            return Err(meter.ends(rows.refuse(index, expected, got)));
        }
        Ok(())
    }
}
