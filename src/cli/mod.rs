//! The command line: one file for each command.

mod bench;
mod config;
mod evaluate;
mod figures;
mod health;
mod inspect;
mod predict;
mod serve;
mod signals;
mod sources;
mod tune;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Error;
use clap::{Args, Parser, Subcommand};

use crate::config::{Device, Flags, ServerConfig};
use crate::metrics::Metrics;
use crate::model::load::Loader;
use crate::runtime::compute::Compute;
use crate::runtime::library::Runtime;
use crate::runtime::provider::ExecutionProvider;

/// What the process ends with. The standard library's own can be given to nobody but the caller of
/// `main`.
#[derive(Debug, Clone, Copy)]
struct ExitCode(i32);

impl ExitCode {
    const SUCCESS: Self = Self(0);
    const FAILURE: Self = Self(1);
    /// `EX_CONFIG` of sysexits.h: the configuration or a model is wrong, so that trying again is no
    /// use.
    const CONFIG: Self = Self(78);
    /// As a shell has it after SIGINT.
    const INTERRUPTED: Self = Self(130);
}

/// Serves ONNX models over HTTP.
#[derive(Parser)]
#[command(name = "onnxd", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Predict(predict::Predict),
    Inspect(inspect::Inspect),
    Evaluate(evaluate::Evaluate),
    Bench(bench::Bench),
    Tune(tune::Tune),
    Health(health::Health),
    Config(config::Config),
}

/// Options that every command has.
#[derive(Args)]
struct Common {
    /// Configuration file (TOML); config/default.toml documents every key.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder with one folder a model.
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,
    /// ONNX Runtime's shared library.
    #[arg(long, value_name = "FILE")]
    onnxruntime: Option<PathBuf>,
    /// auto, cpu, cuda, cuda:N or tensorrt:N.
    #[arg(long, value_name = "DEVICE")]
    device: Option<Device>,
}

/// Runs the command that the process was called with, and ends the process. By the operating system's
/// own call: the exit handlers of ONNX Runtime and CUDA beside a session thread that still ends can
/// crash.
pub fn main() -> ! {
    let result = match Cli::parse().command {
        Command::Serve(command) => serve::run(command),
        Command::Predict(command) => predict::run(command),
        Command::Inspect(command) => inspect::run(command),
        Command::Evaluate(command) => evaluate::run(command),
        Command::Bench(command) => bench::run(command),
        Command::Tune(command) => tune::run(command),
        Command::Health(command) => health::run(command),
        Command::Config(command) => config::run(command),
    };
    let ExitCode(status) = result.unwrap_or_else(|error| {
        eprintln!("onnxd: {error:#}");
        ExitCode::CONFIG
    });
    signals::exit(status)
}

impl Common {
    fn flags(&self, listen: Option<SocketAddr>) -> Flags {
        Flags {
            listen,
            models: self.models.clone(),
            library: self.onnxruntime.clone(),
            device: self.device,
        }
    }

    /// The same as a command line has it.
    fn arguments(&self) -> Vec<OsString> {
        let device = self.device.map(|device| device.to_string().into());
        let path = |path: &Option<PathBuf>| path.clone().map(PathBuf::into_os_string);
        let options = [
            ("--config", path(&self.config)),
            ("--models", path(&self.models)),
            ("--onnxruntime", path(&self.onnxruntime)),
            ("--device", device),
        ];
        let given = options.into_iter().filter_map(|(name, value)| Some([name.into(), value?]));
        given.flatten().collect()
    }

    fn config(&self, listen: Option<SocketAddr>) -> anyhow::Result<ServerConfig> {
        ServerConfig::load(self.config.as_deref(), &self.flags(listen))
    }
}

/// The threads that decode and tokenise.
fn compute(config: &ServerConfig) -> anyhow::Result<Arc<Compute>> {
    Ok(Arc::new(Compute::new(config.runtime.compute_threads())?))
}

/// Loads ONNX Runtime, and says what every model is loaded with.
fn loader(
    config: &ServerConfig,
    compute: Arc<Compute>,
    metrics: Arc<Metrics>,
) -> anyhow::Result<Loader> {
    let device = config.runtime.device;
    let runtime = Runtime::load(config.runtime.library(), device)?;
    let (provider, why_cpu) =
        ExecutionProvider::choose(device, &runtime, &config.runtime.gpu()).map_err(Error::msg)?;
    if let Some(reason) = why_cpu {
        tracing::info!("device auto is the CPU: {reason}");
    }
    let loader = Loader {
        runtime,
        provider,
        compute,
        config: config.runtime.clone(),
        limits: config.limits,
        metrics: metrics.clone(),
    };
    let layout = config.runtime.layout(provider == ExecutionProvider::Cpu);
    if layout.instances * layout.intra_op_threads > config.runtime.cores() {
        tracing::warn!(
            cores = config.runtime.cores(),
            "runtime.instances times runtime.intra_op_threads is more than there are cores"
        );
    }
    tracing::info!(
        instances = layout.instances,
        intra_op_threads = layout.intra_op_threads,
        compute_threads = config.runtime.compute_threads(),
        "sessions of each model and threads"
    );
    metrics.cores.set(config.runtime.cores() as i64);
    metrics.compute_threads.set(loader.compute.threads() as i64);
    metrics.built_with(&loader.runtime.version);
    Ok(loader)
}
