//! The protocol's routes over HTTP.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Extension, FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

use super::answer::{self, Head};
use super::infer::{self, InferAnswer};
use super::metadata::{
    ModelConfig, ModelList, ModelMetadata, ModelReady, ModelStatistics, ServerLive, ServerMetadata,
    ServerReady, Statistics,
};
use super::{PROTOCOL, request};
use crate::api::account::Account;
use crate::api::asker::Asker;
use crate::api::error::ApiError;
use crate::api::finish::{self, Answered, Finish};
use crate::api::health::Health;
use crate::api::{App, body, method_not_allowed};
use crate::error::{Error, ErrorKind, excerpt};
use crate::meter::Meter;
use crate::model::Model;

/// Length of the JSON before binary tensors.
pub const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// Probes, which no limit of the data port may refuse.
pub fn health() -> Router<App> {
    Router::new()
        .route("/v2/health/live", get(live))
        .route("/v2/health/ready", get(ready))
        .method_not_allowed_fallback(method_not_allowed)
}

pub fn routes() -> Router<App> {
    let mut router = Router::new()
        .route("/v2", get(server))
        .route("/v2/", get(server))
        .route("/v2/models", get(models))
        .route("/v2/models/stats", get(all_statistics));
    for model in ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"] {
        router = router
            .route(model, get(metadata))
            .route(&format!("{model}/ready"), get(model_ready))
            .route(&format!("{model}/config"), get(configuration))
            .route(&format!("{model}/stats"), get(statistics))
            .route(&format!("{model}/infer"), post(infer));
    }
    router
}

/// A model as a path names it.
#[derive(Deserialize)]
struct Named {
    model: String,
    version: Option<String>,
}

impl FromRequestParts<App> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let path = Path::from_request_parts(parts, app).await.map(|Path(named)| named);
        Ok(path.map_err(|_| {
            Error::field(ErrorKind::UnknownModel, "model", "a name in UTF-8", "other bytes")
        })?)
    }
}

impl Named {
    async fn described(&self, app: &App) -> Result<Arc<Model>, Error> {
        app.described(&self.model, self.version.as_deref()).await
    }
}

async fn live(Extension(health): Extension<Arc<Health>>) -> Response {
    let live = health.liveness().live;
    (status(live), Json(ServerLive { live })).into_response()
}

async fn ready(Extension(health): Extension<Arc<Health>>) -> Response {
    let ready = health.readiness().ready;
    (status(ready), Json(ServerReady { ready })).into_response()
}

fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn server() -> Json<ServerMetadata> {
    Json(ServerMetadata::default())
}

async fn models(State(app): State<App>) -> Result<Json<ModelList>, ApiError> {
    Ok(Json(ModelList::of(app.repository()?)))
}

async fn metadata(State(app): State<App>, named: Named) -> Result<Json<ModelMetadata>, ApiError> {
    let model = named.described(&app).await?;
    let versions = app.repository()?.versions(&model.name);
    Ok(Json(ModelMetadata::of(&model, &versions)))
}

async fn model_ready(State(app): State<App>, named: Named) -> Result<Response, ApiError> {
    let (name, _) = app.repository()?.ready(&named.model, named.version.as_deref())?;
    Ok(Json(ModelReady { name, ready: true }).into_response())
}

async fn configuration(
    State(app): State<App>,
    named: Named,
) -> Result<Json<ModelConfig>, ApiError> {
    Ok(Json(ModelConfig::of(&*named.described(&app).await?)))
}

async fn statistics(State(app): State<App>, named: Named) -> Result<Json<Statistics>, ApiError> {
    let model = named.described(&app).await?;
    Ok(Json(Statistics { model_stats: vec![ModelStatistics::of(&model)] }))
}

async fn all_statistics(State(app): State<App>) -> Result<Json<Statistics>, ApiError> {
    let all = app.repository()?.iter().map(|model| ModelStatistics::of(&model));
    Ok(Json(Statistics { model_stats: all.collect() }))
}

async fn infer(
    State(app): State<App>,
    Extension(account): Extension<Account>,
    named: Named,
    finish: Finish,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let deadline = finish::deadline(&head.headers, &app)?;
    let work = answer(&app, &account, &named, &head, body, deadline.at);
    finish.by(deadline, &account, Box::pin(work)).await
}

async fn answer(
    app: &App,
    account: &Account,
    named: &Named,
    head: &Parts,
    body: Body,
    deadline: Instant,
) -> Result<Answered, Error> {
    let headers = &head.headers;
    let model = app.repository()?.find_loaded(&named.model, named.version.as_deref()).await?;
    account.note(&model, PROTOCOL);
    let (priority, asker) = (finish::priority(headers)?, Asker::of(&head.extensions));
    model.check_load(asker.terms(priority, None))?;
    let json = header_length(headers)?;
    let bytes = body::read(head, body, app).await?;
    let length = bytes.len();
    let parse = {
        let model = model.clone();
        move |meter: &Meter<'_>| match json {
            Some(0) => request::raw(bytes, &model, meter),
            json => request::parse(&bytes, json.unwrap_or(bytes.len()), &model, meter),
        }
    };
    let parsed = app.read(length, parse).await?;
    let request::Parsed { mut request, binary } = parsed;
    request.priority = request.priority.max(priority);
    request.pinned = named.version.is_some();
    request.asker = asker;
    let id = request.id.take();
    let InferAnswer { outputs, missing, timings } =
        infer::infer(app, &model, request, deadline).await?;
    let length = outputs.iter().map(|(_, tensor)| tensor.bytes()).sum();
    let provider = model.provider;
    let write = move || {
        let head = Head { model: &model.name, version: model.version.to_string(), id };
        answer::write(&head, &outputs, &binary, &missing)
    };
    let response = app.convert(length, write).await?;
    Ok(Answered { response, timings, provider })
}

fn header_length(headers: &HeaderMap) -> Result<Option<usize>, Error> {
    let Some(given) = headers.get(HEADER_LENGTH) else { return Ok(None) };
    let given = String::from_utf8_lossy(given.as_bytes());
    let wrong = |expected| Error::invalid(HEADER_LENGTH.as_str(), expected, excerpt(&given));
    let is_one = headers.get_all(HEADER_LENGTH).iter().nth(1).is_none();
    let digits = Some(&given).filter(|it| is_one && it.bytes().all(|byte| byte.is_ascii_digit()));
    let length = digits.and_then(|digits| digits.parse().ok());
    let length = length.ok_or_else(|| wrong("one number, the length of the JSON in bytes"))?;
    // Else what was meant as JSON could pass for the bytes of a tensor.
    let media_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if length == 0 && media_type.is_some_and(|given| given.starts_with(b"application/json")) {
        return Err(wrong(
            "a length over 0, or `application/octet-stream` for a body without JSON",
        ));
    }
    Ok(Some(length))
}
