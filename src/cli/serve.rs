//! `onnxd serve`: loads the models and answers HTTP.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::Signal;

use super::{Common, ExitCode, compute, loader, signals};
use crate::api::App;
use crate::metrics::Metrics;
use crate::model::repository::{ModelRepository, Profile, When};
use crate::server::{self, Listeners, Server, threads};
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
        let loader = loader(&config, compute, metrics)?;
        let repository = ModelRepository::open(config.models.all(), loader)?;
        say(&format!("ok: {}", models(&repository)));
        return Ok(ExitCode::SUCCESS);
    }
    threads::start(config.runtime.cores())?.block_on(async {
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
        // From here on a SIGHUP does not end the process.
        let hangups = signals::hangups()?;
        let loading = async {
            let open = move || {
                let loader = loader(&config, compute, metrics)?;
                ModelRepository::open(config.models, loader)
            };
            let open = tokio::task::spawn_blocking(open);
            let repository = Arc::new(open.await.context("loading panicked")??);
            let line = format!("onnxd serves {scheme}://{address} with {}", models(&repository));
            app.set_repository(repository.clone());
            say(&line);
            if app.server.playground {
                say(&format!("Try it: {scheme}://{}/", reachable(address)));
            }
            tokio::join!(
                repository.clone().watch(),
                repository.clone().rest(),
                repository.clone().keep_within(),
                rescan(repository, hangups)
            );
            anyhow::Ok(())
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

/// Looks at the models folder at every SIGHUP.
async fn rescan(repository: Arc<ModelRepository>, mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        tracing::info!("SIGHUP: looking at the models folder");
        let repository = repository.clone();
        let scan = tokio::task::spawn_blocking(move || repository.rescan(When::Now));
        if scan.await.is_err() {
            tracing::error!("looking at the models folder panicked");
        }
    }
}

/// The address by which a browser on this machine reaches what listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// A line for people on standard output; a closed one is no reason to stop serving.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn models(repository: &ModelRepository) -> String {
    let describe = |model: &Arc<Profile>| {
        format!("{} ({}, {} on {})", model.name, model.task, model.file, model.provider)
    };
    let models: Vec<String> = repository.profiles().iter().map(describe).collect();
    if models.is_empty() { "no models yet".to_owned() } else { models.join(", ") }
}
