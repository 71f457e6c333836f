//! HTTP: all routes, all layers, and the order they stand in.

mod account;
mod body;
pub(crate) mod cells;
mod envelope;
mod error;
mod inputs;
mod item;
mod multipart;
mod predict;
mod request_id;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Uri;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

use crate::config::{Limits, Server};
use crate::error::{Error, ErrorKind, excerpt};
use crate::metrics::Metrics;
use crate::model::repository::ModelRepository;
use crate::runtime::compute::Compute;
use crate::telemetry;
use error::ApiError;

/// What every handler shares.
#[derive(Clone)]
pub struct App {
    pub repository: Arc<ModelRepository>,
    pub compute: Arc<Compute>,
    pub server: Server,
    pub limits: Limits,
    pub metrics: Arc<Metrics>,
    pub telemetry: telemetry::Handle,
}

/// The data port's router.
pub fn router(app: App) -> Router {
    let gate = Arc::new(Semaphore::new(app.server.max_concurrent_requests.get()));
    let metrics = app.metrics.clone();
    Router::new()
        .route("/predict", post(predict::predict))
        .route("/predict/{model}", post(predict::predict))
        .route("/predict/{model}/versions/{version}", post(predict::predict))
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        // From the inside out:
        // a panic in a handler is that request's 500,
        .layer(CatchPanicLayer::custom(|_| {
            ApiError(Error::internal("a handler panicked")).into_response()
        }))
        // requests over the bound are answered before their body is read,
        .layer(middleware::from_fn_with_state(gate, admit))
        // every request is counted, however it ends,
        .layer(middleware::from_fn_with_state(metrics, account::count))
        // and outermost, since it writes every error's body: the request id, the log and the span.
        .layer(middleware::from_fn_with_state(app.telemetry.clone(), request_id::assign))
        .with_state(app)
}

/// Lets at most `max_concurrent_requests` through.
async fn admit(State(gate): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(_permit) = gate.try_acquire() else {
        let detail = "too many requests are in work; try again";
        let error = Error::new(ErrorKind::Overloaded, detail).because("concurrency");
        return ApiError(error).into_response();
    };
    next.run(request).await
}

async fn unknown_route(uri: Uri) -> ApiError {
    ApiError(Error::field(
        ErrorKind::UnknownRoute,
        "path",
        "POST /predict, /predict/{model} or /predict/{model}/versions/{version}",
        format!("`{}`", excerpt(uri.path())),
    ))
}

async fn method_not_allowed(request: Request) -> ApiError {
    let got = excerpt(request.method().as_str());
    ApiError(Error::field(ErrorKind::MethodNotAllowed, "method", "POST", got))
}
