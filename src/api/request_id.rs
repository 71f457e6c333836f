//! Gives every request an id, writes the body of every error, logs each failed request once, and
//! makes the request's span.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, TraceId};
use uuid::Uuid;

use super::error::render;
use super::grpc;
use crate::error::{Error, ErrorKind, excerpt};
use crate::telemetry::trace::{RequestSpan, Tracer};
use crate::telemetry::{Handle, trace_context};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What is told of a request. Nothing else that the client sent gets into a log or a span. Those who
/// answer a request in parts find it among the request's extensions.
#[derive(Clone)]
pub struct Asked {
    id: Arc<str>,
    trace_id: Option<TraceId>,
    method: Method,
    /// The pattern that matched.
    route: Option<MatchedPath>,
    uri: Uri,
    began: Instant,
}

/// The outermost layer.
pub async fn assign(State(telemetry): State<Handle>, mut request: Request, next: Next) -> Response {
    let given = request.headers().get(&X_REQUEST_ID).and_then(|id| id.to_str().ok());
    let id = match given {
        Some(id) if is_valid(id) => id.into(),
        _ => new_id(),
    };
    let is_grpc = grpc::is_grpc(request.headers());
    let mut asked = Asked {
        id,
        trace_id: None,
        method: request.method().clone(),
        route: request.extensions().get().cloned(),
        uri: request.uri().clone(),
        began: Instant::now(),
    };
    let caller = caller(request.headers());
    let caller_trace = caller.as_ref().map(SpanContext::trace_id);
    let span = telemetry.tracer.as_ref().map(|tracer| begin(tracer, &asked, caller));
    if let Some(span) = &span {
        request.extensions_mut().insert(span.clone());
    }
    asked.trace_id = span.as_ref().map(RequestSpan::trace_id).or(caller_trace);
    request.extensions_mut().insert(asked.clone());
    let mut unanswered = Unanswered(span);

    let mut response = next.run(request).await;
    let error = response.extensions_mut().remove::<Arc<Error>>();
    // For gRPC the status that HTTP would have, since its own is always 200.
    let status = response.status();
    match &error {
        Some(error) if is_grpc => grpc::status::render(&mut response, error),
        Some(error) => render(&mut response, error, &asked.id, asked.uri.path()),
        None => {}
    }
    if let Some(span) = unanswered.0.take() {
        end(&span, status, error.as_deref());
    }
    match error {
        Some(error) => asked.log_failed(status, &error),
        None if telemetry.access_log => asked.log_answered(status),
        None => {}
    }
    if let Ok(value) = HeaderValue::from_str(&asked.id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

/// The span of a request whose client may leave, which drops the work on it.
struct Unanswered(Option<RequestSpan>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(span) = self.0.take() {
            span.set(KeyValue::new("error.type", "cancelled"));
            span.end(None);
        }
    }
}

/// A random UUID, without the dashes.
fn new_id() -> Arc<str> {
    let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    (&*id.simple().encode_lower(&mut Uuid::encode_buffer())).into()
}

/// Ids go into logs and headers, so only harmless ones are taken over.
fn is_valid(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// The caller's span, by a `traceparent` that is valid and the only one.
fn caller(headers: &HeaderMap) -> Option<SpanContext> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
    // Several headers are one list.
    let states: Result<Vec<_>, _> =
        headers.get_all(TRACESTATE).iter().map(HeaderValue::to_str).collect();
    trace_context(parent.to_str().ok()?, &states.unwrap_or_default().join(","))
}

/// Names and attributes are OpenTelemetry's for HTTP.
fn begin(tracer: &Tracer, asked: &Asked, caller: Option<SpanContext>) -> RequestSpan {
    let method = known(&asked.method);
    let name = match asked.route() {
        Some(route) => format!("{} {route}", method.unwrap_or("HTTP")),
        None => method.unwrap_or("HTTP").to_owned(),
    };
    let mut attributes = vec![
        KeyValue::new("http.request.method", method.unwrap_or("_OTHER")),
        KeyValue::new("url.scheme", "http"),
        KeyValue::new("url.path", asked.path()),
        KeyValue::new("onnxd.request_id", asked.id.to_string()),
    ];
    if let Some(route) = asked.route() {
        attributes.push(KeyValue::new("http.route", route.to_owned()));
    }
    tracer.request(name, caller, attributes)
}

fn end(span: &RequestSpan, status: StatusCode, error: Option<&Error>) {
    span.set(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
    let kind = error.map(|error| error.kind.code());
    if let Some(kind) = kind {
        span.set(KeyValue::new("error.type", kind));
    }
    span.end(kind.filter(|_| status.is_server_error()));
}

impl Asked {
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A part of the request, which begins now.
    pub fn part(&self) -> Self {
        Self { began: Instant::now(), ..self.clone() }
    }

    pub fn log_failed(&self, status: StatusCode, error: &Error) {
        let kind = error.kind.code();
        // What a refusal says of the input may quote it: that is for the client alone.
        let reason = match error.kind {
            ErrorKind::Internal
            | ErrorKind::Overloaded
            | ErrorKind::Unavailable
            | ErrorKind::DeadlineExceeded => Some(error.to_string()),
            _ => None,
        };
        macro_rules! line {
            ($level:ident, $message:literal) => {
                tracing::$level!(
                    request_id = &*self.id,
                    trace_id = self.trace_id.map(tracing::field::display),
                    method = excerpt(self.method.as_str()),
                    route = self.route(),
                    path = self.path(),
                    status = status.as_u16(),
                    ms = self.ms(),
                    kind,
                    reason,
                    $message
                )
            };
        }
        match error.kind {
            ErrorKind::Internal => line!(error, "failed"),
            _ => line!(info, "refused"),
        }
    }

    fn log_answered(&self, status: StatusCode) {
        tracing::info!(
            request_id = &*self.id,
            trace_id = self.trace_id.map(tracing::field::display),
            method = excerpt(self.method.as_str()),
            route = self.route(),
            status = status.as_u16(),
            ms = self.ms(),
            "answered"
        );
    }

    /// At most 60 characters.
    fn path(&self) -> String {
        excerpt(self.uri.path())
    }

    fn route(&self) -> Option<&str> {
        self.route.as_ref().map(MatchedPath::as_str)
    }

    /// Milliseconds until now, to the microsecond.
    fn ms(&self) -> f64 {
        self.began.elapsed().as_micros() as f64 / 1e3
    }
}

/// The method, if it is one of HTTP's own: anybody may invent others.
fn known(method: &Method) -> Option<&'static str> {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    known.into_iter().find(|name| *name == method.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_ids_are_taken_over() {
        assert!(is_valid("4bf92f35-77b3.4da6_a3"));
        assert!(
            !is_valid("") && !is_valid("a b") && !is_valid("a\nb") && !is_valid(&"a".repeat(65))
        );
    }

    #[test]
    fn one_valid_traceparent_is_the_caller_and_its_states_are_one_list() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut headers = HeaderMap::new();
        assert!(caller(&headers).is_none());
        headers.append(TRACEPARENT, HeaderValue::from_static(header));
        headers.append(TRACESTATE, HeaderValue::from_static("a=1"));
        headers.append(TRACESTATE, HeaderValue::from_static("b=2"));
        assert_eq!(caller(&headers).unwrap().trace_state().header(), "a=1,b=2");
        headers.append(TRACEPARENT, HeaderValue::from_static(header));
        assert!(caller(&headers).is_none());
    }
}
