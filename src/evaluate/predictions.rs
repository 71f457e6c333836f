//! Every item's answer as a line of JSON, so that figures can be checked elsewhere.

use std::io::Write;

use serde::Serialize;

use super::run::{Answer, Asked};
use super::survey::Truth;

/// Writes answers as they come.
pub struct Predictions<W> {
    out: W,
    /// Names of the classes by number.
    names: Vec<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Word<'a> {
    Class(&'a str),
    Value(f64),
}

#[derive(Serialize)]
struct Line<'a> {
    input: &'a str,
    label: Word<'a>,
    prediction: Word<'a>,
    /// In the order of the model's classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    scores: Option<&'a [f32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    other_prediction: Option<Word<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    other_scores: Option<&'a [f32]>,
}

#[derive(Serialize)]
struct Failure<'a> {
    input: &'a str,
    error: &'a str,
}

impl<W: Write> Predictions<W> {
    pub fn new(out: W, names: Vec<String>) -> Self {
        Self { out, names }
    }

    /// # Errors
    /// Those of writing.
    pub fn write(&mut self, asked: &Asked) -> std::io::Result<()> {
        let input = asked.item.place.as_str();
        let name = |class: usize| Word::Class(self.names.get(class).map_or("", String::as_str));
        match &asked.answers {
            Err(error) => serde_json::to_writer(&mut self.out, &Failure { input, error })?,
            Ok(answers) => {
                let word = |answer: &Answer| match answer {
                    Answer::Scores(scores) => name(scores.best),
                    Answer::Value(value) => Word::Value(*value),
                };
                let (Some(first), other) = (answers.first(), answers.get(1)) else { return Ok(()) };
                let line = Line {
                    input,
                    label: match asked.truth {
                        Truth::Class(class) => name(class),
                        Truth::Value(value) => Word::Value(value),
                    },
                    prediction: word(first),
                    scores: scores(first),
                    other_prediction: other.map(word),
                    other_scores: other.and_then(scores),
                };
                serde_json::to_writer(&mut self.out, &line)?;
            }
        }
        self.out.write_all(b"\n")
    }

    /// # Errors
    /// Those of writing.
    pub fn finish(mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

fn scores(answer: &Answer) -> Option<&[f32]> {
    match answer {
        Answer::Scores(scores) => Some(&scores.scores),
        Answer::Value(_) => None,
    }
}
