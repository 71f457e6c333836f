//! `ModelInfer`, and what it shares with `ModelStreamInfer`: one question and its answer.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;

use super::call::{self, Call, Service};
use super::convert;
use super::proto::ModelInferResponse;
use super::question::{self, Outline};
use super::{PROTOCOL, wire};
use crate::api::account::Account;
use crate::api::error::ApiError;
use crate::api::finish::{Answered, Finish};
use crate::api::oip::infer::{InferAnswer, InferRequest, infer, most_named, understand};
use crate::error::{Error, ErrorKind, excerpt};
use crate::meter::Meter;
use crate::model::repository::Lookup;
use crate::model::{Model, Timings};
use crate::runtime::provider::ExecutionProvider;

/// Bytes of memory for each byte of a message: one byte may be an element of eight.
const PER_BYTE: usize = 5;
/// Bytes of a model's name that come back with an error.
const MAX_NAME: usize = 256;

/// An answer as a framed message, where its time went, and what ran it.
pub struct Answer {
    pub frame: Bytes,
    pub timings: Timings,
    pub provider: ExecutionProvider,
}

/// Why there is no answer, and to which question: its model's name and version and its id.
pub struct Failure {
    pub error: Error,
    pub named: ModelInferResponse,
}

impl From<Error> for Box<Failure> {
    fn from(error: Error) -> Self {
        Box::new(Failure { error, named: ModelInferResponse::default() })
    }
}

/// A question that is understood.
struct Asked {
    model: Arc<Model>,
    request: InferRequest,
    /// Tensors came as bytes, so the answer's go as bytes.
    raw: bool,
    named: ModelInferResponse,
}

/// `ModelInfer`.
pub async fn unary(
    State(service): State<Service>,
    finish: Finish,
    request: Request,
) -> Result<Response, ApiError> {
    let account: Account = request.extensions().get().cloned().unwrap_or_default();
    let (call, messages) = call::begin(service, request)?;
    let deadline = call.deadline();
    let work = async {
        // Held as long as the call is in work.
        let wire::Message { bytes, room: _room } = messages.only().await?;
        let write = |response: ModelInferResponse| wire::frame(&response);
        match answer(&call, &account, bytes, deadline.at, write).await {
            Ok(Answer { frame, timings, provider }) => {
                Ok(Answered { response: wire::one(frame), timings, provider })
            }
            Err(failure) => Err(failure.error),
        }
    };
    finish.by(deadline, &account, Box::pin(work)).await
}

/// Answers one question by `deadline`; `write` makes the message of the answer.
pub async fn answer(
    call: &Call,
    account: &Account,
    bytes: Bytes,
    deadline: Instant,
    write: impl FnOnce(ModelInferResponse) -> Result<Bytes, Error> + Send + 'static,
) -> Result<Answer, Box<Failure>> {
    let app = &call.app;
    let mut lookup = Lookup::new(app.repository()?.clone());
    let reading = async {
        loop {
            let (account, bytes) = (account.clone(), bytes.clone());
            let size = bytes.len();
            let once = move |waits: &dyn Fn() -> bool| {
                let asked = read(&lookup, &account, &bytes, &meter(bytes.len(), waits));
                Ok((asked, lookup))
            };
            let asked;
            (asked, lookup) = app.compute.bytes_watching(size, once).await?;
            // It names a model that had to be loaded first.
            if !lookup.load(None).await {
                return Ok(asked);
            }
        }
    };
    let asked = tokio::time::timeout_at(deadline.into(), reading).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::DeadlineExceeded, "the deadline passed before it was read"))
    });
    let Asked { model, mut request, raw, named } = asked??;
    request.priority = request.priority.max(call.priority);
    request.asker = call.upload.clone().into();
    let head = ModelInferResponse {
        model_name: model.name.clone(),
        model_version: model.version.to_string(),
        ..named.clone()
    };
    let failed = move |error| Box::new(Failure { error, named });
    let inferred = infer(app, &model, request, deadline).await;
    let InferAnswer { outputs, timings, .. } = match inferred {
        Ok(answer) => answer,
        Err(error) => return Err(failed(error)),
    };
    let size = outputs.iter().map(|(_, tensor)| tensor.bytes()).sum();
    let write = move || write(convert::response(head, outputs, raw));
    let frame = app.compute.bytes(size, write).await.map_err(failed)?;
    Ok(Answer { frame, timings, provider: model.provider })
}

/// For a message of so many bytes.
pub fn meter(bytes: usize, waits: &dyn Fn() -> bool) -> Meter<'_> {
    Meter::rated(bytes, PER_BYTE, waits)
}

fn read(
    lookup: &Lookup,
    account: &Account,
    bytes: &Bytes,
    meter: &Meter<'_>,
) -> Result<Asked, Box<Failure>> {
    let mut named = ModelInferResponse::default();
    let mut read = || {
        let outline = Outline::read(bytes, meter)?;
        let Outline { model_name, model_version, id, .. } = outline;
        named.model_name = short(model_name);
        named.model_version = short(model_version);
        id.clone_into(&mut named.id);
        let version = Some(model_version).filter(|version| !version.is_empty());
        let model = lookup.find(model_name, version)?;
        account.note(&model, PROTOCOL);
        let (mut request, inputs) = question::read(bytes, &outline, most_named(&model), meter)?;
        request.inputs = understand(&model, inputs, false, meter)?;
        Ok((model, request, outline.is_raw()))
    };
    match read() {
        Ok((model, request, raw)) => Ok(Asked { model, request, raw, named }),
        Err(error) => Err(Box::new(Failure { error, named })),
    }
}

/// A name that comes back with the error of its question.
fn short(name: &str) -> String {
    if name.len() <= MAX_NAME { name.to_owned() } else { excerpt(name) }
}

/// Whether a message is understood.
///
/// # Errors
/// Why not.
#[cfg(test)]
pub fn parse(lookup: &Lookup, bytes: &Bytes, meter: &Meter<'_>) -> Result<(), Error> {
    read(lookup, &Account::default(), bytes, meter).map(|_| ()).map_err(|failure| failure.error)
}
