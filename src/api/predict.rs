//! `/predict`: one handler for every route and every form of input.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{Extension, RawPathParams, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use opentelemetry::KeyValue;
use serde::Serialize;

use super::account::Account;
use super::body::{self, Form};
use super::envelope::{self, set_parameter};
use super::error::ApiError;
use super::{App, multipart};
use crate::error::{Error, ErrorKind, excerpt, one_of};
use crate::model::repository::ModelRepository;
use crate::model::{Model, Stage, Terms, Timings};
use crate::runtime::job::Priority;
use crate::runtime::provider::ExecutionProvider;
use crate::tasks::{Image, ImageSource, Input, InputKind, Parameters, Prediction, Text};
use crate::telemetry::trace::RequestSpan;

/// The client's limit on the whole request, in milliseconds.
const X_REQUEST_TIMEOUT_MS: &str = "x-request-timeout-ms";
/// `interactive`, or `bulk` for work that may wait.
const X_PRIORITY: &str = "x-priority";
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// As in the metrics.
const PROTOCOL: &str = "predict";

/// JSON that is larger is parsed on a compute thread.
const PARSE_INLINE: usize = 16 * 1024;

/// What ran the network, as the configuration names it: `cpu`, `cuda:0`.
const X_DEVICE: HeaderName = HeaderName::from_static("x-device");

/// The body of a 200: one entry in `result` for each input, in order.
#[derive(Serialize)]
pub struct Answer {
    model: String,
    version: String,
    result: Vec<Prediction>,
    #[serde(skip)]
    provider: ExecutionProvider,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        ([(X_DEVICE, self.provider.to_string())], Json(self)).into_response()
    }
}

/// Which model a request names: in its path, its query or its body.
#[derive(Clone, Default)]
pub struct Target {
    pub model: Option<String>,
    pub version: Option<String>,
    /// The model, once it is looked up: another look may find another version.
    pub found: Option<Arc<Model>>,
}

/// A request that is understood.
pub struct Prepared {
    pub model: Arc<Model>,
    pub input: Input,
    pub parameters: Parameters,
}

pub async fn predict(
    State(app): State<App>,
    Extension(account): Extension<Account>,
    path: Result<RawPathParams, RawPathParamsRejection>,
    RawQuery(query): RawQuery,
    span: Option<Extension<RequestSpan>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let span = span.as_deref();
    let path = path.map_err(|_| {
        Error::field(ErrorKind::UnknownModel, "model", "a name in UTF-8", "other bytes")
    })?;
    // One deadline over everything; dropping the work abandons what has not started.
    let within = timeout(&headers, app.server.request_timeout)?;
    let deadline = Instant::now() + within;
    let work = answer(&app, &account, &path, query.as_deref(), &headers, body, deadline);
    let answered = tokio::time::timeout_at(deadline.into(), work).await;
    if let (Some(span), Some(model)) = (span, account.model()) {
        span.set(KeyValue::new("onnxd.model", model.name.clone()));
        span.set(KeyValue::new("onnxd.model.version", model.version.to_string()));
    }
    match answered {
        Ok(result) => {
            let (answer, timings) = result?;
            if let Some(span) = span {
                for Stage { name, start, duration } in timings.stages() {
                    span.stage(name, start, duration);
                }
            }
            Ok(([(SERVER_TIMING, server_timing(&timings))], answer).into_response())
        }
        Err(_) => {
            let detail = format!("no answer within {within:?}");
            Err(ApiError(Error::new(ErrorKind::DeadlineExceeded, detail)))
        }
    }
}

async fn answer(
    app: &App,
    account: &Account,
    path: &RawPathParams,
    query: Option<&str>,
    headers: &HeaderMap,
    body: Body,
    deadline: Instant,
) -> Result<(Answer, Timings), Error> {
    let mut target = Target::default();
    for (name, value) in path {
        match name {
            "model" => target.model = Some(value.to_owned()),
            _ => target.version = Some(value.to_owned()),
        }
    }
    let mut parameters = Parameters::default();
    read_query(query.unwrap_or_default(), &mut target, &mut parameters)?;
    let form = body::form(headers);
    let priority = priority(headers)?;
    // Before the body is read: whether the models are loaded, and what the path or the body's form
    // tells of the model.
    let repository = app.repository()?;
    let kind = form.as_ref().ok().and_then(Form::kind);
    if target.model.is_some() || kind.is_some() {
        let model = find_model(repository, &target, kind)?;
        account.note(&model, PROTOCOL);
        model.check_load(priority)?;
        target.found = Some(model);
    }
    let names_version = target.version.is_some();
    // Held as long as the request is in work.
    let (bytes, _room) = body::read(headers, body, app).await?;
    let prepared = prepare(app, form?, bytes, target, parameters).await?;
    let Prepared { model, input, parameters } = prepared;
    account.note(&model, PROTOCOL);
    let terms = Terms { priority, deadline: Some(deadline) };
    let mirrored =
        if names_version { None } else { app.repository()?.mirror(&model, &input, parameters) };
    let answered = model.predict(input, parameters, terms).await?;
    if let Some(mirrored) = mirrored {
        mirrored.compare(answered.predictions.clone());
    }
    let answer = Answer {
        model: model.name.clone(),
        version: model.version.to_string(),
        result: answered.predictions,
        provider: model.provider,
    };
    Ok((answer, answered.timings))
}

/// The smaller of the server's limit and the client's, which is in milliseconds.
fn timeout(headers: &HeaderMap, limit: Duration) -> Result<Duration, Error> {
    let Some(given) = headers.get(X_REQUEST_TIMEOUT_MS) else { return Ok(limit) };
    let given = String::from_utf8_lossy(given.as_bytes());
    match given.parse::<u64>() {
        Ok(milliseconds) => Ok(limit.min(Duration::from_millis(milliseconds))),
        Err(_) => {
            let expected = "a whole number of milliseconds";
            Err(Error::invalid(X_REQUEST_TIMEOUT_MS, expected, format!("`{}`", excerpt(&given))))
        }
    }
}

fn priority(headers: &HeaderMap) -> Result<Priority, Error> {
    match headers.get(X_PRIORITY).map(HeaderValue::as_bytes) {
        None | Some(b"interactive") => Ok(Priority::Interactive),
        Some(b"bulk") => Ok(Priority::Bulk),
        Some(other) => {
            let got = format!("`{}`", excerpt(&String::from_utf8_lossy(other)));
            Err(Error::invalid(X_PRIORITY, "`interactive` or `bulk`", got))
        }
    }
}

/// The stages in milliseconds, in the order in which they happen.
fn server_timing(timings: &Timings) -> String {
    let one =
        |stage: &Stage| format!("{};dur={:.3}", stage.name, stage.duration.as_secs_f64() * 1e3);
    timings.stages().each_ref().map(one).join(", ")
}

/// From a body to an input for a model that is there.
async fn prepare(
    app: &App,
    form: Form,
    bytes: Bytes,
    target: Target,
    parameters: Parameters,
) -> Result<Prepared, Error> {
    let repository = app.repository()?;
    match form {
        Form::Json if bytes.len() <= PARSE_INLINE => {
            envelope::parse(&bytes, target, parameters, repository)
        }
        Form::Json => {
            let repository = repository.clone();
            let parse = move || envelope::parse(&bytes, target, parameters, &repository);
            app.compute.run(parse).await
        }
        Form::Multipart(boundary) => {
            multipart::parse(bytes, &boundary, target, parameters, app).await
        }
        Form::Image(media_type) => {
            let source = ImageSource::File(bytes, media_type);
            let input = Input::Images(vec![Image { field: "body".into(), source }]);
            with_model(repository, &target, input, parameters)
        }
        Form::Text => {
            let text = std::str::from_utf8(&bytes).map_err(|error| {
                let got = format!("other bytes after byte {}", error.valid_up_to());
                Error::field(ErrorKind::Syntax, "body", "text in UTF-8", got)
            })?;
            // A file's last line end is not part of the text.
            let text = text.strip_suffix('\n').unwrap_or(text).to_owned();
            let input = Input::Texts(vec![Text { field: "body".into(), text, pair: None }]);
            with_model(repository, &target, input, parameters)
        }
    }
}

/// The model that a request names, else the one for its kind of input.
pub fn find_model(
    repository: &ModelRepository,
    target: &Target,
    kind: Option<InputKind>,
) -> Result<Arc<Model>, Error> {
    match (&target.found, &target.model, kind) {
        (Some(found), _, _) => Ok(found.clone()),
        (None, Some(name), _) => repository.find(name, target.version.as_deref()),
        (None, None, Some(kind)) => repository.find_by_kind(kind),
        (None, None, None) => {
            let expected = "a model's name, since `inputs` may be of any kind";
            Err(Error::invalid("model", expected, "no name"))
        }
    }
}

pub fn with_model(
    repository: &ModelRepository,
    target: &Target,
    input: Input,
    parameters: Parameters,
) -> Result<Prepared, Error> {
    let model = find_model(repository, target, Some(input.kind()))?;
    Ok(Prepared { model, input, parameters })
}

/// Takes over a model's name from a query or body; the path's name wins only if they are the same.
pub fn set_model(target: &mut Target, name: String) -> Result<(), Error> {
    match &target.model {
        Some(given) if *given != name => {
            let expected = format!("`{given}`, as in the path, or nothing");
            Err(Error::invalid("model", expected, format!("`{name}`")))
        }
        _ => {
            target.model = Some(name);
            Ok(())
        }
    }
}

fn read_query(query: &str, target: &mut Target, parameters: &mut Parameters) -> Result<(), Error> {
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name == "model" {
            set_model(target, value.into_owned())?;
        } else if !set_parameter(parameters, &name, &value)? {
            let known = ["model"].into_iter().chain(envelope::PARAMETERS);
            let expected = format!("parameters of the query: {}", one_of(&name, known));
            return Err(Error::invalid(excerpt(&name), expected, "an unknown name"));
        }
    }
    Ok(())
}
