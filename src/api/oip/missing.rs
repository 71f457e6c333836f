//! Values that a request's tensors lack, so that an output without a number can be laid to them.

use half::{bf16, f16};
use ndarray::ArrayD;

use super::infer::{InputTensor, InputValue};
use crate::error::{Error, excerpt};
use crate::tensor::Tensor;

/// The inputs of which an element is missing.
#[derive(Debug, Default)]
pub struct Missing(Vec<Gaps>);

/// The missing elements of an input.
#[derive(Debug)]
struct Gaps {
    name: String,
    shape: Vec<usize>,
    /// A bit for each element, since there may be many.
    bits: Vec<u64>,
    got: &'static str,
}

impl Missing {
    /// Of the network's own inputs.
    #[must_use]
    pub fn of(inputs: &[InputTensor]) -> Self {
        let gaps = |InputTensor { name, value }: &InputTensor| {
            let bits = match value {
                InputValue::Numbers(Tensor::F32(array)) => missing(array, f32::is_nan),
                InputValue::Numbers(Tensor::F64(array)) => missing(array, f64::is_nan),
                InputValue::Numbers(Tensor::F16(array)) => missing(array, |v: f16| v.is_nan()),
                InputValue::Numbers(Tensor::BF16(array)) => missing(array, |v: bf16| v.is_nan()),
                InputValue::Numbers(_) => Vec::new(),
                InputValue::Bytes { elements, .. } => marked(elements.count(), elements.empty()),
            };
            let got = match value {
                InputValue::Numbers(_) => "NaN (a missing value)",
                InputValue::Bytes { .. } => "an empty string (a missing value)",
            };
            let has_some = !bits.is_empty();
            has_some.then(|| Gaps { name: name.clone(), shape: value.shape().to_vec(), bits, got })
        };
        Self(inputs.iter().filter_map(gaps).collect())
    }

    /// Why this element of an output is no number: its row lacks a value. `None` if it does not.
    #[must_use]
    pub fn blame(&self, output: &Tensor, element: usize) -> Option<Error> {
        let (rows, in_row) = rows(output.shape());
        let row = element / in_row;
        self.0.iter().find_map(|gaps| {
            let (own, in_row) = self::rows(&gaps.shape);
            let mut elements = match own == rows {
                true => row * in_row..(row + 1) * in_row,
                // An output that has no row for each of the input's may come from any.
                false => 0..gaps.bits.len() * 64,
            };
            let place = elements.find(|place| gaps.has(*place))?;
            let field = field(&excerpt(&gaps.name), &gaps.shape, place);
            let expected = "a value: without it the model's answer is not a number";
            Some(Error::invalid(field, expected, gaps.got))
        })
    }
}

impl Gaps {
    fn has(&self, place: usize) -> bool {
        self.bits.get(place / 64).is_some_and(|bits| bits >> (place % 64) & 1 == 1)
    }
}

/// Rows of this shape, and the elements of each.
fn rows(shape: &[usize]) -> (usize, usize) {
    (shape.first().copied().unwrap_or(1), shape.iter().skip(1).product::<usize>().max(1))
}

/// A bit for each of `count` elements; nothing if none is marked.
fn marked(count: usize, places: impl Iterator<Item = usize>) -> Vec<u64> {
    let mut bits = Vec::new();
    mark(&mut bits, count, places);
    bits
}

fn mark(bits: &mut Vec<u64>, count: usize, places: impl Iterator<Item = usize>) {
    for place in places {
        bits.resize(count.div_ceil(64), 0);
        bits[place / 64] |= 1 << (place % 64);
    }
}

/// Those that are missing, mostly none.
fn missing<T: Copy>(array: &ArrayD<T>, is_missing: impl Fn(T) -> bool) -> Vec<u64> {
    let Some(elements) = array.as_slice() else {
        let places = array.iter().enumerate().filter(|(_, value)| is_missing(**value));
        return marked(array.len(), places.map(|(place, _)| place));
    };
    let mut bits = Vec::new();
    for (chunk, some) in elements.chunks(256).enumerate() {
        // Without an early end, so that it is vectorised.
        if some.iter().fold(false, |any, value| any | is_missing(*value)) {
            let those = (0..some.len()).filter(|at| is_missing(some[*at]));
            mark(&mut bits, elements.len(), those.map(|at| chunk * 256 + at));
        }
    }
    bits
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
