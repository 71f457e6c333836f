//! How far two answers to one row are apart.

use std::fmt;

use ndarray::{ArrayD, Axis, Slice};

use crate::tensor::{Tensor, Tensors};

/// What numbers in the hundreds of thousands lose to FP32 when they are added up in another order.
const OF_SIZE: f64 = 0.02;

/// Of each output, the range of its numbers and the largest, by which differences are measured.
pub struct Scale(Vec<(String, f64, f64)>);

/// The largest difference between two answers, in the output's range.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gap {
    part: f64,
    output: String,
}

impl Scale {
    pub fn of<'a>(answers: impl IntoIterator<Item = &'a Tensors>) -> Self {
        let mut scales: Vec<(String, f64, f64, f64)> = Vec::new();
        for (name, tensor) in answers.into_iter().flat_map(|answer| &answer.0) {
            let Some(numbers) = numbers(tensor) else { continue };
            let at = scales.iter().position(|(other, ..)| other == name).unwrap_or_else(|| {
                scales.push((name.clone(), f64::INFINITY, f64::NEG_INFINITY, 0.0));
                scales.len() - 1
            });
            let (_, least, most, largest) = &mut scales[at];
            for number in numbers.iter().filter(|number| number.is_finite()) {
                (*least, *most) = (least.min(*number), most.max(*number));
                *largest = largest.max(number.abs());
            }
        }
        let range = |(name, least, most, largest): (String, f64, f64, f64)| {
            (name, (most - least).max(0.0), largest)
        };
        Self(scales.into_iter().map(range).collect())
    }
}

impl Gap {
    /// Of the same row `alone` and `with` others, for which it may have been padded, before (`left`) or
    /// after its own tokens: of outputs for each token only these count.
    pub fn between(alone: &Tensors, with: &Tensors, left: bool, scale: &Scale) -> Self {
        let gaps = alone.0.iter().map(|(name, alone)| {
            let with = with.get(name).map(|with| own(with, alone.shape(), left));
            let part = with.map_or(f64::INFINITY, |with| apart(alone, &with, name, scale));
            Self { part, output: name.clone() }
        });
        gaps.reduce(Self::larger).unwrap_or_default()
    }

    pub fn larger(self, other: Self) -> Self {
        if other.part > self.part { other } else { self }
    }

    /// Whether it is no more than this part of the output's range.
    pub fn is_within(&self, part: f64) -> bool {
        self.part <= part
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, output } = self;
        match *part {
            part if part.is_finite() => {
                write!(f, "output `{output}` by {:.1} % of its range", part * 100.0)
            }
            _ => write!(f, "output `{output}`"),
        }
    }
}

/// The part for the row's own tokens, where axis 1 is longer than it is for the row by itself.
fn own(with: &Tensor, shape: &[usize], left: bool) -> Tensor {
    match (with.shape().get(1), shape.get(1)) {
        (Some(padded), Some(length)) if padded > length => {
            let start = if left { padded - length } else { 0 };
            with.slice_axis(Axis(1), Slice::from(start..start + length))
        }
        _ => with.clone(),
    }
}

fn apart(alone: &Tensor, with: &Tensor, name: &str, scale: &Scale) -> f64 {
    let same = |same: bool| if same { 0.0 } else { f64::INFINITY };
    if alone.shape() != with.shape() {
        return f64::INFINITY;
    }
    let (Some(alone_numbers), Some(with_numbers)) = (numbers(alone), numbers(with)) else {
        return same(alone == with);
    };
    let difference = |(alone, with): (&f64, &f64)| match (alone - with).abs() {
        _ if alone == with || (alone.is_nan() && with.is_nan()) => 0.0,
        difference if difference.is_finite() => difference,
        _ => f64::INFINITY,
    };
    let largest = alone_numbers.iter().zip(&with_numbers).map(difference).fold(0.0, f64::max);
    let found = scale.0.iter().find(|(other, ..)| other == name);
    let (range, size) = found.map_or((0.0, 0.0), |(_, range, size)| (*range, *size));
    let range = range.max(size * OF_SIZE);
    if largest == 0.0 { 0.0 } else { largest / range }
}

/// `None` for text.
fn numbers(tensor: &Tensor) -> Option<ArrayD<f64>> {
    Some(match tensor {
        Tensor::Bool(array) => array.mapv(|value| f64::from(u8::from(value))),
        Tensor::U8(array) => array.mapv(f64::from),
        Tensor::U16(array) => array.mapv(f64::from),
        Tensor::U32(array) => array.mapv(f64::from),
        Tensor::U64(array) => array.mapv(|value| value as f64),
        Tensor::I8(array) => array.mapv(f64::from),
        Tensor::I16(array) => array.mapv(f64::from),
        Tensor::I32(array) => array.mapv(f64::from),
        Tensor::I64(array) => array.mapv(|value| value as f64),
        Tensor::F64(array) => array.clone(),
        Tensor::String(_) => return None,
        _ => tensor.to_array()?.mapv(f64::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(values: &[f32], shape: &[usize]) -> Tensors {
        let array = ArrayD::from_shape_vec(shape, values.to_vec()).unwrap();
        Tensors(vec![("x".into(), array.into())])
    }

    fn gap(alone: &Tensors, with: &Tensors, left: bool) -> f64 {
        Gap::between(alone, with, left, &Scale::of([alone, with])).part
    }

    #[test]
    fn differences_are_measured_by_the_range_and_never_by_less_than_fp32_keeps() {
        let one = answer(&[0.0, 4.0], &[1, 2]);
        assert_eq!(gap(&one, &answer(&[0.0, 3.0], &[1, 2]), false), 0.25);
        let (large, other) = (answer(&[1e6], &[1, 1]), answer(&[1e6 + 1.0], &[1, 1]));
        assert!(gap(&large, &other, false) < 1e-4);
    }

    #[test]
    fn of_each_token_only_the_rows_own_count() {
        let alone = answer(&[1.0, 2.0], &[1, 2]);
        assert_eq!(gap(&alone, &answer(&[1.0, 2.0, 9.0], &[1, 3]), false), 0.0);
        assert_eq!(gap(&alone, &answer(&[9.0, 1.0, 2.0], &[1, 3]), true), 0.0);
        assert!(gap(&alone, &answer(&[9.0, 1.0, 2.0], &[1, 3]), false) > 0.1);
    }

    #[test]
    fn nan_equals_nan_and_nothing_else() {
        let nan = answer(&[f32::NAN], &[1, 1]);
        assert_eq!(gap(&nan, &nan, false), 0.0);
        assert_eq!(gap(&nan, &answer(&[1.0], &[1, 1]), false), f64::INFINITY);
    }
}
