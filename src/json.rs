//! JSON of a client's, read within the bounds of a [`Meter`]: objects by the fields that are known, lists
//! up to a length, single values. No tree is made of anything, and no error repeats a long text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error, Expected, IgnoredAny, MapAccess, SeqAccess, Unexpected,
    Visitor,
};

use crate::error::excerpt;
use crate::meter::Meter;

/// A text where something else is expected; serde's own error repeats all of it, and `serde_json` makes that by
/// itself unless it is asked for any value.
pub fn text_there<E: Error>(text: &str, expected: &dyn Expected) -> E {
    E::invalid_type(Unexpected::Str(&excerpt(text)), expected)
}

/// An object by its fields. Where one comes that is not known it is passed over, unless [`Self::other`]
/// says otherwise.
pub trait Fields<'de>: Sized {
    const NAMES: &'static [&'static str] = &[];
    const EXPECTED: &'static str = "map";

    /// Reads the value of the field of this number.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    fn read<A: MapAccess<'de>>(
        &mut self,
        _field: usize,
        map: &mut A,
        _meter: &Meter<'_>,
    ) -> Result<(), A::Error> {
        map.next_value::<IgnoredAny>().map(|_| ())
    }

    /// Reads the value of a field that is not known.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    fn other<A: MapAccess<'de>>(
        &mut self,
        _name: &str,
        map: &mut A,
        _meter: &Meter<'_>,
    ) -> Result<(), A::Error> {
        map.next_value::<IgnoredAny>().map(|_| ())
    }
}

/// Reads an object into what its fields are read into.
pub struct ObjectSeed<'m, F> {
    pub into: F,
    pub meter: &'m Meter<'m>,
}

impl<'de, F: Fields<'de>> DeserializeSeed<'de> for ObjectSeed<'_, F> {
    type Value = F;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<F, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: Fields<'de>> Visitor<'de> for ObjectSeed<'_, F> {
    type Value = F;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(F::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<F, E> {
        Err(text_there(text, &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<F, A::Error> {
        read_fields(self.into, map, self.meter)
    }
}

/// Reads the fields of an object that has begun.
///
/// # Errors
/// Those of the fields; a known one that comes twice.
pub fn read_fields<'de, F: Fields<'de>, A: MapAccess<'de>>(
    mut into: F,
    mut map: A,
    meter: &Meter<'_>,
) -> Result<F, A::Error> {
    let mut seen = 0_u64;
    while let Some(name) = map.next_key_seed(TextSeed)? {
        meter.step().map_err(|error| meter.ends::<A::Error>(error))?;
        let Some(field) = F::NAMES.iter().position(|known| *known == name) else {
            into.other(&name, &mut map, meter).inspect_err(|_| meter.at_name(&name))?;
            continue;
        };
        if seen & (1 << field) != 0 {
            return Err(A::Error::duplicate_field(F::NAMES[field]));
        }
        seen |= 1 << field;
        into.read(field, &mut map, meter).inspect_err(|_| meter.at_name(&name))?;
    }
    Ok(into)
}

/// A list of at most so many; `over` is said of one more, as `expected; got what`.
pub struct ListSeed<'m, S> {
    pub each: S,
    pub most: usize,
    pub over: &'m str,
    pub meter: &'m Meter<'m>,
}

impl<'de, S: DeserializeSeed<'de> + Copy> DeserializeSeed<'de> for ListSeed<'_, S> {
    type Value = Vec<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, S: DeserializeSeed<'de> + Copy> Visitor<'de> for ListSeed<'_, S> {
    type Value = Vec<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Err(text_there(text, &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let Self { each, most, over, meter } = self;
        let mut all = Vec::new();
        loop {
            let next = list.next_element_seed(each).inspect_err(|_| meter.at(all.len()))?;
            let Some(next) = next else { return Ok(all) };
            if all.len() == most {
                return Err(A::Error::custom(over));
            }
            let room = meter.step().and_then(|()| meter.room(&mut all, || 4));
            room.map_err(|error| meter.ends::<A::Error>(error))?;
            all.push(next);
        }
    }
}

/// A text, without a copy where it stands as it is.
#[derive(Clone, Copy)]
pub struct TextSeed;

impl<'de> DeserializeSeed<'de> for TextSeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for TextSeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(text.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(text.to_owned().into())
    }
}

/// A value, or `null` for none.
#[derive(Clone, Copy)]
pub struct OptionSeed<S>(pub S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for OptionSeed<S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for OptionSeed<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(value).map(Some)
    }
}

/// A whole number from 0 on.
#[derive(Clone, Copy)]
pub struct WholeSeed;

impl<'de> DeserializeSeed<'de> for WholeSeed {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for WholeSeed {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("usize")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<usize, E> {
        usize::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<usize, E> {
        usize::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<usize, E> {
        Err(text_there(text, &self))
    }
}

/// A value of few bytes: of a text its beginning, of a list or an object that it is one.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    Null,
    Bool(bool),
    Whole(u64),
    /// Any other, as it is spelt.
    Number(String),
    Text(String),
    List,
    Object,
}

impl Scalar {
    /// Its kind in JSON's words.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Whole(_) | Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }

    /// As it stands in JSON.
    #[must_use]
    pub fn spelt(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(flag) => flag.to_string(),
            Self::Whole(number) => number.to_string(),
            Self::Number(number) => number.clone(),
            Self::Text(text) => format!("\"{text}\""),
            Self::List => "[…]".to_owned(),
            Self::Object => "{…}".to_owned(),
        }
    }
}

/// Reads a [`Scalar`].
#[derive(Clone, Copy)]
pub struct ScalarSeed;

impl<'de> DeserializeSeed<'de> for ScalarSeed {
    type Value = Scalar;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ScalarSeed {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Scalar, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Scalar, E> {
        Ok(Scalar::Bool(flag))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar::Whole(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Number(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Scalar, E> {
        Ok(Scalar::Number(format!("{number:?}")))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(excerpt(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scalar, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Object)
    }
}

/// The values of few names, which are `N`, out of an object that may have any.
#[derive(Debug)]
pub struct Scalars<const N: usize> {
    pub values: [Option<Scalar>; N],
    /// The first name of another kind, if possible one with a value.
    pub unknown: Option<(String, Scalar)>,
}

impl<const N: usize> Default for Scalars<N> {
    fn default() -> Self {
        Self { values: [const { None }; N], unknown: None }
    }
}

/// Reads [`Scalars`] of these names. Of a name that comes twice the last one counts.
#[derive(Clone, Copy)]
pub struct ScalarsSeed<'m, const N: usize> {
    pub names: [&'static str; N],
    pub meter: &'m Meter<'m>,
}

impl<'de, const N: usize> DeserializeSeed<'de> for ScalarsSeed<'_, N> {
    type Value = Scalars<N>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for ScalarsSeed<'_, N> {
    type Value = Scalars<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Err(text_there(text, &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self { names, meter } = self;
        let mut all = Scalars::default();
        while let Some(name) = map.next_key_seed(TextSeed)? {
            meter.step().map_err(|error| meter.ends::<A::Error>(error))?;
            let value = map.next_value_seed(ScalarSeed).inspect_err(|_| meter.at_name(&name))?;
            match names.iter().position(|known| *known == name) {
                Some(place) => all.values[place] = Some(value),
                None if all.unknown.as_ref().is_none_or(|(_, had)| *had == Scalar::Null) => {
                    all.unknown = Some((excerpt(&name), value));
                }
                None => {}
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalars(json: &str) -> Result<Scalars<2>, String> {
        let meter = Meter::new(json.len(), &|| true);
        let seed = ScalarsSeed { names: ["a", "b"], meter: &meter };
        let read = seed.deserialize(&mut serde_json::Deserializer::from_str(json));
        read.map_err(|error| format!("{}: {error}", meter.place()))
    }

    #[test]
    fn values_are_known_by_their_kind_and_nothing_of_them_is_kept_that_is_long() {
        let long = "é".repeat(1000);
        let json =
            format!("{{\"a\": \"{long}\", \"c\": null, \"d\": [[[]]], \"b\": -1, \"b\": 7}}");
        let Scalars { values, unknown } = scalars(&json).unwrap();
        let Some(Scalar::Text(text)) = &values[0] else { panic!("{values:?}") };
        assert!(text.len() < 256);
        assert_eq!(
            (&values[1], unknown),
            (&Some(Scalar::Whole(7)), Some(("d".into(), Scalar::List)))
        );
        assert!(scalars("{\"x\": [1,}").unwrap_err().starts_with(".x"));
    }

    #[test]
    fn lists_end_at_their_limit_and_errors_tell_their_place() {
        let meter = Meter::new(0, &|| true);
        let read = |json: &str| {
            let over = "at most 3 axes; got more";
            let seed = ListSeed { each: WholeSeed, most: 3, over, meter: &meter };
            let read = seed.deserialize(&mut serde_json::Deserializer::from_str(json));
            read.map_err(|error| format!("{}: {error}", meter.place()))
        };
        assert_eq!(read("[1,2,3]"), Ok(vec![1, 2, 3]));
        // What comes after that is not even looked at.
        assert!(read("[1,2,3,4,broken").unwrap_err().contains("at most 3 axes; got more"));
        assert!(read("[1,-2]").unwrap_err().starts_with("[1]: invalid value: integer `-2`"));
        let text = format!("[\"{}\"]", "\u{7f}".repeat(100_000));
        assert!(read(&text).unwrap_err().len() < 600);
    }
}
