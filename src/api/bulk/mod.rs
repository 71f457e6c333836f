//! `/predict` with `application/x-ndjson`: an answer a line, while the input is still arriving.
//!
//! `lines.rs` takes lines out of the body, `line.rs` reads one and writes its answer; what is between is
//! [`crate::bulk`]. Three things run side by side and end when the response is dropped: a task that
//! reads, a task for each block in work, and the response, which takes the answers in order as fast as
//! the client does. When it does not, blocks wait for it, the reader waits for them, and so does the
//! client's socket.

pub(super) mod line;
mod lines;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::account::{self, Account, Deferred};
use super::asker::Asker;
use super::error::status;
use super::finish::Deadline;
use super::outgoing::until_sent;
use super::peers::Taken;
use super::predict::{Target, load_model};
use super::request_id::Asked;
use super::resource::Resource;
use super::streaming::{LongLived, Stopping};
use super::upload::Upload;
use super::{App, body, encoding, finish};
use crate::bulk::{self, Pace, Terms};
use crate::error::{Error, ErrorKind};
use crate::metrics::Metrics;
use crate::model::repository::{Lookup, ModelRepository};
use crate::runtime::job::Priority;
use crate::tasks::Parameters;
use lines::{Block, Lines};

/// As in the metrics.
const PROTOCOL: &str = "bulk";
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/x-ndjson");
/// What a line of JSON objects is called by those who send it.
const CONTENT_TYPES: [&[u8]; 4] =
    [b"application/x-ndjson", b"application/ndjson", b"application/jsonl", b"application/x-jsonl"];
/// Asks nginx to pass answers on as they come.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Bytes of a block's answers, as long as there were none.
const FIRST_SIZE: usize = 64 << 10;
/// Failures within one stream that are logged one by one.
const LOGGED: usize = 10;

/// Whether a body is lines of JSON.
pub fn is_bulk(headers: &HeaderMap) -> bool {
    let Some(given) = headers.get(header::CONTENT_TYPE) else { return false };
    let given = given.as_bytes();
    let essence = given.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    CONTENT_TYPES.iter().any(|known| essence.eq_ignore_ascii_case(known))
}

/// What all parts of a stream share.
pub struct Stream {
    pub app: App,
    pub repository: Arc<ModelRepository>,
    pub target: Target,
    pub parameters: Parameters,
    asked: Option<Asked>,
    pace: Pace,
    terms: Terms,
    /// Lines that were read and whose answers were not taken yet.
    in_work: Arc<AtomicUsize>,
    upload: Option<Arc<Upload>>,
    /// The one place of all blocks that are in work, if some are.
    place: tokio::sync::Mutex<Weak<Taken>>,
    /// Bytes of the last block's answers.
    size: AtomicUsize,
    /// The client has left in the middle of its lines.
    left: CancellationToken,
    logged: AtomicUsize,
}

impl Stream {
    fn request_id(&self) -> &str {
        self.asked.as_ref().map_or("", Asked::id)
    }

    /// Counts a line's failure, and logs it if it is ours; the first few of them.
    fn refused(&self, error: &Error) {
        account::refused(&self.app.metrics, error);
        if error.kind == ErrorKind::Internal
            && self.logged.fetch_add(1, Ordering::Relaxed) < LOGGED
            && let Some(asked) = &self.asked
        {
            asked.log_failed(status(error.kind), error);
        }
    }

    /// A place among the requests in work, for which lines wait.
    async fn place(&self) -> Option<Arc<Taken>> {
        let upload = self.upload.as_ref()?;
        let mut place = self.place.lock().await;
        if let Some(taken) = place.upgrade() {
            return Some(taken);
        }
        let taken = Arc::new(upload.peer.wait_for(Resource::Places, 1).await);
        *place = Arc::downgrade(&taken);
        Some(taken)
    }

    /// Room for a further block's answers, until they are sent.
    async fn sending(&self) -> Option<OwnedSemaphorePermit> {
        let upload = self.upload.as_ref()?;
        upload.link.stream_room(self.size.load(Ordering::Relaxed)).await
    }

    /// Counts and logs what ends the stream before its input does.
    fn ends(&self, error: &Error) {
        account::refused(&self.app.metrics, error);
        if let Some(asked) = &self.asked {
            asked.log_failed(status(error.kind), error);
        }
    }
}

/// Answers a stream of lines. What is wrong with the request as a whole is an error; what is wrong with
/// a line is its answer.
pub async fn predict(
    app: App,
    account: &Account,
    mut target: Target,
    parameters: Parameters,
    request: Request<Body>,
) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let headers = &head.headers;
    let priority = finish::priority_or(headers, Priority::Bulk)?;
    let client = finish::client_timeout(headers)?;
    encoding::refuse(headers)?;
    let repository = app.repository()?.clone();
    let mut device = None;
    if target.model.is_some() {
        let deadline = Deadline::new(&app, client);
        let load = load_model(&repository, &target, None);
        let model = tokio::time::timeout_at(deadline.at.into(), load).await;
        let model = model.map_err(|_| deadline.passed())??;
        account.note(&model, PROTOCOL);
        model.check_load(Asker::of(&head.extensions).terms(priority, None))?;
        device = HeaderValue::try_from(model.provider.to_string()).ok();
        target.found = Some(model);
    }
    let upload = head.extensions.get::<Arc<Upload>>().cloned();
    if let Some(upload) = &upload {
        upload.by_parts();
    }
    let limit = app.server.request_timeout;
    let stopping = head
        .extensions
        .get()
        .map_or_else(CancellationToken::new, |Stopping(stopping)| stopping.clone());
    let timeout = Some(client.map_or(limit, |client| client.min(limit)));
    let stream = Arc::new(Stream {
        asked: head.extensions.get().cloned(),
        pace: Pace::default(),
        terms: Terms { priority, timeout, stopping },
        in_work: Arc::default(),
        upload,
        place: tokio::sync::Mutex::default(),
        size: AtomicUsize::new(FIRST_SIZE),
        left: CancellationToken::new(),
        logged: AtomicUsize::new(0),
        app,
        repository,
        target,
        parameters,
    });
    let deferred = Deferred::default();
    let frames = frames(stream, body, deferred.clone());
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    if let Some(device) = device {
        headers.insert(finish::X_DEVICE, device);
    }
    response.extensions_mut().insert(LongLived);
    response.extensions_mut().insert(deferred);
    Ok(response)
}

/// The answers of a block.
struct Part {
    lines: Vec<u8>,
    /// The last line that was answered, and why none after it is.
    ends: Option<(u64, Error)>,
    /// The last line of the block.
    last: u64,
    /// What the answers take until they are sent.
    held: Option<(Option<OwnedSemaphorePermit>, Taken)>,
    _counted: Option<InWork>,
}

impl Part {
    /// The end, after this line.
    fn end(after: u64, error: Error, counted: Option<InWork>) -> Self {
        let ends = Some((after, error));
        Self { lines: Vec::new(), ends, last: after, held: None, _counted: counted }
    }
}

/// Lines in work, as long as this lives.
struct InWork {
    lines: usize,
    of_stream: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

impl InWork {
    fn new(block: &Block, stream: &Stream) -> Self {
        let lines = (block.last + 1 - block.first) as usize;
        let (of_stream, metrics) = (stream.in_work.clone(), stream.app.metrics.clone());
        of_stream.fetch_add(lines, Ordering::Relaxed);
        metrics.bulk_lines_in_work.add(lines as i64);
        Self { lines, of_stream, metrics }
    }
}

impl Drop for InWork {
    fn drop(&mut self) {
        self.of_stream.fetch_sub(self.lines, Ordering::Relaxed);
        self.metrics.bulk_lines_in_work.sub(self.lines as i64);
    }
}

/// What the reader gives: lines, with the room for their answers, or why it reads no more.
type Read = Result<(Block, InWork, Option<OwnedSemaphorePermit>), Error>;

/// Reads to the end of the body, or until the server stops or the client leaves.
async fn read(stream: Arc<Stream>, body: Body, blocks: mpsc::Sender<Read>) {
    let (upload, in_work) = (stream.upload.clone(), stream.in_work.clone());
    let mut lines = Lines::new(body, stream.app.clone(), upload, in_work);
    loop {
        // A place first, so that the number of lines is what suits now.
        let Ok(place) = blocks.reserve().await else { return };
        let next = tokio::select! {
            biased;
            () = stream.terms.stopping.cancelled() => Err(stopping()),
            next = lines.next(stream.pace.inputs()) => next,
        };
        match next.transpose() {
            None => return,
            Some(Ok(block)) => {
                let counted = InWork::new(&block, &stream);
                let sending = tokio::select! {
                    biased;
                    () = stream.terms.stopping.cancelled() => None,
                    sending = stream.sending() => sending,
                };
                place.send(Ok((block, counted, sending)));
            }
            Some(Err(error)) if error.reason() == body::CUT_OFF => {
                return stream.left.cancel();
            }
            Some(Err(error)) => return place.send(Err(error)),
        }
    }
}

fn stopping() -> Error {
    let detail = "the server is stopping; send the lines that were not answered to another";
    Error::new(ErrorKind::Unavailable, detail).because("draining")
}

/// Answers one block.
async fn work(stream: Arc<Stream>, read: Read) -> Part {
    let (block, counted, sending) = match read {
        Ok(read) => read,
        Err(error) => return Part::end(0, error, None),
    };
    let Block { lines, first, last, refused, room } = block;
    let working = stream.upload.as_ref().map(Upload::works);
    let place = tokio::select! {
        biased;
        // Then nothing of it is begun.
        () = stream.terms.stopping.cancelled() => None,
        place = stream.place() => place,
    };
    let (began, count) = (Instant::now(), (last + 1 - first) as usize);
    let bytes = lines.len();
    let asked = match refused {
        None => read_lines(&stream, lines, first).await,
        Some(error) => {
            let tag = line::Tag { line: first, id: None };
            Ok(vec![bulk::Asked { tag, question: Err(error) }])
        }
    };
    let asked = match asked {
        Ok(asked) => asked,
        Err(error) => return Part::end(first - 1, error, Some(counted)),
    };
    let writing = stream.clone();
    let write = move |answers| line::write(answers, &writing);
    let written = bulk::answered(&stream.app.compute, bytes, &stream.terms, asked, write).await;
    // Whether the client reads the answers or not.
    drop((room, place, working));
    let line::Written { lines, stopped_at } = match written {
        Ok(written) => written,
        Err(error) => return Part::end(first - 1, error, Some(counted)),
    };
    stream.pace.learn(count, began.elapsed(), lines.len());
    stream.size.store(lines.len(), Ordering::Relaxed);
    let held = match &stream.upload {
        None => None,
        Some(upload) => match upload.link.answers(lines.len()).await {
            Ok(taken) => Some((sending, taken)),
            Err(error) => return Part::end(first - 1, error, Some(counted)),
        },
    };
    let ends = stopped_at.map(|line| (line - 1, stopping()));
    Part { lines, ends, last, held, _counted: Some(counted) }
}

/// The questions of these lines, once the models that they name are loaded.
async fn read_lines(
    stream: &Arc<Stream>,
    lines: Bytes,
    first: u64,
) -> Result<Vec<bulk::Asked<line::Tag>>, Error> {
    let until = stream.terms.timeout.map(|timeout| Instant::now() + timeout);
    let mut lookup = Lookup::new(stream.repository.clone());
    loop {
        let (reading, lines, bytes) = (stream.clone(), lines.clone(), lines.len());
        let once = move |waits: &dyn Fn() -> bool| {
            let with = (&lookup, &reading.target, reading.parameters);
            (line::read(&lines, first, with, waits), lookup)
        };
        let asked;
        (asked, lookup) = bulk::read(&stream.app.compute, bytes, once).await?;
        if !lookup.load(until).await {
            return Ok(asked);
        }
    }
}

/// The answers so far.
struct Answers {
    parts: BoxStream<'static, Result<Part, Error>>,
    stream: Arc<Stream>,
    deferred: Deferred,
    /// The last line that was answered or blank.
    answered: u64,
    _reader: AbortOnDropHandle<()>,
}

/// The client has left, so that nobody reads the rest.
#[derive(Debug, thiserror::Error)]
#[error("the client left in the middle of its lines")]
struct Left;

/// The response's body.
fn frames(
    stream: Arc<Stream>,
    body: Body,
    deferred: Deferred,
) -> impl futures_util::Stream<Item = Result<Frame<Bytes>, Left>> {
    let (sender, receiver) = mpsc::channel(1);
    let reader = AbortOnDropHandle::new(tokio::spawn(read(stream.clone(), body, sender)));
    let blocks = stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|read| (read, receiver))
    });
    let working = stream.clone();
    let parts = bulk::ordered(blocks, move |read| work(working.clone(), read)).boxed();
    let answers = Answers { parts, stream, deferred, answered: 0, _reader: reader };
    stream::unfold(Some(answers), async |answers| {
        let mut answers = answers?;
        loop {
            match answers.next().await {
                Err(left) => return Some((Err(left), None)),
                Ok((lines, goes_on)) if !lines.is_empty() => {
                    return Some((Ok(Frame::data(lines)), goes_on.then_some(answers)));
                }
                Ok((_, true)) => {}
                Ok((_, false)) => return None,
            }
        }
    })
}

impl Answers {
    /// The next lines, and whether more come.
    async fn next(&mut self) -> Result<(Bytes, bool), Left> {
        let part = tokio::select! {
            biased;
            () = self.stream.left.cancelled() => return Err(Left),
            part = self.parts.next() => part,
        };
        let Some(part) = part else {
            // Just now.
            if self.stream.left.is_cancelled() {
                return Err(Left);
            }
            self.deferred.end(None);
            return Ok((Bytes::new(), false));
        };
        let (mut lines, ends, held) = match part {
            Ok(Part { lines, ends, last, held, .. }) => {
                if ends.is_none() {
                    self.answered = last;
                }
                (lines, ends, held)
            }
            Err(error) => (Vec::new(), Some((0, error)), None),
        };
        let Some((line, error)) = ends else { return Ok((until_sent(lines, held), true)) };
        self.answered = self.answered.max(line);
        self.stream.ends(&error);
        self.deferred.end(Some(&error));
        lines.extend(line::last(&error, self.answered, &self.stream));
        Ok((until_sent(lines, held), false))
    }
}
