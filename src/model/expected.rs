//! How large an answer will be, so that there is room for it before there is work on it.

use std::sync::Arc;

use super::Model;
use crate::tasks::Parameters;

/// Bytes of a class beside its label, as a prediction and as JSON, and of a number.
const CLASS: usize = 80;
const NUMBER: usize = 24;
/// Of a row, and of the whole.
const ROW: usize = 100;

/// Mean bytes of a label; 0 without any.
pub fn mean_label(labels: &[Arc<str>]) -> usize {
    labels.iter().map(|label| label.len()).sum::<usize>() / labels.len().max(1)
}

impl Model {
    /// Bytes of predictions and JSON for so many inputs, as good as.
    #[must_use]
    pub fn expected_answer(&self, rows: usize, parameters: Parameters) -> usize {
        let row = match self.labels().len() {
            0 => self.numbers_a_row() * NUMBER,
            classes => parameters.top_k.min(classes) * (self.mean_label + CLASS),
        };
        rows.saturating_mul(row + ROW)
    }

    /// Bytes of the network's outputs as numbers in JSON for so many rows, as good as.
    #[must_use]
    pub fn expected_tensors(&self, rows: usize) -> usize {
        rows.saturating_mul(self.numbers_a_row() * NUMBER + ROW)
    }

    /// Of all outputs; an axis that the network leaves open counts once.
    fn numbers_a_row(&self) -> usize {
        let elements = |shape: &[Option<usize>]| -> usize {
            shape.iter().skip(1).flatten().fold(1, |all, axis| all.saturating_mul(*axis))
        };
        self.signature.outputs.iter().map(|spec| elements(&spec.shape)).sum()
    }
}
