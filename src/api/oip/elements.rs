//! The elements of a tensor of `BYTES`, as they came: nothing is made for each of them.

use bytes::{Buf, Bytes};

use super::data::{Mismatch, Wrong};
use crate::error::{Error, excerpt};
use crate::meter::Meter;

/// Elements between two looks at whether anybody waits.
const LOOK: usize = 1024;

#[derive(Debug)]
pub enum Elements {
    /// Of JSON.
    Texts(Vec<String>),
    /// Of a tensor as bytes: each after its length in 32 bits.
    Framed { bytes: Bytes, count: usize },
}

impl Elements {
    /// Checks that these bytes are `count` elements, each with its length before it.
    ///
    /// # Errors
    /// Fewer bytes, or more.
    pub fn framed(bytes: Bytes, count: usize, meter: &Meter<'_>) -> Result<Self, Wrong> {
        let (mut rest, whole) = (&bytes[..], bytes.len());
        let expected = || format!("{count} elements of BYTES, each with its length before it");
        let short = || Mismatch::of(expected(), format!("{whole} bytes"));
        for place in 0..count {
            let length = rest.try_get_u32_le().map_err(|_| short())? as usize;
            rest = rest.get(length..).ok_or_else(short)?;
            if place % LOOK == 0 {
                meter.steps(LOOK as u64)?;
            }
        }
        match rest.len() {
            0 => Ok(Self::Framed { bytes, count }),
            more => Err(Mismatch::of(expected(), format!("{more} bytes more")).into()),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Framed { count, .. } => *count,
        }
    }

    /// The places of those that are empty.
    pub fn empty(&self) -> Box<dyn Iterator<Item = usize> + '_> {
        match self {
            Self::Texts(texts) => {
                Box::new((0..texts.len()).filter(|place| texts[*place].is_empty()))
            }
            Self::Framed { bytes, count } => {
                let lengths = framed(bytes, *count).enumerate();
                Box::new(lengths.filter(|(_, range)| range.is_empty()).map(|(place, _)| place))
            }
        }
    }

    /// Each by itself: a part of the bytes that came, or a text of its own.
    pub fn into_bytes(self) -> Box<dyn Iterator<Item = Bytes>> {
        match self {
            Self::Texts(texts) => Box::new(texts.into_iter().map(Bytes::from)),
            Self::Framed { bytes, count } => {
                let mut rest = bytes;
                Box::new((0..count).map(move |_| {
                    let length = rest.try_get_u32_le().unwrap_or_default() as usize;
                    rest.split_to(length.min(rest.len()))
                }))
            }
        }
    }

    /// As texts of the input of this name, in memory that is paid.
    ///
    /// # Errors
    /// One that is not UTF-8, by its number.
    pub fn into_texts(self, name: &str, meter: &Meter<'_>) -> Result<Vec<String>, Error> {
        let (bytes, count) = match self {
            Self::Texts(texts) => return Ok(texts),
            Self::Framed { bytes, count } => (bytes, count),
        };
        meter.take(bytes.len())?;
        let mut texts = Vec::new();
        if count > 0 {
            meter.room(&mut texts, || count)?;
        }
        for (place, range) in framed(&bytes, count).enumerate() {
            let text = std::str::from_utf8(&bytes[range]).map_err(|_| {
                let field = format!("{}[{place}]", excerpt(name));
                Error::invalid(field, "text in UTF-8", "other bytes")
            })?;
            texts.push(text.to_owned());
            if place % LOOK == 0 {
                meter.steps(LOOK as u64)?;
            }
        }
        Ok(texts)
    }
}

/// Where each element is; they were checked.
fn framed(bytes: &Bytes, count: usize) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    let mut at = 0;
    (0..count).map(move |_| {
        let length = bytes.get(at..at + 4).map_or(0, |mut bytes| bytes.get_u32_le() as usize);
        let start = at + 4;
        at = start + length;
        start..at
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_by_the_lengths_before_them() {
        let bytes = Bytes::from_static(b"\x01\0\0\0a\0\0\0\0\x02\0\0\0\xff\xfe");
        let meter = Meter::new(0, &|| true);
        let elements = |bytes: Bytes, count| Elements::framed(bytes, count, &meter);
        let all = elements(bytes.clone(), 3).unwrap();
        assert_eq!((all.count(), all.empty().collect::<Vec<_>>()), (3, vec![1]));
        let each: Vec<_> = all.into_bytes().collect();
        assert_eq!(each, [&b"a"[..], b"", b"\xff\xfe"]);
        let error = elements(bytes.clone(), 3).unwrap().into_texts("x", &meter).unwrap_err();
        assert_eq!(error.detail, "`x[2]`: expected text in UTF-8, got other bytes");
        let texts = elements(bytes.slice(..9), 2).unwrap().into_texts("x", &meter);
        assert_eq!(texts.unwrap(), ["a", ""]);
        for (bytes, count) in [(bytes.clone(), 2), (bytes.clone(), 4), (bytes.slice(..14), 3)] {
            assert!(elements(bytes, count).is_err());
        }
    }
}
