//! [`Error`] as HTTP: its status, and a body of `application/problem+json` (RFC 9457).

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Error, ErrorKind};

/// An error on its way out. Its body is written by [`super::request_id::assign`], which knows the
/// request's id.
pub struct ApiError(pub Error);

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = status(self.0.kind).into_response();
        response.extensions_mut().insert(Arc::new(self.0));
        response
    }
}

pub fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorKind::Syntax => StatusCode::BAD_REQUEST,
        ErrorKind::InvalidInput => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::UnknownModel | ErrorKind::UnknownRoute => StatusCode::NOT_FOUND,
        ErrorKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorKind::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
        ErrorKind::Overloaded => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A request's failure, by RFC 9457.
#[derive(Serialize, ToSchema)]
pub struct Problem<'a> {
    /// What kind of failure it is: a stable name for machines.
    #[schema(schema_with = super::openapi::problem_types)]
    r#type: String,
    /// The kind in a few words for people.
    title: &'static str,
    /// The status of HTTP.
    status: u16,
    /// What is wrong, in a sentence.
    detail: &'a str,
    /// The same sentence, which clients of the Open Inference Protocol look for.
    error: &'a str,
    /// The field, header or parameter that is wrong, such as `features[2]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<&'a str>,
    /// What that should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expected: Option<&'a str>,
    /// What it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    got: Option<&'a str>,
    /// As in the header `x-request-id`, and in the log.
    request_id: &'a str,
}

impl<'a> Problem<'a> {
    pub fn new(error: &'a Error, status: StatusCode, request_id: &'a str) -> Self {
        Self {
            r#type: type_of(error.kind),
            title: error.kind.title(),
            status: status.as_u16(),
            detail: &error.detail,
            error: &error.detail,
            field: error.field.as_deref(),
            expected: error.expected.as_deref(),
            got: error.got.as_deref(),
            request_id,
        }
    }
}

/// The name of a kind in a [`Problem`].
pub fn type_of(kind: ErrorKind) -> String {
    format!("urn:onnxd:error:{}", kind.code())
}

/// The media type of errors on this path.
pub fn media_type(path: &str) -> &'static str {
    // KServe's clients read `error` out of nothing but plain JSON.
    let is_kserve = path.starts_with("/v1/") || path.starts_with("/v2/");
    if is_kserve { "application/json" } else { "application/problem+json" }
}

/// Whether the header `retry-after` comes with it.
pub fn says_when_to_retry(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Overloaded | ErrorKind::Unavailable)
}

/// The error as the client of this path sees it. Headers that the response has already are kept.
pub fn render(response: &mut Response, error: &Error, request_id: &str, path: &str) {
    let problem = Problem::new(error, response.status(), request_id);
    // Strings and a number: this cannot fail to serialise.
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let headers = response.headers_mut();
    // Left by the empty body of `into_response`.
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(path)));
    if says_when_to_retry(error.kind) {
        headers.insert(header::RETRY_AFTER, error.retry_after.unwrap_or(1).into());
    }
    *response.body_mut() = body.into();
}
