//! How good the answers of a classifier are, item by item in bounded memory.

use serde::Serialize;

use super::calibration::Calibration;
use super::confusion::{Confusion, wilson_interval};

/// From so many classes on the best five are looked at.
const CLASSES_FOR_TOP_5: usize = 6;
/// How far from 1 the probabilities of an item may add up.
const SUM_TOLERANCE: f64 = 1e-3;

/// One item's scores by the class's number, and which is the best.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    pub best: usize,
    pub scores: Vec<f32>,
}

/// Counts over items.
#[derive(Debug, Clone)]
pub struct Classification {
    classes: usize,
    confusion: Confusion,
    calibration: Calibration,
    in_top_5: u64,
    log_loss: f64,
    are_probabilities: bool,
}

/// The metrics of one number each. Those on probabilities are `None` where the scores are not
/// probabilities, which are between 0 and 1 and add up to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassificationMetrics {
    pub accuracy: f64,
    /// Wilson's 95 % interval.
    pub accuracy_interval: Option<[f64; 2]>,
    pub balanced_accuracy: f64,
    pub macro_precision: f64,
    pub macro_recall: f64,
    pub macro_f1: f64,
    pub weighted_precision: f64,
    pub weighted_recall: f64,
    pub weighted_f1: f64,
    /// `None` of five classes or fewer.
    pub top5_accuracy: Option<f64>,
    pub matthews: f64,
    pub log_loss: Option<f64>,
    /// Expected calibration error, in 15 bins of equal width.
    pub ece: Option<f64>,
}

impl Scores {
    /// Of the best class.
    #[must_use]
    pub fn confidence(&self) -> f64 {
        f64::from(self.scores[self.best])
    }

    /// How many classes are better than this one; of equal scores the smaller number is the better, as it
    /// is when an answer is made.
    #[must_use]
    pub fn rank(&self, class: usize) -> usize {
        let own = self.scores[class];
        let is_better =
            |&(other, score): &(usize, &f32)| *score > own || (*score == own && other < class);
        self.scores.iter().enumerate().filter(is_better).count()
    }

    fn are_probabilities(&self) -> bool {
        let sum: f64 = self.scores.iter().copied().map(f64::from).sum();
        (sum - 1.0).abs() <= SUM_TOLERANCE && self.scores.iter().all(|s| (0.0..=1.0).contains(s))
    }
}

impl Classification {
    /// Of a model with so many classes.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            confusion: Confusion::default(),
            calibration: Calibration::default(),
            in_top_5: 0,
            log_loss: 0.0,
            are_probabilities: true,
        }
    }

    /// An item's label and what the model says.
    pub fn add(&mut self, label: usize, scores: &Scores) {
        self.confusion.add(label, scores.best);
        self.in_top_5 += u64::from(scores.rank(label) < 5);
        self.are_probabilities &= scores.are_probabilities();
        if self.are_probabilities {
            self.calibration.add(scores.confidence(), scores.best == label);
            self.log_loss += log_loss(f64::from(scores.scores[label]));
        }
    }

    #[must_use]
    pub fn metrics(&self) -> ClassificationMetrics {
        let Self { confusion, .. } = self;
        let items = confusion.total();
        let (macro_, weighted) = (confusion.macro_averages(), confusion.weighted_averages());
        let share = |part: f64| part / items.max(1) as f64;
        ClassificationMetrics {
            accuracy: confusion.accuracy(),
            accuracy_interval: wilson_interval(confusion.right(), items),
            balanced_accuracy: confusion.balanced_accuracy(),
            macro_precision: macro_.precision,
            macro_recall: macro_.recall,
            macro_f1: macro_.f1,
            weighted_precision: weighted.precision,
            weighted_recall: weighted.recall,
            weighted_f1: weighted.f1,
            top5_accuracy: (self.classes >= CLASSES_FOR_TOP_5).then(|| share(self.in_top_5 as f64)),
            matthews: confusion.matthews(),
            log_loss: self.are_probabilities.then(|| share(self.log_loss)),
            ece: self.calibration().map(Calibration::expected_error),
        }
    }

    #[must_use]
    pub fn confusion(&self) -> &Confusion {
        &self.confusion
    }

    /// `None` where the scores are not probabilities.
    #[must_use]
    pub fn calibration(&self) -> Option<&Calibration> {
        self.are_probabilities.then_some(&self.calibration)
    }
}

/// Of the label's probability, which is kept from 0 as scikit-learn does it.
fn log_loss(probability: f64) -> f64 {
    -probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(scores: &[f32]) -> Scores {
        let scores = Scores { best: 0, scores: scores.to_vec() };
        let best = (0..scores.scores.len()).find(|class| scores.rank(*class) == 0).unwrap();
        Scores { best, ..scores }
    }

    #[test]
    fn of_equal_scores_the_first_class_is_the_best() {
        let tie = scores(&[0.2, 0.4, 0.4]);
        assert_eq!((tie.best, tie.rank(1), tie.rank(2), tie.rank(0)), (1, 0, 1, 2));
    }

    #[test]
    fn scores_that_are_no_probabilities_have_no_log_loss_and_no_calibration() {
        let mut of = Classification::new(2);
        of.add(0, &scores(&[0.9, 0.1]));
        assert!(of.metrics().ece.is_some());
        of.add(1, &scores(&[-3.0, 4.0]));
        let metrics = of.metrics();
        assert_eq!((metrics.accuracy, metrics.log_loss, metrics.ece), (1.0, None, None));
        assert_eq!(metrics.top5_accuracy, None, "of two classes");
    }

    #[test]
    fn a_label_without_any_probability_costs_a_finite_loss() {
        let mut of = Classification::new(2);
        of.add(1, &scores(&[1.0, 0.0]));
        assert!((of.metrics().log_loss.unwrap() - 36.043_653).abs() < 1e-5);
    }
}
