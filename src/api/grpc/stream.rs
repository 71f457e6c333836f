//! Answers as streams.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{self, Stream, StreamExt};
use http_body_util::StreamBody;
use hyper::body::Frame;

use super::call::{self, Call, Service};
use super::infer::{self, Failure};
use super::proto::ModelStreamInferResponse;
use super::status;
use super::wire::{self, Message, Messages};
use crate::api::Gate;
use crate::api::account::{self, Account, Counted};
use crate::api::error::{self, ApiError};
use crate::api::streaming::LongLived;
use crate::error::{Error, ErrorKind};

/// Questions of one stream that are in work at once. The next one is read when the oldest is answered.
const MAX_IN_WORK: usize = 16;

/// `ModelStreamInfer`: answers in the order of the questions. One that fails says so in its answer,
/// and the stream goes on. It ends with an error where its framing or a message's size does not let
/// it go on, when the client's deadline passes, and when the server stops.
pub async fn infer(State(service): State<Service>, request: Request) -> Result<Response, ApiError> {
    let (call, messages) = call::begin(service, request)?;
    let asking = call.clone();
    let questions = stream::unfold(Some(messages), move |messages| next(asking.clone(), messages));
    let answering = call.clone();
    let answers = questions.map(move |question| {
        let call = answering.clone();
        async move { answer(&call, question?).await }
    });
    Ok(respond(call, answers.buffered(MAX_IN_WORK)))
}

/// The next question, and what reads those after it: none after an error.
async fn next(
    call: Arc<Call>,
    messages: Option<Messages>,
) -> Option<(Result<Message, Error>, Option<Messages>)> {
    let mut messages = messages?;
    let next = tokio::select! {
        biased;
        () = call.stopped() => Err(stopping()),
        next = messages.next() => next,
    };
    match next.transpose()? {
        Ok(message) => Some((Ok(message), Some(messages))),
        Err(error) => Some((Err(error), None)),
    }
}

pub fn stopping() -> Error {
    let detail = "the server is stopping; ask again on a new connection";
    Error::new(ErrorKind::Unavailable, detail).because("draining")
}

/// The answer to one question, which may be that it failed.
async fn answer(call: &Call, question: Message) -> Result<Bytes, Error> {
    let Message { bytes, room: _room } = question;
    let account = Account::default();
    let counted = Counted::begin(call.app.metrics.clone(), account.clone());
    let asked = call.asked();
    let work = async {
        let _place = call.gate.as_ref().map(Gate::enter).transpose()?;
        let write = |response| {
            let infer_response = Some(response);
            wire::frame(&ModelStreamInferResponse { infer_response, ..Default::default() })
        };
        infer::answer(call, &account, bytes, call.deadline().at, write).await
    };
    // On the connection's own task, where a panic would end every other stream of it.
    let answered = AssertUnwindSafe(work).catch_unwind().await;
    let answered = answered.unwrap_or_else(|_| Err(Error::internal("a handler panicked").into()));
    counted.end(answered.as_ref().err().map(|failure| &failure.error));
    let Failure { error, named } = match answered {
        Ok(answer) => return Ok(answer.frame),
        Err(failure) => *failure,
    };
    account::refused(&call.app.metrics, &error);
    if let Some(asked) = asked {
        asked.log_failed(error::status(error.kind), &error);
    }
    wire::frame(&ModelStreamInferResponse {
        error_message: error.detail,
        infer_response: Some(named),
    })
}

/// A response of framed messages to the first error, and the status.
pub fn respond(
    call: Arc<Call>,
    answers: impl Stream<Item = Result<Bytes, Error>> + Send + 'static,
) -> Response {
    let frames = stream::unfold(Some(Box::pin(answers)), move |answers| {
        let call = call.clone();
        async move {
            let mut answers = answers?;
            let (frame, rest) = match in_time(&call, answers.next()).await {
                Some(Ok(answer)) => (Frame::data(answer), Some(answers)),
                Some(Err(error)) => {
                    call.refused(&error);
                    (Frame::trailers(status::trailers(Some(&error))), None)
                }
                None => (Frame::trailers(status::trailers(None)), None),
            };
            Some((Ok::<_, Infallible>(frame), rest))
        }
    });
    let mut response = wire::response(Body::new(StreamBody::new(frames)));
    response.extensions_mut().insert(LongLived);
    response
}

/// The next answer, or that the client's deadline has passed.
async fn in_time(
    call: &Call,
    next: impl Future<Output = Option<Result<Bytes, Error>>>,
) -> Option<Result<Bytes, Error>> {
    let Some(end) = call.end() else { return next.await };
    let passed =
        |_| Some(Err(Error::new(ErrorKind::DeadlineExceeded, "the stream's time is over")));
    tokio::time::timeout_at(end.into(), next).await.unwrap_or_else(passed)
}
