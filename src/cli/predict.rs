//! `onnxd predict`: answers for files, folders or lines, by the same code as the server's.
//!
//! `feed.rs`: the thread that finds the inputs. `answers.rs`: answers as lines. `table.rs`: for people.
//! `output.rs`: where they go. `resume.rs`: what a file of answers is of, and how far it has come.

mod answers;
mod feed;
mod output;
mod resume;
mod table;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::sources::{self, Source, Total};
use super::{Common, ExitCode, compute, loader};
use crate::bulk::{self, Pace, Question, Terms};
use crate::error::{Error, ErrorKind};
use crate::model::Model;
use crate::model::repository::{self, ModelRepository};
use crate::runtime::compute::Compute;
use crate::runtime::job::Priority;
use crate::server::threads;
use crate::tasks::Parameters;
use crate::telemetry::Telemetry;
use answers::Tag;
use feed::{Fed, Inputs};
use output::{Output, Part};

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
    /// File for the answers, as JSON lines. It must not be there yet, unless with --resume.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Go on where an earlier run with the same inputs stopped, however it ended.
    #[arg(long, requires = "output")]
    resume: bool,
    /// How many classes to list.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    top_k: u16,
    /// The model's own scores, without softmax or sigmoid.
    #[arg(long)]
    raw_scores: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A table at the end.
    Table,
    /// A JSON object a line, as soon as it is there.
    Jsonl,
}

/// Bytes of inputs in a block, unless one has more.
const BLOCK: usize = 64 << 10;

pub fn run(command: Predict) -> anyhow::Result<ExitCode> {
    let config = command.common.config(None)?;
    let _telemetry = Telemetry::start(&config.log, None)?;
    let limit = config.server.max_body_size;
    let parameters = Parameters {
        top_k: command.top_k.into(),
        raw_scores: command.raw_scores,
        ..Parameters::default()
    };
    let compute = compute(&config)?;
    let loader = loader(&config, compute.clone(), Arc::default())?;
    let repository = ModelRepository::load(&config.models.path, Some(&command.model), &loader)?;
    let model = repository.find(&command.model, None)?;
    let sources = sources::open(model.input_kind(), &command.inputs, limit)?;
    let (output, done) = match &command.output {
        None => (Output::standard(command.format == Form::Jsonl), None),
        Some(file) => {
            let location = repository::locate(&config.models.path, &command.model)?;
            let of = resume::Origin::new(&model, &location, parameters, &command.inputs)?;
            let (file, done) = resume::open(file, command.resume, &of)?;
            (Output::file(file), done)
        }
    };
    let progress = progress(&sources.total);
    let job = Job { model, compute, parameters, limit, pace: Pace::default() };
    let failed = threads::start(config.runtime.cores())?.block_on(async {
        let fed = feed::start(sources, done);
        let failed = answer(Arc::new(job), fed, output, &progress).await;
        progress.finish_and_clear();
        failed
    })?;
    if failed > 0 {
        eprintln!("onnxd: {failed} inputs failed");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// What is asked of all inputs.
struct Job {
    model: Arc<Model>,
    compute: Arc<Compute>,
    parameters: Parameters,
    /// Bytes of one input.
    limit: usize,
    pace: Pace,
}

/// Answers what is fed, and gives the number of inputs that failed.
async fn answer(
    job: Arc<Job>,
    fed: Fed,
    mut output: Output,
    progress: &Progress,
) -> anyhow::Result<u64> {
    let as_table = output.is_table();
    let blocks = {
        let job = job.clone();
        stream::unfold(fed, move |mut fed| {
            let most = job.pace.inputs();
            async move { fed.block(most, BLOCK).await.map(|block| (block, fed)) }
        })
    };
    let mut parts =
        Box::pin(bulk::ordered(blocks, move |block| work(job.clone(), block, as_table)));
    let mut failed = 0;
    while let Some(part) = parts.next().await {
        let part = part.map_err(anyhow::Error::from)??;
        failed += part.failed;
        progress.advance(part.count);
        output.write(part)?;
    }
    output.finish()?;
    Ok(failed)
}

/// One block, from its sources to its lines.
async fn work(job: Arc<Job>, block: feed::Block, as_table: bool) -> anyhow::Result<Part> {
    let Inputs { sources, bytes, skipped, room } = block?;
    let (count, began) = (sources.len(), Instant::now());
    let terms = Terms {
        priority: Priority::Interactive,
        timeout: None,
        stopping: CancellationToken::new(),
    };
    let reading = job.clone();
    let read = move |_: &dyn Fn() -> bool| {
        sources.into_iter().map(|source| reading.read(source)).collect()
    };
    let write = move |answers| answers::write(answers, as_table);
    let mut part = bulk::block(&job.compute, bytes, &terms, read, write).await?;
    job.pace.learn(count, began.elapsed(), part.bytes());
    drop(room);
    part.count += skipped.count;
    part.failed += skipped.failed;
    Ok(part)
}

impl Job {
    fn read(&self, source: Source) -> bulk::Asked<Tag> {
        let name = source.name.clone();
        let asked = source.read(self.model.input_kind(), self.parameters, self.limit);
        let question = asked.question.map(|(input, parameters)| Question {
            model: self.model.clone(),
            input,
            parameters,
        });
        let told = |error: anyhow::Error| match error.downcast::<Error>() {
            Ok(error) => error,
            Err(error) => Error::new(ErrorKind::InvalidInput, format!("{error:#}")),
        };
        bulk::Asked { tag: Tag { name, id: asked.id }, question: question.map_err(told) }
    }
}

/// On standard error, and only on a terminal.
struct Progress {
    bar: ProgressBar,
    total: Total,
}

fn progress(total: &Total) -> Progress {
    let (bar, style) = match total {
        Total::Items(0 | 1) => (ProgressBar::hidden(), ""),
        Total::Items(count) => {
            (ProgressBar::new(*count), "{bar:40} {pos}/{len} {per_sec} {eta} left")
        }
        Total::Bytes(all, _) => {
            (ProgressBar::new(*all), "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta} left")
        }
        Total::Unknown => (ProgressBar::no_length(), "{spinner} {pos} {per_sec}"),
    };
    let style = ProgressStyle::with_template(style).unwrap_or(ProgressStyle::default_bar());
    Progress { bar: bar.with_style(style), total: total.clone() }
}

impl Progress {
    fn advance(&self, inputs: u64) {
        match &self.total {
            // What was read is ahead of what was answered, by a few blocks.
            Total::Bytes(_, read) => {
                self.bar.set_position(read.load(std::sync::atomic::Ordering::Relaxed));
            }
            Total::Items(_) | Total::Unknown => self.bar.inc(inputs),
        }
    }

    fn finish_and_clear(&self) {
        self.bar.finish_and_clear();
    }
}
