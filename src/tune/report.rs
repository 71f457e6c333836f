//! What came of a search, for people and for programs.

use std::fmt::Write;
use std::time::Duration;

use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use super::candidates::Setting;
use super::entrant::Entrant;
use super::search::{FEWEST, Outcome, Plan, Verdict};
use super::trial::{Goal, Trial};
use crate::load::objective::Objective;
use crate::load::summary::milliseconds;

/// Everything that is told.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub model: String,
    /// The highest rate under this objective was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// The lowest latency at this rate a second was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Of the requests, in percent.
    pub percentile: f64,
    pub cores: usize,
    pub verdict: Verdict,
    /// The best first, then those that did not reach the last round.
    pub settings: Vec<Row>,
    /// Settings that were not measured, since single runs ruled them out or there was no time.
    pub ruled_out: usize,
    /// Settings that could not be measured, and why.
    pub failed: Vec<(String, String)>,
}

/// One setting.
#[derive(Debug, Clone, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a mark of its own in the table")]
pub struct Row {
    pub instances: usize,
    pub intra_op_threads: usize,
    pub max_batch_size: usize,
    pub max_queue_delay_ms: f64,
    /// Requests a second that it carries, with the quartiles of its turns; or the rate that was given.
    pub rate: f64,
    pub rate_quartiles: [f64; 2],
    /// At that rate; `None` if that many were not answered in time.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// At the goal's percentile.
    pub latency_ms: Option<f64>,
    pub memory_mib: Option<f64>,
    /// Trials behind the figures, and the requests in them.
    pub turns: usize,
    pub requests: usize,
    /// It was in the last round, whose figures can be compared.
    pub finalist: bool,
    /// No key in `model.toml`.
    pub default: bool,
    pub present: bool,
    pub chosen: bool,
    /// At rising rates, if that was asked for: requests a second, and milliseconds at the goal's
    /// percentile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<(f64, f64)>,
}

impl Report {
    /// `delay` is the server's, for settings that name none.
    #[must_use]
    pub fn new(model: &str, plan: &Plan, outcome: &Outcome, delay: Duration) -> Self {
        let last = outcome.entrants.iter().map(|entrant| entrant.round).max();
        let row = |(index, entrant): (usize, &Entrant)| {
            let Setting { max_queue_delay, .. } = entrant.setting;
            let merit = entrant.merit();
            let rate = entrant.told_rate();
            let quartiles = match plan.goal {
                Goal::Rate(_) => [merit.low, merit.high],
                Goal::Latency { .. } => [rate, rate],
            };
            Row {
                instances: entrant.loaded.layout.instances,
                intra_op_threads: entrant.loaded.layout.intra_op_threads,
                max_batch_size: entrant.loaded.max_batch_size,
                max_queue_delay_ms: milliseconds(max_queue_delay.unwrap_or(delay)),
                rate,
                rate_quartiles: quartiles,
                p50_ms: entrant.at_rate(|trial| trial.p50).map(milliseconds),
                p99_ms: entrant.at_rate(|trial| trial.p99).map(milliseconds),
                latency_ms: entrant.at_rate(|trial| trial.tail).map(milliseconds),
                memory_mib: entrant.loaded.memory.map(|bytes| bytes as f64 / f64::from(1 << 20)),
                turns: entrant.trials.len(),
                requests: entrant.trials.iter().map(|trial| trial.requests).sum(),
                finalist: Some(entrant.round) == last,
                default: entrant.setting == Setting::default(),
                present: entrant.setting == plan.present,
                chosen: index == outcome.chosen,
                curve: curve(entrant),
            }
        };
        let (objective, rate) = match plan.goal {
            Goal::Rate(objective) => (Some(objective), None),
            Goal::Latency { rate, .. } => (None, Some(rate)),
        };
        let failed = outcome.failed.iter();
        Self {
            model: model.to_owned(),
            objective,
            rate,
            percentile: plan.goal.percentile(),
            cores: plan.cores,
            verdict: outcome.verdict,
            settings: outcome.entrants.iter().enumerate().map(row).collect(),
            ruled_out: outcome.ruled_out,
            failed: failed.map(|(setting, why)| (setting.to_string(), why.clone())).collect(),
        }
    }

    /// A table, and a sentence on what was chosen and why.
    #[must_use]
    pub fn text(&self) -> String {
        let mut table = Table::new();
        table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        let tail = self.has_own_tail().then(|| format!("p{} ms", self.percentile));
        let header = ["sessions × threads", "batch", "delay ms", "requests/s", "p50 ms", "p99 ms"];
        let header = header.into_iter().map(str::to_owned).chain(tail);
        table.set_header(header.chain(["memory MiB".to_owned(), String::new()]));
        for row in &self.settings {
            table.add_row(self.cells(row));
        }
        let mut text = format!("{table}\n");
        let mut line = |said: String| {
            // To a string nothing can fail.
            let _ = writeln!(text, "{said}");
        };
        if self.settings.iter().any(|row| !row.finalist) {
            line("~: out before the last round, from fewer and shorter turns.".to_owned());
        }
        if self.ruled_out > 0 {
            line(format!("{} more were ruled out by single runs or time.", self.ruled_out));
        }
        for (setting, why) in &self.failed {
            line(format!("{setting} could not be measured: {why}"));
        }
        let few = |row: &Row| row.finalist && (row.requests as f64) < FEWEST * row.turns as f64;
        if self.settings.iter().any(few) {
            line("Some turns had few requests: a longer --budget tells more.".to_owned());
        }
        line(self.sentence());
        text
    }

    fn cells(&self, row: &Row) -> Vec<String> {
        let number = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let about = if row.finalist { "" } else { "~" };
        let rate = match row.rate_quartiles {
            [low, high] if low < high => {
                format!("{about}{:.0} ({low:.0} to {high:.0})", row.rate)
            }
            _ => format!("{about}{:.0}", row.rate),
        };
        let marks = [(row.chosen, "chosen"), (row.present, "present"), (row.default, "default")];
        let marks: Vec<_> = marks.into_iter().filter_map(|(is, name)| is.then_some(name)).collect();
        let mut cells = vec![
            row.layout(),
            row.max_batch_size.to_string(),
            row.max_queue_delay_ms.to_string(),
            rate,
            number(row.p50_ms, 2),
            number(row.p99_ms, 2),
        ];
        cells.extend(self.has_own_tail().then(|| number(row.latency_ms, 2)));
        cells.extend([number(row.memory_mib, 0), marks.join(", ")]);
        cells
    }

    /// The goal's percentile is in none of the columns that there always are.
    fn has_own_tail(&self) -> bool {
        self.percentile != 50.0 && self.percentile != 99.0
    }

    fn sentence(&self) -> String {
        let row = |is: fn(&Row) -> bool| self.settings.iter().find(|row| is(row));
        let (Some(chosen), Some(present)) = (row(|row| row.chosen), row(|row| row.present)) else {
            return String::new();
        };
        let by = |best: &Row| {
            let ratio = match self.rate {
                None => best.rate / present.rate,
                Some(_) => {
                    let latency = |row: &Row| row.latency_ms.unwrap_or(f64::INFINITY);
                    latency(present) / latency(best)
                }
            };
            match self.rate {
                _ if !ratio.is_finite() => "does what the present setting does not".to_owned(),
                None => format!("carries {ratio:.2} times as much"),
                Some(_) => format!("answers {ratio:.2} times as fast"),
            }
        };
        match self.verdict {
            Verdict::Better => format!("Chosen: {}, which {}.", chosen.name(), by(chosen)),
            Verdict::Best => format!("The present setting is the best: {}.", chosen.name()),
            Verdict::WithinNoise => {
                let best = &self.settings[0];
                format!(
                    "The present setting stays: {} {}, which is within what the turns differ by.",
                    best.name(),
                    by(best)
                )
            }
            Verdict::None => {
                let goal = match (&self.objective, self.rate) {
                    (Some(objective), _) => format!("meets {objective} at any rate"),
                    (None, rate) => format!("carries {} requests a second", rate.unwrap_or(0.0)),
                };
                format!("No setting {goal}.")
            }
        }
    }
}

impl Row {
    fn layout(&self) -> String {
        format!("{} × {}", self.instances, self.intra_op_threads)
    }

    /// As the table and the chart name it.
    #[must_use]
    pub fn name(&self) -> String {
        let mut name = format!("{}, batch {}", self.layout(), self.max_batch_size);
        if self.max_queue_delay_ms > 0.0 {
            name.push_str(&format!(", delay {} ms", self.max_queue_delay_ms));
        }
        if self.default {
            name.push_str(" (default)");
        }
        name
    }
}

/// At each rate the median of its trials, in rising order; what was not answered cannot be drawn.
fn curve(entrant: &Entrant) -> Vec<(f64, f64)> {
    let mut trials: Vec<&Trial> = entrant.curve.iter().collect();
    trials.sort_by(|a, b| {
        let tail = |trial: &Trial| trial.tail.unwrap_or(Duration::MAX);
        a.load.rate.total_cmp(&b.load.rate).then(tail(a).cmp(&tail(b)))
    });
    let of_rate = trials.chunk_by(|a, b| a.load.rate == b.load.rate);
    let medians = of_rate.map(|trials| trials[trials.len() / 2]);
    medians.filter_map(|trial| Some((trial.load.rate, milliseconds(trial.tail?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(layout: (usize, usize), rate: f64) -> Row {
        Row {
            instances: layout.0,
            intra_op_threads: layout.1,
            max_batch_size: 4,
            max_queue_delay_ms: 0.0,
            rate,
            rate_quartiles: [rate * 0.98, rate * 1.02],
            p50_ms: Some(8.0),
            p99_ms: None,
            latency_ms: None,
            memory_mib: Some(31.4),
            turns: 9,
            requests: 1800,
            finalist: true,
            default: false,
            present: false,
            chosen: false,
            curve: Vec::new(),
        }
    }

    fn report(verdict: Verdict, chosen: usize) -> Report {
        let mut settings = vec![row((2, 1), 300.0), row((1, 2), 200.0), row((4, 1), 100.0)];
        settings[1].present = true;
        settings[1].default = true;
        settings[2].finalist = false;
        settings[chosen].chosen = true;
        Report {
            model: "m".to_owned(),
            objective: Some("p99<50ms".parse().unwrap()),
            rate: None,
            percentile: 99.0,
            cores: 2,
            verdict,
            settings,
            ruled_out: 7,
            failed: vec![("8 sessions".to_owned(), "out of memory".to_owned())],
        }
    }

    #[test]
    fn the_table_tells_every_setting_and_what_was_left_out() {
        let text = report(Verdict::Better, 0).text();
        for said in [
            "300 (294 to 306)",
            "chosen",
            "present, default",
            "~100 (98 to 102)",
            "7 more were ruled out",
            "8 sessions could not be measured: out of memory",
            "Chosen: 2 × 1, batch 4, which carries 1.50 times as much.",
        ] {
            assert!(text.contains(said), "{said}: {text}");
        }
        assert!(!text.contains("p99 ms ┆ p99"), "the goal's column is there once");
        let own = Report { percentile: 99.9, ..report(Verdict::Better, 0) };
        assert!(own.text().contains("p99.9 ms"));
    }

    #[test]
    fn what_stays_is_said_with_the_reason() {
        let sentence = |verdict, chosen| report(verdict, chosen).sentence();
        let noise = sentence(Verdict::WithinNoise, 1);
        assert!(
            noise.starts_with("The present setting stays: 2 × 1, batch 4 carries 1.50"),
            "{noise}"
        );
        let best = sentence(Verdict::Best, 1);
        assert_eq!(best, "The present setting is the best: 1 × 2, batch 4 (default).");
        assert_eq!(sentence(Verdict::None, 1), "No setting meets p99<50ms at any rate.");
    }
}
