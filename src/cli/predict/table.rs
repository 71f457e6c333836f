//! Answers for people.

use comfy_table::{ContentArrangement, Table};

use crate::error::Error;
use crate::tasks::{Entity, Prediction, Value};

/// Input, answer, score, and the classes after the best.
pub type Row = [String; 4];

pub fn new() -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["input", "answer", "score", "next"]);
    table
}

/// A row for each prediction, or one for the error.
pub fn rows(name: &str, outcome: &Result<Vec<Prediction>, Error>) -> Vec<Row> {
    let row = |[answer, score, next]: [String; 3]| [name.to_owned(), answer, score, next];
    match outcome {
        Ok(predictions) => predictions.iter().map(cells).map(row).collect(),
        Err(error) => vec![row([error.to_string(), String::new(), String::new()])],
    }
}

fn cells(prediction: &Prediction) -> [String; 3] {
    let alone = |answer: String| [answer, String::new(), String::new()];
    match prediction {
        Prediction::Classes { label, score, classes } => {
            let next = classes.iter().skip(1);
            let next: Vec<_> = next.map(|c| format!("{} {:.4}", c.label, c.score)).collect();
            [label.to_string(), format!("{score:.4}"), next.join(", ")]
        }
        Prediction::Value { value: Value::One(value) } => alone(value.to_string()),
        Prediction::Value { value: Value::Many(values) } => {
            let values: Vec<_> = values.iter().map(ToString::to_string).collect();
            alone(values.join(", "))
        }
        Prediction::Embedding { embedding } => {
            let first: Vec<_> = embedding.iter().take(4).map(|x| format!("{x:.4}")).collect();
            let rest = if embedding.len() > first.len() { ", …" } else { "" };
            let numbers = embedding.len();
            alone(format!("[{}{rest}] ({numbers} numbers)", first.join(", ")))
        }
        Prediction::Entities { entities } => {
            let entities: Vec<_> = entities
                .iter()
                .map(|Entity { entity, word, score, .. }| format!("{entity}: {word} {score:.4}"))
                .collect();
            alone(entities.join(", "))
        }
    }
}
