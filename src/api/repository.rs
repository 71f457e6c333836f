//! Control of the models on the admin port, in the forms of Triton's extension of the Open Inference
//! Protocol for model repositories.

use std::sync::Arc;

use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::middleware;
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use serde::de::{IgnoredAny, MapAccess};
use tower::util::option_layer;

use super::App;
use super::admin::Admin;
use super::auth::{self, Keys};
use super::error::ApiError;
use super::inputs::from_body;
use crate::error::{Error, ErrorKind, excerpt};
use crate::json::{Fields, ObjectSeed, Scalar, ScalarSeed};
use crate::meter::Meter;
use crate::model::repository::{IndexEntry, ModelRepository, State as ModelState};
use crate::reload::Reloading;

/// Bytes of a body at most: enough to say why a network in it is not taken.
const MAX_BODY: usize = 1 << 20;

/// The routes; with `keys` they ask for one.
pub fn router(keys: Option<Arc<Reloading<Keys>>>) -> Router<Admin> {
    Router::new()
        .route("/v2/repository/index", post(index))
        .route("/v2/repository/models/{model}/load", post(load))
        .route("/v2/repository/models/{model}/unload", post(unload))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .route_layer(option_layer(
            keys.map(|keys| middleware::from_fn_with_state(keys, auth::check)),
        ))
}

/// Every version that is known; with `{"ready": true}` those that serve.
async fn index(
    State(admin): State<Admin>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Vec<IndexEntry>>, ApiError> {
    let ready = match object(&admin.app, body).await?.ready {
        None => false,
        Some(Scalar::Bool(ready)) => ready,
        Some(other) => {
            let got = format!("`{}`", other.spelt());
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
    refuse_uploads(object(&admin.app, body).await?.parameters.upload.iter())?;
    Ok(change(&admin.app, move |repository| repository.load_model(&name)).await?)
}

/// Whoever sends a network or its configuration could run code of theirs: files come by the disk.
///
/// # Errors
/// A parameter that is one.
pub fn refuse_uploads<'a>(parameters: impl IntoIterator<Item = &'a String>) -> Result<(), Error> {
    match parameters.into_iter().find(|name| is_upload(name)) {
        None => Ok(()),
        Some(upload) => {
            let expected = "no files and no configuration, which are read from the models folder";
            Err(Error::invalid(format!("parameters.{}", excerpt(upload)), expected, "one"))
        }
    }
}

fn is_upload(parameter: &str) -> bool {
    parameter == "config" || parameter.starts_with("file:")
}

/// `unload_dependents` changes nothing: no model depends on another.
async fn unload(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(), ApiError> {
    object(&admin.app, body).await?;
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

/// What is read of a body.
#[derive(Default)]
pub struct Asked {
    ready: Option<Scalar>,
    parameters: Parameters,
}

/// Of parameters the first that is a file or a configuration.
#[derive(Default)]
struct Parameters {
    upload: Option<String>,
}

impl<'de> Fields<'de> for Asked {
    const NAMES: &'static [&'static str] = &["ready", "parameters"];

    fn read<A: MapAccess<'de>>(
        &mut self,
        field: usize,
        map: &mut A,
        meter: &Meter<'_>,
    ) -> Result<(), A::Error> {
        match field {
            0 => self.ready = Some(map.next_value_seed(ScalarSeed)?),
            _ => {
                let seed = ObjectSeed { into: Parameters::default(), meter };
                self.parameters = map.next_value_seed(seed)?;
            }
        }
        Ok(())
    }
}

impl<'de> Fields<'de> for Parameters {
    fn other<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        map: &mut A,
        _: &Meter<'_>,
    ) -> Result<(), A::Error> {
        if is_upload(name) {
            self.upload.get_or_insert_with(|| excerpt(name));
        }
        map.next_value::<IgnoredAny>().map(|_| ())
    }
}

/// The body's fields; none for an empty body.
async fn object(app: &App, body: Result<Bytes, BytesRejection>) -> Result<Asked, Error> {
    let expected = "a JSON object or nothing";
    let body = body.map_err(|error| {
        Error::field(ErrorKind::TooLarge, "body", expected, excerpt(&error.body_text()))
    })?;
    if body.trim_ascii().is_empty() {
        return Ok(Asked::default());
    }
    let length = body.len();
    app.read(length, move |meter| parse(&body, meter)).await
}

/// # Errors
/// What is no object.
pub fn parse(body: &[u8], meter: &Meter<'_>) -> Result<Asked, Error> {
    from_body(body, ObjectSeed { into: Asked::default(), meter }, meter)
}
