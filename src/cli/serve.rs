//! `onnxd serve`: loads the models and answers HTTP.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;

use super::{Common, async_runtime, compute, load, signals};
use crate::api::App;
use crate::metrics::Metrics;
use crate::model::Model;
use crate::model::repository::ModelRepository;
use crate::server::{self, Listeners, Server};
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
    let (compute, metrics) = (compute(&config)?, Arc::new(Metrics::default()));
    metrics.count_panics();
    if command.check {
        server::check(&config)?;
        let repository = load(&config, None, compute, metrics)?;
        say(&format!("ok: {}", models(&repository)));
        return Ok(ExitCode::SUCCESS);
    }
    async_runtime()?.block_on(async {
        // First the ports, so that one in use is told before the models are loaded, and so that
        // probes and early requests are answered meanwhile.
        let listeners = Listeners::bind(&config).await?;
        let address = listeners.data.local_addr()?;
        if let Some(admin) = &listeners.admin {
            let address = admin.local_addr()?;
            tracing::info!("health and metrics at http://{address}");
        }
        let app = App::new(&config, compute.clone(), metrics.clone(), telemetry.handle());
        let scheme = if config.tls.files()?.is_some() { "https" } else { "http" };
        let server = Server::new(listeners, app.clone())?;
        let serving = server.run(signals::shutdown()?);
        let loading = async {
            let load = tokio::task::spawn_blocking(move || load(&config, None, compute, metrics));
            let repository = load.await.context("loading panicked")??;
            let line = format!("onnxd serves {scheme}://{address} with {}", models(&repository));
            app.set_repository(repository);
            say(&line);
            std::future::pending::<anyhow::Result<()>>().await
        };
        tokio::select! {
            _drained = serving => {
                // What was logged and traced is written first.
                drop(telemetry);
                signals::exit(0)
            }
            // Only if it failed.
            failed = loading => failed,
        }
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
