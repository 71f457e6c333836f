//! The worst mistakes: the most confident wrong predictions, or the largest errors.

use maud::{Markup, html};

use super::{last_part, number};
use crate::evaluate::report::{Mistake, Report};
use crate::evaluate::thumbnail;

pub fn section(report: &Report) -> Markup {
    let mistakes = &report.mistakes;
    let have_images = mistakes.iter().any(|mistake| mistake.item.image.is_some());
    html! {
        @if !mistakes.is_empty() {
            section {
                h2 { "Worst mistakes" }
                p.soft {
                    @if report.classifies() {
                        "The wrong predictions that the model is surest of. Some may be wrong labels."
                    } @else {
                        "The items whose prediction is farthest from the value."
                    }
                }
                @if have_images { (photos(mistakes)) } @else { (rows(mistakes)) }
            }
        }
    }
}

fn photos(mistakes: &[Mistake]) -> Markup {
    html! {
        div.photos {
            @for Mistake { item, label, prediction, score, .. } in mistakes {
                figure title=(item.input) {
                    @match item.image.as_deref().and_then(thumbnail::data_uri) {
                        Some(uri) => img src=(uri) alt=(item.input) { },
                        None => div.none { },
                    }
                    figcaption {
                        span { span.tag.is { (label) } }
                        span { span.tag.said { (prediction) } " " (score.map_or(String::new(), number)) }
                        span.soft { (last_part(&item.input)) }
                    }
                }
            }
        }
    }
}

fn rows(mistakes: &[Mistake]) -> Markup {
    let has_scores = mistakes.iter().any(|mistake| mistake.score.is_some());
    html! {
        div.scroll {
            table {
                thead { tr {
                    th { "input" } th { "label" } th { "prediction" }
                    @if has_scores { th.n { "score" } th.n { "label's" } }
                    th { "where" }
                } }
                tbody {
                    @for mistake in mistakes {
                        tr {
                            td.text { (mistake.item.excerpt.as_deref().unwrap_or_default()) }
                            td { span.tag.is { (mistake.label) } }
                            td { span.tag.said { (mistake.prediction) } }
                            @if has_scores {
                                td.n { (mistake.score.map_or(String::new(), number)) }
                                td.n { (mistake.label_score.map_or(String::new(), number)) }
                            }
                            td.place title=(mistake.item.input) { (last_part(&mistake.item.input)) }
                        }
                    }
                }
            }
        }
    }
}
