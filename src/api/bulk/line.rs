//! A line of a stream as a question, and its answer as a line.

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Stream;
use crate::api::account;
use crate::api::envelope;
use crate::api::error::{Problem, status};
use crate::api::predict::{Prepared, Target};
use crate::bulk::{Answered, Asked, Question};
use crate::error::Error;
use crate::meter::Meter;
use crate::metrics::Outcome;
use crate::model::repository::Lookup;
use crate::runtime::compute;
use crate::tasks::{Parameters, Prediction};

/// What an answer is told by.
pub struct Tag {
    /// Number of the line; the first of the stream is 1.
    pub line: u64,
    /// The client's own name for it.
    pub id: Option<Box<RawValue>>,
}

/// An answer.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(flatten)]
    outcome: Result<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Result<'a> {
    Result(&'a [Prediction]),
    Error(Problem<'a>),
}

/// The last line of a stream that ends before its input does.
#[derive(Serialize)]
struct Cut<'a> {
    error: Problem<'a>,
    stopped_after: u64,
}

/// Questions of the lines that are not blank; the first one has the number `first`. `waits`: whether
/// somebody still does.
pub fn read(
    lines: &[u8],
    first: u64,
    (lookup, target, parameters): (&Lookup, &Target, Parameters),
    waits: &dyn Fn() -> bool,
) -> Vec<Asked<Tag>> {
    // What one line costs must not refuse the others, and all are kept together.
    let shared = Meter::of_lines();
    let lines = lines.split(|byte| *byte == b'\n').zip(first..);
    let lines = lines.map(|(line, number)| (line.trim_ascii(), number));
    let lines = lines.filter(|(line, _)| !line.is_empty()).take_while(|_| waits());
    let question = |(line, number): (&[u8], u64)| {
        let meter = Meter::of_line(line.len(), &shared, waits);
        let parse = || Ok(envelope::parse_line(line, target.clone(), parameters, lookup, &meter));
        // A panic is this line's, and not the block's.
        let (id, prepared) = compute::here(parse).unwrap_or_else(|error| (None, Err(error)));
        asked(id, prepared, number)
    };
    lines.map(question).collect()
}

fn asked(
    id: Option<Box<RawValue>>,
    prepared: std::result::Result<Prepared, Error>,
    number: u64,
) -> Asked<Tag> {
    let question = prepared.map(|prepared| {
        let Prepared { model, input, parameters } = prepared;
        Question { model, input, parameters }
    });
    Asked { tag: Tag { line: number, id }, question }
}

/// Answers as lines, up to the first that was not begun.
pub struct Written {
    pub lines: Vec<u8>,
    /// Number of the first line that was not begun.
    pub stopped_at: Option<u64>,
}

pub fn write(answers: Vec<Answered<Tag>>, stream: &Stream) -> Written {
    let (mut lines, mut answered) = (Vec::with_capacity(answers.len() * 128), 0);
    let mut stopped_at = None;
    for Answered { tag: Tag { line, id }, outcome } in answers {
        let Some(outcome) = outcome else {
            stopped_at = Some(line);
            break;
        };
        let id = id.as_deref();
        match &outcome {
            Ok(predictions) => {
                answered += 1;
                let outcome = Result::Result(predictions);
                push(&mut lines, &Told { id, line: None, outcome });
            }
            Err(error) => {
                stream.refused(error);
                stream.app.metrics.bulk_lines(account::outcome(error.kind), 1);
                let outcome = Result::Error(problem(error, stream));
                push(&mut lines, &Told { id, line: Some(line), outcome });
            }
        }
    }
    stream.app.metrics.bulk_lines(Outcome::Ok, answered);
    Written { lines, stopped_at }
}

/// The last line of a stream that ends with an error, `after` this line of its input.
pub fn last(error: &Error, after: u64, stream: &Stream) -> Vec<u8> {
    let mut line = Vec::new();
    push(&mut line, &Cut { error: problem(error, stream), stopped_after: after });
    line
}

fn problem<'a>(error: &'a Error, stream: &'a Stream) -> Problem<'a> {
    let status: StatusCode = status(error.kind);
    Problem::new(error, status, stream.request_id())
}

fn push(lines: &mut Vec<u8>, line: &impl Serialize) {
    let before = lines.len();
    if let Err(error) = serde_json::to_writer(&mut *lines, line) {
        // Strings and finite numbers: this cannot be.
        tracing::error!(%error, "an answer cannot be written");
        lines.truncate(before);
        lines.extend_from_slice(b"{}");
    }
    lines.push(b'\n');
}
