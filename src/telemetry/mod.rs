//! What is told about the work: logs on standard error, and spans to a collector.

mod bound;
mod log;
mod otlp;
pub mod trace;
mod trace_context;
mod writer;

use crate::config::{Log, Trace};
use trace::{Tracer, Tracing};
pub use trace_context::trace_context;
pub use writer::Dropped;

/// Logs and spans of this process. Dropping it sends and writes what is left, for two seconds at
/// most.
pub struct Telemetry {
    // In this order: a failed export still has its line.
    tracing: Option<Tracing>,
    writer: writer::Writer,
    access_log: bool,
}

/// What a request needs of it.
#[derive(Debug, Clone, Default)]
pub struct Handle {
    /// One line an answered request.
    pub access_log: bool,
    /// Where spans go, if anywhere.
    pub tracer: Option<Tracer>,
    /// The log's lines that were not written.
    pub dropped: Dropped,
}

impl Telemetry {
    /// Starts the log and, with an endpoint in `trace`, the export of spans.
    ///
    /// # Errors
    /// A filter or an endpoint that cannot be read, or an operating system that gives no thread.
    pub fn start(log: &Log, trace: Option<&Trace>) -> anyhow::Result<Self> {
        let writer = log::start(log)?;
        let tracing = trace.map(Tracing::start).transpose()?.flatten();
        Ok(Self { tracing, writer, access_log: log.access })
    }

    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle {
            access_log: self.access_log,
            tracer: self.tracing.as_ref().map(Tracing::tracer),
            dropped: self.writer.dropped(),
        }
    }
}
