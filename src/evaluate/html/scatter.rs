//! Predictions of a regression against the true values.

use maud::{Markup, html};

use super::matrix::f;
use crate::evaluate::report::Figures;
use crate::plot::ticks;

const LEFT: f64 = 64.0;
const TOP: f64 = 10.0;
const SIDE: f64 = 460.0;

pub fn section(figures: &Figures) -> Markup {
    html! {
        section {
            h2 { "Predictions against values" }
            p.soft { (figures.sample.len()) " items, a random sample of them where there are more. On the dashed \
                line a prediction is right." }
            div style="max-width:620px" { (plot(&figures.sample)) }
        }
    }
}

fn plot(sample: &[[f64; 2]]) -> Markup {
    let all = || sample.iter().flatten().copied();
    let (low, high) =
        (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    if !(low.is_finite() && high.is_finite()) {
        return html! {};
    }
    // One scale for both axes, with some room.
    let room = ((high - low) * 0.04).max(1e-9);
    let (low, high) = (low - room, high + room);
    let place = |value: f64| (value - low) / (high - low);
    let x = |value: f64| LEFT + place(value) * SIDE;
    let y = |value: f64| TOP + (1.0 - place(value)) * SIDE;
    html! {
        svg viewBox=(format!("0 0 {} {}", LEFT + SIDE + 12.0, TOP + SIDE + 44.0)) role="img"
            aria-label="Predictions against values" {
            @for (tick, words) in ticks(low..high) {
                line.grid x1=(f(LEFT)) x2=(f(LEFT + SIDE)) y1=(f(y(tick))) y2=(f(y(tick))) { }
                line.grid x1=(f(x(tick))) x2=(f(x(tick))) y1=(f(TOP)) y2=(f(TOP + SIDE)) { }
                text x=(f(LEFT - 8.0)) y=(f(y(tick) + 4.0)) text-anchor="end" { (words) }
                text x=(f(x(tick))) y=(f(TOP + SIDE + 18.0)) text-anchor="middle" { (words) }
            }
            line.ideal x1=(f(x(low))) y1=(f(y(low))) x2=(f(x(high))) y2=(f(y(high))) { }
            @for [value, predicted] in sample {
                circle.dot cx=(f(x(*value))) cy=(f(y(*predicted))) r="3.5" {
                    title { "value " (value) ", prediction " (predicted) }
                }
            }
            text x=(f(LEFT + SIDE)) y=(f(TOP + SIDE + 38.0)) text-anchor="end" { "true value" }
            text transform=(format!("translate(12,{}) rotate(-90)", f(TOP + SIDE / 2.0)))
                text-anchor="middle" { "prediction" }
        }
    }
}
