//! `onnxd serve`: loads the models and answers HTTP.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::{Common, Loaded, async_runtime, load};
use crate::api::App;
use crate::model::Model;
use crate::model::repository::ModelRepository;
use crate::server;
use crate::telemetry::Telemetry;

/// Serve the models over HTTP.
#[derive(Args)]
pub struct Serve {
    #[command(flatten)]
    common: Common,
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Load everything, say what would be served, and exit.
    #[arg(long)]
    check: bool,
}

pub fn run(command: Serve) -> anyhow::Result<ExitCode> {
    let config = command.common.config(command.listen)?;
    // Dropped last, and before `main` says why it fails: what was logged is written by then.
    let telemetry = Telemetry::start(&config.log, Some(&config.trace))?;
    if command.check {
        let Loaded { repository, .. } = load(&config, None)?;
        say(&format!("ok: {}", models(&repository)));
        return Ok(ExitCode::SUCCESS);
    }
    async_runtime()?.block_on(async {
        // First the port, so that one in use is told before the models are loaded.
        let listen = config.server.listen;
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("cannot listen on {listen}"))?;
        let Loaded { repository, compute, metrics } =
            tokio::task::block_in_place(|| load(&config, None))?;
        let address = listener.local_addr()?;
        say(&format!("onnxd serves http://{address} with {}", models(&repository)));
        let app = App {
            repository,
            compute,
            server: config.server,
            limits: config.limits,
            metrics,
            telemetry: telemetry.handle(),
        };
        server::run(listener, app, stop()?).await.context("the server failed")
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A line for people on standard output; a closed one is no reason to stop serving.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn models(repository: &ModelRepository) -> String {
    let describe = |model: &Model| {
        format!("{} ({}, {} on {})", model.name, model.task(), model.file, model.provider)
    };
    repository.iter().map(|model| describe(model)).collect::<Vec<_>>().join(", ")
}

/// Ends at SIGTERM or SIGINT.
fn stop() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: no new connections, requests in work are finished");
    })
}
