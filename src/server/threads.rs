//! The async threads.

use std::sync::Arc;
use std::thread;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use super::accept::{Port, accept};

/// Starts one for every two cores: they only carry bytes and a few numbers, and the rest of the cores is
/// for pixels, tokens and networks. Further ones wake each other up for every request of a lone client.
///
/// # Errors
/// The operating system gives no threads.
pub fn start(cores: usize) -> anyhow::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(cores.div_ceil(2))
        .enable_all()
        .build()
        .context("cannot start the async threads")
}

/// Serves a port on a thread of its own, until it stops and its connections have ended: probes are
/// answered however much comes on the other one.
///
/// # Errors
/// The operating system gives no thread.
pub(super) fn apart(listener: TcpListener, port: Arc<Port>) -> anyhow::Result<()> {
    let listener = listener.into_std()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let serve = move || {
        runtime.block_on(async {
            // It is non-blocking already.
            match TcpListener::from_std(listener) {
                Ok(listener) => accept(listener, port.clone()).await,
                Err(error) => tracing::error!(%error, "a port is not served"),
            }
            port.connections.close();
            port.connections.wait().await;
        });
    };
    thread::Builder::new().name("admin".to_owned()).spawn(serve)?;
    Ok(())
}
