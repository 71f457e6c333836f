//! Hugging Face's form of requests, as their clients and inference endpoints have it:
//! `{"inputs": ..}` or an image's file, to `/models/{model}` or, where one model takes that kind of
//! input, to `/`.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, RawPathParams, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::account::Account;
use super::body::Form;
use super::error::ApiError;
use super::finish::{self, Answered, Finish};
use super::inputs::{self, from_body, kind_of};
use super::predict::{Target, find_model};
use super::{App, body};
use crate::error::{Error, ErrorKind, excerpt, one_of};
use crate::model::{Model, Terms};
use crate::tasks::{
    self, ClassScore, Entity, Image, ImageSource, Input, InputKind, Parameters, Prediction, Scalar,
};

/// As in the metrics.
const PROTOCOL: &str = "hugging-face";
const PARAMETERS: [&str; 3] = ["top_k", "function_to_apply", "truncation"];

pub fn routes() -> Router<App> {
    Router::new().route("/", post(predict)).route("/models/{model}", post(predict))
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
    let model = path.iter().next().map(|(_, name)| name.to_owned());
    let work = answer(&app, &account, model, &head, body, deadline.at);
    finish.by(deadline, &account, work).await
}

async fn answer(
    app: &App,
    account: &Account,
    model: Option<String>,
    head: &Parts,
    body: Body,
    deadline: Instant,
) -> Result<Answered, Error> {
    let headers = &head.headers;
    let form = body::form(headers)?;
    // JSON without a model's name is text, which is what these clients send as JSON.
    let kind = form.kind().unwrap_or(InputKind::Text);
    let target = Target { model, ..Target::default() };
    let model = find_model(app.repository()?, &target, Some(kind))?;
    account.note(&model, PROTOCOL);
    let priority = finish::priority(headers)?;
    model.check_load(priority)?;
    let bytes = body::read(head, body, app).await?;
    let asked = {
        let (length, model) = (bytes.len(), model.clone());
        app.convert(length, move || parse(form, bytes, &model)).await?
    };
    let terms = Terms { priority, deadline: Some(deadline) };
    let answered = app.predict(&model, asked.input, asked.parameters, terms, false).await?;
    let response = write(&answered.predictions, &model, asked.many);
    Ok(Answered { response, timings: answered.timings, provider: model.provider })
}

struct Asked {
    input: Input,
    /// A list of inputs rather than one.
    many: bool,
    parameters: Parameters,
}

/// A text or an image in base64, or a list of such.
#[derive(Deserialize, ToSchema)]
#[schema(as = HuggingFaceRequest)]
pub struct Request<'a> {
    #[serde(borrow)]
    #[schema(value_type = Value)]
    inputs: &'a RawValue,
    /// `top_k`, `truncation`, and `function_to_apply` (`none` only).
    #[serde(default)]
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
}

fn parse(form: Form, bytes: bytes::Bytes, model: &Arc<Model>) -> Result<Asked, Error> {
    let everything = Parameters { top_k: usize::MAX, ..Parameters::default() };
    match form {
        Form::Json => {
            let Request { inputs, parameters } = from_body(&bytes)?;
            let raw = inputs.get();
            let (input, defaults) = match model.input_kind() {
                InputKind::Text => (Input::Texts(inputs::texts("inputs", raw)?), everything),
                InputKind::Image => {
                    (Input::Images(inputs::images("inputs", raw)?), Parameters::default())
                }
                kind @ (InputKind::Features | InputKind::Tensors) => {
                    let expected = "a model of images or texts; others answer /predict or /v2";
                    return Err(Error::invalid(
                        "model",
                        expected,
                        format!("one of {}", kind.field()),
                    ));
                }
            };
            let parameters = read_parameters(&parameters, defaults)?;
            Ok(Asked { input, many: raw.starts_with('['), parameters })
        }
        Form::Image(media_type) => {
            let source = ImageSource::File(bytes, media_type);
            let input = Input::Images(vec![Image { field: "body".into(), source }]);
            Ok(Asked { input, many: false, parameters: Parameters::default() })
        }
        Form::Text | Form::Multipart(_) => {
            let expected = "`application/json` or `image/*`";
            Err(Error::field(ErrorKind::UnsupportedMediaType, "content-type", expected, "others"))
        }
    }
}

fn read_parameters(
    given: &Map<String, Value>,
    mut parameters: Parameters,
) -> Result<Parameters, Error> {
    for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
        let wrong = |expected: &str| {
            let field = format!("parameters.{}", excerpt(name));
            let got =
                value.as_str().map_or(kind_of(value).to_owned(), |s| format!("`{}`", excerpt(s)));
            Error::invalid(field, expected, got)
        };
        match name.as_str() {
            "top_k" => {
                let count = value.as_u64().filter(|count| *count > 0);
                let count = count.ok_or_else(|| wrong("a whole number from 1 on"))?;
                parameters.top_k = usize::try_from(count).unwrap_or(usize::MAX);
            }
            "function_to_apply" => match value.as_str() {
                Some("none") => parameters.raw_scores = true,
                _ => return Err(wrong("`none`, or nothing for the model's own")),
            },
            "truncation" => match value {
                Value::Bool(cut) => parameters.truncate = *cut,
                Value::String(cut) => parameters.truncate = cut != "do_not_truncate",
                _ => return Err(wrong("true or false")),
            },
            _ => return Err(wrong(&one_of(name, PARAMETERS))),
        }
    }
    Ok(parameters)
}

/// As the pipeline of the model's task answers: for one input what it is, but a list of it where it is a
/// text's classes, and for several a list.
fn write(predictions: &[Prediction], model: &Model, many: bool) -> Response {
    let mut each: Vec<Written<'_>> = predictions.iter().map(one).collect();
    let listed = model.input_kind() == InputKind::Text
        && matches!(each.as_slice(), [Written::Classes(_) | Written::Values(_)]);
    match (each.len(), each.pop()) {
        (1, Some(only)) if !many && !listed => Json(only).into_response(),
        (_, Some(last)) => {
            each.push(last);
            Json(each).into_response()
        }
        (_, None) => Json(each).into_response(),
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Written<'a> {
    Classes(&'a [ClassScore]),
    Values(Vec<NamedValue>),
    Embedding(&'a [f32]),
    Entities(Vec<Group<'a>>),
}

/// A value of a regression, in the form of a [`ClassScore`].
#[derive(Serialize)]
struct NamedValue {
    label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<Scalar>,
}

/// A part of a text, and what it is.
#[derive(Serialize, ToSchema)]
#[schema(as = EntityGroup)]
pub struct Group<'a> {
    #[serde(rename = "entity_group")]
    label: &'a str,
    score: f32,
    word: &'a str,
    start: usize,
    end: usize,
}

fn one(prediction: &Prediction) -> Written<'_> {
    let named = |(i, score): (usize, &Scalar)| NamedValue {
        label: format!("LABEL_{i}"),
        score: Some(*score),
    };
    match prediction {
        Prediction::Classes { classes, .. } => Written::Classes(classes),
        Prediction::Embedding { embedding } => Written::Embedding(embedding),
        Prediction::Entities { entities } => {
            Written::Entities(entities.iter().map(group).collect())
        }
        Prediction::Value { value } => {
            Written::Values(value.numbers().iter().enumerate().map(named).collect())
        }
        Prediction::Label { label, value } => {
            let score = match value {
                Some(tasks::Value::One(value)) => Some(*value),
                _ => None,
            };
            Written::Values(vec![NamedValue { label: label.joined().to_string(), score }])
        }
    }
}

fn group(part: &Entity) -> Group<'_> {
    let Entity { entity, score, word, start, end } = part;
    Group { label: entity, score: *score, word, start: *start, end: *end }
}
