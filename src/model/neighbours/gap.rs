//! How far two answers to one row are apart.

use std::fmt;

use ndarray::{ArrayD, Axis, Slice};

use crate::tensor::{Tensor, Tensors};

/// The part of an output's range by which answers may differ: of exact arithmetic; and of such as jumps a
/// step of int8 now and then when something before it is rounded otherwise.
const ROUNDING: f64 = 1e-3;
const JUMPS: f64 = 0.05;
/// Below this part of the largest number nothing is a difference: FP32 loses it when numbers are added up in
/// another order, or int8 in one step.
const LOST: f64 = 2e-6;
const STEP: f64 = 5e-3;
/// The same of the largest number in a column.
const LOST_IN_COLUMN: f64 = 2e-5;

/// Of each output the range and the largest of its numbers, for each place in its last axis: one class or
/// feature may be counted in thousands beside another of parts.
pub struct Scale(Vec<(String, Vec<Column>)>);

#[derive(Clone, Copy)]
struct Column {
    least: f64,
    most: f64,
}

/// The largest difference between two answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gap {
    output: String,
    /// In parts of the range that it is in.
    part: f64,
    /// In parts of what rounding explains, and of what it explains of coarse arithmetic.
    fine: f64,
    coarse: f64,
}

impl Column {
    const EMPTY: Self = Self { least: f64::INFINITY, most: f64::NEG_INFINITY };

    fn add(&mut self, number: f64) {
        if number.is_finite() {
            (self.least, self.most) = (self.least.min(number), self.most.max(number));
        }
    }

    fn range(self) -> f64 {
        (self.most - self.least).max(0.0)
    }

    fn size(self) -> f64 {
        if self.least > self.most { 0.0 } else { self.least.abs().max(self.most.abs()) }
    }
}

impl Scale {
    pub fn of<'a>(answers: impl IntoIterator<Item = &'a Tensors>) -> Self {
        let mut outputs: Vec<(String, Vec<Column>)> = Vec::new();
        for (name, tensor) in answers.into_iter().flat_map(|answer| &answer.0) {
            let Some(numbers) = numbers(tensor) else { continue };
            let at = outputs.iter().position(|(other, _)| other == name).unwrap_or_else(|| {
                outputs.push((name.clone(), vec![Column::EMPTY; width(tensor)]));
                outputs.len() - 1
            });
            let columns = &mut outputs[at].1;
            let width = columns.len();
            for (index, number) in numbers.iter().enumerate() {
                columns[index % width].add(*number);
            }
        }
        Self(outputs)
    }
}

/// Length of the last axis; where that is the rows', 1.
fn width(tensor: &Tensor) -> usize {
    tensor.shape().get(1..).and_then(<[usize]>::last).copied().unwrap_or(1).max(1)
}

impl Gap {
    /// Of the same row `alone` and `with` others, for which it may have been padded, before (`left`) or
    /// after its own tokens: of outputs for each token only these count.
    pub fn between(alone: &Tensors, with: &Tensors, left: bool, scale: &Scale) -> Self {
        let gaps = alone.0.iter().map(|(name, alone)| {
            let with = with.get(name).map(|with| own(with, alone.shape(), left));
            let columns = scale.0.iter().find(|(other, _)| other == name);
            let columns = columns.map_or(&[][..], |(_, columns)| columns.as_slice());
            let gap = with.map_or(Self::ENDLESS, |with| Self::of(alone, &with, columns));
            Self { output: name.clone(), ..gap }
        });
        gaps.reduce(Self::larger).unwrap_or_default()
    }

    const ENDLESS: Self = Self {
        output: String::new(),
        part: f64::INFINITY,
        fine: f64::INFINITY,
        coarse: f64::INFINITY,
    };

    fn of(alone: &Tensor, with: &Tensor, columns: &[Column]) -> Self {
        if alone.shape() != with.shape() {
            return Self::ENDLESS;
        }
        let (Some(alone_numbers), Some(with_numbers)) = (numbers(alone), numbers(with)) else {
            return if alone == with { Self::default() } else { Self::ENDLESS };
        };
        let largest = columns.iter().map(|column| column.size()).fold(0.0, f64::max);
        let pairs = alone_numbers.iter().zip(&with_numbers).enumerate();
        let gaps = pairs.filter_map(|(index, (alone, with))| {
            if alone == with || (alone.is_nan() && with.is_nan()) {
                return None;
            }
            let column = columns.get(index % columns.len().max(1)).copied()?;
            let difference = (alone - with).abs();
            if !difference.is_finite() {
                return Some(Self::ENDLESS);
            }
            let (range, size) = (column.range(), column.size());
            let fine = (range * ROUNDING).max(size * LOST_IN_COLUMN).max(largest * LOST);
            let coarse = (range * JUMPS).max(largest * STEP);
            let [part, fine, coarse] = [range, fine, coarse].map(|whole| difference / whole);
            Some(Self { output: String::new(), part, fine, coarse })
        });
        gaps.reduce(Self::larger).unwrap_or_default()
    }

    pub fn larger(self, other: Self) -> Self {
        if other.fine > self.fine { other } else { self }
    }

    /// Whether rounding explains it.
    pub fn is_rounding(&self) -> bool {
        self.fine <= 1.0
    }

    /// Whether rounding explains it in a network whose numbers jump.
    pub fn is_jump(&self) -> bool {
        self.coarse <= 1.0
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, output, .. } = self;
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

    fn gap(alone: &Tensors, with: &Tensors, left: bool) -> Gap {
        Gap::between(alone, with, left, &Scale::of([alone, with]))
    }

    #[test]
    fn each_place_of_the_last_axis_has_its_own_range() {
        let one = answer(&[9000.0, 2.0], &[1, 2]);
        assert!(!gap(&one, &answer(&[9000.0, 1.0], &[1, 2]), false).is_rounding());
        assert!(gap(&one, &answer(&[9000.001, 2.0], &[1, 2]), false).is_rounding());
        // What is nearly nothing beside something large.
        let (zero, lost) = (answer(&[9000.0, 0.0], &[1, 2]), answer(&[9000.0, 0.005], &[1, 2]));
        assert!(gap(&zero, &lost, false).is_rounding());
    }

    #[test]
    fn a_step_of_int8_is_a_jump_and_half_the_range_is_none() {
        let scale = [answer(&[-4.0], &[1, 1]), answer(&[4.0], &[1, 1])];
        let jumps = |by: f32| {
            let pair = [answer(&[1.0], &[1, 1]), answer(&[1.0 + by], &[1, 1])];
            Gap::between(&pair[0], &pair[1], false, &Scale::of(&scale)).is_jump()
        };
        assert!(jumps(0.1) && !jumps(2.0));
    }

    #[test]
    fn of_each_token_only_the_rows_own_count() {
        let alone = answer(&[1.0, 2.0], &[1, 2, 1]);
        assert!(gap(&alone, &answer(&[1.0, 2.0, 9.0], &[1, 3, 1]), false).is_rounding());
        assert!(gap(&alone, &answer(&[9.0, 1.0, 2.0], &[1, 3, 1]), true).is_rounding());
        assert!(!gap(&alone, &answer(&[9.0, 1.0, 2.0], &[1, 3, 1]), false).is_rounding());
    }

    #[test]
    fn nan_equals_nan_and_nothing_else() {
        let nan = answer(&[f32::NAN], &[1, 1]);
        assert!(gap(&nan, &nan, false).is_rounding());
        assert!(!gap(&nan, &answer(&[1.0], &[1, 1]), false).is_jump());
    }
}
