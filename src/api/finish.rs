//! What every protocol does around an inference: one deadline over all of it, and what its answer
//! tells beside the outputs.

use std::convert::Infallible;
use std::fmt::Write;
use std::pin::Pin;
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use opentelemetry::KeyValue;

use super::App;
use super::account::Account;
use super::error::ApiError;
use crate::error::{Error, ErrorKind, excerpt};
use crate::model::{Stage, Timings};
use crate::runtime::job::Priority;
use crate::runtime::provider::ExecutionProvider;
use crate::telemetry::trace::RequestSpan;

/// The client's limit on the whole request, in milliseconds.
const X_REQUEST_TIMEOUT_MS: &str = "x-request-timeout-ms";
/// `interactive`, or `bulk` for work that may wait.
const X_PRIORITY: &str = "x-priority";
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// What ran the network, as the configuration names it: `cpu`, `cuda:0`.
pub const X_DEVICE: HeaderName = HeaderName::from_static("x-device");

/// An answer, where its time went, and what ran it.
pub struct Answered {
    pub response: Response,
    pub timings: Timings,
    pub provider: ExecutionProvider,
}

/// The request's span, if it is traced.
pub struct Finish(Option<RequestSpan>);

impl<S: Sync> FromRequestParts<S> for Finish {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get().cloned()))
    }
}

impl Finish {
    /// Does the work by `deadline`; when that passes, the work is dropped, which abandons what has not
    /// started. `work` is boxed since it is kilobytes large and would be moved several times.
    pub async fn by(
        self,
        deadline: Deadline,
        account: &Account,
        work: Pin<Box<impl Future<Output = Result<Answered, Error>>>>,
    ) -> Result<Response, ApiError> {
        let answered = tokio::time::timeout_at(deadline.at.into(), work).await;
        if let (Some(span), Some(model)) = (&self.0, account.model()) {
            span.set(KeyValue::new("onnxd.model", model.name.clone()));
            span.set(KeyValue::new("onnxd.model.version", model.version.to_string()));
        }
        let Ok(answered) = answered else {
            return Err(ApiError(deadline.passed()));
        };
        let Answered { mut response, timings, provider } = answered?;
        if let Some(span) = &self.0 {
            for Stage { name, start, duration } in timings.stages() {
                span.stage(name, start, duration);
            }
        }
        for (name, value) in
            [(SERVER_TIMING, server_timing(&timings)), (X_DEVICE, provider.to_string())]
        {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(name, value);
            }
        }
        Ok(response)
    }
}

/// When a request must be answered.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    pub at: Instant,
    within: Duration,
}

impl Deadline {
    /// The smaller of the server's limit and the client's, from now on.
    pub fn new(app: &App, client: Option<Duration>) -> Self {
        let limit = app.server.request_timeout;
        let within = client.map_or(limit, |client| limit.min(client));
        Self { at: Instant::now() + within, within }
    }

    pub fn passed(self) -> Error {
        let detail = format!("no answer within {:?}", self.within);
        Error::new(ErrorKind::DeadlineExceeded, detail)
    }
}

/// The smaller of the server's limit and the client's, from now on.
///
/// # Errors
/// A header that is no number.
pub fn deadline(headers: &HeaderMap, app: &App) -> Result<Deadline, Error> {
    Ok(Deadline::new(app, client_timeout(headers)?))
}

/// The client's limit, if it has one.
///
/// # Errors
/// A header that is no number.
pub fn client_timeout(headers: &HeaderMap) -> Result<Option<Duration>, Error> {
    let Some(given) = headers.get(X_REQUEST_TIMEOUT_MS) else { return Ok(None) };
    let given = String::from_utf8_lossy(given.as_bytes());
    let milliseconds = given.parse::<u64>().map_err(|_| {
        let expected = "a whole number of milliseconds";
        Error::invalid(X_REQUEST_TIMEOUT_MS, expected, format!("`{}`", excerpt(&given)))
    })?;
    Ok(Some(Duration::from_millis(milliseconds)))
}

/// Interactive, unless the client says otherwise.
///
/// # Errors
/// As [`priority_or`].
pub fn priority(headers: &HeaderMap) -> Result<Priority, Error> {
    priority_or(headers, Priority::Interactive)
}

/// `default`, unless the client says otherwise.
///
/// # Errors
/// A header that is neither.
pub fn priority_or(headers: &HeaderMap, default: Priority) -> Result<Priority, Error> {
    match headers.get(X_PRIORITY).map(HeaderValue::as_bytes) {
        None => Ok(default),
        Some(b"interactive") => Ok(Priority::Interactive),
        Some(b"bulk") => Ok(Priority::Bulk),
        Some(other) => {
            let got = format!("`{}`", excerpt(&String::from_utf8_lossy(other)));
            Err(Error::invalid(X_PRIORITY, "`interactive` or `bulk`", got))
        }
    }
}

/// The stages in milliseconds, in the order in which they happen.
fn server_timing(timings: &Timings) -> String {
    let mut header = String::with_capacity(96);
    for Stage { name, duration, .. } in timings.stages() {
        let between = if header.is_empty() { "" } else { ", " };
        // Whole numbers are written several times as fast as fractions.
        let microseconds = duration.saturating_add(Duration::from_nanos(500)).as_micros();
        let (whole, rest) = (microseconds / 1000, microseconds % 1000);
        // A string takes anything.
        let _ = write!(header, "{between}{name};dur={whole}.{rest:03}");
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::job::Outputs;
    use crate::tensor::Tensors;

    #[test]
    fn times_are_milliseconds_to_the_nearest_microsecond() {
        let ran = Outputs {
            tensors: Tensors::default(),
            queued: Duration::from_nanos(1_499),
            inferred: Duration::from_nanos(12_034_500),
        };
        let header = server_timing(&Timings::of_run(Instant::now(), &ran));
        assert_eq!(
            header,
            "decode;dur=0.000, preprocess;dur=0.000, queue;dur=0.001, infer;dur=12.035, \
             postprocess;dur=0.000"
        );
    }
}
