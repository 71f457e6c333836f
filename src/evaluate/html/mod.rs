//! The report as one HTML page, which fetches nothing.

mod comparison;
mod matrix;
mod mistakes;
mod reliability;
mod scatter;

use maud::{DOCTYPE, Markup, PreEscaped, html};

pub use comparison::sentence;

use super::bars::Bound;
use super::report::{Figures, Report};

const STYLE: &str = include_str!("style.css");
/// Classes whose figures are shown one by one.
const CLASSES: usize = 1000;
/// Metrics that have a place of their own further down.
const ELSEWHERE: [&str; 7] = [
    "macro_precision",
    "macro_recall",
    "weighted_precision",
    "weighted_recall",
    "agreement",
    "mean_difference",
    "largest_difference",
];

/// The whole page.
#[must_use]
pub fn page(report: &Report) -> String {
    let Report { model, figures, .. } = report;
    let title = format!("{} on {}", model.name, report.data);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (title) }
                    p.lead { (lead(report)) }
                    (bars(report))
                    (tiles(report))
                    @if report.classifies() {
                        div.pair {
                            (matrix::section(figures))
                            @if !figures.calibration.is_empty() { (reliability::section(figures)) }
                        }
                        (classes(figures))
                    } @else {
                        (scatter::section(figures))
                    }
                    @if let Some(against) = &report.against { (comparison::section(report, against)) }
                    (mistakes::section(report))
                    (problems(report))
                    (footer(report))
                }
            }
        }
    };
    page.into_string()
}

fn lead(report: &Report) -> String {
    let Report { model, items, seconds, items_per_second, .. } = report;
    let mut lead = format!(
        "{}, version {}, {} on {}. {items} items in {seconds:.1} s, {items_per_second:.0} a second.",
        model.task, model.version, model.file, model.device
    );
    if report.skipped > 0 {
        lead += &format!(" {} unusable items were left out.", report.skipped);
    }
    if report.failed > 0 {
        lead += &format!(" {} items failed; no figure counts them.", report.failed);
    }
    lead
}

fn bars(report: &Report) -> Markup {
    html! {
        @if !report.bars.is_empty() {
            ul.bars {
                @for bar in &report.bars {
                    @let bound = match bar.bound { Bound::AtLeast => "at least", Bound::AtMost => "at most" };
                    li class=(if bar.met { "met" } else { "missed" }) {
                        (if bar.met { "✓ " } else { "✗ " })
                        (words(&bar.metric)) " " (bar.value.map_or("none".to_owned(), number)) ", "
                        (bound) " " (bar.bar)
                    }
                }
            }
        }
    }
}

fn tiles(report: &Report) -> Markup {
    let figures = &report.figures;
    let told = |[low, high]: [f64; 2]| format!("{low:.3} to {high:.3} (95 %)");
    let interval = figures.accuracy_interval.map(told);
    html! {
        div.tiles {
            @for (index, (name, value)) in figures.metrics.iter().enumerate() {
                @if let Some(value) = value.filter(|_| !ELSEWHERE.contains(name)) {
                    div.tile.main[index == 0] {
                        div.name { (words(name)) }
                        div.value { (number(value)) }
                        @if let (0, Some(interval)) = (index, &interval) { div.note { (interval) } }
                    }
                }
            }
        }
    }
}

fn classes(figures: &Figures) -> Markup {
    let rest = figures.classes.len().saturating_sub(CLASSES);
    html! {
        section {
            h2 { "Classes" }
            p.soft {
                "Precision: how many of the predictions are right. Recall: how many of the class's items are \
                 found. F1: their harmonic mean."
            }
            div.scroll {
                table {
                    thead { tr {
                        th { "class" } th.n { "items" } th.n { "predicted" } th.n { "precision" }
                        th.n { "recall" } th.n { "F1" } th { }
                    } }
                    tbody {
                        @for class in figures.classes.iter().take(CLASSES) {
                            @let of = class.metrics;
                            tr {
                                td { (class.label) }
                                td.n { (of.support) } td.n { (of.predicted) }
                                td.n { (number(of.precision)) } td.n { (number(of.recall)) }
                                td.n { (number(of.f1)) }
                                td.meter {
                                    div { span style=(format!("width:{:.1}%", of.f1 * 100.0)) { } }
                                }
                            }
                        }
                    }
                    tfoot {
                        @for kind in ["macro", "weighted"] {
                            @let of = |name: &str| {
                                let value = figures.metrics.get(format!("{kind}_{name}").as_str());
                                value.copied().flatten().map_or_else(String::new, number)
                            };
                            tr {
                                td { (kind) " average" } td { } td { }
                                td.n { (of("precision")) } td.n { (of("recall")) } td.n { (of("f1")) }
                                td { }
                            }
                        }
                    }
                }
            }
            @if rest > 0 { p.soft { (rest) " further classes are in the JSON." } }
        }
    }
}

fn problems(report: &Report) -> Markup {
    html! {
        @if !report.problems.is_empty() {
            section {
                h2 { "Items that failed" }
                p.soft { (report.failed) " items gave no answer. No figure counts them." }
                table { tbody {
                    @for problem in &report.problems {
                        tr { td.place { (problem.place) } td.text { (problem.reason) } }
                    }
                } }
            }
        }
    }
}

fn footer(report: &Report) -> Markup {
    html! {
        footer {
            @if report.classifies() {
                p {
                    "As scikit-learn computes them with zero_division=0: averages are over the classes that \
                     occur among labels or predictions (balanced accuracy: among labels), and a ratio without \
                     a denominator is 0. The interval is Wilson's. ECE, the expected calibration error, is \
                     over 15 bins of equal width. Of equal scores the class of the smaller number counts as \
                     the better one."
                }
            } @else {
                p { "R² is the share of the values' variance that is predicted. The mean error is above 0 \
                     where predictions are too high." }
            }
            p { "onnxd " (env!("CARGO_PKG_VERSION")) }
        }
    }
}

/// A metric's name for people.
#[must_use]
pub fn words(metric: &str) -> String {
    match metric {
        "macro_f1" => "macro F1".to_owned(),
        "weighted_f1" => "weighted F1".to_owned(),
        "top5_accuracy" => "top-5 accuracy".to_owned(),
        "mcc" | "ece" | "mae" | "rmse" => metric.to_uppercase(),
        "r2" => "R²".to_owned(),
        other => other.replace('_', " "),
    }
}

/// Four digits after the point; more or fewer for values that are no shares.
#[must_use]
pub fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0.0000".to_owned(),
        size if size >= 1000.0 => format!("{value:.1}"),
        size if size < 0.001 => format!("{value:.2e}"),
        _ => format!("{value:.4}"),
    }
}

/// A path without its folders.
fn last_part(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}
