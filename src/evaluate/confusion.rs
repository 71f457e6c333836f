//! Which classes were predicted for which, and every metric that follows from these counts alone.
//!
//! Conventions are scikit-learn's with `zero_division=0`: an average is over the classes that occur among
//! the labels or the predictions, and a ratio without a denominator is 0.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// Counts of (label, prediction). Only pairs that occur take memory, since a model may have many classes.
#[derive(Debug, Clone, Default)]
pub struct Confusion {
    counts: BTreeMap<(usize, usize), u64>,
}

/// How well one class is found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassMetrics {
    /// The class's number.
    pub index: usize,
    /// Items with this label.
    pub support: u64,
    /// Items with this prediction.
    pub predicted: u64,
    /// Items with both.
    pub right: u64,
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
}

/// Means over classes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Averages {
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
}

impl Confusion {
    pub fn add(&mut self, label: usize, predicted: usize) {
        *self.counts.entry((label, predicted)).or_default() += 1;
    }

    #[must_use]
    pub fn count(&self, label: usize, predicted: usize) -> u64 {
        self.counts.get(&(label, predicted)).copied().unwrap_or_default()
    }

    /// All pairs that occur, in rising order: label, prediction, how many.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize, u64)> {
        self.counts.iter().map(|(&(label, predicted), &count)| (label, predicted, count))
    }

    /// Items.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Items whose prediction is their label.
    #[must_use]
    pub fn right(&self) -> u64 {
        self.pairs().filter(|(label, predicted, _)| label == predicted).map(|(.., n)| n).sum()
    }

    #[must_use]
    pub fn accuracy(&self) -> f64 {
        ratio(self.right(), self.total())
    }

    /// The classes that occur among labels or predictions, in order of their numbers.
    #[must_use]
    pub fn classes(&self) -> Vec<ClassMetrics> {
        let numbers: BTreeSet<usize> = self.pairs().flat_map(|(l, p, _)| [l, p]).collect();
        let (labels, predictions) = (self.sums(|l, _| l), self.sums(|_, p| p));
        let metrics = |index: usize| {
            let of = |sums: &BTreeMap<usize, u64>| sums.get(&index).copied().unwrap_or_default();
            let (support, predicted) = (of(&labels), of(&predictions));
            let right = self.count(index, index);
            ClassMetrics {
                index,
                support,
                predicted,
                right,
                precision: ratio(right, predicted),
                recall: ratio(right, support),
                f1: ratio(2 * right, support + predicted),
            }
        };
        numbers.into_iter().map(metrics).collect()
    }

    /// The mean recall of the classes that occur among the labels.
    #[must_use]
    pub fn balanced_accuracy(&self) -> f64 {
        let recalls: Vec<f64> =
            self.classes().iter().filter(|class| class.support > 0).map(|c| c.recall).collect();
        recalls.iter().sum::<f64>() / recalls.len().max(1) as f64
    }

    /// Every class counts alike.
    #[must_use]
    pub fn macro_averages(&self) -> Averages {
        average(&self.classes(), |_| 1.0)
    }

    /// Every class counts by its items.
    #[must_use]
    pub fn weighted_averages(&self) -> Averages {
        average(&self.classes(), |class| class.support as f64)
    }

    /// Matthews' correlation coefficient of labels and predictions, -1 to 1; 0 where either is the same for
    /// all items.
    #[must_use]
    pub fn matthews(&self) -> f64 {
        let total = self.total() as f64;
        let (labels, predictions) = (self.sums(|l, _| l), self.sums(|_, p| p));
        let dot = |a: &BTreeMap<usize, u64>, b: &BTreeMap<usize, u64>| -> f64 {
            let product = |(class, n): (&usize, &u64)| {
                *n as f64 * b.get(class).copied().unwrap_or_default() as f64
            };
            a.iter().map(product).sum()
        };
        let both = self.right() as f64 * total - dot(&labels, &predictions);
        let of_labels = total * total - dot(&labels, &labels);
        let of_predictions = total * total - dot(&predictions, &predictions);
        let spread = (of_labels * of_predictions).sqrt();
        if spread == 0.0 { 0.0 } else { both / spread }
    }

    /// The commonest mistakes, `most` of them: label, prediction, how many.
    #[must_use]
    pub fn commonest_mistakes(&self, most: usize) -> Vec<(usize, usize, u64)> {
        let mut mistakes: Vec<_> = self.pairs().filter(|(l, p, _)| l != p).collect();
        mistakes.sort_by(|a, b| b.2.cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1))));
        mistakes.truncate(most);
        mistakes
    }

    fn sums(&self, key: impl Fn(usize, usize) -> usize) -> BTreeMap<usize, u64> {
        let mut sums = BTreeMap::new();
        for (label, predicted, count) in self.pairs() {
            *sums.entry(key(label, predicted)).or_default() += count;
        }
        sums
    }
}

fn average(classes: &[ClassMetrics], weight: impl Fn(&ClassMetrics) -> f64) -> Averages {
    let total: f64 = classes.iter().map(&weight).sum();
    if total == 0.0 {
        return Averages::default();
    }
    let mean = |of: fn(&ClassMetrics) -> f64| {
        classes.iter().map(|class| weight(class) * of(class)).sum::<f64>() / total
    };
    Averages { precision: mean(|c| c.precision), recall: mean(|c| c.recall), f1: mean(|c| c.f1) }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Wilson's 95 % interval of a share of which `part` of `whole` were seen.
#[must_use]
pub fn wilson_interval(part: u64, whole: u64) -> Option<[f64; 2]> {
    const Z: f64 = 1.959_963_984_540_054;
    if whole == 0 {
        return None;
    }
    let (n, p) = (whole as f64, ratio(part, whole));
    let scale = 1.0 + Z * Z / n;
    let middle = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    Some([(middle - half) / scale, (middle + half) / scale])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confusion(pairs: &[(usize, usize)]) -> Confusion {
        let mut confusion = Confusion::default();
        for (label, predicted) in pairs {
            confusion.add(*label, *predicted);
        }
        confusion
    }

    #[test]
    fn a_class_that_is_never_predicted_or_never_right_has_zeros() {
        let of = confusion(&[(0, 0), (0, 2), (1, 0), (1, 0)]);
        let classes = of.classes();
        assert_eq!(classes.iter().map(|c| c.index).collect::<Vec<_>>(), [0, 1, 2]);
        let [zero, one, two] = classes.as_slice() else { unreachable!() };
        assert_eq!((zero.support, zero.predicted, zero.right), (2, 3, 1));
        assert_eq!((one.precision, one.recall, one.f1), (0.0, 0.0, 0.0), "never predicted");
        assert_eq!((two.support, two.recall), (0, 0.0), "no item has it");
        assert_eq!(of.balanced_accuracy(), 0.25, "over the two classes that items have");
        assert_eq!(of.macro_averages().recall, 0.5 / 3.0, "over all three");
    }

    #[test]
    fn correlation_is_one_when_all_is_right_and_zero_without_variety() {
        assert_eq!(confusion(&[(0, 0), (1, 1)]).matthews(), 1.0);
        assert_eq!(confusion(&[(0, 1), (1, 0)]).matthews(), -1.0);
        assert_eq!(confusion(&[(0, 0), (1, 0)]).matthews(), 0.0);
        assert_eq!(Confusion::default().matthews(), 0.0);
    }

    #[test]
    fn mistakes_are_told_by_how_often_they_happen() {
        let of = confusion(&[(0, 0), (0, 0), (0, 1), (2, 1), (2, 1)]);
        assert_eq!(of.commonest_mistakes(5), [(2, 1, 2), (0, 1, 1)]);
        assert_eq!(of.commonest_mistakes(1), [(2, 1, 2)]);
    }

    #[test]
    fn the_interval_holds_the_share_and_stays_between_zero_and_one() {
        let [low, high] = wilson_interval(1544, 2000).unwrap();
        // statsmodels.stats.proportion.proportion_confint(1544, 2000, method="wilson")
        assert!(
            (low - 0.753_101_9).abs() < 1e-6 && (high - 0.789_855_3).abs() < 1e-6,
            "{low} {high}"
        );
        let [low, high] = wilson_interval(3, 3).unwrap();
        assert!(low > 0.4 && high <= 1.0, "{low} {high}");
        assert_eq!(wilson_interval(0, 0), None);
    }
}
