//! Two models beside each other.

use maud::{Markup, html};

use super::{last_part, number, words};
use crate::evaluate::mcnemar::{McNemar, Method};
use crate::evaluate::metrics::lower_is_better;
use crate::evaluate::report::{Against, Report};

pub fn section(report: &Report, against: &Against) -> Markup {
    let [own, other] = report.model.names_beside(&against.model);
    html! {
        section {
            h2 { (own) " against " (other) }
            p.soft {
                "They say the same of " (against.agree) " of " (report.items) " items. Their "
                @if report.classifies() { "probabilities of an item" } @else { "values" }
                " differ by " (number(against.mean_difference)) " on average and by "
                (number(against.largest_difference)) " at most."
            }
            @if let Some(test) = &against.mcnemar { p { (sentence(test)) } }
            div.scroll { (metrics(report, against, [&own, &other])) }
        }
        @if !against.differences.is_empty() { (differences(against, [&own, &other])) }
    }
}

/// The test in words.
#[must_use]
pub fn sentence(test: &McNemar) -> String {
    let McNemar { only_first, only_other, statistic, p_value, .. } = test;
    let method = match test.method {
        Method::ExactBinomial => "exact binomial".to_owned(),
        Method::ChiSquare => format!("chi-square {statistic:.3} with continuity correction"),
    };
    let verdict = if *p_value < 0.05 {
        "more than chance explains at the 5 % level"
    } else {
        "no more than chance may explain at the 5 % level"
    };
    format!(
        "The first alone is right on {only_first} items, the other alone on {only_other}: {verdict} \
         (McNemar's test, {method}, p = {}).",
        number(*p_value)
    )
}

fn metrics(report: &Report, against: &Against, [own, other]: [&str; 2]) -> Markup {
    let rows = report.figures.metrics.iter().filter_map(|(name, value)| {
        let other = against.figures.metrics.get(name).copied().flatten()?;
        Some((*name, (*value)?, other))
    });
    html! {
        table {
            thead { tr {
                th { "metric" } th.n { (own) } th.n { (other) } th.n { "difference" }
            } }
            tbody {
                @for (name, value, other) in rows {
                    @let difference = value - other;
                    @let better = (difference > 0.0) != lower_is_better(name);
                    tr {
                        td { (words(name)) }
                        td.n { (number(value)) } td.n { (number(other)) }
                        td.n.up[difference != 0.0 && better && name != "mean_error"]
                            .down[difference != 0.0 && !better && name != "mean_error"] {
                            (if difference == 0.0 { "0".to_owned() } else { format!("{difference:+.4}") })
                        }
                    }
                }
            }
        }
    }
}

fn differences(against: &Against, [own, other]: [&str; 2]) -> Markup {
    html! {
        section {
            h2 { "Items of which they say different things" }
            p.soft {
                (against.differences.len()) " of " (against.differ) ", the largest differences first."
            }
            div.scroll {
                table {
                    thead { tr {
                        th { "input" } th { "label" } th { (own) } th.n { } th { (other) } th.n { }
                        th { "where" }
                    } }
                    tbody {
                        @for item in &against.differences {
                            @let tag = |is_right| if is_right { "tag is" } else { "tag said" };
                            tr {
                                td.text { (item.item.excerpt.as_deref().unwrap_or_default()) }
                                td { (item.label) }
                                td { span class=(tag(item.prediction == item.label)) { (item.prediction) } }
                                td.n { (item.score.map_or(String::new(), number)) }
                                td { span class=(tag(item.other_prediction == item.label)) { (item.other_prediction) } }
                                td.n { (item.other_score.map_or(String::new(), number)) }
                                td.place title=(item.item.input) { (last_part(&item.item.input)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
