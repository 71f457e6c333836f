//! Tensors as numbers and as labels.

use super::super::Scalar;
use crate::tensor::{DataType, Tensor};

/// A number of the type that the network gave.
pub(super) fn number(value: f64, data_type: DataType) -> Scalar {
    if data_type == DataType::F64 { Scalar::F64(value) } else { Scalar::F32(value as f32) }
}

/// Real numbers of any type.
pub(super) fn floats(tensor: &Tensor) -> Option<Vec<f64>> {
    match tensor {
        Tensor::F64(array) => Some(array.iter().copied().collect()),
        other => Some(other.to_array()?.iter().map(|value| f64::from(*value)).collect()),
    }
}

/// The numbers of a regression, each with its own digits, and how many a row has.
pub(super) fn numbers(tensor: &Tensor) -> Option<(Vec<Scalar>, usize)> {
    let numbers: Vec<Scalar> = match tensor {
        Tensor::F64(array) => array.iter().map(|value| Scalar::F64(*value)).collect(),
        Tensor::I64(array) => array.iter().map(|value| Scalar::I64(*value)).collect(),
        Tensor::I32(array) => array.iter().map(|value| Scalar::I64((*value).into())).collect(),
        other => other.to_array()?.iter().map(|value| Scalar::F32(*value)).collect(),
    };
    let width = numbers.len().checked_div(tensor.shape().first().copied().unwrap_or(1))?;
    Some((numbers, width)).filter(|(_, width)| *width > 0)
}

/// Labels as text, and how many a row has.
pub(super) fn texts(tensor: &Tensor) -> Option<(Vec<String>, usize)> {
    let texts: Vec<String> = match tensor {
        Tensor::String(array) => array.iter().cloned().collect(),
        Tensor::I64(array) => array.iter().map(ToString::to_string).collect(),
        Tensor::I32(array) => array.iter().map(ToString::to_string).collect(),
        Tensor::U8(array) => array.iter().map(ToString::to_string).collect(),
        Tensor::Bool(array) => array.iter().map(ToString::to_string).collect(),
        _ => return None,
    };
    let width = texts.len().checked_div(tensor.shape().first().copied().unwrap_or(1))?;
    Some((texts, width))
}
