//! SIGTERM and SIGINT: the first drains, the second ends the process. SIGHUP: look at the models again.

use std::io::Write;

use signal_hook::low_level;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ends at the first signal. From then on a second one ends the process at once, with the exit
/// status that a shell gives for it: 143 or 130.
///
/// # Errors
/// The handlers cannot be set.
pub fn shutdown() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut next = async move || {
        tokio::select! {
            _ = terminate.recv() => SignalKind::terminate(),
            _ = interrupt.recv() => SignalKind::interrupt(),
        }
    };
    Ok(async move {
        next().await;
        tokio::spawn(async move {
            let kind = next().await;
            tracing::warn!("a second signal: what is in work is cut off");
            exit(128 + kind.as_raw_value());
        });
    })
}

/// Every SIGHUP from now on.
///
/// # Errors
/// The handler cannot be set.
pub fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Ends the process without waiting for anything: neither for threads that are in a run, nor by
/// ONNX Runtime's exit handlers, which must not run beside such a thread.
pub fn exit(status: i32) -> ! {
    let _ = std::io::stdout().flush();
    low_level::exit(status)
}
