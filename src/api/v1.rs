//! The V1 protocol, as TensorFlow Serving and `KServe` have it: `{"instances": [..]}` gives
//! `{"predictions": [..]}`, an entry for each instance; `{"inputs": ..}` gives `{"outputs": ..}`.
//!
//! Instances are the network's own inputs: a value each where it has one input, else objects by name;
//! of a model of features also its rows, by name or not.
//! Images (base64, or `{"b64": ".."}`) and texts for a model with a task are answered as by `/predict`.

mod instances;

#[cfg(test)]
pub use instances::parse;

use std::time::Instant;

use axum::body::Body;
use axum::extract::{Extension, RawPathParams, State};
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use indexmap::IndexMap;
use serde::Serialize;
use serde::de::MapAccess;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::account::Account;
use super::asker::Asker;
use super::error::ApiError;
use super::finish::{self, Answered, Finish};
use super::oip::infer::{self, InferRequest, Inputs};
use super::oip::json::{self, Nested};
use super::oip::metadata::ModelList;
use super::oip::missing::Missing;
use super::{App, body, wrong_method};
use crate::error::{Error, ErrorKind, excerpt};
use crate::json::Fields;
use crate::meter::Meter;
use crate::model::Model;
use crate::tasks::{Parameters, Prediction};
use crate::tensor::Tensor;

/// As in the metrics.
const PROTOCOL: &str = "v1";
/// What is done with a model, after its name.
const PREDICT: &str = ":predict";

pub fn routes() -> Router<App> {
    let mut router = Router::new().route("/v1/models", get(models));
    for model in [
        "/v1/models/{model}",
        "/v1/models/{model}/versions/{version}",
        "/v1/models/{model}/labels/{version}",
    ] {
        router = router.route(model, get(status).post(predict));
    }
    router
}

/// The methods of a path below `/v1/models/`: what is told of a model and what is done with it share a
/// route.
pub fn allowed(path: &str) -> Option<&'static str> {
    let model = path.strip_prefix("/v1/models/")?;
    Some(if model.ends_with(PREDICT) { "POST" } else { "GET,HEAD" })
}

async fn models(State(app): State<App>) -> Result<Json<ModelList>, ApiError> {
    Ok(Json(ModelList::of(app.repository()?)))
}

/// How a model stands: `KServe`'s and TensorFlow Serving's answers in one.
#[derive(Serialize, ToSchema)]
#[schema(as = V1ModelStatus)]
pub struct ModelStatus {
    name: String,
    ready: bool,
    model_version_status: Vec<VersionStatus>,
}

/// How a version stands.
#[derive(Serialize, ToSchema)]
#[schema(as = V1VersionStatus)]
pub struct VersionStatus {
    version: String,
    /// `AVAILABLE`.
    state: &'static str,
    status: VersionError,
}

/// Why a version is not available.
#[derive(Serialize, ToSchema)]
#[schema(as = V1VersionError)]
pub struct VersionError {
    /// `OK`.
    error_code: &'static str,
    error_message: &'static str,
}

async fn status(
    State(app): State<App>,
    path: RawPathParams,
    method: Method,
    uri: Uri,
) -> Result<Response, ApiError> {
    if uri.path().ends_with(PREDICT) {
        return Ok(wrong_method(&app, &method, uri.path()));
    }
    let (name, version) = named(&path, "")?;
    let (name, version) = app.repository()?.ready(name, version)?;
    let status = VersionError { error_code: "OK", error_message: "" };
    let version = VersionStatus { version: version.to_string(), state: "AVAILABLE", status };
    let status = ModelStatus { name, ready: true, model_version_status: vec![version] };
    Ok(Json(status).into_response())
}

/// The model and the version of a path, of which the last part ends in `suffix`.
fn named<'a>(path: &'a RawPathParams, suffix: &str) -> Result<(&'a str, Option<&'a str>), Error> {
    let mut parts: Vec<&str> = path.iter().map(|(_, value)| value).collect();
    if let Some(last) = parts.last_mut() {
        *last = last.strip_suffix(suffix).ok_or_else(|| {
            let got = format!("`{}`", excerpt(last));
            Error::field(ErrorKind::UnknownRoute, "path", "a model's name and `:predict`", got)
        })?;
    }
    Ok((parts.first().copied().unwrap_or_default(), parts.get(1).copied()))
}

async fn predict(
    State(app): State<App>,
    Extension(account): Extension<Account>,
    path: RawPathParams,
    finish: Finish,
    request: axum::extract::Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let deadline = finish::deadline(&head.headers, &app)?;
    let work = answer(&app, &account, &path, &head, body, deadline.at);
    finish.by(deadline, &account, Box::pin(work)).await
}

async fn answer(
    app: &App,
    account: &Account,
    path: &RawPathParams,
    head: &Parts,
    body: Body,
    deadline: Instant,
) -> Result<Answered, Error> {
    let headers = &head.headers;
    let (name, version) = named(path, PREDICT)?;
    let model = app.repository()?.find_loaded(name, version).await?;
    let pinned = path.iter().count() > 1;
    account.note(&model, PROTOCOL);
    let (priority, asker) = (finish::priority(headers)?, Asker::of(&head.extensions));
    model.check_load(asker.terms(priority, None))?;
    let bytes = body::read(head, body, app).await?;
    let length = bytes.len();
    let parse = {
        let (model, repository) = (model.clone(), app.repository()?.clone());
        move |meter: &Meter<'_>| instances::parse(&bytes, &model, &repository, meter)
    };
    let provider = model.provider;
    let (asked, by_row) = app.read(length, parse).await?;
    let (body, timings) = match asked {
        Inputs::Task(input) => {
            let terms = (&asker, asker.terms(priority, Some(deadline)));
            let with = Parameters::default();
            let answered = app.predict(&model, input, with, terms, pinned).await?;
            let write = move |_: &Model, all: &[Prediction]| write_predictions(all, by_row);
            (app.write(model, answered.predictions, with, write).await?, answered.timings)
        }
        own @ Inputs::Own(..) => {
            let request =
                InferRequest { pinned, priority, asker, inputs: own, ..InferRequest::default() };
            let answer = infer::infer(app, &model, request, deadline).await?;
            let length = answer.outputs.iter().map(|(_, tensor)| tensor.bytes()).sum();
            let write = move || write_tensors(&answer.outputs, &answer.missing, by_row);
            (app.convert(length, write).await?, answer.timings)
        }
    };
    Ok(Answered { response: body, timings, provider })
}

/// Either `instances` or `inputs`.
#[derive(Default, ToSchema)]
#[schema(as = V1PredictRequest)]
pub struct Request<'a> {
    /// A list with an entry for each instance: a value of the network's only input, an object by the
    /// names of its inputs, a text, or an image (`{"b64": ".."}` or base64).
    #[schema(value_type = Value, required = false)]
    instances: Option<&'a RawValue>,
    /// The same as whole tensors: one value, or an object by the names of the inputs.
    #[schema(value_type = Value, required = false)]
    inputs: Option<&'a RawValue>,
}

impl<'de> Fields<'de> for Request<'de> {
    const NAMES: &'static [&'static str] = &["instances", "inputs"];

    fn read<A: MapAccess<'de>>(
        &mut self,
        field: usize,
        map: &mut A,
        _: &Meter<'_>,
    ) -> Result<(), A::Error> {
        let raw: &RawValue = map.next_value()?;
        let raw = Some(raw).filter(|raw| raw.get() != "null");
        match field {
            0 => self.instances = raw,
            _ => self.inputs = raw,
        }
        Ok(())
    }
}

/// `predictions` for `instances`, `outputs` for `inputs`.
#[derive(ToSchema)]
#[schema(as = V1PredictResponse)]
#[expect(dead_code, reason = "answers are written from tensors; this is their form")]
pub struct Predicted {
    /// An entry for each instance: a value of the network's only output, an object by the names of its
    /// outputs, or for texts and images what `/predict` answers.
    #[schema(value_type = Vec<Value>, required = false)]
    predictions: Vec<u8>,
    /// The output as a whole, or an object by the names of several.
    #[schema(value_type = Value, required = false)]
    outputs: Option<u8>,
}

fn write_predictions(predictions: &[Prediction], by_row: bool) -> Result<Response, Error> {
    let field = if by_row { "predictions" } else { "outputs" };
    respond(&IndexMap::from([(field, predictions)]))
}

fn write_tensors(
    outputs: &[(String, Tensor)],
    missing: &Missing,
    by_row: bool,
) -> Result<Response, Error> {
    for (name, tensor) in outputs {
        json::check_finite(name, tensor, missing)?;
    }
    if !by_row {
        return match outputs {
            [(_, only)] => respond(&IndexMap::from([("outputs", Nested::whole(only))])),
            several => {
                let named = |(name, tensor)| (name, Nested::whole(tensor));
                let outputs: IndexMap<_, _> =
                    several.iter().map(|(name, tensor)| named((name, tensor))).collect();
                respond(&IndexMap::from([("outputs", outputs)]))
            }
        };
    }
    let rows = outputs.first().and_then(|(_, tensor)| tensor.shape().first().copied());
    let Some(rows) =
        rows.filter(|rows| outputs.iter().all(|(_, tensor)| tensor.shape().first() == Some(rows)))
    else {
        let (expected, got) =
            ("`inputs`, since the outputs have no row for each instance", "`instances`");
        return Err(Error::invalid("body", expected, got));
    };
    match outputs {
        [(_, only)] => {
            let rows: Vec<_> = (0..rows).map(|row| Nested::row(only, row)).collect();
            respond(&IndexMap::from([("predictions", rows)]))
        }
        several => {
            let row = |row| -> IndexMap<&String, Nested<'_>> {
                several.iter().map(|(name, tensor)| (name, Nested::row(tensor, row))).collect()
            };
            let rows: Vec<_> = (0..rows).map(row).collect();
            respond(&IndexMap::from([("predictions", rows)]))
        }
    }
}

fn respond(body: &impl Serialize) -> Result<Response, Error> {
    let json = serde_json::to_vec(body).map_err(Error::internal)?;
    let content_type = (axum::http::header::CONTENT_TYPE, "application/json");
    Ok(([content_type], json).into_response())
}
