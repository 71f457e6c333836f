//! Latency against rate as a chart.

use super::report::Report;
use crate::plot::{At, Axis, Chart, Line, Mark};

/// A line for each setting that has a curve, and the objective across them.
#[must_use]
pub fn chart(report: &Report) -> Chart {
    let Report { model, percentile, cores, .. } = report;
    let drawn = report.settings.iter().filter(|row| !row.curve.is_empty());
    let lines = drawn.map(|row| Line { name: row.name(), points: row.curve.clone() });
    let limit = report.objective.map(|objective| Mark {
        at: At::Y(objective.bound.as_secs_f64() * 1e3),
        label: objective.to_string(),
    });
    let rate = report.rate.map(|rate| Mark { at: At::X(rate), label: format!("{rate}/s") });
    Chart {
        title: format!("{model} on {cores} cores"),
        x: Axis { label: "requests a second".to_owned(), log: false },
        y: Axis { label: format!("p{percentile} of the latency, ms"), log: true },
        lines: lines.collect(),
        marks: limit.into_iter().chain(rate).collect(),
    }
}
