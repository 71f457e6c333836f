//! `onnxd tune`: finds the sessions, threads, batch size and queue delay that suit a model here.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, anyhow};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Common, ExitCode, compute, loader, sources};
use crate::config::{ModelConfig, RuntimeConfig};
use crate::load::objective::Objective;
use crate::model::repository::locate;
use crate::runtime::provider::ExecutionProvider;
use crate::server::threads;
use crate::telemetry::Telemetry;
use crate::tune::candidates::{Setting, Shape, layouts};
use crate::tune::chart::chart;
use crate::tune::inputs::Inputs;
use crate::tune::measure::LocalMachine;
use crate::tune::report::Report;
use crate::tune::search::{self, Plan, Verdict};
use crate::tune::trial::Goal;
use crate::tune::write::Edit;

/// Find the sessions, threads, batch size and queue delay that suit a model on this machine, and write
/// them to its model.toml.
#[derive(Args)]
pub struct Tune {
    #[command(flatten)]
    common: Common,
    /// Name of the model.
    model: String,
    /// Inputs as of `predict`, which are asked in turn. By default those of golden.json, else one made
    /// up.
    #[arg(value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// Looks for the highest rate under this latency, for example p99<50ms. By default p99 under ten
    /// times what a request takes by itself, and 5 ms at least.
    #[arg(long, value_name = "pN<TIME")]
    objective: Option<Objective>,
    /// Looks for the lowest latency at this many requests a second instead, at the objective's
    /// percentile (99 by default).
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate: Option<f64>,
    /// How long to measure.
    #[arg(long, value_name = "TIME", default_value = "90s", value_parser = humantime::parse_duration)]
    budget: Duration,
    /// Draws latency against rate for each layout.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Form::Table)]
    format: Form,
    /// Only measures, and writes no model.toml.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Table,
    Json,
}

/// Inputs that are read at most: each is asked once before the search.
const INPUTS: usize = 128;
/// The objective, if there is none: so many lone requests' time, and the least.
const LONE_REQUESTS: u32 = 10;
const LEAST: Duration = Duration::from_millis(5);

fn rate(text: &str) -> Result<f64, String> {
    let rate: Option<f64> = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "expected requests a second, over 0".to_owned())
}

pub fn run(command: Tune) -> anyhow::Result<ExitCode> {
    let mut config = command.common.config(None)?;
    // What loading tells is told once a setting, and there are many.
    "error".clone_into(&mut config.log.filter);
    let _telemetry = Telemetry::start(&config.log, None)?;
    let loader = loader(&config, compute(&config)?, Arc::default())?;
    let location = locate(&config.models.path, &command.model)?;
    let toml = location.files().read("model.toml").map_err(Error::msg)?;
    let toml = ModelConfig::parse(toml.as_deref().unwrap_or("")).map_err(Error::msg)?;
    let present = Setting::of(&toml);
    let model = loader.load(&location).map_err(|reason| {
        anyhow!("{} ({}): {reason}", location.name, location.version_folder.display())
    })?;
    let inputs = sources::questions(&model, &location, &command.inputs, INPUTS)?;
    let inputs = Inputs::new(inputs).context("there is no input")?;
    let mut machine = LocalMachine::new(
        loader,
        location.clone(),
        inputs,
        threads::start(config.runtime.cores())?,
    );
    let began = Instant::now();
    let progress = Progress::new(command.budget);
    progress.note("asking every input once");
    let (alone, provider) = machine.check(&present).map_err(Error::msg)?;
    let goal = goal(command.objective, command.rate, alone);
    let on_cpu = provider == ExecutionProvider::Cpu;
    let layouts = layouts(config.runtime.cores(), on_cpu);
    let plan = Plan {
        goal,
        cores: config.runtime.cores(),
        default: default(&config.runtime, &layouts, on_cpu),
        layouts,
        present,
        budget: command.budget,
        curves: command.plot.is_some(),
    };
    let outcome = search::run(&mut machine, &plan, &mut |text| progress.note(text));
    progress.finish();
    // Until here, so that what it has freed would not be counted as the next one's.
    drop(model);
    let outcome = outcome.map_err(Error::msg)?;
    let report = Report::new(&command.model, &plan, &outcome, config.runtime.max_queue_delay);
    let edit = Edit::prepare(&location, &outcome.entrants[outcome.chosen].setting);
    let edit = edit.map_err(Error::msg)?;
    let mut out = std::io::stdout().lock();
    match command.format {
        Form::Json => {
            serde_json::to_writer_pretty(&mut out, &report)?;
            writeln!(out)?;
        }
        Form::Table => {
            let goal = match goal {
                Goal::Rate(objective) => format!("the highest rate with {objective}"),
                Goal::Latency { rate, percentile } => {
                    format!("the lowest p{percentile} at {rate}/s")
                }
            };
            let (seconds, alone) = (began.elapsed().as_secs_f64(), alone.as_secs_f64() * 1e3);
            writeln!(
                out,
                "{} on {} cores, {goal}; a request by itself takes {alone:.2} ms; measured for \
                 {seconds:.0} s",
                command.model, plan.cores
            )?;
            write!(out, "{}", report.text())?;
        }
    }
    // Beside JSON on standard output only this goes to people.
    let mut people: Box<dyn Write> = match command.format {
        Form::Json => Box::new(std::io::stderr()),
        Form::Table => Box::new(out),
    };
    let code = match outcome.verdict {
        Verdict::None => ExitCode::FAILURE,
        _ => put(&edit, command.dry_run, &mut people)?,
    };
    if let Some(file) = &command.plot {
        let chart = chart(&report).svg()?;
        std::fs::write(file, chart).with_context(|| file.display().to_string())?;
    }
    Ok(code)
}

/// Writes the file and says what changed, or says what would.
fn put(edit: &Edit, dry_run: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let path = edit.path.display();
    if edit.is_empty() {
        writeln!(out, "{path} stays as it is.")?;
        return Ok(ExitCode::SUCCESS);
    }
    let written = if dry_run { Ok(()) } else { edit.write() };
    match (&written, dry_run) {
        (Ok(()), true) => writeln!(out, "Not written (--dry-run): {path} would change by")?,
        (Ok(()), false) => writeln!(out, "Written: {path} changed by")?,
        (Err(reason), _) => writeln!(out, "Not written: {reason}. It should change by")?,
    }
    for line in &edit.removed {
        writeln!(out, "  - {line}")?;
    }
    for line in &edit.added {
        writeln!(out, "  + {line}")?;
    }
    if written.is_err() {
        return Ok(ExitCode::FAILURE);
    }
    if !dry_run {
        let back = if edit.removed.is_empty() { "" } else { " and put the - lines back" };
        let undo = if edit.added.is_empty() {
            "put these lines back".to_owned()
        } else {
            format!("take the + lines out{back}")
        };
        writeln!(
            out,
            "To undo it, {undo}. A server that runs reads it when it next loads the model."
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn goal(objective: Option<Objective>, rate: Option<f64>, alone: Duration) -> Goal {
    match rate {
        Some(rate) => Goal::Latency { rate, percentile: objective.map_or(99.0, |o| o.percentile) },
        None => Goal::Rate(objective.unwrap_or_else(|| {
            let limit = (alone * LONE_REQUESTS).max(LEAST).as_secs_f64() * 1e3;
            // In whole milliseconds, so that it can be said and asked for again.
            Objective { percentile: 99.0, bound: Duration::from_millis(limit.ceil() as u64) }
        })),
    }
}

/// The one of the layouts that there is without any key.
fn default(runtime: &RuntimeConfig, layouts: &[Shape], on_cpu: bool) -> Option<Shape> {
    let comes_to = |layout: Shape| {
        let mut config = ModelConfig::default();
        Setting { layout, ..Setting::default() }.apply(&mut config);
        runtime.layout_of(&config, on_cpu)
    };
    let default = comes_to(Shape::default());
    layouts.iter().copied().find(|layout| comes_to(*layout) == default)
}

/// On standard error, and only on a terminal.
struct Progress {
    bar: ProgressBar,
    began: Instant,
    budget: Duration,
}

impl Progress {
    fn new(budget: Duration) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {msg}");
        let bar = ProgressBar::new(budget.as_millis() as u64);
        let bar = bar.with_style(style.unwrap_or(ProgressStyle::default_bar()));
        Self { bar, began: Instant::now(), budget }
    }

    fn note(&self, text: &str) {
        let spent = self.began.elapsed();
        let left = self.budget.saturating_sub(spent).as_secs_f64();
        self.bar.set_position(spent.as_millis() as u64);
        self.bar.set_message(format!("{left:.0} s left: {text}"));
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
