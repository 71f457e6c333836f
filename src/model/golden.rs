//! Golden inputs: `golden.json` beside a model holds inputs with known answers, which the model must
//! give on this machine before it serves.

use std::path::{Component, PathBuf};

use bytes::Bytes;
use serde::Deserialize;

use crate::error::Error;
use crate::impostor::{self, Expected};
use crate::runtime::cancel::Cancel;
use crate::runtime::run;
use crate::runtime::session::Session;
use crate::signature::BatchAxis;
use crate::tasks::{
    Cells, Features, Image, ImageSource, Input, ModelFiles, Parameters, Prediction, Stages, Task,
    Text, Value,
};

const FILE: &str = "golden.json";
/// Golden inputs that are kept as examples, and most bytes of one.
const MOST_EXAMPLES: usize = 3;
const MOST_EXAMPLE_BYTES: usize = 1 << 20;

/// One input and its answer. One of `image`, `text` and `features`, and one of `label`, `value`,
/// `embedding` and `entities`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// A file in the model's folder.
    image: Option<PathBuf>,
    text: Option<String>,
    /// One row, in any form that `/predict` takes.
    features: Option<Cells>,
    label: Option<String>,
    /// Of the label.
    score: Option<f32>,
    /// A regression's.
    value: Option<f32>,
    embedding: Option<Vec<f32>>,
    entities: Option<Vec<GoldenEntity>>,
    /// How far a score, a value or a number of an embedding may be off.
    #[serde(default = "tolerance")]
    tolerance: f32,
}

/// As in an answer; only label and place have to be the same.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldenEntity {
    entity: String,
    score: Option<f32>,
    /// Said for people.
    #[serde(rename = "word")]
    _word: Option<String>,
    start: usize,
    end: usize,
}

fn tolerance() -> f32 {
    0.01
}

/// Asks the model every golden input; how many there were, and the first few as examples.
///
/// # Errors
/// A file that cannot be read, or an answer that is not the one it should be.
pub fn check(
    files: &ModelFiles,
    task: &dyn Task,
    axis: BatchAxis,
    session: &dyn Session,
) -> Result<(usize, Vec<Input>), String> {
    let cases: Vec<Case> = files.json(FILE)?.unwrap_or_default();
    let mut examples = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let check = case.input(files).and_then(|input| {
            let answer = answer(&input, task, axis, session).map_err(|error| error.to_string())?;
            case.compare(&answer)?;
            Ok(input)
        });
        let input = check.map_err(|reason| format!("{FILE}: [{index}]: {reason}"))?;
        if examples.len() < MOST_EXAMPLES && is_short(&input) {
            examples.push(input);
        }
    }
    Ok((cases.len(), examples))
}

/// Whether it may stay in memory as long as the model.
fn is_short(input: &Input) -> bool {
    let bytes = match input {
        Input::Images(images) => images.iter().map(|image| image.source.bytes()).sum(),
        Input::Texts(texts) => texts.iter().map(Text::bytes).sum(),
        Input::Features(features) => features.cells.len() * size_of::<f64>(),
    };
    bytes <= MOST_EXAMPLE_BYTES
}

/// The inputs alone; none where there is no such file.
///
/// # Errors
/// A file that cannot be read.
pub fn inputs(files: &ModelFiles) -> Result<Vec<Input>, String> {
    let cases: Vec<Case> = files.json(FILE)?.unwrap_or_default();
    cases
        .iter()
        .map(|case| case.input(files).map_err(|reason| format!("{FILE}: {reason}")))
        .collect()
}

fn answer(
    input: &Input,
    task: &dyn Task,
    axis: BatchAxis,
    session: &dyn Session,
) -> Result<Prediction, Error> {
    if input.kind() != task.input_kind() {
        let expected = format!("`{}`, which the model takes", task.input_kind().field());
        return Err(Error::invalid("input", expected, format!("`{}`", input.kind().field())));
    }
    let parameters = Parameters::default();
    let rows = task.encode(input, &parameters, &Stages::default())?;
    let names = task.outputs();
    let mut outputs = run::run(session, &rows.tensors, &names, axis, &Cancel::new(1))?;
    outputs.0.extend(rows.aside.0);
    let answers = task.decode(&outputs, &parameters)?;
    answers.into_iter().next().ok_or_else(|| Error::internal("no answer"))
}

impl Case {
    fn input(&self, files: &ModelFiles) -> Result<Input, String> {
        match (&self.image, &self.text, &self.features) {
            (Some(path), None, None) => {
                if path.components().any(|part| !matches!(part, Component::Normal(_))) {
                    return Err(format!("{} leaves the folder", path.display()));
                }
                let name = path.to_string_lossy();
                let file = files.find(&name).ok_or_else(|| format!("no file {name}"))?;
                if let Some(told) = impostor::told(&file, Expected::Bytes) {
                    return Err(format!("{name} {told}"));
                }
                let file = std::fs::read(file).map_err(|error| format!("{name}: {error}"))?;
                let source = ImageSource::File(Bytes::from(file), None);
                Ok(Input::Images(vec![Image { field: "image".into(), source }]))
            }
            (None, Some(text), None) => {
                let text = Text { field: "text".into(), text: text.clone(), pair: None };
                Ok(Input::Texts(vec![text]))
            }
            (None, None, Some(row)) => {
                if row.rows() != 1 {
                    return Err(format!("expected one row of `features`, got {}", row.rows()));
                }
                Ok(Input::Features(Features { field: "features".into(), cells: row.clone() }))
            }
            _ => Err("expected one of `image`, `text` and `features`".to_owned()),
        }
    }

    fn compare(&self, answer: &Prediction) -> Result<(), String> {
        let Self { label, value, embedding, entities, .. } = self;
        match (answer, label, value, embedding, entities) {
            (Prediction::Classes { label, score, .. }, Some(expected), None, None, None) => {
                if **label != **expected {
                    return Err(format!("expected label `{expected}`, got `{label}` ({score})"));
                }
                self.near("score", self.score, score.to_f32())
            }
            (Prediction::Label { label, .. }, Some(expected), None, None, None) => {
                let label = label.joined();
                match **expected == *label {
                    true => Ok(()),
                    false => Err(format!("expected label `{expected}`, got `{label}`")),
                }
            }
            (Prediction::Value { value: Value::One(got) }, None, Some(expected), None, None) => {
                self.near("value", Some(*expected), got.to_f32())
            }
            (Prediction::Embedding { embedding }, None, None, Some(expected), None) => {
                if embedding.len() != expected.len() {
                    let (expected, got) = (expected.len(), embedding.len());
                    return Err(format!("expected {expected} numbers, got {got}"));
                }
                let mut pairs = expected.iter().zip(embedding).enumerate();
                pairs.try_for_each(|(index, (expected, got))| {
                    self.near(&format!("embedding[{index}]"), Some(*expected), *got)
                })
            }
            (Prediction::Entities { entities }, None, None, None, Some(expected)) => {
                if entities.len() != expected.len() {
                    let (expected, got) = (expected.len(), entities.len());
                    return Err(format!("expected {expected} entities, got {got}"));
                }
                let mut pairs = expected.iter().zip(entities).enumerate();
                pairs.try_for_each(|(index, (expected, got))| {
                    let same = expected.entity == *got.entity
                        && (expected.start, expected.end) == (got.start, got.end);
                    if !same {
                        return Err(format!(
                            "expected entities[{index}] {expected:?}, got {got:?}"
                        ));
                    }
                    self.near(&format!("entities[{index}].score"), expected.score, got.score)
                })
            }
            (Prediction::Classes { .. } | Prediction::Label { .. }, ..) => {
                Err("expected `label` for a classifier".to_owned())
            }
            (Prediction::Value { .. }, ..) => Err("expected `value` for a regression".to_owned()),
            (Prediction::Embedding { .. }, ..) => {
                Err("expected `embedding` for a model of embeddings".to_owned())
            }
            (Prediction::Entities { .. }, ..) => {
                Err("expected `entities` for a model that labels tokens".to_owned())
            }
        }
    }

    fn near(&self, name: &str, expected: Option<f32>, got: f32) -> Result<(), String> {
        match expected {
            Some(expected) if (expected - got).abs() > self.tolerance => {
                Err(format!("expected {name} {expected} within {}, got {got}", self.tolerance))
            }
            _ => Ok(()),
        }
    }
}
