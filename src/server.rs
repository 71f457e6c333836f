//! From a listener to answers, until told to stop.

use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use crate::api::{App, router};

/// Serves until `shutdown` ends, then finishes the requests that are in work.
///
/// # Errors
/// The listener fails.
pub async fn run(
    listener: TcpListener,
    app: App,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let listener = listener.tap_io(|stream| {
        // Answers are small and written at once: waiting for more only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
    });
    axum::serve(listener, router(app)).with_graceful_shutdown(shutdown).await
}
