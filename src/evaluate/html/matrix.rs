//! The confusion matrix as a heat map.

use std::collections::{BTreeMap, HashMap};

use maud::{Markup, html};

use crate::evaluate::report::{Figures, Pair};

/// Classes that the map has room for; of more, those with the most mistakes.
const MOST: usize = 24;
/// Up to so many classes, cells hold their counts.
const WITH_COUNTS: usize = 12;
/// Commonest mistakes in the list beside a map that shows only some of the classes.
const LISTED: usize = 15;
/// Width and height of the map in the picture's own units, and the room for names.
const SIDE: f64 = 400.0;
const NAMES: f64 = 112.0;

pub fn section(figures: &Figures) -> Markup {
    let all = figures.classes.len();
    let shown = shown(figures);
    html! {
        section {
            h2 { "Confusion" }
            p.soft {
                "A row is a label, a column a prediction; the stronger the colour, the larger the share of the \
                 label's items."
                @if shown.len() < all {
                    " The " (shown.len()) " classes with the most mistakes, of " (all) "."
                }
            }
            (map(figures, &shown))
            @if shown.len() < all { (commonest(figures)) }
        }
    }
}

/// Numbers of the classes in the map, in rising order.
fn shown(figures: &Figures) -> Vec<usize> {
    let mut mistakes: BTreeMap<usize, u64> = BTreeMap::new();
    for Pair { numbers: [label, predicted], items, .. } in &figures.confusion {
        let items = if label == predicted { 0 } else { *items };
        *mistakes.entry(*label).or_default() += items;
        *mistakes.entry(*predicted).or_default() += items;
    }
    let mut classes: Vec<(usize, u64)> = mistakes.into_iter().collect();
    classes.sort_by_key(|(_, items)| std::cmp::Reverse(*items));
    classes.truncate(MOST);
    let mut classes: Vec<usize> = classes.into_iter().map(|(class, _)| class).collect();
    classes.sort_unstable();
    classes
}

fn map(figures: &Figures, shown: &[usize]) -> Markup {
    let counts: HashMap<[usize; 2], u64> =
        figures.confusion.iter().map(|pair| (pair.numbers, pair.items)).collect();
    let supports: HashMap<usize, u64> =
        figures.classes.iter().map(|class| (class.metrics.index, class.metrics.support)).collect();
    let names: HashMap<usize, &str> =
        figures.classes.iter().map(|class| (class.metrics.index, class.label.as_str())).collect();
    let name = |class: &usize| names.get(class).copied().unwrap_or_default();
    let side = SIDE / shown.len().max(1) as f64;
    let has_counts = shown.len() <= WITH_COUNTS;
    let font = (side * 0.6).clamp(7.0, 13.0);
    let cut = |text: &str| {
        let most = (NAMES / font / 0.56) as usize;
        let mut short: String = text.chars().take(most).collect();
        if short.len() < text.len() {
            short.pop();
            short.push('…');
        }
        short
    };
    let upright = shown.len() <= 4;
    let height = NAMES.min(if upright { 30.0 } else { NAMES }) + SIDE;
    let top = height - SIDE;
    html! {
        svg viewBox=(format!("0 0 {} {height}", NAMES + SIDE)) role="img"
            aria-label="Confusion matrix; its figures are in the table of classes" {
            @for (row, label) in shown.iter().enumerate() {
                @let y = top + row as f64 * side;
                text.strong x=(NAMES - 8.0) y=(f(y + side / 2.0 + font * 0.35)) text-anchor="end"
                    style=(format!("font-size:{font:.1}px")) { (cut(name(label))) }
                @for (column, predicted) in shown.iter().enumerate() {
                    @let items = counts.get(&[*label, *predicted]).copied().unwrap_or_default();
                    @let support = supports.get(label).copied().unwrap_or_default();
                    @let share = if support == 0 { 0.0 } else { items as f64 / support as f64 };
                    @let x = NAMES + column as f64 * side;
                    g {
                        title {
                            (name(label)) " → " (name(predicted)) ": " (items) " of " (support)
                            " (" (format!("{:.1} %", share * 100.0)) ")"
                        }
                        rect.cell x=(f(x + 0.5)) y=(f(y + 0.5)) width=(f(side - 1.0))
                            height=(f(side - 1.0)) rx=(f((side * 0.06).min(4.0))) { }
                        @if items > 0 {
                            rect class=(if label == predicted { "right" } else { "wrong" })
                                x=(f(x + 0.5)) y=(f(y + 0.5)) width=(f(side - 1.0))
                                height=(f(side - 1.0)) rx=(f((side * 0.06).min(4.0)))
                                fill-opacity=(format!("{:.3}", 0.08 + 0.92 * share)) { }
                        }
                        @if has_counts {
                            text class=(if share > 0.55 { "over" } else { "strong" }) text-anchor="middle"
                                x=(f(x + side / 2.0)) y=(f(y + side / 2.0 + font * 0.35))
                                style=(format!("font-size:{font:.1}px")) { (items) }
                        }
                    }
                }
            }
            @for (column, predicted) in shown.iter().enumerate() {
                @let x = NAMES + (column as f64 + 0.5) * side;
                @if upright {
                    text.strong x=(f(x)) y=(f(top - 10.0)) text-anchor="middle"
                        style=(format!("font-size:{font:.1}px")) { (cut(name(predicted))) }
                } @else {
                    text.strong text-anchor="start" style=(format!("font-size:{font:.1}px"))
                        transform=(format!("translate({},{}) rotate(-90)", f(x + font * 0.35), f(top - 8.0))) {
                        (cut(name(predicted)))
                    }
                }
            }
        }
    }
}

fn commonest(figures: &Figures) -> Markup {
    let wrong = figures.confusion.iter().filter(|pair| pair.numbers[0] != pair.numbers[1]);
    html! {
        details open {
            summary { "The commonest mistakes" }
            table {
                thead { tr { th { "label" } th { "prediction" } th.n { "items" } } }
                tbody {
                    @for pair in wrong.take(LISTED) {
                        tr { td { (pair.label) } td { (pair.prediction) } td.n { (pair.items) } }
                    }
                }
            }
        }
    }
}

/// A coordinate.
pub fn f(value: f64) -> String {
    format!("{value:.1}")
}
