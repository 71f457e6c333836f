//! Values that a request's tensors lack, so that an output without a number can be laid to them.

use half::{bf16, f16};
use ndarray::ArrayD;

use super::infer::{InputTensor, InputValue};
use crate::error::Error;
use crate::tensor::Tensor;

/// The first missing value of each row of each input.
#[derive(Debug, Default)]
pub struct Missing(Vec<Cell>);

#[derive(Debug)]
struct Cell {
    row: usize,
    /// Of its input.
    rows: usize,
    /// For example `features[0][1]`.
    field: String,
    got: &'static str,
}

impl Missing {
    /// Of the network's own inputs.
    #[must_use]
    pub fn of(inputs: &[InputTensor]) -> Self {
        let mut cells = Vec::new();
        for InputTensor { name, value } in inputs {
            let elements = match value {
                InputValue::Numbers(Tensor::F32(array)) => missing(array, f32::is_nan),
                InputValue::Numbers(Tensor::F64(array)) => missing(array, f64::is_nan),
                InputValue::Numbers(Tensor::F16(array)) => missing(array, |v: f16| v.is_nan()),
                InputValue::Numbers(Tensor::BF16(array)) => missing(array, |v: bf16| v.is_nan()),
                InputValue::Numbers(_) => Vec::new(),
                InputValue::Bytes { elements, .. } => {
                    (0..elements.len()).filter(|at| elements[*at].is_empty()).collect()
                }
            };
            let got = match value {
                InputValue::Numbers(_) => "NaN (a missing value)",
                InputValue::Bytes { .. } => "an empty string (a missing value)",
            };
            let shape = value.shape();
            let rows = shape.first().copied().unwrap_or(1);
            let in_row = shape.iter().skip(1).product::<usize>().max(1);
            let mut last = None;
            for element in elements {
                let row = element / in_row;
                if last.replace(row) != Some(row) {
                    cells.push(Cell { row, rows, field: field(name, shape, element), got });
                }
            }
        }
        Self(cells)
    }

    /// Why this element of an output is no number: its row lacks a value. `None` if it does not.
    #[must_use]
    pub fn blame(&self, output: &Tensor, element: usize) -> Option<Error> {
        let shape = output.shape();
        let rows = shape.first().copied().unwrap_or(1);
        let row = element / shape.iter().skip(1).product::<usize>().max(1);
        // An output that has no row for each of the input's may come from any.
        let cell = self.0.iter().find(|cell| cell.rows != rows || cell.row == row)?;
        let expected = "a value: without it the model's answer is not a number";
        Some(Error::invalid(&cell.field, expected, cell.got))
    }
}

/// The places of those that are missing, mostly none.
fn missing<T: Copy>(array: &ArrayD<T>, is_missing: impl Fn(T) -> bool) -> Vec<usize> {
    let Some(elements) = array.as_slice() else {
        let all = array.iter().enumerate();
        return all.filter(|(_, value)| is_missing(**value)).map(|(at, _)| at).collect();
    };
    let mut places = Vec::new();
    for (chunk, some) in elements.chunks(256).enumerate() {
        // Without an early end, so that it is vectorised.
        if some.iter().fold(false, |any, value| any | is_missing(*value)) {
            let those = (0..some.len()).filter(|at| is_missing(some[*at]));
            places.extend(those.map(|at| chunk * 256 + at));
        }
    }
    places
}

/// An element by its place along each axis; of a column `[N,1]` along the first.
fn field(name: &str, shape: &[usize], mut element: usize) -> String {
    let shape = if let [rows, 1] = shape { &[*rows] } else { shape };
    let mut places = Vec::with_capacity(shape.len());
    for axis in shape.iter().rev() {
        places.push(element % axis);
        element /= axis;
    }
    places.iter().rev().fold(name.to_owned(), |field, place| format!("{field}[{place}]"))
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    #[test]
    fn an_output_is_laid_to_its_own_row() {
        let table = arr2(&[[1.0_f32, 2.0], [3.0, f32::NAN], [f32::NAN, f32::NAN]]);
        let value = InputValue::Numbers(table.into_dyn().into());
        let missing = Missing::of(&[InputTensor { name: "x".into(), value }]);
        let output: Tensor = arr2(&[[0.0_f32], [0.0], [0.0]]).into_dyn().into();
        let field = |element| missing.blame(&output, element).and_then(|error| error.field);
        let fields = [None, Some("x[1][1]".to_owned()), Some("x[2][0]".to_owned())];
        assert_eq!([field(0), field(1), field(2)], fields);
        let sum: Tensor = arr2(&[[0.0_f32]]).into_dyn().into();
        assert_eq!(missing.blame(&sum, 0).unwrap().field.unwrap(), "x[1][1]");
    }
}
