//! Line charts as SVG.

use std::ops::Range;

use anyhow::{Context, ensure};
use plotters::coord::ranged1d::{
    BoldPoints, KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter,
};
use plotters::prelude::*;

/// Pixels.
const SIZE: (u32, u32) = (860, 520);
/// Text in pixels.
const SMALL: u32 = 14;
const LARGE: u32 = 18;
/// One for each line, told apart without seeing red and green differ; then again from the first.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
];

/// Lines over two axes.
#[derive(Debug, Clone, Default)]
pub struct Chart {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
    pub marks: Vec<Mark>,
}

#[derive(Debug, Clone, Default)]
pub struct Axis {
    pub label: String,
    /// Values above 0 alone.
    pub log: bool,
}

/// Points in order, joined.
#[derive(Debug, Clone, Default)]
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// A straight line across the chart, with words beside it.
#[derive(Debug, Clone)]
pub struct Mark {
    pub at: At,
    pub label: String,
}

#[derive(Debug, Clone, Copy)]
pub enum At {
    X(f64),
    Y(f64),
}

impl Chart {
    /// The chart as the text of an SVG file. Points that an axis cannot show (not finite, or not above
    /// 0 where it is logarithmic) are left out.
    ///
    /// # Errors
    /// No point is left.
    pub fn svg(&self) -> anyhow::Result<String> {
        let shows = |&(x, y): &(f64, f64)| self.x.shows(x) && self.y.shows(y);
        let lines: Vec<Vec<(f64, f64)>> = self
            .lines
            .iter()
            .map(|line| line.points.iter().copied().filter(shows).collect())
            .collect();
        let (mut xs, mut ys): (Vec<f64>, Vec<f64>) = lines.iter().flatten().copied().unzip();
        ensure!(!xs.is_empty(), "nothing to plot: {}", self.title);
        for mark in &self.marks {
            match mark.at {
                At::X(x) if self.x.shows(x) => xs.push(x),
                At::Y(y) if self.y.shows(y) => ys.push(y),
                At::X(_) | At::Y(_) => {}
            }
        }
        let (x, y) = (Scale::around(&xs, self.x.log), Scale::around(&ys, self.y.log));
        let mut svg = String::new();
        self.draw(&mut svg, &lines, x, y)
            .map_err(|error| anyhow::anyhow!("{error}"))
            .context("the plot cannot be drawn")?;
        Ok(svg)
    }

    fn draw<'a>(
        &self,
        svg: &'a mut String,
        lines: &[Vec<(f64, f64)>],
        x: Scale,
        y: Scale,
    ) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (x_range, y_range) = (x.range(), y.range());
        let middle = x.at(0.4);
        let mut chart = ChartBuilder::on(&root)
            .margin(16)
            .caption(&self.title, ("sans-serif", LARGE))
            .x_label_area_size(48)
            .y_label_area_size(64)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .x_desc(&self.x.label)
            .y_desc(&self.y.label)
            .label_style(("sans-serif", SMALL))
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .draw()?;
        for mark in &self.marks {
            // The words stand where the legend does not.
            let (ends, words, offset) = match mark.at {
                At::X(x) => ([(x, y_range.start), (x, y_range.end)], (x, y_range.end), (6, 4)),
                At::Y(y) => ([(x_range.start, y), (x_range.end, y)], (middle, y), (0, -18)),
            };
            let dashes = DashedLineSeries::new(ends, 5, 4, BLACK.mix(0.6).into());
            chart.draw_series(dashes)?;
            let grey = BLACK.mix(0.75);
            let style = ("sans-serif", SMALL).into_text_style(&root).color(&grey);
            let words = EmptyElement::at(words) + Text::new(mark.label.clone(), offset, style);
            chart.draw_series(std::iter::once(words))?;
        }
        for ((line, points), colour) in self.lines.iter().zip(lines).zip(COLOURS.iter().cycle()) {
            let style = colour.stroke_width(2);
            chart
                .draw_series(LineSeries::new(points.iter().copied(), style))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
            let dots = points.iter().map(|point| Circle::new(*point, 3, colour.filled()));
            chart.draw_series(dots)?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .margin(8)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .label_font(("sans-serif", SMALL))
            .draw()?;
        root.present()
    }
}

/// Round values within a linear range, as they are written beside an axis.
#[must_use]
pub fn ticks(range: Range<f64>) -> Vec<(f64, String)> {
    let ticks = Scale { range, log: false }.key_points(BoldPoints(8));
    ticks.into_iter().map(|tick| (tick, Scale::format(&tick))).collect()
}

impl Axis {
    fn shows(&self, value: f64) -> bool {
        value.is_finite() && (value > 0.0 || !self.log)
    }
}

/// An axis in its direction: which values it covers, and where its ticks are.
#[derive(Clone)]
struct Scale {
    range: Range<f64>,
    log: bool,
}

impl Scale {
    /// Covers these values with some room; a linear one from 0 on, as far as none is below.
    fn around(values: &[f64], log: bool) -> Self {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let range = if log {
            low / 1.25..high * 1.5
        } else {
            let low = low.min(0.0);
            low..if high > low { high + (high - low) * 0.08 } else { low + 1.0 }
        };
        Self { range, log }
    }

    /// A value's place between the ends, 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let Range { start, end } = self.range;
        match self.log {
            true => (value / start).ln() / (end / start).ln(),
            false => (value - start) / (end - start),
        }
    }

    /// The value at a place between the ends.
    fn at(&self, place: f64) -> f64 {
        let Range { start, end } = self.range;
        match self.log {
            true => start * (end / start).powf(place),
            false => start + (end - start) * place,
        }
    }
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        limit.0 + (self.place(*value) * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        let Range { start, end } = self.range.clone();
        let most = hint.max_num_points().clamp(2, 10) as f64;
        let decade = |value: f64| value.log10().floor() as i32;
        let steps = |powers: Range<i32>, steps: &'static [f64]| {
            powers.flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)))
        };
        if self.log {
            let ticks = |of: &'static [f64]| -> Vec<f64> {
                let inside = |tick: &f64| (start..=end).contains(tick);
                steps(decade(start)..decade(end) + 1, of).filter(inside).collect()
            };
            let fine = ticks(&[1.0, 2.0, 5.0]);
            return if fine.len() as f64 <= most { fine } else { ticks(&[1.0]) };
        }
        let least = (end - start) / most;
        let mut sizes = steps(decade(least)..decade(least) + 2, &[1.0, 2.0, 5.0]);
        let size = sizes.find(|size| *size >= least).unwrap_or(least);
        let (first, last) = ((start / size).ceil() as i64, (end / size).floor() as i64);
        (first..=last).map(|tick| tick as f64 * size).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Scale {
    fn format(value: &f64) -> String {
        // Ticks are round, so that what is beyond is the floating point's.
        let text = format!("{value:.6}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(values: &[f64], log: bool) -> Vec<String> {
        let ticks = Scale::around(values, log).key_points(BoldPoints(10));
        ticks.iter().map(Scale::format).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(ticks(&[0.0, 230.0], false), ["0", "50", "100", "150", "200"]);
        assert_eq!(ticks(&[0.7, 30.0], true), ["1", "2", "5", "10", "20"]);
        assert_eq!(ticks(&[0.001, 1e6], true).first().unwrap(), "0.001");
        assert_eq!(ticks(&[5.0], false).len(), 6);
    }

    #[test]
    fn a_chart_shows_its_words_and_leaves_out_what_no_axis_can_show() {
        let axis = |label: &str, log| Axis { label: label.to_owned(), log };
        let line = |name: &str, points| Line { name: name.to_owned(), points };
        let chart = Chart {
            title: "latency <of> iris".to_owned(),
            x: axis("requests a second", false),
            y: axis("ms", true),
            lines: vec![
                line("p50", vec![(10.0, 1.0), (20.0, 2.0), (30.0, f64::NAN)]),
                line("p99", vec![(10.0, 0.0), (20.0, 9.0)]),
            ],
            marks: vec![Mark { at: At::X(20.0), label: "knee".to_owned() }],
        };
        let svg = chart.svg().unwrap();
        for words in ["<svg", "latency &lt;of&gt; iris", "requests a second", "p50", "p99", "knee"]
        {
            assert!(svg.contains(words), "{words}: {svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let empty = Chart { lines: vec![line("p50", Vec::new())], ..chart };
        assert!(empty.svg().unwrap_err().to_string().contains("nothing to plot"));
    }
}
