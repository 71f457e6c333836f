//! The admin port: health for the orchestrator, metrics for the collector. No limit of the data port
//! counts here, so that both answer under load.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde_json::json;

use super::error::ApiError;
use super::health::Health;
use super::request_id;
use super::stats::{Closed, EdgeStats};
use crate::error::{Error, ErrorKind, excerpt};

/// What the admin port's handlers share.
#[derive(Clone)]
pub struct Admin {
    pub health: Arc<Health>,
    pub stats: Arc<EdgeStats>,
}

/// The admin port's router.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/health/startup", get(startup))
        .route("/metrics", get(metrics))
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(request_id::assign))
        .with_state(admin)
}

/// Depends on nothing but that this process answers: no load may make a restart of it.
async fn live() -> Response {
    Json(json!({"live": true})).into_response()
}

async fn ready(State(admin): State<Admin>) -> Response {
    let readiness = admin.health.readiness();
    (status(readiness.ready), Json(readiness)).into_response()
}

async fn startup(State(admin): State<Admin>) -> Response {
    let started = admin.health.started();
    (status(started), Json(json!({"started": started}))).into_response()
}

fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let Admin { health, stats } = admin;
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, values: &[(String, u64)]| {
        let _ = writeln!(text, "# TYPE onnxd_{name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "onnxd_{name}{labels} {value}");
        }
    };
    let only = |value: u64| [(String::new(), value)];
    metric("draining", "gauge", &only(health.draining().into()));
    metric("connections", "gauge", &only(stats.open()));
    metric("accept_errors_total", "counter", &only(stats.accept_errors()));
    let closed = Closed::ALL
        .map(|reason| (format!("{{reason=\"{}\"}}", reason.name()), stats.closed(reason)));
    metric("connections_closed_total", "counter", &closed);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

async fn unknown_route(uri: Uri) -> ApiError {
    let expected = "GET /health/live, /health/ready, /health/startup or /metrics";
    let got = format!("`{}`", excerpt(uri.path()));
    ApiError(Error::field(ErrorKind::UnknownRoute, "path", expected, got))
}

async fn method_not_allowed(request: axum::extract::Request) -> ApiError {
    let got = excerpt(request.method().as_str());
    ApiError(Error::field(ErrorKind::MethodNotAllowed, "method", "GET", got))
}
