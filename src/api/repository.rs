//! Control of the models on the admin port, in the forms of Triton's extension of the Open Inference
//! Protocol for model repositories.

use std::sync::Arc;

use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::middleware;
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::{Map, Value};
use tower::util::option_layer;

use super::App;
use super::admin::Admin;
use super::auth::{self, Keys};
use super::error::ApiError;
use crate::error::{Error, ErrorKind, excerpt};
use crate::model::repository::{IndexEntry, ModelRepository, State as ModelState};
use crate::reload::Reloading;

/// The routes; with `keys` they ask for one.
pub fn router(keys: Option<Arc<Reloading<Keys>>>) -> Router<Admin> {
    Router::new()
        .route("/v2/repository/index", post(index))
        .route("/v2/repository/models/{model}/load", post(load))
        .route("/v2/repository/models/{model}/unload", post(unload))
        .route_layer(option_layer(
            keys.map(|keys| middleware::from_fn_with_state(keys, auth::check)),
        ))
}

/// Every version that is known; with `{"ready": true}` those that serve.
async fn index(
    State(admin): State<Admin>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Vec<IndexEntry>>, ApiError> {
    let ready = match object(body)?.get("ready") {
        None => false,
        Some(Value::Bool(ready)) => *ready,
        Some(other) => {
            let got = format!("`{}`", excerpt(&other.to_string()));
            return Err(ApiError(Error::invalid("ready", "true or false", got)));
        }
    };
    let mut index = admin.app.repository()?.index();
    index.retain(|entry| !ready || entry.state == ModelState::Ready);
    Ok(Json(index))
}

async fn load(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(), ApiError> {
    let body = object(body)?;
    let parameters = body.get("parameters").and_then(Value::as_object);
    refuse_uploads(parameters.into_iter().flat_map(Map::keys))?;
    Ok(change(&admin.app, move |repository| repository.load_model(&name)).await?)
}

/// Whoever sends a network or its configuration could run code of theirs: files come by the disk.
///
/// # Errors
/// A parameter that is one.
pub fn refuse_uploads<'a>(parameters: impl IntoIterator<Item = &'a String>) -> Result<(), Error> {
    let uploads = |name: &&String| *name == "config" || name.starts_with("file:");
    match parameters.into_iter().find(uploads) {
        None => Ok(()),
        Some(upload) => {
            let expected = "no files and no configuration, which are read from the models folder";
            Err(Error::invalid(format!("parameters.{}", excerpt(upload)), expected, "one"))
        }
    }
}

/// `unload_dependents` changes nothing: no model depends on another.
async fn unload(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(), ApiError> {
    object(body)?;
    Ok(change(&admin.app, move |repository| repository.unload_model(&name)).await?)
}

/// Makes a change off the async threads, and waits for it. It goes on if the caller leaves.
///
/// # Errors
/// Those of the change; [`ErrorKind::Unavailable`] while the models of the start are loading.
pub async fn change(
    app: &App,
    make: impl FnOnce(&ModelRepository) -> Result<(), Error> + Send + 'static,
) -> Result<(), Error> {
    let repository = app.repository()?.clone();
    let change = tokio::task::spawn_blocking(move || make(&repository));
    change.await.map_err(Error::internal)?
}

/// The body's fields; none for an empty body.
fn object(body: Result<Bytes, BytesRejection>) -> Result<Map<String, Value>, Error> {
    let expected = "a JSON object or nothing";
    let body = body.map_err(|error| {
        Error::field(ErrorKind::TooLarge, "body", expected, excerpt(&error.body_text()))
    })?;
    if body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(&body).map_err(|error| {
        Error::field(ErrorKind::Syntax, "body", expected, excerpt(&error.to_string()))
    })
}
