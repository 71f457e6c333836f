//! One item or a list of items, told apart while parsing: no tree is built between.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

/// What may stand in a list of inputs. A form that an item has not is refused by default.
pub trait Item<'de>: Sized {
    /// What is expected, for the message.
    const EXPECTED: &'static str;

    fn from_str<E: Error>(text: Cow<'de, str>) -> Result<Self, E> {
        Err(E::invalid_type(Unexpected::Str(&text), &Self::EXPECTED))
    }

    fn from_number<E: Error>(number: f64) -> Result<Self, E> {
        let got = format!("the number {number}");
        Err(E::invalid_type(Unexpected::Other(&got), &Self::EXPECTED))
    }

    fn from_map<A: MapAccess<'de>>(_: A) -> Result<Self, A::Error> {
        Err(A::Error::invalid_type(Unexpected::Map, &Self::EXPECTED))
    }

    fn from_seq<A: SeqAccess<'de>>(_: A) -> Result<Self, A::Error> {
        Err(A::Error::invalid_type(Unexpected::Seq, &Self::EXPECTED))
    }
}

/// A single item.
pub struct One<T>(pub T);

/// A single item, or a list of them.
pub enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The items, each with the field that it came from: `field`, or `field[2]` in a list.
    pub fn with_fields(self, field: &str) -> impl Iterator<Item = (String, T)> {
        let (items, listed) = match self {
            Self::One(item) => (vec![item], false),
            Self::Many(items) => (items, true),
        };
        items.into_iter().enumerate().map(move |(index, item)| {
            (if listed { format!("{field}[{index}]") } else { field.to_owned() }, item)
        })
    }
}

/// The visits that [`One`] and [`OneOrMany`] share: everything but lists.
macro_rules! visit_scalars_and_maps {
    ($wrap:expr) => {
        fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
            T::from_str(text.into()).map($wrap)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            T::from_str(text.to_owned().into()).map($wrap)
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
            T::from_number(number).map($wrap)
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
            T::from_number(number as f64).map($wrap)
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
            T::from_number(number as f64).map($wrap)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            T::from_map(map).map($wrap)
        }
    };
}

impl<'de, T: Item<'de>> Deserialize<'de> for One<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Single<T>(PhantomData<T>);
        impl<'de, T: Item<'de>> Visitor<'de> for Single<T> {
            type Value = One<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            visit_scalars_and_maps!(One);

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                T::from_seq(list).map(One)
            }
        }
        deserializer.deserialize_any(Single(PhantomData))
    }
}

impl<'de, T: Item<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any<T>(PhantomData<T>);
        impl<'de, T: Item<'de>> Visitor<'de> for Any<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}, or a list of such", T::EXPECTED)
            }

            visit_scalars_and_maps!(OneOrMany::One);

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(One(item)) = list.next_element()? {
                    items.push(item);
                }
                Ok(OneOrMany::Many(items))
            }
        }
        deserializer.deserialize_any(Any(PhantomData))
    }
}
