//! [`Error`] as gRPC: a status, its sentence, and when to try again.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use tonic::{Code, Status};

use super::wire;
use crate::error::{Error, ErrorKind};

/// The header that names how messages are compressed.
pub const GRPC_ENCODING: &str = "grpc-encoding";
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// Milliseconds after which clients that retry by themselves are to do so.
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// Codes as gRPC maps them from HTTP's where it does: clients retry `UNAVAILABLE` by default, but not
/// `RESOURCE_EXHAUSTED`, and more requests are the last thing that a server needs which has too many.
fn code(error: &Error) -> Code {
    match error.kind {
        ErrorKind::Unauthorized => Code::Unauthenticated,
        // The one code that gRPC demands for a compression that is not served.
        _ if error.field.as_deref() == Some(GRPC_ENCODING) => Code::Unimplemented,
        ErrorKind::Syntax | ErrorKind::InvalidInput | ErrorKind::UnsupportedMediaType => {
            Code::InvalidArgument
        }
        ErrorKind::UnknownModel => Code::NotFound,
        ErrorKind::UnknownRoute | ErrorKind::MethodNotAllowed => Code::Unimplemented,
        ErrorKind::TooLarge | ErrorKind::Overloaded => Code::ResourceExhausted,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::BodyTimeout | ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::Internal => Code::Internal,
    }
}

/// What ends a response: the status of `error`, or that all went well.
pub fn trailers(error: Option<&Error>) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let status = error.map_or(Status::ok(""), |error| Status::new(code(error), &error.detail));
    // Fails for metadata only, and there is none.
    let _ = status.add_header(&mut trailers);
    if let Some(error) = error {
        if matches!(error.kind, ErrorKind::Overloaded | ErrorKind::Unavailable) {
            let seconds = error.retry_after.unwrap_or(1);
            trailers.insert(header::RETRY_AFTER, seconds.into());
            trailers.insert(PUSHBACK, seconds.saturating_mul(1000).into());
        }
        if error.field.as_deref() == Some(GRPC_ENCODING) {
            trailers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static("identity,gzip"));
        }
    }
    trailers
}

/// The error as the client sees it, in the place of the response's status and body. Headers that the
/// response has already are kept.
pub fn render(response: &mut Response, error: &Error) {
    // gRPC's own status tells how a call ended; HTTP's is always this one.
    *response.status_mut() = StatusCode::OK;
    let told = wire::response(axum::body::Body::empty());
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.extend(trailers(Some(error)));
    headers.extend(told.headers().clone());
    *response.body_mut() = told.into_body();
}
