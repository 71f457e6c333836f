//! Rows on their way to a batch: made by a task, stacked by the session that runs them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::{ArrayD, ArrayView1, Axis, Ix2};

use crate::signature::Batching;
use crate::tensor::{Tensor, Tensors};

/// The rows of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// `[rows, …]`; where rows have lengths, padded to the longest of the request.
    pub tensors: Tensors,
    pub lengths: Option<Lengths>,
    /// Tensors `[rows, …]` that pass the network by: [`crate::tasks::Task::decode`] finds them
    /// behind the outputs.
    pub aside: Tensors,
    /// Nothing is known of rows: see [`Self::opaque`].
    opaque: bool,
    /// Of each row, where they are alike; 1 where it is not known, so that a sum of them is a number of rows.
    tokens: usize,
}

/// For rows that are sequences: each tensor is `[rows, tokens]`, and padded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lengths {
    /// Tokens of each row.
    pub of_rows: Vec<usize>,
    /// The padding of each tensor, in the tensors' order. Empty if no file names a padding token: then only
    /// rows of one length may share a run.
    pub padding: Vec<i64>,
    /// Padding stands before the row rather than after it.
    pub left: bool,
}

/// Some rows of one request, as a part of a batch.
pub type Part<'a> = (&'a Rows, Range<usize>);

impl Rows {
    /// Rows that are all of one shape.
    #[must_use]
    pub fn alike(tensors: Tensors) -> Self {
        Self { tensors, lengths: None, opaque: false, aside: Tensors::default(), tokens: 1 }
    }

    /// Rows that are sequences.
    #[must_use]
    pub fn sequences(tensors: Tensors, lengths: Lengths) -> Self {
        Self {
            tensors,
            lengths: Some(lengths),
            opaque: false,
            aside: Tensors::default(),
            tokens: 1,
        }
    }

    /// The whole input of one run, of which no axis is known to be the batch's: it counts as one row
    /// and never shares a run.
    #[must_use]
    pub fn opaque(tensors: Tensors) -> Self {
        Self { tensors, lengths: None, opaque: true, aside: Tensors::default(), tokens: 1 }
    }

    /// The same rows, that are alike and of so many tokens each.
    #[must_use]
    pub fn of_tokens(self, tokens: usize) -> Self {
        Self { tokens, ..self }
    }

    #[must_use]
    pub fn is_opaque(&self) -> bool {
        self.opaque
    }

    /// Whether rows of both may stand in one batch: same inputs, same types and, but for sequences,
    /// which are padded, same shapes.
    #[must_use]
    pub fn go_with(&self, other: &Self) -> bool {
        let alike =
            |((name, tensor), (other_name, other)): (&(String, Tensor), &(String, Tensor))| {
                name == other_name
                    && tensor.data_type() == other.data_type()
                    && (self.lengths.is_some() || tensor.shape().get(1..) == other.shape().get(1..))
            };
        let (mine, others) = (&self.tensors.0, &other.tensors.0);
        !self.opaque
            && !other.opaque
            && self.lengths.is_some() == other.lengths.is_some()
            && mine.len() == others.len()
            && mine.iter().zip(others).all(alike)
    }

    #[must_use]
    pub fn count(&self) -> usize {
        if self.opaque { 1 } else { self.tensors.rows() }
    }

    /// Tokens of a row; 1 where these are not known, so that a sum of lengths is a number of rows.
    #[must_use]
    pub fn length(&self, row: usize) -> usize {
        let of_row = self.lengths.as_ref().and_then(|lengths| lengths.of_rows.get(row));
        of_row.copied().unwrap_or(self.tokens)
    }

    /// Memory that the rows take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.tensors.bytes()
    }

    /// The rows in as few batches as these may share, and all in one where they may.
    #[must_use]
    pub fn apart(&self, batching: Batching) -> Vec<Vec<usize>> {
        let mut batches: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for row in 0..self.count() {
            let batch = match batching {
                Batching::Together => 0,
                Batching::OwnLength => self.length(row),
                Batching::Alone => row,
            };
            batches.entry(batch).or_default().push(row);
        }
        batches.into_values().collect()
    }

    /// One of the rows, without padding and no longer than `longest`.
    #[must_use]
    pub fn only(&self, row: usize, longest: usize) -> Option<Self> {
        let mut rows = self.clone();
        if let Some(lengths) = &mut rows.lengths {
            lengths.of_rows[row] = lengths.of_rows[row].min(longest);
        }
        let tensors = copied(&[(&rows, row..row + 1)])?;
        let lengths = rows.lengths.map(|of| Lengths { of_rows: vec![of.of_rows[row]], ..of });
        Some(Self { tensors, lengths, ..self.clone() })
    }

    /// The outputs of several runs as one. Of sequences, each run has padded its own to the longest in it.
    #[must_use]
    pub fn join(&self, parts: &[Tensors]) -> Option<Tensors> {
        Tensors::concatenate(parts).or_else(|| {
            let Lengths { left, .. } = self.lengths.as_ref()?;
            Tensors::concatenate(&Tensors::widen(parts, *left))
        })
    }

    /// A batch of all rows of one request can be run without a copy.
    fn is_whole(&self, rows: &Range<usize>) -> bool {
        *rows == (0..self.count())
    }
}

/// A batch of one or several requests' rows, padded to the longest row *in it*.
/// `None` if the parts differ in names, types or shapes.
#[must_use]
pub fn stack<'a>(parts: &[Part<'a>]) -> Option<Cow<'a, Tensors>> {
    if let [(rows, range)] = parts
        && rows.is_whole(range)
    {
        return Some(Cow::Borrowed(&rows.tensors));
    }
    copied(parts).map(Cow::Owned)
}

fn copied(parts: &[Part<'_>]) -> Option<Tensors> {
    let (first, _) = parts.first()?;
    if first.lengths.is_none() {
        let parts: Vec<_> =
            parts.iter().map(|(rows, range)| (&rows.tensors, range.clone())).collect();
        return Tensors::stack(&parts);
    }
    let tensors = first.tensors.0.iter().enumerate().map(|(index, (name, tensor))| {
        let stacked = match tensor {
            Tensor::I64(_) => pad(parts, index, name, as_i64, |v| v).map(Tensor::I64),
            Tensor::I32(_) => pad(parts, index, name, as_i32, |v| v as i32).map(Tensor::I32),
            _ => None,
        };
        Some((name.clone(), stacked?))
    });
    tensors.collect::<Option<_>>().map(Tensors)
}

fn as_i64(tensor: &Tensor) -> Option<&ArrayD<i64>> {
    if let Tensor::I64(array) = tensor { Some(array) } else { None }
}

fn as_i32(tensor: &Tensor) -> Option<&ArrayD<i32>> {
    if let Tensor::I32(array) = tensor { Some(array) } else { None }
}

/// One input of sequences: `[rows of all parts, longest of them]`.
fn pad<T: Copy>(
    parts: &[Part<'_>],
    index: usize,
    name: &str,
    array: impl Fn(&Tensor) -> Option<&ArrayD<T>>,
    padding: impl Fn(i64) -> T,
) -> Option<ArrayD<T>> {
    let (first, _) = parts.first()?;
    let lengths = first.lengths.as_ref()?;
    let every =
        || parts.iter().flat_map(|(rows, range)| range.clone().map(move |row| (*rows, row)));
    let width = every().map(|(rows, row)| rows.length(row)).max()?.max(1);
    let fill = padding(*lengths.padding.get(index).unwrap_or(&0));
    let mut out = ndarray::Array2::from_elem((every().count(), width), fill);
    for ((rows, row), mut target) in every().zip(out.axis_iter_mut(Axis(0))) {
        let source = array(rows.tensors.get(name)?)?.view().into_dimensionality::<Ix2>().ok()?;
        let source: ArrayView1<'_, T> = source.index_axis_move(Axis(0), row);
        let length = rows.length(row).min(width);
        let (from, to) =
            if lengths.left { (source.len().checked_sub(length)?, width - length) } else { (0, 0) };
        target
            .slice_mut(ndarray::s![to..to + length])
            .assign(&source.slice(ndarray::s![from..from + length]));
    }
    Some(out.into_dyn())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr2;

    fn texts(rows: ndarray::Array2<i64>, of_rows: &[usize], left: bool) -> Rows {
        let lengths = Lengths { of_rows: of_rows.to_vec(), padding: vec![9], left };
        Rows::sequences(Tensors(vec![("ids".into(), rows.into_dyn().into())]), lengths)
    }

    #[test]
    fn a_batch_is_padded_to_its_own_longest_row() {
        let one = texts(arr2(&[[1, 2, 3, 4], [5, 9, 9, 9]]), &[4, 1], false);
        let two = texts(arr2(&[[6, 7]]), &[2], false);
        let batch = stack(&[(&one, 1..2), (&two, 0..1)]).unwrap();
        assert_eq!(batch.get("ids"), Some(&arr2(&[[5_i64, 9], [6, 7]]).into_dyn().into()));
    }

    #[test]
    fn padding_on_the_left_stays_on_the_left() {
        let one = texts(arr2(&[[1, 2, 3], [9, 9, 5]]), &[3, 1], true);
        let two = texts(arr2(&[[6, 7]]), &[2], true);
        let batch = stack(&[(&one, 1..2), (&two, 0..1)]).unwrap();
        assert_eq!(batch.get("ids"), Some(&arr2(&[[9_i64, 5], [6, 7]]).into_dyn().into()));
    }

    #[test]
    fn a_request_that_is_the_whole_batch_is_not_copied() {
        let one = texts(arr2(&[[1, 2]]), &[2], false);
        assert!(matches!(stack(&[(&one, 0..1)]), Some(Cow::Borrowed(_))));
    }

    #[test]
    fn parts_of_other_models_are_refused() {
        let one = Rows::alike(Tensors(vec![("x".into(), arr2(&[[1.0_f32]]).into_dyn().into())]));
        let two = Rows::alike(Tensors(vec![("x".into(), arr2(&[[1.0_f64]]).into_dyn().into())]));
        assert_eq!(stack(&[(&one, 0..1), (&two, 0..1)]), None);
    }
}
