//! The elements of a tensor from the field of their type (`InferTensorContents` in `proto/`): counted
//! first, so that memory is taken once and for those that the shape has.

use bytemuck::Pod;
use bytes::{BufMut, Bytes};
use ndarray::ArrayD;

use super::fields::{Fields, Value, other_type};
use crate::api::oip::binary;
use crate::api::oip::data::{Mismatch, Wrong};
use crate::api::oip::elements::Elements;
use crate::api::oip::infer::InputValue;
use crate::error::{Error, told_shape};
use crate::meter::Meter;
use crate::tensor::{DataType, Tensor};

/// Elements of a packed field between two looks at whether anybody waits.
const LOOK: usize = 1024;

/// How elements stand on the wire.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Varint,
    /// So many bytes.
    Fixed(usize),
    Bytes,
}

/// The field of this type: its number, name and form.
fn field_of(data_type: DataType) -> Option<(u32, &'static str, Form)> {
    Some(match data_type {
        DataType::Bool => (1, "bool_contents", Form::Varint),
        DataType::I8 | DataType::I16 | DataType::I32 => (2, "int_contents", Form::Varint),
        DataType::I64 => (3, "int64_contents", Form::Varint),
        DataType::U8 | DataType::U16 | DataType::U32 => (4, "uint_contents", Form::Varint),
        DataType::U64 => (5, "uint64_contents", Form::Varint),
        DataType::F32 => (6, "fp32_contents", Form::Fixed(4)),
        DataType::F64 => (7, "fp64_contents", Form::Fixed(8)),
        DataType::String => (8, "bytes_contents", Form::Bytes),
        DataType::F16 | DataType::BF16 => return None,
    })
}

/// The tensor of this type and shape in `message`.
///
/// # Errors
/// Another number of elements in the field of the type; elements that it cannot hold.
pub fn typed(
    data_type: DataType,
    shape: &[usize],
    message: &[u8],
    meter: &Meter<'_>,
) -> Result<InputValue, Wrong> {
    let Some((number, name, form)) = field_of(data_type) else {
        let expected = format!("{} in `raw_input_contents`", data_type.name());
        return Err(Mismatch::of(expected, "`contents`").into());
    };
    let told = |expected| Mismatch::of(expected, told_shape(shape));
    let expected = binary::count(shape).map_err(told)?;
    let contents = Contents { message, number, form, meter };
    let (count, bytes) = contents.count()?;
    if count != expected {
        let expected = format!("{expected} elements in `{name}` for {}", told_shape(shape));
        return Err(Mismatch::of(expected, count.to_string()).into());
    }
    if data_type == DataType::String {
        let elements = contents.strings(count, bytes)?;
        return Ok(InputValue::Bytes { shape: shape.to_vec(), elements });
    }
    meter.take(count.saturating_mul(binary::size(data_type)))?;
    macro_rules! narrow {
        ($element:ty, $wide:ty) => {
            array(
                shape,
                contents.varints(count, |number| {
                    let wide = number as $wide;
                    <$element>::try_from(wide).map_err(|_| {
                        let expected = format!("elements that fit {}", data_type.name());
                        Mismatch::of(expected, wide.to_string())
                    })
                })?,
            )
        };
    }
    macro_rules! whole {
        ($convert:expr) => {
            array(shape, contents.varints(count, |number| Ok($convert(number)))?)
        };
    }
    let tensor = match data_type {
        DataType::Bool => whole!(|number| number != 0),
        DataType::I8 => narrow!(i8, i32),
        DataType::I16 => narrow!(i16, i32),
        DataType::I32 => whole!(|number| number as i32),
        DataType::I64 => whole!(|number| number as i64),
        DataType::U8 => narrow!(u8, u32),
        DataType::U16 => narrow!(u16, u32),
        DataType::U32 => whole!(|number| number as u32),
        DataType::U64 => whole!(|number| number),
        DataType::F32 => array(shape, contents.fixed::<f32>(count)?),
        _ => array(shape, contents.fixed::<f64>(count)?),
    };
    tensor.map(InputValue::Numbers)
}

fn array<T>(shape: &[usize], values: Vec<T>) -> Result<Tensor, Wrong>
where
    Tensor: From<ArrayD<T>>,
{
    let array = ArrayD::from_shape_vec(shape, values).map(Into::into);
    array.map_err(|error| Mismatch::of("data", error.to_string()).into())
}

/// The elements in the field of one number.
struct Contents<'a> {
    message: &'a [u8],
    number: u32,
    form: Form,
    meter: &'a Meter<'a>,
}

impl<'a> Contents<'a> {
    /// Does `work` with the value of each field of the number.
    fn each(&self, mut work: impl FnMut(Value<'a>) -> Result<(), Wrong>) -> Result<(), Wrong> {
        let mut fields = Fields(self.message);
        while let Some((number, value)) = fields.next_field()? {
            self.meter.step()?;
            if number == self.number {
                work(value)?;
            }
        }
        Ok(())
    }

    /// How many elements there are, and of those that are bytes how many bytes.
    fn count(&self) -> Result<(usize, usize), Wrong> {
        let (mut count, mut bytes) = (0, 0);
        self.each(|value| {
            count += match (self.form, value) {
                (Form::Varint, Value::Varint(_))
                | (Form::Fixed(4), Value::Fixed32(_))
                | (Form::Fixed(8), Value::Fixed64(_)) => 1,
                // The last byte of a number has no high bit.
                (Form::Varint, Value::Bytes(packed)) => {
                    packed.iter().filter(|byte| **byte < 0x80).count()
                }
                (Form::Fixed(size), Value::Bytes(packed)) if packed.len() % size == 0 => {
                    packed.len() / size
                }
                (Form::Bytes, Value::Bytes(element)) => {
                    bytes += element.len();
                    1
                }
                _ => return Err(other_type().into()),
            };
            Ok(())
        })?;
        Ok((count, bytes))
    }

    fn varints<T>(
        &self,
        count: usize,
        convert: impl Fn(u64) -> Result<T, Mismatch>,
    ) -> Result<Vec<T>, Wrong> {
        let mut values = Vec::with_capacity(count);
        self.each(|value| {
            let mut packed = match value {
                Value::Varint(number) => {
                    values.push(convert(number)?);
                    return Ok(());
                }
                packed => Fields(packed.bytes()?),
            };
            while !packed.0.is_empty() {
                let number = packed.varint()?;
                let element = values.len();
                let convert = convert(number);
                values.push(convert.map_err(|wrong| Mismatch { element: Some(element), ..wrong })?);
                if element % LOOK == 0 {
                    self.meter.steps(LOOK as u64)?;
                }
            }
            Ok(())
        })?;
        Ok(values)
    }

    fn fixed<T: Pod>(&self, count: usize) -> Result<Vec<T>, Wrong> {
        let mut values = Vec::with_capacity(count);
        self.each(|value| {
            let mut push = |bytes: &[u8]| {
                let elements = bytes.chunks_exact(size_of::<T>());
                values.extend(elements.map(bytemuck::pod_read_unaligned::<T>));
            };
            match value {
                Value::Fixed32(bytes) => push(&bytes),
                Value::Fixed64(bytes) => push(&bytes),
                packed => {
                    for part in packed.bytes()?.chunks(LOOK * size_of::<T>()) {
                        self.meter.steps(LOOK as u64)?;
                        push(part);
                    }
                }
            }
            Ok(())
        })?;
        Ok(values)
    }

    /// Each after its length, as tensors as bytes have them.
    fn strings(&self, count: usize, bytes: usize) -> Result<Elements, Wrong> {
        let whole = bytes.saturating_add(count.saturating_mul(4));
        self.meter.take(whole)?;
        let mut framed = Vec::with_capacity(whole);
        self.each(|value| {
            let element = value.bytes()?;
            framed.put_u32_le(u32::try_from(element.len()).map_err(|_| too_long())?);
            framed.put_slice(element);
            Ok(())
        })?;
        Ok(Elements::Framed { bytes: Bytes::from(framed), count })
    }
}

fn too_long() -> Error {
    Error::too_large("bytes_contents", "elements of less than 4 GiB", "more")
}
