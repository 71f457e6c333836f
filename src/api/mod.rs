//! HTTP: all routes, all layers, and the order they stand in.

mod account;
pub mod admin;
mod admit;
mod asker;
pub mod auth;
mod body;
mod bulk;
pub(crate) mod cells;
mod compression;
mod cors;
pub mod cost;
mod encoding;
pub(crate) mod envelope;
mod error;
mod finish;
pub mod grpc;
pub mod health;
mod hugging_face;
pub(crate) mod inputs;
mod item;
pub mod link;
mod multipart;
pub mod oip;
pub mod openapi;
mod outgoing;
pub mod peers;
mod playground;
mod predict;
pub mod repository;
mod request_id;
pub mod resource;
pub mod scrape;
mod spare;
pub mod stats;
pub mod streaming;
mod upload;
mod v1;

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, Method, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tower::ServiceBuilder;
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;

use crate::config::{Limits, Server, ServerConfig, Tls};
use crate::error::{Error, ErrorKind, excerpt};
use crate::meter::Meter;
use crate::metrics::Metrics;
use crate::model::repository::{Lookup, ModelRepository};
use crate::model::{Answered, Model, Terms};
use crate::reload::Reloading;
use crate::runtime::compute::Compute;
use crate::shared::Shared;
use crate::tasks::{Input, Parameters, Prediction};
use crate::telemetry;
use asker::Asker;
use error::ApiError;
use finish::Deadline;
use health::Health;
use peers::Bounds;
use scrape::Scrape;

/// What every handler shares. Cloned for each request.
#[derive(Clone)]
pub struct App(Shared<AppState>);

/// What an [`App`] holds.
#[derive(Clone)]
pub struct AppState {
    repository: Arc<OnceLock<Arc<ModelRepository>>>,
    pub compute: Arc<Compute>,
    pub server: Server,
    pub tls: Tls,
    pub limits: Limits,
    /// What the clients of the data port share.
    pub bounds: Arc<Bounds>,
    pub metrics: Arc<Metrics>,
    pub telemetry: telemetry::Handle,
}

impl App {
    /// Without models yet.
    pub fn new(
        config: &ServerConfig,
        compute: Arc<Compute>,
        metrics: Arc<Metrics>,
        telemetry: telemetry::Handle,
    ) -> Self {
        let state = AppState {
            repository: Arc::default(),
            compute,
            server: config.server.clone(),
            tls: config.tls.clone(),
            limits: config.limits,
            bounds: Bounds::new(&config.server),
            metrics,
            telemetry,
        };
        Self(state.into())
    }

    /// The models are loaded. Only the first call counts.
    pub fn set_repository(&self, repository: Arc<ModelRepository>) {
        let _ = self.repository.set(repository);
    }

    /// # Errors
    /// [`ErrorKind::Unavailable`] while the models are loading.
    pub fn repository(&self) -> Result<&Arc<ModelRepository>, Error> {
        let loading = || {
            Error::new(ErrorKind::Unavailable, "the models are loading; try again")
                .because("loading")
        };
        self.repository.get().ok_or_else(loading)
    }

    /// Reads `bytes` bytes of a client's: here if they are few, else on a compute thread, where reading
    /// ends when nobody waits for it any more.
    ///
    /// # Errors
    /// Those of `work`, and [`ErrorKind::Internal`] if it panics.
    async fn read<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&Meter<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let metered = move |waits: &dyn Fn() -> bool| work(&Meter::new(bytes, waits));
        self.compute.bytes_watching(bytes, metered).await
    }

    /// As [`Self::read`], of what may name a model: one that is unloaded to make room is waited for, and
    /// the bytes are read again.
    ///
    /// # Errors
    /// As [`Self::read`].
    async fn read_naming<T: Send + 'static>(
        &self,
        bytes: usize,
        mut work: impl Fn(&Lookup, &Meter<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let mut lookup = Lookup::new(self.repository()?.clone());
        loop {
            let once = move |meter: &Meter<'_>| {
                let read = work(&lookup, meter);
                Ok((read, lookup, work))
            };
            let read;
            (read, lookup, work) = self.read(bytes, once).await?;
            if !lookup.load(None).await {
                return read;
            }
        }
    }

    /// The model of this name, to tell what it is.
    ///
    /// # Errors
    /// As [`ModelRepository::find_loaded`]; [`ErrorKind::DeadlineExceeded`].
    async fn described(&self, name: &str, version: Option<&str>) -> Result<Arc<Model>, Error> {
        let deadline = Deadline::new(self, None);
        let found = self.repository()?.find_loaded(name, version);
        let found = tokio::time::timeout_at(deadline.at.into(), found).await;
        found.unwrap_or_else(|_| Err(deadline.passed()))
    }

    /// Writes `bytes` bytes: here if they are few, else on a compute thread.
    ///
    /// # Errors
    /// Those of `work`, and [`ErrorKind::Internal`] if it panics.
    async fn convert<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.compute.bytes(bytes, work).await
    }

    /// Writes the answer to these predictions: here if it is short, else on a compute thread.
    ///
    /// # Errors
    /// Those of `write`, and [`ErrorKind::Internal`] if it panics.
    async fn write<T: Send + 'static>(
        &self,
        model: Arc<Model>,
        predictions: Vec<Prediction>,
        parameters: Parameters,
        write: impl FnOnce(&Model, &[Prediction]) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let bytes = model.expected_answer(predictions.len(), parameters);
        self.convert(bytes, move || write(&model, &predictions)).await
    }

    /// [`Model::predict`], once there is room for the answer; where the client names no version (`pinned`),
    /// a shadow of the model is asked the same once the answer is there.
    async fn predict(
        &self,
        model: &Model,
        input: Input,
        parameters: Parameters,
        (asker, terms): (&Asker, Terms),
        pinned: bool,
    ) -> Result<Answered, Error> {
        asker.expects(model.expected_answer(input.len(), parameters)).await?;
        let mirrored = match pinned {
            true => None,
            false => self.repository()?.mirror(model, &input, parameters),
        };
        let answered = model.predict(input, parameters, terms).await?;
        if let Some(mirrored) = mirrored {
            mirrored.compare(answered.predictions.clone());
        }
        Ok(answered)
    }
}

impl Deref for App {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.0
    }
}

impl DerefMut for App {
    fn deref_mut(&mut self) -> &mut AppState {
        &mut self.0
    }
}

/// The data port's router. Without `keys` everybody may ask.
pub fn router(
    app: App,
    health: Arc<Health>,
    scrape: Arc<Scrape>,
    keys: Option<Arc<Reloading<auth::Keys>>>,
) -> Router {
    let within = app.server.request_timeout;
    // Neighbouring layers are stacked into one, outermost first: the router boxes each layer that it is given,
    // and copies every box for each request.
    let work = ServiceBuilder::new()
        // What pays is compressed,
        .layer(compression::layer(&app.server))
        // requests over the bound are answered before their body is read,
        .layer(middleware::from_fn(move |request, next| admit::admit(request, next, within)))
        // and a panic in a handler is that request's 500.
        .layer(CatchPanicLayer::custom(|_| {
            ApiError(Error::internal("a handler panicked")).into_response()
        }));
    let all = ServiceBuilder::new()
        // Outermost, since it writes every error's body: the request id, the log and the span.
        .layer(middleware::from_fn_with_state(app.telemetry.clone(), request_id::assign))
        // Every request is counted, however it ends,
        .layer(middleware::from_fn_with_state(app.metrics.clone(), account::count))
        // and a browser asks without a key whether it may ask at all, and reads errors as well.
        .layer(option_layer(cors::layer(&app.server)));
    let probes = Router::new()
        .merge(grpc::health(app.clone(), health.clone()))
        .merge(oip::health().layer(Extension(health.clone())));
    let (guarded, public) = match app.server.public_health {
        true => (Router::new(), probes),
        false => (probes, Router::new()),
    };
    let bounded = Router::new()
        .route("/predict", post(predict::predict))
        .route("/predict/{model}", post(predict::predict))
        .route("/predict/{model}/versions/{version}", post(predict::predict))
        .merge(oip::routes())
        .merge(grpc::routes(app.clone(), health))
        .merge(grpc::reflection())
        .merge(v1::routes())
        .merge(hugging_face::routes())
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(work)
        // The bounds do not hold for probes,
        .merge(guarded)
        // nor for the pages from which people watch the server.
        .merge(playground::data(&app.server, scrape));
    let router = match keys {
        // Who has none is refused before a place is taken.
        Some(keys) => bounded.layer(middleware::from_fn_with_state(keys, auth::check)),
        None => bounded,
    };
    router
        // Without a key one may probe, where that is configured,
        .merge(public)
        // load the page, which asks a person for a key,
        .merge(playground::page(&app.server))
        // and read what there is to ask.
        .merge(openapi::routes(&app.server))
        .layer(all)
        .with_state(app)
}

async fn unknown_route(State(app): State<App>, uri: Uri) -> ApiError {
    let mut expected =
        "POST /predict, /predict/{model} or /predict/{model}/versions/{version}, or one \
                        of the Open Inference Protocol, such as GET /v2/models/{model}"
            .to_owned();
    if app.server.playground {
        expected += "; GET / is a page to try it on";
    }
    let got = format!("`{}`", excerpt(uri.path()));
    ApiError(Error::field(ErrorKind::UnknownRoute, "path", expected, got))
}

async fn method_not_allowed(State(app): State<App>, request: Request) -> Response {
    wrong_method(&app, request.method(), request.uri().path())
}

fn wrong_method(app: &App, method: &Method, path: &str) -> Response {
    let is_read = match path {
        "/openapi.json" => true,
        _ if path.starts_with("/docs") || path.starts_with("/playground/") => true,
        _ if path.starts_with("/v1") => !path.ends_with(":predict"),
        _ => path.starts_with("/v2") && !path.ends_with("/infer"),
    };
    let expected = match path {
        "/" if app.server.playground => "GET or POST",
        _ if is_read => "GET",
        _ => "POST",
    };
    let got = excerpt(method.as_str());
    let error = Error::field(ErrorKind::MethodNotAllowed, "method", expected, got);
    let mut response = ApiError(error).into_response();
    // Elsewhere the router knows it.
    if let Some(allowed) = v1::allowed(path) {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    }
    response
}
