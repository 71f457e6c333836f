//! `onnxd evaluate`: how good a model is on labelled data, and whether it is better than another.

mod contender;
mod table;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use self::contender::{Contender, Name};
use super::{Common, ExitCode, compute, loader};
use crate::config::Limits;
use crate::error::one_of;
use crate::evaluate::bars::{Bar, Bound, Verdict};
use crate::evaluate::data::{ColumnOptions, Dataset, FeatureShape};
use crate::evaluate::html;
use crate::evaluate::labels::Labels;
use crate::evaluate::metrics;
use crate::evaluate::predictions::Predictions;
use crate::evaluate::report::{Circumstances, Report};
use crate::evaluate::run::{self, Entrant};
use crate::evaluate::survey::{Survey, Target};
use crate::evaluate::tally::Tally;
use crate::server::threads;
use crate::telemetry::Telemetry;

/// Measure how good a model is on labelled data, alone or against another one.
#[derive(Args)]
pub struct Evaluate {
    #[command(flatten)]
    common: Common,
    /// The model, with @VERSION for one of its versions and /FILE for one of its files:
    /// sentiment-minilm, ranker@3, sentiment-minilm/model.onnx.
    model: Name,
    /// A folder of images by class (DATA/CLASS/...), or a .csv, .tsv, .jsonl or .ndjson of texts,
    /// features or paths of images with a column of labels.
    data: PathBuf,
    /// The column of labels; by default label, target, class or the like.
    #[arg(long, value_name = "NAME")]
    label_column: Option<String>,
    /// The column of texts, or of paths of images; by default text, sentence, review or the like.
    #[arg(long, visible_alias = "text-column", value_name = "NAME")]
    input_column: Option<String>,
    /// The column of second texts, for models that compare two; by default hypothesis, sentence2 or the
    /// like.
    #[arg(long, value_name = "NAME")]
    pair_column: Option<String>,
    /// What a label of the data means: a class by name or by number. Can be repeated.
    #[arg(long, value_name = "LABEL=CLASS", value_parser = pair)]
    map: Vec<(String, String)>,
    /// The same for many: a file with LABEL=CLASS a line, or with a tab or a space between the two.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Leaves out items that cannot be used or that fail, which otherwise is an error.
    #[arg(long)]
    skip_bad: bool,
    /// Another model, version or file that is asked the same; named as MODEL is.
    #[arg(long, value_name = "MODEL")]
    against: Option<Name>,
    /// Fails under this much of a metric, for example accuracy=0.76. Can be repeated.
    #[arg(long, value_name = "METRIC=VALUE")]
    min: Vec<Bar>,
    /// Fails over this much of a metric, for example ece=0.05. Can be repeated.
    #[arg(long, value_name = "METRIC=VALUE")]
    max: Vec<Bar>,
    #[arg(long, value_enum, default_value_t = Form::Table)]
    format: Form,
    /// Writes a report with plots as one HTML page.
    #[arg(long, value_name = "FILE.html")]
    html: Option<PathBuf>,
    /// Writes every item's label, prediction and scores as a line of JSON.
    #[arg(long, value_name = "FILE.jsonl")]
    predictions: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Table,
    Json,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (label, class) = text.split_once('=').ok_or("expected LABEL=CLASS")?;
    Ok((label.trim().to_owned(), class.trim().to_owned()))
}

pub fn run(command: Evaluate) -> anyhow::Result<ExitCode> {
    let config = command.common.config(None)?;
    let _telemetry = Telemetry::start(&config.log, None)?;
    let loader = loader(&config, compute(&config)?, Arc::default())?;
    let load = |name| Contender::load(name, &config.models.path, &loader);
    let first = load(&command.model)?;
    let other = command.against.as_ref().map(load).transpose()?;
    let runtime = threads::start(config.runtime.cores())?;
    let shape = first.feature_shape();
    let (target, entrants) = runtime.block_on(prepare(&command, &first, other.as_ref()))?;
    let names = match &target {
        Target::Classes(labels) => labels.names().to_vec(),
        Target::Values => Vec::new(),
    };
    check_bars(&command, matches!(target, Target::Classes(_)))?;
    let data = open(&command, &first, shape.as_ref())?;
    let survey = Survey::of(&data, &target)?;
    if let Some(complaint) = survey.complaint(&target) {
        eprintln!("onnxd: {}: {complaint}", command.data.display());
        if !command.skip_bad {
            eprintln!("onnxd: nothing was evaluated; --skip-bad leaves such items out");
            return Ok(ExitCode::FAILURE);
        }
    }
    ensure!(survey.items > 0, "{}: there is no item to evaluate", command.data.display());

    let began = Instant::now();
    let classes = matches!(target, Target::Classes(_)).then_some(names.len());
    let mut tally = Tally::new(classes, other.is_some());
    let mut files = Files::create(&command, names.clone())?;
    let work = Work { entrants, data: &data, target: &target, shape: shape.as_ref() };
    let skipped =
        runtime.block_on(work.run(survey.items, config.limits, &mut tally, &mut files))?;
    let took = began.elapsed();
    files.finish()?;
    let mut report = Report::new(
        tally,
        Circumstances {
            model: first.told(),
            other: other.as_ref().map(Contender::told),
            data: command.data.display().to_string(),
            names,
            skipped,
            took,
        },
    );
    if report.items == 0 {
        complain_of_failures(&report);
        bail!("no item was answered");
    }
    report.bars = verdicts(&command, &report);
    tell(&command, &report)?;
    Ok(verdict(&command, &report))
}

/// Finds out what the labels are, and how the other model numbers the classes.
async fn prepare(
    command: &Evaluate,
    first: &Contender,
    other: Option<&Contender>,
) -> anyhow::Result<(Target, Vec<Entrant>)> {
    first.check()?;
    let mut labels = match first.classifies() {
        true => Some(Labels::new(first.class_names().await?)),
        false => None,
    };
    let mut entrants = vec![Entrant { model: first.model.clone(), numbers: None }];
    if let Some(other) = other {
        other.check()?;
        let (a, b) = (first.model.task(), other.model.task());
        ensure!(
            first.model.input_kind() == other.model.input_kind()
                && first.classifies() == other.classifies(),
            "{a} and {b} cannot be compared"
        );
        let numbers = match &labels {
            Some(labels) => {
                let numbers = labels.numbers_of(&other.class_names().await?);
                Some(numbers.with_context(|| format!("{} has other classes", other.model.name))?)
            }
            None => None,
        };
        entrants.push(Entrant { model: other.model.clone(), numbers });
    }
    if labels.is_none() && (command.labels.is_some() || !command.map.is_empty()) {
        bail!("--map and --labels are of classes, and the model gives values");
    }
    if let Some(labels) = &mut labels {
        if let Some(file) = &command.labels {
            let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
            labels.give_all(&text).with_context(|| file.display().to_string())?;
        }
        for (label, class) in &command.map {
            labels.give(label, class).context("--map")?;
        }
    }
    Ok((labels.map_or(Target::Values, |labels| Target::Classes(Box::new(labels))), entrants))
}

fn open(
    command: &Evaluate,
    first: &Contender,
    shape: Option<&FeatureShape>,
) -> anyhow::Result<Dataset> {
    let options = ColumnOptions {
        input: command.input_column.clone(),
        pair: command.pair_column.clone(),
        label: command.label_column.clone(),
    };
    let data = Dataset::open(&command.data, first.model.input_kind(), &options, shape)?;
    for note in &data.notes {
        eprintln!("onnxd: {}: {note}", command.data.display());
    }
    Ok(data)
}

/// Bars are checked before an hour is spent on a name that does not exist.
fn check_bars(command: &Evaluate, classifies: bool) -> anyhow::Result<()> {
    let names = metrics::names(classifies, command.against.is_some());
    for bar in command.min.iter().chain(&command.max) {
        let known = names.contains(&bar.metric.as_str());
        ensure!(known, "no metric `{}`: expected {}", bar.metric, one_of(&bar.metric, names));
    }
    Ok(())
}

fn verdicts(command: &Evaluate, report: &Report) -> Vec<Verdict> {
    let value = |bar: &Bar| report.figures.metrics.get(bar.metric.as_str()).copied().flatten();
    let low = command.min.iter().map(|bar| Verdict::of(bar, Bound::AtLeast, value(bar)));
    low.chain(command.max.iter().map(|bar| Verdict::of(bar, Bound::AtMost, value(bar)))).collect()
}

/// What is asked of whom.
struct Work<'a> {
    entrants: Vec<Entrant>,
    data: &'a Dataset,
    target: &'a Target,
    shape: Option<&'a FeatureShape>,
}

impl Work<'_> {
    /// Returns how many items were left out.
    async fn run(
        &self,
        items: u64,
        limits: Limits,
        tally: &mut Tally,
        files: &mut Files,
    ) -> anyhow::Result<u64> {
        let progress = progress(items);
        let skipped =
            run::run(&self.entrants, self.data, self.target, self.shape, &limits, |asked| {
                progress.inc(1);
                files.write(&asked)?;
                Ok(tally.add(&asked))
            })
            .await;
        progress.finish_and_clear();
        skipped
    }
}

/// On standard error, and only on a terminal.
fn progress(items: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta} left");
    let bar = ProgressBar::with_draw_target(Some(items), ProgressDrawTarget::stderr());
    bar.with_style(style.unwrap_or(ProgressStyle::default_bar()))
}

/// What is written while items are asked.
struct Files {
    predictions: Option<(PathBuf, Predictions<BufWriter<File>>)>,
}

impl Files {
    fn create(command: &Evaluate, names: Vec<String>) -> anyhow::Result<Self> {
        // Tried now, since the page is written at the end of perhaps an hour.
        if let Some(path) = &command.html {
            File::create(path).with_context(|| path.display().to_string())?;
        }
        let create = |path: &PathBuf| {
            let file = File::create(path).with_context(|| path.display().to_string())?;
            anyhow::Ok((path.clone(), Predictions::new(BufWriter::new(file), names)))
        };
        Ok(Self { predictions: command.predictions.as_ref().map(create).transpose()? })
    }

    fn write(&mut self, asked: &run::Asked) -> anyhow::Result<()> {
        match &mut self.predictions {
            Some((path, out)) => out.write(asked).with_context(|| path.display().to_string()),
            None => Ok(()),
        }
    }

    fn finish(self) -> anyhow::Result<()> {
        match self.predictions {
            Some((path, out)) => out.finish().with_context(|| path.display().to_string()),
            None => Ok(()),
        }
    }
}

fn tell(command: &Evaluate, report: &Report) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match command.format {
        Form::Json => {
            serde_json::to_writer_pretty(&mut out, report)?;
            writeln!(out)
        }
        Form::Table => write!(out, "{}", table::text(report)),
    }
    .context("standard output")?;
    if let Some(path) = &command.html {
        std::fs::write(path, html::page(report)).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// 0 if every item was answered and every bar is met, else 1 with the reasons on standard error.
fn verdict(command: &Evaluate, report: &Report) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    if report.failed > 0 {
        complain_of_failures(report);
        if !command.skip_bad {
            code = ExitCode::FAILURE;
        }
    }
    for missed in report.bars.iter().filter(|bar| !bar.met) {
        eprintln!("onnxd: missed: {missed}");
        code = ExitCode::FAILURE;
    }
    code
}

fn complain_of_failures(report: &Report) {
    for problem in &report.problems {
        eprintln!("onnxd: {}: {}", problem.place, problem.reason);
    }
    eprintln!("onnxd: {} items failed, which no figure counts", report.failed);
}
