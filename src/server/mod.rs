//! From listeners to answers, until told to stop.
//!
//! `accept` takes connections, `connection` serves one of them through `socket`, `activity` knows
//! what it is doing and until when it may, `framing` and `head` hold its requests to the rules of HTTP,
//! `service` hands them to the router, and `drain` knows how far stopping has come.

mod accept;
mod activity;
mod connection;
mod drain;
mod framing;
mod head;
mod lookout;
mod service;
mod socket;
pub mod threads;
mod tls;

use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::api::health::Health;
use crate::api::peers::Bounds;
use crate::api::scrape::Scrape;
use crate::api::stats::EdgeStats;
use crate::api::{self, App, admin, auth};
use crate::config::{self, ServerConfig};
use crate::metrics::Metrics;
use crate::reload::Reloading;
use accept::{Port, accept};

pub use drain::Drained;

/// Connections to the admin port: probes and a collector.
const MAX_ADMIN_CONNECTIONS: usize = 256;

/// Where the server listens.
pub struct Listeners {
    pub data: TcpListener,
    /// Health and metrics.
    pub admin: Option<TcpListener>,
}

impl Listeners {
    /// # Errors
    /// An address is in use or not of this machine; the message names it.
    pub async fn bind(config: &ServerConfig) -> anyhow::Result<Self> {
        let bind = async |address, key| {
            TcpListener::bind(address)
                .await
                .with_context(|| format!("cannot listen on {address} ({key})"))
        };
        let data = bind(config.server.listen, "server.listen").await?;
        let admin = match config.admin.listen {
            Some(address) => Some(bind(address, "admin.listen").await?),
            None => None,
        };
        Ok(Self { data, admin })
    }
}

impl From<TcpListener> for Listeners {
    /// Without an admin port.
    fn from(data: TcpListener) -> Self {
        Self { data, admin: None }
    }
}

/// A server that is ready to accept.
pub struct Server {
    listeners: Listeners,
    app: App,
    data: Arc<Port>,
    admin: Arc<Port>,
    health: Arc<Health>,
    /// Files that are read again.
    watchers: JoinSet<()>,
}

impl Server {
    /// Reads the keys and the certificate.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn new(listeners: Listeners, mut app: App) -> anyhow::Result<Self> {
        app.bounds = Bounds::new(&app.server);
        let (server, interval) = (&app.server, app.server.reload_interval);
        let mut watchers = JoinSet::new();
        let keys = keys(server)?;
        let certificate = tls::load(&app.tls).context("tls")?;
        if let Some(keys) = &keys {
            watchers.spawn(keys.clone().watch(interval));
        }
        if let Some(certificate) = &certificate {
            watchers.spawn(certificate.clone().watch(interval));
        }
        let address = listeners.data.local_addr()?;
        if keys.is_none() && !address.ip().is_loopback() {
            tracing::warn!(
                "everybody who reaches {address} may ask: server.api_keys_file is empty"
            );
        }
        let health = Health::new(app.clone());
        let scrape = Scrape::new(app.clone(), health.clone());
        let router = api::router(app.clone(), health.clone(), scrape.clone(), keys.clone());
        let stats = EdgeStats::new(&app.metrics);
        let mut data = Port::new(router, server, app.bounds.clone(), stats);
        data.certificate = certificate;
        let router = admin::router(admin::Admin::new(app.clone(), health.clone(), scrape), keys);
        // What it counts is nobody's concern.
        let stats = EdgeStats::new(&Metrics::default());
        let bounds = Bounds::connections_only(MAX_ADMIN_CONNECTIONS);
        let admin = Arc::new(Port::new(router, server, bounds, stats));
        Ok(Self { listeners, data: Arc::new(data), admin, health, watchers, app })
    }

    #[must_use]
    pub fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    /// Serves until `shutdown` ends, and then drains: readiness is off at once, after `drain_delay`
    /// nothing is accepted any more, and what is in work has until `grace_period` after `shutdown`.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Drained {
        let Self { listeners, app, data, admin, health, watchers } = self;
        let accepting = tokio::spawn(accept(listeners.data, data.clone()));
        if let Some(listener) = listeners.admin
            && let Err(error) = threads::apart(listener, admin.clone())
        {
            tracing::error!(%error, "the admin port is not served");
        }
        shutdown.await;
        let end = Instant::now() + app.server.grace_period;
        health.drain();
        data.drain.draining.cancel();
        let delay = app.server.drain_delay;
        tracing::info!(?delay, "stopping: not ready any more, requests are served on");
        tokio::time::sleep(delay).await;
        data.drain.stopping.cancel();
        let ended = async {
            let _ = accepting.await;
            data.connections.close();
            data.connections.wait().await;
        };
        let _ = tokio::time::timeout_at(end, ended).await;
        let drained = data.drain.outcome(data.connections.len());
        let Drained { answered, aborted, connections } = drained;
        for port in [&data, &admin] {
            port.drain.stopping.cancel();
            port.drain.aborting.cancel();
        }
        drop(watchers);
        tracing::info!(answered, aborted, connections, "stopped");
        drained
    }
}

/// The API keys, if they are asked for.
fn keys(server: &config::Server) -> anyhow::Result<Option<Arc<Reloading<auth::Keys>>>> {
    let Some(file) = server.api_keys_file() else { return Ok(None) };
    let parse = |contents: &[Vec<u8>]| auth::Keys::parse(&contents[0]);
    let keys = Reloading::new(&[file], parse).context("server.api_keys_file")?;
    Ok(Some(Arc::new(keys)))
}

/// Whether keys and certificate can be read, without a server.
///
/// # Errors
/// They cannot.
pub fn check(config: &ServerConfig) -> anyhow::Result<()> {
    keys(&config.server)?;
    tls::load(&config.tls).context("tls")?;
    Ok(())
}

/// Serves until `shutdown` ends.
///
/// # Errors
/// As [`Server::new`].
pub async fn run(
    listeners: impl Into<Listeners>,
    app: App,
    shutdown: impl Future<Output = ()> + Send,
) -> anyhow::Result<Drained> {
    Ok(Server::new(listeners.into(), app)?.run(shutdown).await)
}
