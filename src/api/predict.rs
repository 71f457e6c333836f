//! `/predict`: one handler for every route and every form of input.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{Extension, RawPathParams, RawQuery, Request, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::account::Account;
use super::asker::Asker;
use super::body::{self, Form};
use super::envelope::{self, set_parameter};
use super::error::ApiError;
use super::finish::{self, Answered, Finish};
use super::{App, bulk, multipart};
use crate::error::{Error, ErrorKind, excerpt, one_of};
use crate::meter::Meter;
use crate::model::Model;
use crate::model::repository::{Lookup, ModelRepository};
use crate::runtime::compute::FEW;
use crate::tasks::{Image, ImageSource, Input, InputKind, Parameters, Prediction, Text};

/// As in the metrics.
const PROTOCOL: &str = "predict";

/// The body of a 200: one entry in `result` for each input, in order.
#[derive(Serialize, ToSchema)]
#[schema(as = PredictResponse)]
pub struct Answer<'a> {
    /// The model that answered.
    model: &'a str,
    /// Its version, a number.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String)]
    version: u64,
    result: &'a [Prediction],
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn as_text<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
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
    finish: Finish,
    request: Request,
) -> Result<Response, ApiError> {
    let path = path.map_err(|_| {
        Error::field(ErrorKind::UnknownModel, "model", "a name in UTF-8", "other bytes")
    })?;
    let (target, parameters) = asked_for(&path, query.as_deref())?;
    if bulk::is_bulk(request.headers()) {
        return Ok(bulk::predict(app, &account, target, parameters, request).await?);
    }
    let (head, body) = request.into_parts();
    let deadline = finish::deadline(&head.headers, &app)?;
    let work = answer(&app, &account, target, parameters, &head, body, deadline.at);
    finish.by(deadline, &account, Box::pin(work)).await
}

/// What the path and the query say.
fn asked_for(path: &RawPathParams, query: Option<&str>) -> Result<(Target, Parameters), Error> {
    let mut target = Target::default();
    for (name, value) in path {
        match name {
            "model" => target.model = Some(value.to_owned()),
            _ => target.version = Some(value.to_owned()),
        }
    }
    let mut parameters = Parameters::default();
    read_query(query.unwrap_or_default(), &mut target, &mut parameters)?;
    Ok((target, parameters))
}

async fn answer(
    app: &App,
    account: &Account,
    mut target: Target,
    parameters: Parameters,
    head: &Parts,
    body: Body,
    deadline: Instant,
) -> Result<Answered, Error> {
    let headers = &head.headers;
    let form = body::form(headers);
    let (priority, asker) = (finish::priority(headers)?, Asker::of(&head.extensions));
    // Before the body is read: whether the models are loaded, and what the path or the body's form
    // tells of the model.
    let repository = app.repository()?;
    let kind = form.as_ref().ok().and_then(Form::kind);
    if target.model.is_some() || kind.is_some() {
        let model = load_model(repository, &target, kind).await?;
        account.note(&model, PROTOCOL);
        model.check_load(asker.terms(priority, None))?;
        target.found = Some(model);
    }
    let names_version = target.version.is_some();
    let most = match form {
        // With a last line end, which is not part of it.
        Ok(Form::Text) => app.limits.max_text_bytes + 1,
        _ => app.server.max_body_size,
    };
    let bytes = body::read_at_most(head, body, app, most).await?;
    if bytes.is_empty() {
        let expected = "JSON, an image, text, or multipart/form-data";
        return Err(Error::field(ErrorKind::Syntax, "body", expected, "an empty body"));
    }
    let prepared = prepare(app, form?, bytes, target, parameters).await?;
    let Prepared { model, input, parameters } = prepared;
    account.note(&model, PROTOCOL);
    let asked = (&asker, asker.terms(priority, Some(deadline)));
    let answered = app.predict(&model, input, parameters, asked, names_version).await?;
    let (timings, provider) = (answered.timings, model.provider);
    let write = |model: &Model, result: &[Prediction]| {
        Ok(Json(Answer { model: &model.name, version: model.version, result }).into_response())
    };
    let response = app.write(model, answered.predictions, parameters, write).await?;
    Ok(Answered { response, timings, provider })
}

/// From a body to an input for a model that is there.
async fn prepare(
    app: &App,
    form: Form,
    bytes: Bytes,
    target: Target,
    parameters: Parameters,
) -> Result<Prepared, Error> {
    let length = bytes.len();
    match form {
        Form::Json => {
            let parse = move |lookup: &Lookup, meter: &Meter<'_>| {
                envelope::parse(&bytes, target.clone(), parameters, lookup, meter)
            };
            app.read_naming(length, parse).await
        }
        Form::Multipart(boundary) => {
            let limits = app.limits;
            let parse = move |lookup: &Lookup, meter: &Meter<'_>| {
                let form = (&bytes, boundary.as_str());
                multipart::parse(form, target.clone(), parameters, &limits, lookup, meter)
            };
            app.read_naming(length, parse).await
        }
        Form::Image(media_type) => {
            let source = ImageSource::File(bytes, media_type);
            let input = Input::Images(vec![Image { field: "body".into(), source }]);
            let model = load_model(app.repository()?, &target, Some(input.kind())).await?;
            Ok(Prepared { model, input, parameters })
        }
        Form::Text => {
            let parse = move |_: &Meter<'_>| Ok(Input::Texts(vec![plain(&bytes)?]));
            let input = app.read(length, parse).await?;
            let model = load_model(app.repository()?, &target, Some(input.kind())).await?;
            Ok(Prepared { model, input, parameters })
        }
    }
}

/// A body that is one text.
///
/// # Errors
/// Other bytes than UTF-8.
pub fn plain(body: &[u8]) -> Result<Text, Error> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let got = format!("other bytes after byte {}", error.valid_up_to());
        Error::field(ErrorKind::Syntax, "body", "text in UTF-8", got)
    })?;
    // A file's last line end is not part of the text.
    let text = text.strip_suffix('\n').unwrap_or(text).to_owned();
    Ok(Text { field: "body".into(), text, pair: None })
}

/// The model that a request names, else the one for its kind of input.
///
/// # Errors
/// None, or one that [`Lookup::load`] has to load first.
pub fn find_model(
    lookup: &Lookup,
    target: &Target,
    kind: Option<InputKind>,
) -> Result<Arc<Model>, Error> {
    match (&target.found, &target.model, kind) {
        (Some(found), _, _) => Ok(found.clone()),
        (None, Some(name), _) => lookup.find(name, target.version.as_deref()),
        (None, None, Some(kind)) => lookup.find_by_kind(kind),
        (None, None, None) => {
            let expected = "a model's name, since `inputs` may be of any kind";
            Err(Error::invalid("model", expected, "no name"))
        }
    }
}

/// The same, once it is loaded.
///
/// # Errors
/// None, or one that cannot be loaded.
pub async fn load_model(
    repository: &Arc<ModelRepository>,
    target: &Target,
    kind: Option<InputKind>,
) -> Result<Arc<Model>, Error> {
    let mut lookup = Lookup::new(repository.clone());
    loop {
        let found = find_model(&lookup, target, kind);
        if !lookup.load(None).await {
            return found;
        }
    }
}

/// Takes over a model's name from a query or body; the path's name wins only if they are the same.
///
/// # Errors
/// Another name than the path's.
pub fn set_model(target: &mut Target, name: &str) -> Result<(), Error> {
    match &target.model {
        Some(given) if given != name => {
            let expected = format!("`{}`, as in the path, or nothing", excerpt(given));
            Err(Error::invalid("model", expected, format!("`{}`", excerpt(name))))
        }
        Some(_) => Ok(()),
        None => {
            target.model = Some(name.to_owned());
            Ok(())
        }
    }
}

/// What a query alone says.
#[cfg(test)]
pub fn query(query: &str) -> Result<Parameters, Error> {
    let (mut target, mut parameters) = (Target::default(), Parameters::default());
    read_query(query, &mut target, &mut parameters).map(|()| parameters)
}

/// Names and values of a query, which is read where it is.
fn read_query(query: &str, target: &mut Target, parameters: &mut Parameters) -> Result<(), Error> {
    if query.len() > FEW {
        let expected = format!("at most {FEW} bytes");
        return Err(Error::too_large("query", expected, format!("{} bytes", query.len())));
    }
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name == "model" {
            set_model(target, &value)?;
        } else if !set_parameter(parameters, &name, &value)? {
            let known = ["model"].into_iter().chain(envelope::PARAMETERS);
            let expected = format!("parameters of the query: {}", one_of(&name, known));
            return Err(Error::invalid(excerpt(&name), expected, "an unknown name"));
        }
    }
    Ok(())
}
