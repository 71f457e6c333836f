//! Answers as streams.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{self, Stream, StreamExt};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio_util::task::AbortOnDropHandle;

use super::call::{self, Call, Service};
use super::infer::{self, Failure};
use super::proto::ModelStreamInferResponse;
use super::status;
use super::wire::{self, Message, Messages};
use crate::api::account::{self, Account, Counted};
use crate::api::admit::place;
use crate::api::error::{self, ApiError};
use crate::api::outgoing::until_sent;
use crate::api::streaming::LongLived;
use crate::api::upload::Upload;
use crate::error::{Error, ErrorKind};

/// Questions of one stream that are in work at once. The next one is read when the oldest is answered.
const MAX_IN_WORK: usize = 16;
/// Bytes of an answer, as long as there was none.
const FIRST_SIZE: usize = 64 << 10;

/// `ModelStreamInfer`: answers in the order of the questions. One that fails says so in its answer,
/// and the stream goes on. It ends with an error where its framing or a message's size does not let
/// it go on, when the client's deadline passes, and when the server stops.
pub async fn infer(State(service): State<Service>, request: Request) -> Result<Response, ApiError> {
    let (call, messages) = call::begin(service, request)?;
    if let Some(upload) = &call.upload {
        upload.by_parts();
    }
    let size = Arc::new(AtomicUsize::new(FIRST_SIZE));
    let asking = call.clone();
    let questions = stream::unfold(Some(messages), move |messages| next(asking.clone(), messages));
    let answering = call.clone();
    let answers = questions.map(move |question| {
        let (call, size) = (answering.clone(), size.clone());
        let answer = async move { answer(&call, question?, &size).await };
        // A task of its own goes on, and gives its place back, while the client does not read.
        AbortOnDropHandle::new(tokio::spawn(answer))
    });
    let answers = answers.buffered(MAX_IN_WORK);
    let answers = answers.map(|answer| answer.unwrap_or_else(|error| Err(Error::internal(error))));
    Ok(respond(call, answers))
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

/// The answer to one question, which may be that it failed. `size` tells of the last one's.
async fn answer(call: &Call, question: Message, size: &AtomicUsize) -> Result<Bytes, Error> {
    let Message { bytes, room: _room } = question;
    let _working = call.upload.as_ref().map(Upload::works);
    // What is answered and not read is bounded, so it is waited for before the work.
    let sending = match &call.upload {
        Some(upload) => upload.link.stream_room(size.load(Ordering::Relaxed)).await,
        None => None,
    };
    let account = Account::default();
    let counted = Counted::begin(call.app.metrics.clone(), account.clone());
    let asked = call.asked();
    let work = async {
        let upload = call.upload.as_ref();
        let place = upload.map(|upload| place(&upload.peer)).transpose()?;
        let write = |response| {
            let infer_response = Some(response);
            wire::frame(&ModelStreamInferResponse { infer_response, ..Default::default() })
        };
        let answer = infer::answer(call, &account, bytes, call.deadline().at, write).await?;
        drop(place);
        let held = match upload {
            Some(upload) => Some(upload.link.answers(answer.frame.len()).await?),
            None => None,
        };
        Ok::<_, Box<Failure>>((answer.frame, held))
    };
    // Of which the stream would end otherwise.
    let answered = AssertUnwindSafe(work).catch_unwind().await;
    let answered = answered.unwrap_or_else(|_| Err(Error::internal("a handler panicked").into()));
    counted.end(answered.as_ref().err().map(|failure| &failure.error));
    let Failure { error, named } = match answered {
        Ok((frame, held)) => {
            size.store(frame.len(), Ordering::Relaxed);
            return Ok(until_sent(frame, (sending, held)));
        }
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
