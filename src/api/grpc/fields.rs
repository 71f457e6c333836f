//! The fields of a message one by one, out of the bytes that it came in. prost's own messages make
//! something for each element and entry, of which fifteen million fit into a body of 32 MiB.

use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::error::{Error, ErrorKind};

/// The value of a field as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    Bytes(&'a [u8]),
    /// A group, which no message here has.
    Group,
}

/// The fields of a message that are left.
#[derive(Clone, Copy)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// The next field's number and value; `None` at the end.
    ///
    /// # Errors
    /// Bytes that are no message.
    pub fn next_field(&mut self) -> Result<Option<(u32, Value<'a>)>, Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = decode_key(&mut self.0).map_err(broken)?;
        let value = match wire_type {
            WireType::Varint => Value::Varint(self.varint()?),
            WireType::SixtyFourBit => Value::Fixed64(*self.first_chunk()?),
            WireType::ThirtyTwoBit => Value::Fixed32(*self.first_chunk()?),
            WireType::LengthDelimited => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                let (value, rest) = self.0.split_at_checked(length).ok_or_else(cut_off)?;
                self.0 = rest;
                Value::Bytes(value)
            }
            WireType::StartGroup | WireType::EndGroup => {
                let context = DecodeContext::default();
                skip_field(wire_type, number, &mut self.0, context).map_err(broken)?;
                Value::Group
            }
        };
        Ok(Some((number, value)))
    }

    /// A number on its own, as in a packed field.
    ///
    /// # Errors
    /// Bytes that are none.
    pub fn varint(&mut self) -> Result<u64, Error> {
        decode_varint(&mut self.0).map_err(broken)
    }

    fn first_chunk<const N: usize>(&mut self) -> Result<&'a [u8; N], Error> {
        let (value, rest) = self.0.split_first_chunk().ok_or_else(cut_off)?;
        self.0 = rest;
        Ok(value)
    }
}

impl<'a> Value<'a> {
    /// Of a field of bytes or of a message.
    ///
    /// # Errors
    /// A value of another type, as for the next one.
    pub fn bytes(self) -> Result<&'a [u8], Error> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(other_type()),
        }
    }

    /// Of a field of text.
    ///
    /// # Errors
    /// Other bytes than UTF-8.
    pub fn text(self) -> Result<&'a str, Error> {
        std::str::from_utf8(self.bytes()?).map_err(|_| refused("text that is not UTF-8"))
    }
}

/// A value of another type than its field has.
pub fn other_type() -> Error {
    refused("a field of another type")
}

fn cut_off() -> Error {
    refused("one that is cut off")
}

fn broken(error: DecodeError) -> Error {
    refused(&error.to_string())
}

/// That the bytes are no message of the method that was asked.
pub fn refused(why: &str) -> Error {
    let expected = "a message of this method";
    Error::field(ErrorKind::Syntax, "message", expected, format!("another ({why})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_every_type_are_found_and_groups_are_passed_over() {
        let message = b"\x08\x96\x01\x12\x02ab\x1d\x01\x00\x00\x00\x21\x02\0\0\0\0\0\0\0\x2b\x08\x01\x2c\x30\x07";
        let mut fields = Fields(message);
        let mut all = Vec::new();
        while let Some(field) = fields.next_field().unwrap() {
            all.push(field);
        }
        let expected = [
            (1, Value::Varint(150)),
            (2, Value::Bytes(b"ab")),
            (3, Value::Fixed32([1, 0, 0, 0])),
            (4, Value::Fixed64([2, 0, 0, 0, 0, 0, 0, 0])),
            (5, Value::Group),
            (6, Value::Varint(7)),
        ];
        assert_eq!(all, expected);
        for broken in [&b"\x12\x03ab"[..], b"\x1d\x01", b"\x08", b"\x0c", b"\x00", b"\x0f"] {
            assert!(Fields(broken).next_field().is_err(), "{broken:?}");
        }
        assert!(Value::Varint(1).text().is_err() && Value::Bytes(b"\xff").text().is_err());
    }
}
