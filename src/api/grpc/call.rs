//! One call: from a request to a method of ours and back, within its deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Version, header};
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use bytes::Bytes;
use prost::Message;

use super::fields::{Fields, refused};
use super::wire::{self, Messages};
use crate::api::App;
use crate::api::account;
use crate::api::error::{self, ApiError};
use crate::api::finish::{self, Deadline};
use crate::api::health::Health;
use crate::api::request_id::Asked;
use crate::api::streaming::Stopping;
use crate::api::upload::Upload;
use crate::error::{Error, ErrorKind, excerpt};
use crate::runtime::compute::FEW;
use crate::runtime::job::Priority;

/// What all methods share.
#[derive(Clone)]
pub struct Service {
    pub app: App,
    pub health: Arc<Health>,
}

/// What a method knows of its call.
pub struct Call {
    pub app: App,
    pub health: Arc<Health>,
    pub upload: Option<Arc<Upload>>,
    stopping: Option<Stopping>,
    asked: Option<Asked>,
    pub priority: Priority,
    pub began: Instant,
    /// The client's limit on the whole call.
    pub timeout: Option<Duration>,
}

impl Call {
    /// When an answer that is asked for now must be there.
    pub fn deadline(&self) -> Deadline {
        let rest = self.timeout.map(|timeout| timeout.saturating_sub(self.began.elapsed()));
        Deadline::new(&self.app, rest)
    }

    /// When the client's patience ends.
    pub fn end(&self) -> Option<Instant> {
        self.timeout.and_then(|timeout| self.began.checked_add(timeout))
    }

    /// Counts and logs an error that ends a response which has begun.
    pub fn refused(&self, error: &Error) {
        account::refused(&self.app.metrics, error);
        if let Some(asked) = &self.asked {
            asked.log_failed(error::status(error.kind), error);
        }
    }

    /// Ends when the server stops.
    pub async fn stopped(&self) {
        match &self.stopping {
            Some(Stopping(stopping)) => stopping.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// What is told of a question that begins now.
    pub fn asked(&self) -> Option<Asked> {
        self.asked.as_ref().map(Asked::part)
    }
}

/// Bytes and fields of a question that is not for inference: it is read where it is.
pub const MAX_PLAIN: usize = FEW;
const MAX_FIELDS: usize = 256;

/// A method that takes a message and gives one.
pub fn unary<Q, A, F, R>(method: F) -> MethodRouter<Service>
where
    Q: Message + Default + 'static,
    A: Message + 'static,
    F: Fn(Arc<Call>, Q) -> R + Copy + Send + Sync + 'static,
    R: Future<Output = Result<A, Error>> + Send,
{
    post(move |State(service): State<Service>, request: Request| async move {
        let (call, messages) = begin(service, request)?;
        let deadline = call.deadline();
        let work = async {
            let question = decode(messages.at_most(MAX_PLAIN).only().await?.bytes)?;
            wire::frame(&method(call, question).await?)
        };
        let answered = tokio::time::timeout_at(deadline.at.into(), work).await;
        let frame = answered.map_err(|_| deadline.passed())??;
        Ok::<Response, ApiError>(wire::one(frame))
    })
}

/// What a request says of its call, and its messages.
pub fn begin(service: Service, request: Request) -> Result<(Arc<Call>, Messages), Error> {
    let (head, body) = request.into_parts();
    if !wire::is_grpc(&head.headers) {
        let given = head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let got = match given {
            Some(given) => format!("`{}`", excerpt(&String::from_utf8_lossy(given))),
            None => "no content type".to_owned(),
        };
        let kind = ErrorKind::UnsupportedMediaType;
        return Err(Error::field(kind, "content-type", "`application/grpc`", got));
    }
    if head.version < Version::HTTP_2 {
        let got = format!("{:?}", head.version);
        return Err(Error::field(ErrorKind::Syntax, "version", "HTTP/2, for gRPC", got));
    }
    let timeout = timeout(&head.headers)?;
    let extensions = head.extensions;
    let call = Call {
        upload: extensions.get().cloned(),
        stopping: extensions.get().cloned(),
        asked: extensions.get().cloned(),
        app: service.app.clone(),
        health: service.health,
        priority: finish::priority(&head.headers)?,
        began: Instant::now(),
        timeout,
    };
    let messages = Messages::new(&head.headers, body, service.app, call.upload.clone());
    Ok((Arc::new(call), messages))
}

/// Reads a question that is not for inference.
///
/// # Errors
/// Bytes that are not such a message, or too many fields.
pub fn decode<Q: Message + Default>(bytes: Bytes) -> Result<Q, Error> {
    let (mut fields, mut count) = (Fields(&bytes), 0);
    while fields.next_field()?.is_some() {
        count += 1;
        if count > MAX_FIELDS {
            let expected = format!("at most {MAX_FIELDS} fields");
            return Err(Error::too_large("message", expected, "more"));
        }
    }
    Q::decode(bytes).map_err(|error| refused(&error.to_string()))
}

/// The client's limit: at most eight digits and a unit.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Error> {
    const GRPC_TIMEOUT: &str = "grpc-timeout";
    let Some(given) = headers.get(GRPC_TIMEOUT) else { return Ok(None) };
    let given = String::from_utf8_lossy(given.as_bytes());
    let parsed =
        given.split_at_checked(given.len().saturating_sub(1)).and_then(|(digits, unit)| {
            let plain =
                (1..=8).contains(&digits.len()) && digits.bytes().all(|d| d.is_ascii_digit());
            let count: u64 = plain.then(|| digits.parse().ok()).flatten()?;
            match unit {
                "H" => Some(Duration::from_secs(count * 3600)),
                "M" => Some(Duration::from_secs(count * 60)),
                "S" => Some(Duration::from_secs(count)),
                "m" => Some(Duration::from_millis(count)),
                "u" => Some(Duration::from_micros(count)),
                "n" => Some(Duration::from_nanos(count)),
                _ => None,
            }
        });
    match parsed {
        Some(timeout) => Ok(Some(timeout)),
        None => {
            let expected = "at most eight digits and one of H, M, S, m, u and n";
            let got = format!("`{}`", excerpt(&given));
            Err(Error::field(ErrorKind::Syntax, GRPC_TIMEOUT, expected, got))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &'static str) -> Result<Option<Duration>, Error> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", HeaderValue::from_static(given));
        timeout(&headers)
    }

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        assert_eq!(timeout(&HeaderMap::new()), Ok(None));
        assert_eq!(read("250m"), Ok(Some(Duration::from_millis(250))));
        assert_eq!(read("99999999H"), Ok(Some(Duration::from_hours(99_999_999))));
        assert_eq!(read("0n"), Ok(Some(Duration::ZERO)));
        for broken in ["", "S", "5", "-1S", "123456789S", "1 S", "1.5S"] {
            assert!(read(broken).is_err(), "{broken}");
        }
    }
}
