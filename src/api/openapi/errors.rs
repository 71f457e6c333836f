//! The answer of every error, by its status. All of it comes from [`ErrorKind`] and
//! [`crate::api::error`].

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Value, to_value};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::schema::Ref;
use utoipa::openapi::{Response, ResponseBuilder};

use super::parameters;
use crate::api::error::{Problem, media_type, says_when_to_retry, status};
use crate::error::{Error, ErrorKind};

/// The answer to a head over `server.max_header_size`, which the connection itself gives.
pub const HEAD_TOO_LARGE: &str = "RequestHeaderFieldsTooLarge";

/// An id as the server makes them.
const REQUEST_ID: &str = "aa864fdbd008413dadcb0635e90b5f33";
/// A path of each media type.
const PATHS: [&str; 2] = ["/predict", "/v2/models"];

/// The name of the response with this status on this path.
pub fn name(status: StatusCode, path: &str) -> String {
    let reason: String = status.canonical_reason().unwrap_or_default().split(' ').collect();
    let suffix = if media_type(path) == media_type(PATHS[0]) { "" } else { "AsJson" };
    format!("{reason}{suffix}")
}

/// A response for every status that there is, in each media type, by its name.
pub fn responses() -> Vec<(String, Response)> {
    let statuses: BTreeSet<_> = ErrorKind::ALL.into_iter().map(status).collect();
    let of_path =
        |path| statuses.iter().map(move |status| (name(*status, path), of(*status, path)));
    let described = "The request's line and headers are over `server.max_header_size`, or there are \
                     over one hundred of them";
    let head = ResponseBuilder::new().description(described).build();
    PATHS.into_iter().flat_map(of_path).chain([(HEAD_TOO_LARGE.to_owned(), head)]).collect()
}

fn of(this: StatusCode, path: &str) -> Response {
    let kinds: Vec<_> = ErrorKind::ALL.into_iter().filter(|kind| status(*kind) == this).collect();
    let described: Vec<_> =
        kinds.iter().map(|kind| format!("{} (`{}`)", kind.title(), kind.code())).collect();
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .example(kinds.first().map(|kind| example(*kind)))
        .build();
    let mut response = ResponseBuilder::new()
        .description(described.join(", or "))
        .content(media_type(path), content)
        .header_ref("x-request-id", parameters::header("XRequestId"));
    if kinds.iter().any(|kind| says_when_to_retry(*kind)) {
        response = response.header_ref("retry-after", parameters::header("RetryAfter"));
    }
    if this == StatusCode::UNAUTHORIZED {
        response = response.header_ref("www-authenticate", parameters::header("WwwAuthenticate"));
    }
    if this == StatusCode::METHOD_NOT_ALLOWED {
        response = response.header_ref("allow", parameters::header("Allow"));
    }
    response.build()
}

fn example(kind: ErrorKind) -> Value {
    to_value(Problem::new(&sample(kind), status(kind), REQUEST_ID)).unwrap_or_default()
}

/// An error of this kind as the server tells it.
fn sample(kind: ErrorKind) -> Error {
    let field = |field, expected, got| Error::field(kind, field, expected, got);
    match kind {
        ErrorKind::Unauthorized => {
            field("authorization", "`authorization: Bearer KEY` or `x-api-key: KEY`", "no key")
        }
        ErrorKind::Syntax => {
            field("body", "valid JSON", "an error at line 1, column 16: EOF while parsing a list")
        }
        ErrorKind::InvalidInput => field(
            "features",
            "4 numbers a row (sepal_length, sepal_width, petal_length, petal_width)",
            "3 numbers",
        ),
        ErrorKind::UnknownModel => {
            field("model", "one of `iris`, `sentiment-minilm` (did you mean `iris`?)", "`irys`")
        }
        ErrorKind::UnknownRoute => field("path", "POST /predict", "`/predictions`"),
        ErrorKind::MethodNotAllowed => field("method", "POST", "GET"),
        ErrorKind::TooLarge => field("body", "at most 33554432 bytes", "40000000 bytes"),
        ErrorKind::UnsupportedMediaType => field(
            "content-type",
            "`application/json`, `image/*`, `text/plain` or `multipart/form-data`",
            "`text/csv`",
        ),
        ErrorKind::BodyTimeout => field("body", "the body within 20s", "only a part of it"),
        ErrorKind::Overloaded => Error::new(kind, "too many requests are in work; try again"),
        ErrorKind::Unavailable => Error::new(kind, "the models are loading; try again"),
        ErrorKind::DeadlineExceeded => Error::new(kind, "no answer within 30s"),
        ErrorKind::Internal => Error::internal("sample"),
    }
}
