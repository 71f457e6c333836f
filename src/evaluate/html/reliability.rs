//! The reliability diagram: how often predictions of a probability are right.

use maud::{Markup, html};

use super::matrix::f;
use super::number;
use crate::evaluate::calibration::Bin;
use crate::evaluate::report::Figures;

/// The plot's left and top edge, its width and height, and those of the counts below.
const LEFT: f64 = 46.0;
const TOP: f64 = 10.0;
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 300.0;
const COUNTS_TOP: f64 = TOP + HEIGHT + 40.0;
const COUNTS: f64 = 56.0;

pub fn section(figures: &Figures) -> Markup {
    let error = figures.metrics.get("ece").copied().flatten().unwrap_or_default();
    html! {
        section {
            h2 { "Calibration" }
            p.soft {
                "Predictions by their probability, and which share of them is right. On the dashed line a model \
                 is right as often as it says; orange is the gap. Below: how many items. The expected \
                 calibration error (ECE) is " (number(error)) "."
            }
            (diagram(&figures.calibration))
        }
    }
}

fn diagram(bins: &[Bin]) -> Markup {
    let x = |share: f64| LEFT + share * WIDTH;
    let y = |share: f64| TOP + (1.0 - share) * HEIGHT;
    let most = bins.iter().map(|bin| bin.items).max().unwrap_or(0).max(1) as f64;
    let ticks = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0];
    html! {
        svg viewBox=(format!("0 0 {} {}", LEFT + WIDTH + 12.0, COUNTS_TOP + COUNTS + 4.0)) role="img"
            aria-label="Reliability diagram" {
            @for tick in ticks {
                line.grid x1=(f(x(0.0))) x2=(f(x(1.0))) y1=(f(y(tick))) y2=(f(y(tick))) { }
                text x=(f(LEFT - 8.0)) y=(f(y(tick) + 4.0)) text-anchor="end" { (tick) }
                text x=(f(x(tick))) y=(f(y(0.0) + 18.0)) text-anchor="middle" { (tick) }
            }
            text transform=(format!("translate(12,{}) rotate(-90)", f(y(0.5)))) text-anchor="middle" {
                "share that is right"
            }
            @for bin in bins.iter().filter(|bin| bin.items > 0) {
                @let (left, width) = (x(bin.from) + 1.0, (bin.to - bin.from) * WIDTH - 2.0);
                @let (high, low) = (bin.accuracy.max(bin.confidence), bin.accuracy.min(bin.confidence));
                g {
                    title {
                        (format!("{:.0} to {:.0} %: {} items, {:.1} % right, {:.1} % said",
                            bin.from * 100.0, bin.to * 100.0, bin.items, bin.accuracy * 100.0,
                            bin.confidence * 100.0))
                    }
                    rect.bar x=(f(left)) y=(f(y(bin.accuracy))) width=(f(width))
                        height=(f(bin.accuracy * HEIGHT)) rx="2" { }
                    rect.gap x=(f(left)) y=(f(y(high))) width=(f(width))
                        height=(f((high - low) * HEIGHT)) { }
                    rect.count x=(f(left)) width=(f(width)) rx="2"
                        y=(f(COUNTS_TOP + COUNTS * (1.0 - bin.items as f64 / most)))
                        height=(f(COUNTS * bin.items as f64 / most)) { }
                }
            }
            line.ideal x1=(f(x(0.0))) y1=(f(y(0.0))) x2=(f(x(1.0))) y2=(f(y(1.0))) { }
            line.axis x1=(f(x(0.0))) x2=(f(x(1.0))) y1=(f(y(0.0))) y2=(f(y(0.0))) { }
            line.axis x1=(f(x(0.0))) x2=(f(x(1.0))) y1=(f(COUNTS_TOP + COUNTS)) y2=(f(COUNTS_TOP + COUNTS)) { }
            text x=(f(x(1.0))) y=(f(COUNTS_TOP - 4.0)) text-anchor="end" { "probability of the prediction" }
            text x=(f(LEFT - 8.0)) y=(f(COUNTS_TOP + 4.0)) text-anchor="end" { (most) }
            text x=(f(LEFT - 8.0)) y=(f(COUNTS_TOP + COUNTS)) text-anchor="end" { "0" }
        }
    }
}
