//! `onnxd inspect`: what a model is, what will be done with it, and what is odd about it.

mod table;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};

use super::{Common, ExitCode, compute, loader};
use crate::config::{Device, ModelConfig, ServerConfig};
use crate::inspect::{Measured, Report, Subject, measure};
use crate::model::Model;
use crate::model::load::{Loader, Location};
use crate::model::repository;
use crate::runtime::memory;
use crate::runtime::provider::ExecutionProvider;
use crate::server::threads;
use crate::telemetry::Telemetry;

/// Tell what a model is, how it would be served, and what is odd about it.
#[derive(Args)]
pub struct Inspect {
    #[command(flatten)]
    common: Common,
    /// A model of the models folder, a folder, or an ONNX file.
    model: PathBuf,
    #[arg(long, value_enum, default_value_t = Form::Table)]
    format: Form,
    /// Only read the files, without ONNX Runtime.
    #[arg(long)]
    no_run: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Table,
    Json,
}

pub fn run(command: Inspect) -> anyhow::Result<ExitCode> {
    let mut config = command.common.config(None)?;
    // What a start would say is in the report.
    "error".clone_into(&mut config.log.filter);
    let _telemetry = Telemetry::start(&config.log, None)?;
    let (location, file) = locate(&command.model, &config)?;
    let subject = Subject { location: &location, file: file.as_deref(), limits: &config.limits };
    let report = match command.no_run {
        true => without_run(&subject, &config),
        false => with_run(&subject, &config)?,
    };
    let mut out = std::io::stdout().lock();
    match command.format {
        Form::Table => write!(out, "{}", table::of(&report)),
        Form::Json => {
            serde_json::to_writer_pretty(&mut out, &report)?;
            writeln!(out)
        }
    }
    .context("standard output")?;
    out.flush().context("standard output")?;
    Ok(if report.error.is_some() { ExitCode::CONFIG } else { ExitCode::SUCCESS })
}

/// The model, and its network if a file was named. A model of the models folder goes before a path.
fn locate(model: &Path, config: &ServerConfig) -> anyhow::Result<(Location, Option<PathBuf>)> {
    let name = model.to_str().filter(|name| !name.contains('/'));
    let found = name.map(|name| repository::locate(&config.models.path, name));
    if let Some(Ok(location)) = found {
        return Ok((location, None));
    }
    let path = match (model.canonicalize(), found) {
        (Ok(path), _) => path,
        (Err(_), Some(Err(error))) => return Err(error),
        (Err(error), _) => return Err(anyhow!("{}: {error}", model.display())),
    };
    let named = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if path.is_dir() {
        let parent = path.parent().unwrap_or(&path);
        return Ok((repository::locate(parent, &named(&path))?, None));
    }
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    let location = Location {
        name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        version: 1,
        model_folder: folder.clone(),
        version_folder: folder,
    };
    Ok((location, Some(named(&path).into())))
}

/// The device that the configuration or the model asks for.
fn asked(subject: &Subject<'_>, config: &ServerConfig) -> Device {
    let text = subject.location.files().read("model.toml").ok().flatten();
    let own = text.and_then(|text| ModelConfig::parse(&text).ok()?.device);
    own.unwrap_or(config.runtime.device)
}

fn without_run(subject: &Subject<'_>, config: &ServerConfig) -> Report {
    let asked = asked(subject, config);
    let (provider, why) = match asked {
        Device::Auto => (ExecutionProvider::Cpu, Some("whether there is a GPU was not tried")),
        Device::Cpu => (ExecutionProvider::Cpu, None),
        Device::Cuda(number) => (ExecutionProvider::Cuda(number), Some("not tried")),
        Device::TensorRt(number) => (ExecutionProvider::TensorRt(number), Some("not tried")),
    };
    subject.read(provider, &asked.to_string(), why)
}

/// # Errors
/// ONNX Runtime cannot be loaded, or the device that is asked for cannot be had.
fn with_run(subject: &Subject<'_>, config: &ServerConfig) -> anyhow::Result<Report> {
    let asked = asked(subject, config);
    let loader = match loader(config, compute(config)?, Arc::default()) {
        Ok(loader) => loader,
        Err(error) => {
            let mut report = without_run(subject, config);
            report.error.get_or_insert_with(|| format!("{error:#}"));
            return Ok(report);
        }
    };
    let chosen = ExecutionProvider::choose(asked, &loader.runtime, &config.runtime.gpu());
    let (provider, why) = match chosen {
        Ok(chosen) => chosen,
        Err(error) => {
            let mut report = without_run(subject, config);
            report.error.get_or_insert(error);
            return Ok(report);
        }
    };
    let mut report = subject.read(provider, &asked.to_string(), why.as_deref());
    if report.error.is_none() {
        match load(subject, &loader, config)? {
            Ok((model, measured)) => report.add(&model, measured),
            Err(error) => report.error = Some(error),
        }
    }
    Ok(report)
}

type Loaded = Result<(Arc<Model>, Measured), String>;

/// # Errors
/// The operating system gives no threads. The inner error is the model's.
fn load(subject: &Subject<'_>, loader: &Loader, config: &ServerConfig) -> anyhow::Result<Loaded> {
    let (before, began) = (memory::resident(), Instant::now());
    let loaded = loader.load_with(subject.location, |own| subject.change(own));
    let loaded = loaded.and_then(|model| model.widen().map(|()| Arc::new(model)));
    let model = match loaded {
        Ok(model) => model,
        Err(error) => return Ok(Err(error)),
    };
    let load_seconds = began.elapsed().as_secs_f64();
    let after = memory::resident();
    let measured = threads::start(config.runtime.cores())?.block_on(measure(&model));
    let measured = measured.map(|measured| Measured {
        load_seconds,
        model_bytes: after.zip(before).map(|(after, before)| after.saturating_sub(before)),
        process_bytes: memory::resident(),
        ..measured
    });
    Ok(measured.map(|measured| (model, measured)))
}
