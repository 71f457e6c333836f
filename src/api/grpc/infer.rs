//! `ModelInfer`, and what it shares with `ModelStreamInfer`: one question and its answer.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;

use super::call::{self, Call, Service};
use super::convert;
use super::proto::{ModelInferRequest, ModelInferResponse};
use super::{PROTOCOL, wire};
use crate::api::PARSE_INLINE;
use crate::api::account::Account;
use crate::api::error::ApiError;
use crate::api::finish::{Answered, Finish};
use crate::api::oip::infer::{InferAnswer, InferRequest, infer};
use crate::error::Error;
use crate::model::repository::ModelRepository;
use crate::model::{Model, Timings};
use crate::runtime::provider::ExecutionProvider;

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
    finish.by(deadline, &account, work).await
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
    let repository = app.repository()?.clone();
    let account = account.clone();
    let large = bytes.len() > PARSE_INLINE;
    let read = move || read(&repository, &account, bytes);
    let asked = if large { app.compute.run(move || Ok(read())).await? } else { read() };
    let Asked { model, mut request, raw, named } = asked?;
    request.priority = request.priority.max(call.priority);
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
    let large = outputs.iter().map(|(_, tensor)| tensor.bytes()).sum::<usize>() > PARSE_INLINE;
    let write = move || write(convert::response(head, outputs, raw));
    let frame = if large { app.compute.run(write).await } else { write() };
    let frame = frame.map_err(failed)?;
    Ok(Answer { frame, timings, provider: model.provider })
}

fn read(
    repository: &ModelRepository,
    account: &Account,
    bytes: Bytes,
) -> Result<Asked, Box<Failure>> {
    let mut named = ModelInferResponse::default();
    let read = || {
        let question: ModelInferRequest = call::decode(bytes)?;
        named.model_name.clone_from(&question.model_name);
        named.model_version.clone_from(&question.model_version);
        named.id.clone_from(&question.id);
        let version = Some(question.model_version.as_str()).filter(|version| !version.is_empty());
        let model = repository.find(&question.model_name, version)?;
        account.note(&model, PROTOCOL);
        let raw = !question.raw_input_contents.is_empty();
        Ok((model, convert::request(question)?, raw))
    };
    match read() {
        Ok((model, request, raw)) => Ok(Asked { model, request, raw, named }),
        Err(error) => Err(Box::new(Failure { error, named })),
    }
}
