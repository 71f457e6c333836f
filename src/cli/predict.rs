//! `onnxd predict`: answers for files, folders or lines, by the same code as the server's.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table};
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::sources::{self, Item};
use super::{Common, ExitCode, compute, loader};
use crate::model::repository::ModelRepository;
use crate::model::{Model, Terms};
use crate::server::threads;
use crate::tasks::{Entity, Parameters, Prediction, Value};
use crate::telemetry::Telemetry;

/// Predict for files, folders, or lines on standard input.
#[derive(Args)]
pub struct Predict {
    #[command(flatten)]
    common: Common,
    /// Name of the model.
    model: String,
    /// Images, text files (an input a line), CSV or JSON lines, folders of these, or - for standard
    /// input.
    #[arg(required = true, value_name = "FILE")]
    inputs: Vec<PathBuf>,
    #[arg(long, value_enum, default_value_t = Form::Table)]
    format: Form,
    /// How many classes to list.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    top_k: u16,
    /// The model's own scores, without softmax or sigmoid.
    #[arg(long)]
    raw_scores: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Form {
    /// A table at the end.
    Table,
    /// A JSON object a line, as soon as it is there.
    Jsonl,
}

#[derive(Serialize)]
struct Line<'a> {
    input: &'a str,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Result(Prediction),
    Error(String),
}

/// Inputs in work at once: enough to keep decoding and sessions busy.
const IN_WORK: usize = 8;

pub fn run(command: Predict) -> anyhow::Result<ExitCode> {
    let config = command.common.config(None)?;
    let _telemetry = Telemetry::start(&config.log, None)?;
    let loader = loader(&config, compute(&config)?, Arc::default())?;
    let repository = ModelRepository::load(&config.models.path, Some(&command.model), &loader)?;
    let model = repository.find(&command.model, None)?;
    let inputs = sources::open(model.input_kind(), &command.inputs)?;
    let parameters = Parameters {
        top_k: command.top_k.into(),
        raw_scores: command.raw_scores,
        ..Parameters::default()
    };
    let progress = progress(inputs.count);
    let mut output = Output::new(command.format);
    let failed = threads::start(config.runtime.cores())?.block_on(async {
        let mut failed = 0_usize;
        let mut answers = futures_util::stream::iter(inputs.items)
            .map(|item| predict(&model, item, parameters))
            .buffered(IN_WORK);
        while let Some((name, outcome)) = answers.next().await {
            failed += usize::from(matches!(outcome, Outcome::Error(_)));
            output.write(&name, outcome)?;
            progress.inc(1);
        }
        anyhow::Ok(failed)
    })?;
    progress.finish_and_clear();
    output.finish()?;
    if failed > 0 {
        eprintln!("onnxd: {failed} inputs failed");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

async fn predict(model: &Model, (name, input): Item, parameters: Parameters) -> (String, Outcome) {
    let outcome = match input {
        Ok(input) => match model.predict(input, parameters, Terms::default()).await {
            Ok(mut answered) => match answered.predictions.pop() {
                Some(prediction) => Outcome::Result(prediction),
                None => Outcome::Error("no answer".to_owned()),
            },
            Err(error) => Outcome::Error(error.to_string()),
        },
        Err(error) => Outcome::Error(format!("{error:#}")),
    };
    (name, outcome)
}

/// On standard error, and only on a terminal.
fn progress(count: Option<u64>) -> ProgressBar {
    let (bar, style) = match count {
        Some(0 | 1) => return ProgressBar::hidden(),
        Some(count) => (ProgressBar::new(count), "{bar:40} {pos}/{len} {per_sec} {eta} left"),
        None => (ProgressBar::no_length(), "{spinner} {pos} {per_sec}"),
    };
    bar.with_style(ProgressStyle::with_template(style).unwrap_or(ProgressStyle::default_bar()))
}

enum Output {
    Table(Table),
    Jsonl(std::io::BufWriter<std::io::Stdout>),
}

impl Output {
    fn new(form: Form) -> Self {
        match form {
            Form::Jsonl => Self::Jsonl(std::io::BufWriter::new(std::io::stdout())),
            Form::Table => {
                let mut table = Table::new();
                table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
                table.set_content_arrangement(ContentArrangement::Dynamic);
                table.set_header(["input", "answer", "score", "next"]);
                Self::Table(table)
            }
        }
    }

    fn write(&mut self, name: &str, outcome: Outcome) -> anyhow::Result<()> {
        match self {
            Self::Jsonl(out) => {
                serde_json::to_writer(&mut *out, &Line { input: name, outcome })?;
                out.write_all(b"\n")?;
                out.flush().context("standard output")
            }
            Self::Table(table) => {
                table.add_row(cells(name, outcome));
                Ok(())
            }
        }
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Table(table) => writeln!(std::io::stdout(), "{table}").context("standard output"),
            Self::Jsonl(_) => Ok(()),
        }
    }
}

fn cells(name: &str, outcome: Outcome) -> [String; 4] {
    let (answer, score, next) = match outcome {
        Outcome::Result(Prediction::Classes { label, score, classes }) => {
            let next = classes.iter().skip(1);
            let next: Vec<_> = next.map(|c| format!("{} {:.4}", c.label, c.score)).collect();
            (label.to_string(), format!("{score:.4}"), next.join(", "))
        }
        Outcome::Result(Prediction::Value { value: Value::One(value) }) => {
            (value.to_string(), String::new(), String::new())
        }
        Outcome::Result(Prediction::Value { value: Value::Many(values) }) => {
            let values: Vec<_> = values.iter().map(ToString::to_string).collect();
            (values.join(", "), String::new(), String::new())
        }
        Outcome::Result(Prediction::Embedding { embedding }) => {
            let first: Vec<_> = embedding.iter().take(4).map(|x| format!("{x:.4}")).collect();
            let rest = if embedding.len() > first.len() { ", …" } else { "" };
            let numbers = embedding.len();
            let answer = format!("[{}{rest}] ({numbers} numbers)", first.join(", "));
            (answer, String::new(), String::new())
        }
        Outcome::Result(Prediction::Entities { entities }) => {
            let entities: Vec<_> = entities
                .iter()
                .map(|Entity { entity, word, score, .. }| format!("{entity}: {word} {score:.4}"))
                .collect();
            (entities.join(", "), String::new(), String::new())
        }
        Outcome::Error(error) => (error, String::new(), String::new()),
    };
    [name.to_owned(), answer, score, next]
}
