//! The metrics of `onnxd evaluate` are scikit-learn's and statsmodels' on the same answers. The values in
//! `tests/reference/evaluate.json` are made by `tests/reference/evaluate.py`.

use std::collections::BTreeMap;

use onnxd::evaluate::classification::{Classification, Scores};
use onnxd::evaluate::mcnemar::{McNemar, Method};
use onnxd::evaluate::metrics::{self, Metrics};
use onnxd::evaluate::regression::Regression;
use serde::Deserialize;

use crate::support::root;

#[derive(Deserialize)]
struct Reference {
    classification: Vec<Classified>,
    regression: Vec<Regressed>,
    mcnemar: Vec<Tested>,
}

#[derive(Deserialize)]
struct Classified {
    name: String,
    labels: Vec<usize>,
    scores: Vec<Vec<f32>>,
    metrics: BTreeMap<String, f64>,
    classes: Vec<Class>,
    confusion: Vec<Vec<u64>>,
    accuracy_interval: [f64; 2],
}

#[derive(Deserialize)]
struct Class {
    index: usize,
    precision: f64,
    recall: f64,
    f1: f64,
    support: u64,
}

#[derive(Deserialize)]
struct Regressed {
    name: String,
    values: Vec<f64>,
    predicted: Vec<f64>,
    metrics: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Tested {
    only_first: u64,
    only_other: u64,
    statistic: f64,
    p_value: f64,
}

fn reference() -> Reference {
    let path = root().join("tests/reference/evaluate.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[track_caller]
fn near(what: &str, got: f64, expected: f64) {
    let tolerance = 1e-9 * expected.abs().max(1.0);
    assert!((got - expected).abs() <= tolerance, "{what}: {got}, expected {expected}");
}

#[track_caller]
fn same(name: &str, got: &Metrics, expected: &BTreeMap<String, f64>) {
    for (metric, expected) in expected {
        let value = got[metric.as_str()].unwrap_or_else(|| panic!("{name}: no {metric}"));
        near(&format!("{name}: {metric}"), value, *expected);
    }
    let known = got.iter().filter(|(_, value)| value.is_some()).map(|(metric, _)| *metric);
    let known: Vec<&str> = known.collect();
    assert_eq!(known.len(), expected.len(), "{name}: {known:?}");
}

/// As numpy's argmax has it: of equal scores the first.
fn scores(scores: &[f32]) -> Scores {
    let best = (0..scores.len()).rev().max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
    Scores { best, scores: scores.to_vec() }
}

#[test]
fn classifications_have_scikit_learns_metrics() {
    let cases = reference().classification;
    assert!(cases.len() >= 7);
    for Classified { name, labels, scores: of, metrics, classes, confusion, accuracy_interval } in
        cases
    {
        let mut counts = Classification::new(of[0].len());
        for (label, of_item) in labels.iter().zip(&of) {
            counts.add(*label, &scores(of_item));
        }
        let got = counts.metrics();
        same(&name, &metrics::classification(&got), &metrics);
        for (got, expected) in got.accuracy_interval.unwrap().iter().zip(accuracy_interval) {
            near(&format!("{name}: interval"), *got, expected);
        }
        let of_classes = counts.confusion().classes();
        assert_eq!(of_classes.len(), classes.len(), "{name}");
        for (got, expected) in of_classes.iter().zip(&classes) {
            assert_eq!((got.index, got.support), (expected.index, expected.support), "{name}");
            near(&format!("{name}: precision"), got.precision, expected.precision);
            near(&format!("{name}: recall"), got.recall, expected.recall);
            near(&format!("{name}: F1"), got.f1, expected.f1);
        }
        for (label, row) in confusion.iter().enumerate() {
            for (predicted, items) in row.iter().enumerate() {
                assert_eq!(counts.confusion().count(label, predicted), *items, "{name}");
            }
        }
    }
}

#[test]
fn regressions_have_scikit_learns_metrics() {
    for Regressed { name, values, predicted, metrics } in reference().regression {
        let mut counts = Regression::default();
        for (value, predicted) in values.iter().zip(predicted) {
            counts.add(*value, predicted);
        }
        same(&name, &metrics::regression(&counts.metrics()), &metrics);
    }
}

#[test]
fn mcnemars_test_is_statsmodels() {
    for Tested { only_first, only_other, statistic, p_value } in reference().mcnemar {
        let got = McNemar::test(only_first, only_other);
        let what = format!("{only_first} and {only_other}");
        let exact = only_first + only_other <= 25;
        assert_eq!(got.method == Method::ExactBinomial, exact, "{what}");
        near(&what, got.statistic, statistic);
        near(&what, got.p_value, p_value);
        // A small one to its own digits.
        assert!((got.p_value / p_value - 1.0).abs() < 1e-6, "{what}: {}", got.p_value);
    }
}
