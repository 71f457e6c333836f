//! The async threads.

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};

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
