//! Counts every request once, however it ends.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

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
    request.extensions_mut().insert(account.clone());
    let posted = request.method() == Method::POST;
    let mut open = Open { metrics, account, start: Instant::now(), route, posted, ended: false };
    let response = next.run(request).await;
    open.end(&response);
    response
}

struct Open {
    metrics: Arc<Metrics>,
    account: Account,
    start: Instant,
    route: Option<MatchedPath>,
    posted: bool,
    ended: bool,
}

impl Open {
    fn end(&mut self, response: &Response) {
        let error = response.extensions().get::<Arc<Error>>();
        let route = self.route.as_ref().map_or(NONE, MatchedPath::as_str);
        let code = response.status();
        self.metrics.http_responses.with_label_values(&[route, code.as_str()]).inc();
        if let Some(error) = error {
            let reason = error.reason().replace('-', "_");
            self.metrics.refusals.with_label_values(&[reason.as_str()]).inc();
        }
        self.count(error.map_or(Outcome::Ok, |error| outcome(error.kind)));
    }

    fn count(&mut self, outcome: Outcome) {
        self.ended = true;
        // Only requests for predictions; metadata and paths of no route are not.
        if !self.posted || self.route.is_none() {
            return;
        }
        let noted = self.account.0.get();
        let version = noted.map_or(NONE.to_owned(), |(model, _)| model.version.to_string());
        let served: Served<'_> = match noted {
            Some((model, protocol)) => [&model.name, &version, model.task(), protocol],
            None => [NONE; 4],
        };
        self.metrics.request(served, outcome, self.start.elapsed());
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.ended {
            self.count(Outcome::Cancelled);
        }
    }
}

fn outcome(kind: ErrorKind) -> Outcome {
    match kind {
        ErrorKind::Overloaded => Outcome::Overloaded,
        ErrorKind::Unavailable => Outcome::Unavailable,
        ErrorKind::DeadlineExceeded => Outcome::Deadline,
        ErrorKind::Internal => Outcome::Error,
        _ => Outcome::Invalid,
    }
}
