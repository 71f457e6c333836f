//! The metrics of one number each, by the names under which they are told and asked for.

use indexmap::IndexMap;

use super::classification::ClassificationMetrics;
use super::regression::RegressionMetrics;

/// In the order in which they are shown; `None` where a metric does not exist for these scores.
pub type Metrics = IndexMap<&'static str, Option<f64>>;

const CLASSIFICATION: [&str; 12] = [
    "accuracy",
    "balanced_accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "weighted_precision",
    "weighted_recall",
    "weighted_f1",
    "top5_accuracy",
    "mcc",
    "log_loss",
    "ece",
];
const REGRESSION: [&str; 4] = ["mae", "rmse", "r2", "mean_error"];
const COMPARISON: [&str; 3] = ["agreement", "mean_difference", "largest_difference"];

/// Every name there is for a model that tells classes, or else values; of two models that are compared
/// also how they differ.
#[must_use]
pub fn names(classifies: bool, compares: bool) -> Vec<&'static str> {
    let own: &[&str] = if classifies { &CLASSIFICATION } else { &REGRESSION };
    let of_both: &[&str] = if compares { &COMPARISON } else { &[] };
    [own, of_both].concat()
}

#[must_use]
pub fn classification(of: &ClassificationMetrics) -> Metrics {
    let values = [
        Some(of.accuracy),
        Some(of.balanced_accuracy),
        Some(of.macro_precision),
        Some(of.macro_recall),
        Some(of.macro_f1),
        Some(of.weighted_precision),
        Some(of.weighted_recall),
        Some(of.weighted_f1),
        of.top5_accuracy,
        Some(of.matthews),
        of.log_loss,
        of.ece,
    ];
    CLASSIFICATION.into_iter().zip(values).collect()
}

#[must_use]
pub fn regression(of: &RegressionMetrics) -> Metrics {
    let values = [Some(of.mae), Some(of.rmse), of.r2, Some(of.mean_error)];
    REGRESSION.into_iter().zip(values).collect()
}

/// Adds how two models differ: the share of items of which they say the same, and the mean and the
/// largest difference.
pub fn add_comparison(metrics: &mut Metrics, agreement: f64, mean: f64, largest: f64) {
    let values = [agreement, mean, largest].map(Some);
    metrics.extend(COMPARISON.into_iter().zip(values));
}

/// Whether a model with less of it is the better one.
#[must_use]
pub fn lower_is_better(metric: &str) -> bool {
    matches!(metric, "log_loss" | "ece" | "mae" | "rmse")
}
