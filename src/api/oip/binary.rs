//! Tensors as bytes: little-endian, row-major, without padding; BOOL as one byte 0 or 1, an element
//! of BYTES as its length in 32 bits and its bytes.

use bytes::Bytes;
use half::{bf16, f16};
use ndarray::ArrayD;

use super::data::{Mismatch, Wrong};
use super::elements::Elements;
use super::infer::InputValue;
use crate::error::told_shape;
use crate::meter::Meter;
use crate::tensor::{DataType, Tensor};

/// Reads a tensor of this type and shape from exactly these bytes.
///
/// # Errors
/// Another number of bytes than type and shape make; a truth value that is neither 0 nor 1.
pub fn read(
    data_type: DataType,
    shape: &[usize],
    bytes: Bytes,
    meter: &Meter<'_>,
) -> Result<InputValue, Wrong> {
    let told = |expected| Mismatch::of(expected, told_shape(shape));
    let count = count(shape).map_err(told)?;
    if data_type == DataType::String {
        let elements = Elements::framed(bytes, count, meter)?;
        return Ok(InputValue::Bytes { shape: shape.to_vec(), elements });
    }
    let expected = count.checked_mul(size(data_type)).ok_or_else(|| told(UNCOUNTED.to_owned()))?;
    if bytes.len() != expected {
        let expected = format!("{expected} bytes for {} {}", data_type.name(), told_shape(shape));
        return Err(Mismatch::of(expected, bytes.len().to_string()).into());
    }
    meter.take(expected)?;
    macro_rules! numbers {
        ($($variant:ident: $element:ty),+) => {
            match data_type {
                // One copy, which also aligns what came at any address.
                $(DataType::$variant => array(shape, bytemuck::pod_collect_to_vec::<u8, $element>(&bytes))?,)+
                DataType::Bool => array(shape, booleans(&bytes)?)?,
                DataType::String => unreachable!("read above"),
            }
        };
    }
    Ok(InputValue::Numbers(numbers! {
        U8: u8, U16: u16, U32: u32, U64: u64, I8: i8, I16: i16, I32: i32, I64: i64,
        F16: f16, BF16: bf16, F32: f32, F64: f64
    }))
}

/// Appends the tensor's bytes.
pub fn append(tensor: &Tensor, out: &mut Vec<u8>) {
    macro_rules! numbers {
        ($($variant:ident),+) => {
            match tensor {
                $(Tensor::$variant(array) => match array.as_slice() {
                    Some(slice) => out.extend_from_slice(bytemuck::cast_slice(slice)),
                    None => array.iter().for_each(|value| out.extend(value.to_le_bytes())),
                },)+
                Tensor::Bool(array) => out.extend(array.iter().map(|value| u8::from(*value))),
                Tensor::String(array) => {
                    for text in array {
                        out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
                        out.extend_from_slice(text.as_bytes());
                    }
                }
            }
        };
    }
    numbers!(U8, U16, U32, U64, I8, I16, I32, I64, F16, BF16, F32, F64);
}

/// What is expected of a shape whose elements cannot be counted.
const UNCOUNTED: &str = "a shape of fewer elements";

/// Elements of a shape.
///
/// # Errors
/// More than can be counted.
pub fn count(shape: &[usize]) -> Result<usize, String> {
    let product = shape.iter().try_fold(1_usize, |product, axis| product.checked_mul(*axis));
    product.ok_or_else(|| UNCOUNTED.to_owned())
}

fn array<T>(shape: &[usize], values: Vec<T>) -> Result<Tensor, Wrong>
where
    Tensor: From<ArrayD<T>>,
{
    let array = ArrayD::from_shape_vec(shape, values).map(Into::into);
    array.map_err(|error| Mismatch::of("data", error.to_string()).into())
}

/// Bytes of an element; 0 for strings, which have none of their own.
#[must_use]
pub fn size(data_type: DataType) -> usize {
    match data_type {
        DataType::Bool | DataType::U8 | DataType::I8 => 1,
        DataType::U16 | DataType::I16 | DataType::F16 | DataType::BF16 => 2,
        DataType::U32 | DataType::I32 | DataType::F32 => 4,
        DataType::U64 | DataType::I64 | DataType::F64 => 8,
        DataType::String => 0,
    }
}

fn booleans(bytes: &[u8]) -> Result<Vec<bool>, Mismatch> {
    match bytes.iter().find(|byte| **byte > 1) {
        Some(other) => Err(Mismatch::of("bytes of 0 or 1 for BOOL", other.to_string())),
        None => Ok(bytes.iter().map(|byte| *byte == 1).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_from_any_address() {
        let values =
            ArrayD::from_shape_vec(vec![2, 2], vec![1.5_f32, f32::NAN, -0.0, 3e38]).unwrap();
        let mut bytes = vec![7];
        append(&values.into(), &mut bytes);
        let (meter, part) = (Meter::new(0, &|| true), Bytes::from(bytes.clone()).slice(1..));
        let read = read(DataType::F32, &[2, 2], part, &meter).unwrap();
        let InputValue::Numbers(read) = read else { unreachable!() };
        let mut again = vec![7];
        append(&read, &mut again);
        assert_eq!(again, bytes);
    }

    #[test]
    fn what_does_not_fit_the_shape_is_refused() {
        let meter = Meter::new(0, &|| true);
        let read = |data_type, shape: &[usize], bytes: &'static [u8]| match read(
            data_type,
            shape,
            Bytes::from_static(bytes),
            &meter,
        ) {
            Err(Wrong::Mismatch(Mismatch { expected, got, .. })) => {
                format!("{expected}, got {got}")
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(read(DataType::I32, &[2], &[0; 7]), "8 bytes for INT32 [2], got 7");
        assert!(read(DataType::F64, &[usize::MAX, 2], &[]).contains("fewer elements"));
        assert!(read(DataType::F64, &[usize::MAX], &[]).contains("fewer elements"));
        assert!(read(DataType::String, &[usize::MAX], &[1, 0, 0, 0]).contains("got 4 bytes"));
        assert!(read(DataType::String, &[1], &[0, 0, 0, 0, 9]).contains("1 bytes more"));
        assert!(read(DataType::Bool, &[1], &[2]).contains("0 or 1"));
    }
}
