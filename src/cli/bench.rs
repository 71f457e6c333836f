//! `onnxd bench`: what a model and this machine can do, and how much of it is left when it is served.

mod child;
mod hands;
mod inputs;
mod measure;
mod report;
mod table;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error, ensure};
use clap::{Args, ValueEnum};
use humantime_serde::re::humantime::parse_duration;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Common, ExitCode, compute, loader, signals};
use crate::load::closed;
use crate::load::objective::Objective;
use crate::load::target::{Server, Target};
use crate::model::Model;
use crate::model::repository::{ModelRepository, locate};
use crate::plot::{At, Axis, Chart, Line, Mark};
use crate::telemetry::Telemetry;
use child::Served;
use hands::Hands;
use inputs::{Body, Item};
use measure::{Measured, Plan, Subject};
use report::{Report, What};

/// Measure a model: its session, the loop around it by hand, and served over HTTP.
#[derive(Args)]
pub struct Bench {
    #[command(flatten)]
    common: Common,
    /// Name of the model.
    model: String,
    /// Images, text files (an input a line), CSV or JSON lines, or folders of these. None: the model's
    /// golden.json, else a sample.
    #[arg(value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// Clients of the closed loops, each of which asks again when it is answered; 1 is always among
    /// them.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "1,8,32",
          value_parser = clap::value_parser!(u16).range(1..=500))]
    clients: Vec<u16>,
    /// Requests a second of the open loops. None: parts of what the largest closed loop carries.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = rate)]
    rates: Vec<f64>,
    /// What the knee must meet, such as p99<50ms. None: ten times what one client waits.
    #[arg(long)]
    objective: Option<Objective>,
    /// Time of each part, over all rounds.
    #[arg(long, value_name = "TIME", default_value = "4s", value_parser = time)]
    duration: Duration,
    /// Rounds in which each part takes a turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Another server to measure by the same load; may be given several times.
    #[arg(long, value_name = "http://HOST:PORT[/PATH]")]
    vs: Vec<String>,
    /// Form of its bodies. None: image for images, json for texts and features.
    #[arg(long, value_enum)]
    vs_body: Option<Body>,
    /// Its path, where the URL has none. None: /predict, or /v2/models/MODEL/infer for v2.
    #[arg(long, value_name = "/PATH")]
    vs_path: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Draws latency against load.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Fails if serving, at the most clients, is under this part of the in-process loop.
    #[arg(long, value_name = "PART")]
    floor: Option<f64>,
    /// Of the open loops' random arrivals.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Least time of a turn: under it a closed loop is all beginning and end.
const SHORTEST: Duration = Duration::from_millis(20);

pub fn run(command: Bench) -> anyhow::Result<ExitCode> {
    let Bench { common, model: name, .. } = &command;
    ensure!(
        command.duration / command.rounds >= SHORTEST,
        "--duration {:?} in {} rounds: a turn must be {SHORTEST:?} at least",
        command.duration,
        command.rounds
    );
    let mut config = common.config(None)?;
    // This process measures; the server's own log says what is loaded and how.
    "warn".clone_into(&mut config.log.filter);
    let _telemetry = Telemetry::start(&config.log, None)?;
    let loader = loader(&config, compute(&config)?, Arc::default())?;
    let models = config.models.path.clone();
    let repository = ModelRepository::load(&models, Some(name), &loader)?;
    let model = repository.find(name, None)?;
    let cores = config.runtime.cores();
    let crowd = Hands::new(&model, cores, 1)?;
    let alone = Hands::new(&model, 1, model.layout.intra_op_threads)?;
    let by_hand = alone.first().context("no thread")?;
    let location = locate(&models, name)?;
    let items = inputs::read(&model, by_hand, &command.inputs, &location)?;
    let what = What {
        model: model.name.clone(),
        task: model.task(),
        file: model.file.clone(),
        device: model.provider.to_string(),
        cores,
        sessions: model.layout.instances,
        threads_a_session: model.layout.intra_op_threads,
        inputs: items.len(),
        rounds: command.rounds,
        seconds: command.duration.as_secs_f64(),
        seed: command.seed,
    };
    let others = command.others(&model, &items)?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(async {
        // Before the server starts, so that it is stopped with this process.
        let interrupted = signals::shutdown()?;
        let served = Served::start(common, name)?;
        let bench = measure::Bench {
            plan: command.plan(),
            noop: Arc::new(Target::new(
                &served.server,
                "/v2/health/live",
                Vec::new(),
                Some(served.process()),
            )?),
            served: subject(&model, &items, &served)?,
            others,
            items,
            crowd,
            alone,
            progress: progress(),
        };
        let measuring = async {
            for subject in std::iter::once(&bench.served).chain(&bench.others) {
                closed::once(&subject.target).await.context(subject.name.clone())?;
            }
            bench.measure().await
        };
        tokio::select! {
            measured = measuring => measured.map(Some),
            () = interrupted => Ok(None),
        }
    })?;
    let Some(measured) = measured else {
        eprintln!("onnxd: stopped");
        return Ok(ExitCode::INTERRUPTED);
    };
    command.tell(&Report::new(what, &measured), &measured)
}

impl Bench {
    fn plan(&self) -> Plan {
        let mut clients = self.clients.clone();
        // One client is what the added latency is told for.
        clients.push(1);
        clients.sort_unstable();
        clients.dedup();
        Plan {
            clients: clients.into_iter().map(usize::from).collect(),
            rates: self.rates.clone(),
            objective: self.objective,
            time: self.duration,
            rounds: self.rounds,
            seed: self.seed,
        }
    }

    /// The servers that are compared.
    fn others(&self, model: &Model, items: &[Item]) -> anyhow::Result<Vec<Subject>> {
        let form = self.vs_body.unwrap_or_else(|| Body::of(model.input_kind()));
        let default = match form {
            Body::V2 => format!("/v2/models/{}/infer", model.name),
            Body::Json | Body::Image => "/predict".to_owned(),
        };
        let default = self.vs_path.clone().unwrap_or(default);
        let subject = |url: &String| {
            let (server, path) = Server::of_url(url).context("--vs")?;
            let payloads = inputs::payloads(model, items, form).context("--vs-body")?;
            let target = Target::new(&server, path.as_ref().unwrap_or(&default), payloads, None)?;
            Ok(Subject { name: url.clone(), target: Arc::new(target) })
        };
        self.vs.iter().map(subject).collect()
    }

    /// Prints and draws the figures, and holds them against the floor.
    fn tell(&self, report: &Report, measured: &Measured) -> anyhow::Result<ExitCode> {
        let text = match self.format {
            Format::Table => table::text(report),
            Format::Json => serde_json::to_string_pretty(report)? + "\n",
        };
        std::io::stdout().write_all(text.as_bytes()).context("standard output")?;
        if let Some(path) = &self.plot {
            plot(report, measured, path)?;
        }
        let got = report.efficiency.served_to_loop.median;
        match self.floor {
            Some(floor) if got < floor || got.is_nan() => {
                eprintln!(
                    "onnxd: efficiency {got:.3} is under the floor {floor}: {} clients were served \
                     {got:.3} of what the in-process loop carries",
                    report.efficiency.clients
                );
                Ok(ExitCode::FAILURE)
            }
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}

/// This binary's own server.
fn subject(model: &Model, items: &[Item], served: &Served) -> anyhow::Result<Subject> {
    let form = Body::of(model.input_kind());
    let path = match form {
        Body::V2 => format!("/v2/models/{}/infer", model.name),
        Body::Json | Body::Image => format!("/predict/{}", model.name),
    };
    let payloads = inputs::payloads(model, items, form)?;
    let target = Target::new(&served.server, &path, payloads, Some(served.process()))?;
    Ok(Subject { name: "served".to_owned(), target: Arc::new(target) })
}

/// On standard error, and only on a terminal.
fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {percent}% {eta} left: {msg}");
    ProgressBar::new(1).with_style(style.unwrap_or(ProgressStyle::default_bar()))
}

/// Latency against load, with the objective and the knee.
fn plot(report: &Report, measured: &Measured, path: &Path) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for server in std::iter::once(&report.served).chain(&report.others) {
        let of = if report.others.is_empty() { String::new() } else { format!("{} ", server.name) };
        let mut line = |name: &str, value: fn(&crate::load::summary::Summary) -> f64| {
            let points = server.open.iter().filter(|load| load.latency_ms.count > 0);
            lines.push(Line {
                name: format!("{of}{name}"),
                points: points.map(|load| (load.rate, value(&load.latency_ms))).collect(),
            });
        };
        line("p50", |latency| latency.p50);
        line("p90", |latency| latency.p90);
        line("p99", |latency| latency.p99);
    }
    let bound = measured.objective.bound.as_secs_f64() * 1e3;
    let mut marks = vec![Mark { at: At::Y(bound), label: report.objective.clone() }];
    if let Some(knee) = report.knee {
        marks.push(Mark { at: At::X(knee), label: format!("knee: {knee:.0}/s") });
    }
    let chart = Chart {
        title: format!("{} on {}: latency against load", report.what.model, report.what.device),
        x: Axis { label: "requests a second, Poisson arrivals".to_owned(), log: false },
        y: Axis { label: "milliseconds".to_owned(), log: true },
        lines,
        marks,
    };
    std::fs::write(path, chart.svg()?)
        .map_err(Error::from)
        .with_context(|| path.display().to_string())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| *rate > 0.0 && rate.is_finite());
    rate.ok_or_else(|| "expected requests a second, more than 0".to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| format!("{error}: expected a time such as 4s"))
}
