//! What the server says of requests, and responses of themselves to the server.

use axum::http::HeaderMap;
use tokio_util::sync::CancellationToken;

use super::{bulk, grpc};
use crate::error::Error;

/// In a request: tells when its connection stops. No stream may outlast that.
#[derive(Clone)]
pub struct Stopping(pub CancellationToken);

/// In a response: its body lasts as long as its client likes, and is in work until its end.
#[derive(Clone, Copy)]
pub struct LongLived;

/// Why a request is refused that breaks the rules of HTTP, in the metrics. Its connection is closed.
pub const MALFORMED: &str = "malformed";

/// In a request: it breaks the rules of HTTP, and this is its answer.
#[derive(Clone)]
pub struct Malformed(pub Error);

/// Whether a request may be answered by a stream.
pub fn may_stream(headers: &HeaderMap) -> bool {
    grpc::is_grpc(headers) || bulk::is_bulk(headers)
}
