//! One item or a list of items, told apart while parsing: no tree is built between.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

use crate::error;
use crate::json::text_there;
use crate::meter::Meter;
use crate::tasks::Reading;

/// What may stand in a list of inputs. A form that an item has not is refused by default.
pub trait Item<'de>: Sized {
    /// What is expected, for the message.
    const EXPECTED: &'static str;

    /// What is kept of it.
    type Input;

    /// With the field that it came from.
    fn into_input(self, field: String) -> Self::Input;

    fn from_str<E: Error>(text: Cow<'de, str>, _: &Meter<'_>) -> Result<Self, E> {
        Err(text_there(&text, &Self::EXPECTED))
    }

    fn from_number<E: Error>(number: f64) -> Result<Self, E> {
        let got = format!("the number {number}");
        Err(E::invalid_type(Unexpected::Other(&got), &Self::EXPECTED))
    }

    fn from_map<A: MapAccess<'de>>(_: A, _: &Meter<'_>) -> Result<Self, A::Error> {
        Err(A::Error::invalid_type(Unexpected::Map, &Self::EXPECTED))
    }

    fn from_seq<A: SeqAccess<'de>>(_: A, _: &Meter<'_>) -> Result<Self, A::Error> {
        Err(A::Error::invalid_type(Unexpected::Seq, &Self::EXPECTED))
    }
}

/// The visits of an item that are no lists: `$make` takes the visitor and the item.
macro_rules! visit_scalars_and_maps {
    ($make:expr) => {
        fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
            let item = T::from_str(text.into(), self.meter())?;
            $make(self, item)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            let item = T::from_str(text.to_owned().into(), self.meter())?;
            $make(self, item)
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
            let item = T::from_number(number)?;
            $make(self, item)
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
            self.visit_f64(number as f64)
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
            self.visit_f64(number as f64)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            let item = T::from_map(map, self.meter())?;
            $make(self, item)
        }
    };
}

/// Reads a single item.
struct OneSeed<'m, T> {
    meter: &'m Meter<'m>,
    item: PhantomData<T>,
}

impl<'m, T> OneSeed<'m, T> {
    fn meter(&self) -> &'m Meter<'m> {
        self.meter
    }
}

impl<'de, T: Item<'de>> DeserializeSeed<'de> for OneSeed<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Item<'de>> Visitor<'de> for OneSeed<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    visit_scalars_and_maps!(|_, item| Ok(item));

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        T::from_seq(list, self.meter)
    }
}

/// Reads a single item, or a list of at most so many.
pub struct ItemsSeed<'m, T> {
    pub field: &'m str,
    pub reading: Reading<'m>,
    pub item: PhantomData<T>,
}

impl<'m, T> ItemsSeed<'m, T> {
    fn meter(&self) -> &'m Meter<'m> {
        self.reading.meter
    }
}

impl<'de, T: Item<'de>> DeserializeSeed<'de> for ItemsSeed<'_, T> {
    type Value = Vec<T::Input>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Item<'de>> Visitor<'de> for ItemsSeed<'_, T> {
    type Value = Vec<T::Input>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, or a list of such", T::EXPECTED)
    }

    visit_scalars_and_maps!(|items: Self, item: T| Ok(vec![
        item.into_input(items.field.to_owned())
    ]));

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let Self { field, reading: Reading { meter, most, .. }, .. } = self;
        let mut items = Vec::new();
        loop {
            let seed = OneSeed::<T> { meter, item: PhantomData };
            let item = list.next_element_seed(seed).inspect_err(|_| meter.at(items.len()))?;
            let Some(item) = item else { return Ok(items) };
            if items.len() == most {
                let expected = format!("at most {most} items in one request");
                return Err(meter.ends(error::Error::too_large(field, expected, "more")));
            }
            let field = format!("{field}[{}]", items.len());
            let room = meter.step().and_then(|()| meter.take(field.len()));
            let room = room.and_then(|()| meter.room(&mut items, || 4));
            room.map_err(|error| meter.ends::<A::Error>(error))?;
            items.push(item.into_input(field));
        }
    }
}
