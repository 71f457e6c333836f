//! Counts every request once, however it ends.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::grpc;
use super::streaming::{MALFORMED, Malformed};
use crate::error::{Error, ErrorKind};
use crate::metrics::{Metrics, NONE, Outcome, Served};
use crate::model::Model;

/// Where a handler notes which model a request is for, and by which protocol it asks.
#[derive(Clone, Default)]
pub struct Account(Arc<OnceLock<(Arc<Model>, &'static str)>>);

impl Account {
    pub fn note(&self, model: &Arc<Model>, protocol: &'static str) {
        // A request is for one model; a second note would say the same.
        let _ = self.0.set((model.clone(), protocol));
    }

    pub fn model(&self) -> Option<&Arc<Model>> {
        self.0.get().map(|(model, _)| model)
    }
}

/// Layer: counts when the answer is there, or when the client has left before it.
pub async fn count(
    State(metrics): State<Arc<Metrics>>,
    mut request: Request,
    next: Next,
) -> Response {
    let account = Account::default();
    // Routes of ours are a closed set; what matches none is one of them.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or(NONE, MatchedPath::as_str);
    request.extensions_mut().insert(account.clone());
    let posted = request.method() == Method::POST;
    let is_inference = posted && route != NONE && !grpc::is_other(route);
    let counted = is_inference.then(|| Counted::begin(metrics.clone(), account));
    let http1 = request.version() < Version::HTTP_2;
    let mut response = match request.extensions_mut().remove::<Malformed>() {
        Some(Malformed(error)) => ApiError(error).into_response(),
        None => next.run(request).await,
    };
    let deferred = response.extensions_mut().remove::<Deferred>();
    let (code, error) = (response.status(), response.extensions().get::<Arc<Error>>());
    metrics.http_responses.with_label_values(&[route, code.as_str()]).inc();
    let close = http1 && error.is_some_and(|error| error.reason() == MALFORMED);
    if let Some(error) = error {
        refused(&metrics, error);
    }
    match (counted, deferred) {
        (Some(counted), Some(deferred)) => deferred.set(counted),
        (Some(counted), None) => counted.end(error.map(Arc::as_ref)),
        (None, _) => {}
    }
    if close {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// In a response that is a stream: it counts the request itself, when the stream ends.
#[derive(Clone, Default)]
pub struct Deferred(Arc<Mutex<Option<Counted>>>);

impl Deferred {
    fn set(&self, counted: Counted) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(counted);
    }

    /// The stream has ended; unless this is called, its client has left.
    pub fn end(&self, error: Option<&Error>) {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut counted) = counted {
            counted.start = None;
            counted.end(error);
        }
    }
}

/// Counts why a request was refused.
pub fn refused(metrics: &Metrics, error: &Error) {
    let reason = error.reason().replace('-', "_");
    metrics.refusals.with_label_values(&[reason.as_str()]).inc();
}

/// A request for inference, counted when it ends; as cancelled if it is dropped before.
pub struct Counted {
    metrics: Arc<Metrics>,
    account: Account,
    /// `None`: its time tells nothing.
    start: Option<Instant>,
    ended: bool,
}

impl Counted {
    pub fn begin(metrics: Arc<Metrics>, account: Account) -> Self {
        Self { metrics, account, start: Some(Instant::now()), ended: false }
    }

    pub fn end(mut self, error: Option<&Error>) {
        self.count(error.map_or(Outcome::Ok, |error| outcome(error.kind)));
    }

    fn count(&mut self, outcome: Outcome) {
        self.ended = true;
        let noted = self.account.0.get();
        let version = noted.map_or(NONE.to_owned(), |(model, _)| model.version.to_string());
        let served: Served<'_> = match noted {
            Some((model, protocol)) => [&model.name, &version, model.task(), protocol],
            None => [NONE; 4],
        };
        let time = self.start.map(|start| start.elapsed());
        self.metrics.request(served, outcome, time);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.ended {
            self.count(Outcome::Cancelled);
        }
    }
}

pub fn outcome(kind: ErrorKind) -> Outcome {
    match kind {
        ErrorKind::Overloaded => Outcome::Overloaded,
        ErrorKind::Unavailable => Outcome::Unavailable,
        ErrorKind::DeadlineExceeded => Outcome::Deadline,
        ErrorKind::Internal => Outcome::Error,
        _ => Outcome::Invalid,
    }
}
