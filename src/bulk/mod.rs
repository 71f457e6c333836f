//! Many inputs in order: read in blocks while others are still being answered, asked together where
//! they go together, and answered one by one, so that a bad one costs nobody else.
//!
//! Shared by streams of lines over HTTP (`api/bulk/`) and by `onnxd predict`. `merge.rs`: several
//! questions as one input. `pace.rs`: how many make a block. Blocks are read, asked and written side by
//! side, at most [`IN_WORK`] of them, and come out in the order in which they went in.

mod merge;
mod pace;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::error::{Error, ErrorKind};
use crate::model::{self, Model};
use crate::runtime::compute::{Compute, FEW};
use crate::runtime::job::Priority;
use crate::tasks::{Input, InputKind, Parameters, Prediction};

pub use pace::Pace;

/// Blocks in work at once.
pub const IN_WORK: usize = 16;

/// Rows that are asked together at most.
const TOGETHER: usize = 256;
/// Questions of a group that failed, asked again one by one, at once.
const ONE_BY_ONE: usize = 16;
/// Bytes of a block that are read or written on the async thread at most.
const INLINE: usize = 1024;
/// Pauses before a full queue is asked again.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// One line, file or row, for the model that is to answer it.
pub struct Question {
    pub model: Arc<Model>,
    pub input: Input,
    pub parameters: Parameters,
}

/// A question, or why it is none, and what its answer is told by.
pub struct Asked<T> {
    pub tag: T,
    pub question: Result<Question, Error>,
}

/// What became of a question: a prediction for each of its items.
pub struct Answered<T> {
    pub tag: T,
    /// `None`: not begun, since the work is to stop.
    pub outcome: Option<Result<Vec<Prediction>, Error>>,
}

/// How questions are to be answered.
#[derive(Clone)]
pub struct Terms {
    pub priority: Priority,
    /// Of one question, from when the model has room for it on.
    pub timeout: Option<Duration>,
    /// What has not begun by then is not begun.
    pub stopping: CancellationToken,
}

/// Does `work` for each block, side by side; the results are in the blocks' order. Dropping the stream
/// ends the work. An error is a panic in it.
pub fn ordered<B, A, F>(
    blocks: impl Stream<Item = B>,
    work: impl Fn(B) -> F,
) -> impl Stream<Item = Result<A, Error>>
where
    A: Send + 'static,
    F: Future<Output = A> + Send + 'static,
{
    // Tasks of their own go on while nobody takes the answers before theirs.
    let started = blocks.map(move |block| AbortOnDropHandle::new(tokio::spawn(work(block))));
    started.buffered(IN_WORK).map(|answer| answer.map_err(Error::internal))
}

/// One block: `read` makes questions of it, as long as what it is given says that somebody waits, and
/// `write` something of their answers, both on a compute thread unless the block has few bytes.
///
/// # Errors
/// `read` or `write` panicked.
pub async fn block<T, A>(
    compute: &Compute,
    bytes: usize,
    terms: &Terms,
    read: impl FnOnce(&dyn Fn() -> bool) -> Vec<Asked<T>> + Send + 'static,
    write: impl FnOnce(Vec<Answered<T>>) -> A + Send + 'static,
) -> Result<A, Error>
where
    T: Send + 'static,
    A: Send + 'static,
{
    let asked = self::read(compute, bytes, read).await?;
    answered(compute, bytes, terms, asked, write).await
}

/// What `read` makes of a block: on a compute thread, unless the block has few bytes.
///
/// # Errors
/// `read` panicked.
pub async fn read<R: Send + 'static>(
    compute: &Compute,
    bytes: usize,
    read: impl FnOnce(&dyn Fn() -> bool) -> R + Send + 'static,
) -> Result<R, Error> {
    let read = move |waits: &dyn Fn() -> bool| Ok(read(waits));
    compute.bytes_watching(as_taken(bytes), read).await
}

/// Bytes of a block, as far as they tell whether it is few.
fn as_taken(bytes: usize) -> usize {
    if bytes <= INLINE { bytes } else { bytes.max(FEW + 1) }
}

/// The second half of [`block`]: the answers to its questions, written.
///
/// # Errors
/// `write` panicked.
pub async fn answered<T, A>(
    compute: &Compute,
    bytes: usize,
    terms: &Terms,
    asked: Vec<Asked<T>>,
    write: impl FnOnce(Vec<Answered<T>>) -> A + Send + 'static,
) -> Result<A, Error>
where
    T: Send + 'static,
    A: Send + 'static,
{
    let (tags, questions): (Vec<T>, Vec<_>) =
        asked.into_iter().map(|Asked { tag, question }| (tag, question)).unzip();
    let outcomes = answer(questions, terms).await;
    let answered = move || {
        let answered = tags.into_iter().zip(outcomes);
        Ok(write(answered.map(|(tag, outcome)| Answered { tag, outcome }).collect()))
    };
    compute.bytes(as_taken(bytes), answered).await
}

/// Questions that are asked as one.
struct Group {
    model: Arc<Model>,
    input: Input,
    parameters: Parameters,
    /// The place of each among the questions, and its items within the input.
    parts: Vec<(usize, Range<usize>)>,
}

type Outcome = Option<Result<Vec<Prediction>, Error>>;

/// Answers in the order of the questions.
async fn answer(questions: Vec<Result<Question, Error>>, terms: &Terms) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(questions.len());
    let mut groups: Vec<Group> = Vec::new();
    for (place, question) in questions.into_iter().enumerate() {
        outcomes.push(None);
        match question {
            Ok(question) => add(&mut groups, place, question),
            Err(error) => outcomes[place] = Some(Err(error)),
        }
    }
    // One after the other would leave sessions idle.
    let mut answers = stream::iter(groups).map(|group| ask(group, terms)).buffer_unordered(IN_WORK);
    while let Some(answered) = answers.next().await {
        for (place, outcome) in answered {
            outcomes[place] = outcome;
        }
    }
    outcomes
}

/// Puts a question into the last group if it goes with that, else into one of its own.
fn add(groups: &mut Vec<Group>, place: usize, question: Question) {
    let Question { model, mut input, parameters } = question;
    let items = input.len();
    if let Some(last) = groups.last_mut() {
        let (before, most) = (last.input.len(), TOGETHER.min(model.most_items()));
        let goes = Arc::ptr_eq(&last.model, &model) && last.parameters == parameters;
        // An empty list is an error of its own.
        if goes && items > 0 && before + items <= most {
            match merge::join(&mut last.input, input) {
                Ok(()) => return last.parts.push((place, before..before + items)),
                Err(apart) => input = apart,
            }
        }
    }
    groups.push(Group { model, input, parameters, parts: vec![(place, 0..items)] });
}

/// All of a group at once; where that fails, each by itself.
async fn ask(group: Group, terms: &Terms) -> Vec<(usize, Outcome)> {
    let Group { model, input, parameters, parts } = group;
    let rows = tokio::select! {
        biased;
        () = terms.stopping.cancelled() => {
            return parts.into_iter().map(|(place, _)| (place, None)).collect();
        }
        rows = model.bulk_room(input.len()) => rows,
    };
    let asked = predict(&model, &input, parameters, terms).await;
    match (asked, parts.as_slice()) {
        (asked, [(place, _)]) => vec![(*place, Some(asked))],
        (Ok(predictions), _) => {
            let mut predictions = predictions.into_iter();
            let take = |(place, items): (usize, Range<usize>)| {
                (place, Some(Ok(predictions.by_ref().take(items.len()).collect())))
            };
            parts.into_iter().map(take).collect()
        }
        (Err(error), _) if !is_of_one(&error) => {
            parts.into_iter().map(|(place, _)| (place, Some(Err(error.clone())))).collect()
        }
        (Err(_), _) => {
            let alone = stream::iter(parts).map(|(place, items)| {
                let (model, part) = (&model, merge::part(&input, items));
                async move { (place, Some(predict(model, &part, parameters, terms).await)) }
            });
            let answered = alone.buffered(ONE_BY_ONE).collect().await;
            drop(rows);
            answered
        }
    }
}

/// Whether a failure may be of one question in a group.
fn is_of_one(error: &Error) -> bool {
    let of_all = [ErrorKind::Overloaded, ErrorKind::Unavailable, ErrorKind::DeadlineExceeded];
    !of_all.contains(&error.kind)
}

/// Asks until there is room in the queue.
async fn predict(
    model: &Model,
    input: &Input,
    parameters: Parameters,
    Terms { priority, timeout, .. }: &Terms,
) -> Result<Vec<Prediction>, Error> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let terms = model::Terms { priority: *priority, deadline, ..model::Terms::default() };
    let mut pause = FIRST_PAUSE;
    loop {
        let asked = model.predict(input.clone(), parameters, terms);
        let answered = match deadline {
            None => asked.await,
            Some(at) => tokio::time::timeout_at(at.into(), asked).await.unwrap_or_else(|_| {
                let detail = format!("no answer within {:?}", timeout.unwrap_or_default());
                Err(Error::new(ErrorKind::DeadlineExceeded, detail))
            }),
        };
        match answered {
            Ok(answered) => return Ok(answered.predictions),
            Err(error) if error.kind == ErrorKind::Overloaded => {
                let again = Instant::now() + pause;
                if deadline.is_some_and(|deadline| again >= deadline) {
                    return Err(error);
                }
                tokio::time::sleep_until(again.into()).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether inputs of this kind are so small that asking for several at once pays.
fn is_small(kind: InputKind) -> bool {
    matches!(kind, InputKind::Features | InputKind::Text)
}
