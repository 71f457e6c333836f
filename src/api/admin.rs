//! The admin port: health for the orchestrator, metrics for the collector, and control of the models.
//! No limit of the data port counts here, so that all of it answers under load.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};

use super::auth::Keys;
use super::error::ApiError;
use super::health::{Health, Startup};
use super::scrape::{self, Scrape};
use super::{App, grpc, repository, request_id};
use crate::error::{Error, ErrorKind, excerpt};
use crate::reload::Reloading;
use crate::telemetry::Handle;

/// What the admin port's handlers share.
#[derive(Clone)]
pub struct Admin {
    pub app: App,
    pub health: Arc<Health>,
    scrape: Arc<Scrape>,
}

impl Admin {
    #[must_use]
    pub fn new(app: App, health: Arc<Health>, scrape: Arc<Scrape>) -> Self {
        Self { app, health, scrape }
    }
}

/// The admin port's router. With `keys` the control of the models asks for one.
pub fn router(admin: Admin, keys: Option<Arc<Reloading<Keys>>>) -> Router {
    let (app, health) = (admin.app.clone(), admin.health.clone());
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/health/startup", get(startup))
        .route("/metrics", get(metrics))
        .merge(repository::router(keys.clone()))
        .merge(grpc::admin(app, health, keys))
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        // Probes and scrapes are neither traced nor in the access log.
        .layer(middleware::from_fn_with_state(Handle::default(), request_id::assign))
        .with_state(admin)
}

/// Depends on no load, so that overload does not become a restart.
async fn live(State(admin): State<Admin>) -> Response {
    let liveness = admin.health.liveness();
    (status(liveness.live), Json(liveness)).into_response()
}

async fn ready(State(admin): State<Admin>) -> Response {
    let readiness = admin.health.readiness();
    (status(readiness.ready), Json(readiness)).into_response()
}

async fn startup(State(admin): State<Admin>) -> Response {
    let started = admin.health.started();
    (status(started), Json(Startup { started })).into_response()
}

fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn metrics(State(admin): State<Admin>) -> Result<Response, ApiError> {
    scrape::answer(admin.scrape.now().await)
}

async fn unknown_route(uri: Uri) -> ApiError {
    let expected = "GET /health/live, /health/ready, /health/startup or /metrics, or POST \
                    /v2/repository/index, /v2/repository/models/{model}/load or \
                    /v2/repository/models/{model}/unload";
    let got = format!("`{}`", excerpt(uri.path()));
    ApiError(Error::field(ErrorKind::UnknownRoute, "path", expected, got))
}

async fn method_not_allowed(request: axum::extract::Request) -> ApiError {
    let expected = if request.uri().path().starts_with("/v2/") { "POST" } else { "GET" };
    let got = excerpt(request.method().as_str());
    ApiError(Error::field(ErrorKind::MethodNotAllowed, "method", expected, got))
}
