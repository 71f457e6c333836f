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
use serde::Serialize;
use serde::de::MapAccess;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::account::Account;
use super::asker::Asker;
use super::body::Form;
use super::envelope::reading;
use super::error::ApiError;
use super::finish::{self, Answered, Finish};
use super::inputs::{self, from_body};
use super::predict::{Target, load_model};
use super::{App, body};
use crate::error::{Error, ErrorKind, one_of};
use crate::json::{self, Fields, ObjectSeed, Scalars, ScalarsSeed};
use crate::meter::Meter;
use crate::model::Model;
use crate::model::repository::ModelRepository;
use crate::tasks::{
    self, ClassScore, Entity, Image, ImageSource, Input, InputKind, Parameters, Prediction,
    Reading, Scalar,
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
    finish.by(deadline, &account, Box::pin(work)).await
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
    let model = load_model(app.repository()?, &target, Some(kind)).await?;
    account.note(&model, PROTOCOL);
    let (priority, asker) = (finish::priority(headers)?, Asker::of(&head.extensions));
    model.check_load(asker.terms(priority, None))?;
    let bytes = body::read(head, body, app).await?;
    let asked = {
        let (length, model, repository) = (bytes.len(), model.clone(), app.repository()?.clone());
        let parse = move |meter: &Meter<'_>| parse(form, bytes, &model, &repository, meter);
        app.read(length, parse).await?
    };
    let terms = (&asker, asker.terms(priority, Some(deadline)));
    let answered = app.predict(&model, asked.input, asked.parameters, terms, false).await?;
    let (timings, provider) = (answered.timings, model.provider);
    let write = move |model: &Model, all: &[Prediction]| Ok(write(all, model, asked.many));
    let response = app.write(model, answered.predictions, asked.parameters, write).await?;
    Ok(Answered { response, timings, provider })
}

pub struct Asked {
    input: Input,
    /// A list of inputs rather than one.
    many: bool,
    parameters: Parameters,
}

/// A text or an image in base64, or a list of such.
#[derive(Default, ToSchema)]
#[schema(as = HuggingFaceRequest)]
pub struct Request<'a> {
    #[schema(value_type = Value)]
    inputs: Option<&'a RawValue>,
    /// `top_k`, `truncation`, and `function_to_apply` (`none` only).
    #[schema(value_type = Object, required = false)]
    parameters: Scalars<3>,
}

impl<'de> Fields<'de> for Request<'de> {
    const NAMES: &'static [&'static str] = &["inputs", "parameters"];

    fn read<A: MapAccess<'de>>(
        &mut self,
        field: usize,
        map: &mut A,
        meter: &Meter<'_>,
    ) -> Result<(), A::Error> {
        match field {
            0 => self.inputs = Some(map.next_value()?),
            _ => {
                let names = PARAMETERS;
                self.parameters = map.next_value_seed(ScalarsSeed { names, meter })?;
            }
        }
        Ok(())
    }
}

/// # Errors
/// What the model does not take, by its place.
pub fn parse(
    form: Form,
    bytes: bytes::Bytes,
    model: &Arc<Model>,
    repository: &ModelRepository,
    meter: &Meter<'_>,
) -> Result<Asked, Error> {
    let everything = Parameters { top_k: usize::MAX, ..Parameters::default() };
    match form {
        Form::Json => {
            let request = ObjectSeed { into: Request::default(), meter };
            let Request { inputs, parameters } = from_body(&bytes, request, meter)?;
            let Some(inputs) = inputs else {
                let got = "missing field `inputs`";
                return Err(Error::invalid("body", "valid JSON", got));
            };
            let raw = inputs.get();
            let read = |reading: Reading<'_>| {
                Ok(match model.input_kind() {
                    InputKind::Text => {
                        (Input::Texts(inputs::texts("inputs", raw, reading)?), everything)
                    }
                    InputKind::Image => {
                        let images = inputs::images("inputs", raw, reading)?;
                        (Input::Images(images), Parameters::default())
                    }
                    kind @ (InputKind::Features | InputKind::Tensors) => {
                        let expected = "a model of images or texts; others answer /predict or /v2";
                        let got = format!("one of {}", kind.field());
                        return Err(Error::invalid("model", expected, got));
                    }
                })
            };
            let (input, defaults) = reading(model, repository, meter, read)?;
            let parameters = read_parameters(parameters, defaults)?;
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

fn read_parameters(given: Scalars<3>, mut parameters: Parameters) -> Result<Parameters, Error> {
    let wrong = |name: &str, value: &json::Scalar, expected: &str| {
        let got = match value {
            json::Scalar::Text(text) => format!("`{text}`"),
            other => other.kind().to_owned(),
        };
        Error::invalid(format!("parameters.{name}"), expected, got)
    };
    if let Some((name, value)) = given.unknown.filter(|(_, value)| *value != json::Scalar::Null) {
        return Err(wrong(&name, &value, &one_of(&name, PARAMETERS)));
    }
    for (name, value) in PARAMETERS.into_iter().zip(given.values) {
        let Some(value) = value.filter(|value| *value != json::Scalar::Null) else { continue };
        match (name, &value) {
            ("top_k", json::Scalar::Whole(count @ 1..)) => {
                parameters.top_k = usize::try_from(*count).unwrap_or(usize::MAX);
            }
            ("top_k", _) => return Err(wrong(name, &value, "a whole number from 1 on")),
            ("function_to_apply", json::Scalar::Text(text)) if text == "none" => {
                parameters.raw_scores = true;
            }
            ("function_to_apply", _) => {
                return Err(wrong(name, &value, "`none`, or nothing for the model's own"));
            }
            (_, json::Scalar::Bool(cut)) => parameters.truncate = *cut,
            (_, json::Scalar::Text(cut)) => parameters.truncate = cut != "do_not_truncate",
            _ => return Err(wrong(name, &value, "true or false")),
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
