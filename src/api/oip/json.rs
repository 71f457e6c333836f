//! Tensors as JSON lists.

use ndarray::{ArrayViewD, Axis};
use serde::ser::{Serialize, Serializer};

use super::missing::Missing;
use crate::error::{Error, ErrorKind};
use crate::tensor::Tensor;

/// A tensor's elements as one flat list. The numbers are finite already, see [`check_finite`].
pub struct Flat<'a>(pub &'a Tensor);

impl Serialize for Flat<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        macro_rules! list {
            ($($variant:ident),+) => {
                match self.0 {
                    $(Tensor::$variant(array) => match array.as_slice() {
                        Some(slice) => slice.serialize(serializer),
                        None => serializer.collect_seq(array),
                    },)+
                    Tensor::F16(array) => serializer.collect_seq(array.iter().map(|v| v.to_f32())),
                    Tensor::BF16(array) => serializer.collect_seq(array.iter().map(|v| v.to_f32())),
                }
            };
        }
        list!(Bool, U8, U16, U32, U64, I8, I16, I32, I64, F32, F64, String)
    }
}

/// A tensor, or one row of it, as lists nested as its shape. The numbers are finite already.
pub struct Nested<'a> {
    tensor: &'a Tensor,
    row: Option<usize>,
}

impl<'a> Nested<'a> {
    #[must_use]
    pub fn whole(tensor: &'a Tensor) -> Self {
        Self { tensor, row: None }
    }

    #[must_use]
    pub fn row(tensor: &'a Tensor, row: usize) -> Self {
        Self { tensor, row: Some(row) }
    }
}

impl Serialize for Nested<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        macro_rules! nested {
            ($($variant:ident),+; $($half:ident),+) => {
                match self.tensor {
                    $(Tensor::$variant(array) => match self.row {
                        Some(row) => Lists(array.index_axis(Axis(0), row)).serialize(serializer),
                        None => Lists(array.view()).serialize(serializer),
                    },)+
                    $(Tensor::$half(array) => {
                        let array = array.mapv(f32::from);
                        match self.row {
                            Some(row) => Lists(array.index_axis(Axis(0), row)).serialize(serializer),
                            None => Lists(array.view()).serialize(serializer),
                        }
                    })+
                }
            };
        }
        nested!(Bool, U8, U16, U32, U64, I8, I16, I32, I64, F32, F64, String; F16, BF16)
    }
}

struct Lists<'a, T>(ArrayViewD<'a, T>);

impl<T: Serialize> Serialize for Lists<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.0.ndim(), self.0.first()) {
            (0, Some(value)) => value.serialize(serializer),
            _ => serializer.collect_seq(self.0.axis_iter(Axis(0)).map(Lists)),
        }
    }
}

/// # Errors
/// NaN or infinity, for which JSON has no number. It is the client's where the row lacks a value, and where
/// binary data could hold it: minus infinity is the score of a class that is masked.
pub fn check_finite(output: &str, tensor: &Tensor, missing: &Missing) -> Result<(), Error> {
    let Some((element, value)) = non_finite(tensor) else { return Ok(()) };
    Err(missing.blame(tensor, element).unwrap_or_else(|| {
        if value.is_infinite() {
            let expected = "to be asked for in binary (/v2 with `binary_data`, or gRPC)";
            let got = format!("{value}, for which JSON has no number");
            return Error::invalid(output, expected, got).because("non_finite_output");
        }
        let detail = format!("output `{output}` holds {value}, for which JSON has no number");
        Error::new(ErrorKind::Internal, detail).because("non_finite_output")
    }))
}

/// The first one, and its place.
fn non_finite(tensor: &Tensor) -> Option<(usize, f64)> {
    fn first(values: impl Iterator<Item = f64>) -> Option<(usize, f64)> {
        values.enumerate().find(|(_, value)| !value.is_finite())
    }
    match tensor {
        Tensor::F16(array) => first(array.iter().map(|v| v.to_f64())),
        Tensor::BF16(array) => first(array.iter().map(|v| v.to_f64())),
        Tensor::F32(array) => first(array.iter().map(|v| f64::from(*v))),
        Tensor::F64(array) => first(array.iter().copied()),
        _ => None,
    }
}
