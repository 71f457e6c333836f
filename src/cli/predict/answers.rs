//! Answers of a block as lines of JSON, or as rows of the table.

use serde::Serialize;
use serde_json::value::RawValue;

use super::output::{Part, Written};
use super::table;
use crate::bulk::Answered;
use crate::error::Error;
use crate::tasks::Prediction;

/// What an answer is told by.
pub struct Tag {
    /// The file, or the file and the line.
    pub name: String,
    /// What the line calls itself.
    pub id: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Line<'a> {
    input: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    #[serde(flatten)]
    outcome: Outcome<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome<'a> {
    Result(OneOrMany<'a>),
    Error(String),
}

/// An input of several items has several predictions.
#[derive(Serialize)]
#[serde(untagged)]
enum OneOrMany<'a> {
    One(&'a Prediction),
    Many(&'a [Prediction]),
}

pub fn write(answers: Vec<Answered<Tag>>, as_table: bool) -> Part {
    let (count, mut failed) = (answers.len() as u64, 0);
    let mut lines = Vec::with_capacity(answers.len() * 128);
    let mut rows = Vec::new();
    for Answered { tag: Tag { name, id }, outcome } in answers {
        let outcome = outcome.unwrap_or_else(|| Err(Error::internal("not begun")));
        failed += u64::from(outcome.is_err());
        if as_table {
            rows.extend(table::rows(&name, &outcome));
            continue;
        }
        let outcome = match &outcome {
            Ok(predictions) => Outcome::Result(match predictions.as_slice() {
                [one] => OneOrMany::One(one),
                many => OneOrMany::Many(many),
            }),
            Err(error) => Outcome::Error(error.to_string()),
        };
        let line = Line { input: &name, id: id.as_deref(), outcome };
        let before = lines.len();
        if serde_json::to_writer(&mut lines, &line).is_err() {
            // Strings and finite numbers: this cannot be. A line must be whole.
            lines.truncate(before);
            lines.extend_from_slice(b"{}");
        }
        lines.push(b'\n');
    }
    let written = if as_table { Written::Rows(rows) } else { Written::Lines(lines) };
    Part { count, failed, written }
}
