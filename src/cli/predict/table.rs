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
            let next: Vec<_> =
                next.map(|c| format!("{} {:.4}", c.label, c.score.to_f64())).collect();
            [label.to_string(), format!("{:.4}", score.to_f64()), next.join(", ")]
        }
        Prediction::Label { label, value } => [
            label.joined().to_string(),
            value.as_ref().map_or_else(String::new, listed),
            String::new(),
        ],
        Prediction::Value { value } => alone(listed(value)),
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

fn listed(value: &Value) -> String {
    value.numbers().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
