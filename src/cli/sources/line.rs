//! What a line asks: a text, a row of CSV, or JSON.

use std::sync::Arc;

use anyhow::{Context, Error, anyhow};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::cells::features;
use crate::api::envelope;
use crate::api::inputs;
use crate::tasks::{Cells, Column, Features, Input, InputKind, Number, Numbers, Parameters, Text};

/// What an input asks, and the name that its line has given itself.
#[derive(Debug)]
pub struct Asked {
    pub id: Option<Box<RawValue>>,
    pub question: Result<(Input, Parameters), Error>,
}

impl Asked {
    pub fn of(question: Result<(Input, Parameters), Error>) -> Self {
        Self { id: None, question }
    }
}

/// How lines are to be read.
#[derive(Debug, Clone)]
pub enum Form {
    /// A text as it is.
    Text,
    /// The value of the model's field, or a body of `/predict`.
    Json,
    /// JSON, or CSV with these names of its columns.
    Row(Option<Arc<Vec<String>>>),
}

impl Form {
    pub fn of(kind: InputKind, json: bool) -> Self {
        match kind {
            InputKind::Features => Self::Row(None),
            _ if json => Self::Json,
            _ => Self::Text,
        }
    }

    /// The form of the lines after the first one, if that names columns.
    pub fn named_by(&self, first: &str) -> Option<Self> {
        let Self::Row(_) = self else { return None };
        if first.trim_start().starts_with(['[', '{']) {
            return None;
        }
        let record = record(first).ok()?;
        let is_data = record.iter().all(|cell| Number::of_cell(cell).is_some());
        let names = record.iter().map(ToOwned::to_owned).collect();
        (!is_data).then(|| Self::Row(Some(Arc::new(names))))
    }

    pub fn read(&self, name: &str, line: &str, kind: InputKind, parameters: Parameters) -> Asked {
        let is_json = line.trim_start().starts_with(['[', '{']);
        match self {
            Self::Text => {
                let text = Text { field: name.to_owned(), text: line.to_owned(), pair: None };
                Asked::of(Ok((Input::Texts(vec![text]), parameters)))
            }
            Self::Row(names) if !is_json => {
                let cells = row(line, names.as_deref().map(Vec::as_slice));
                let input = cells.map(|cells| Features { field: FIELD.to_owned(), cells });
                Asked::of(input.map(|features| (Input::Features(features), parameters)))
            }
            Self::Json | Self::Row(_) => json(line, kind, parameters),
        }
    }
}

/// Rows of one field go together.
const FIELD: &str = "features";

fn json(line: &str, kind: InputKind, parameters: Parameters) -> Asked {
    if is_body(line, kind) {
        let (id, question) = envelope::parse_item(line.as_bytes(), kind, parameters);
        return Asked { id, question: question.map_err(Error::from) };
    }
    let input = match kind {
        InputKind::Features => features(FIELD, line).map(Input::Features),
        InputKind::Text => inputs::texts("text", line).map(Input::Texts),
        InputKind::Image | InputKind::Tensors => inputs::images("image", line).map(Input::Images),
    };
    Asked::of(input.map(|input| (input, parameters)).map_err(Error::from))
}

/// Whether a line is a body of `/predict` rather than the value of its field. Features by name are an
/// object, too: in a body these are within a list or an object.
fn is_body(line: &str, kind: InputKind) -> bool {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow)]
        features: Option<&'a RawValue>,
        #[serde(borrow)]
        inputs: Option<&'a RawValue>,
    }
    if !line.trim_start().starts_with('{') {
        return false;
    }
    if kind != InputKind::Features {
        return true;
    }
    let Ok(Fields { features, inputs }) = serde_json::from_str(line) else { return false };
    features.or(inputs).is_some_and(|value| value.get().starts_with(['[', '{']))
}

fn record(line: &str) -> Result<csv::StringRecord, Error> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .trim(csv::Trim::All)
        .from_reader(line.as_bytes());
    Ok(reader.records().next().context("no fields")??)
}

/// A line of CSV, whose columns may have names. An empty cell is a missing value.
fn row(line: &str, names: Option<&[String]>) -> Result<Cells, Error> {
    let record = record(line)?;
    let Some(names) = names else {
        let numbers = record.iter().map(|cell| {
            let error = || anyhow!("text in a row, but the first line names no columns");
            Number::of_cell(cell).ok_or_else(error)
        });
        return Ok(Cells::row(numbers.collect::<Result<Numbers, _>>()?));
    };
    if names.len() != record.len() {
        let (cells, names) = (record.len(), names.len());
        return Err(anyhow!("{cells} cells, but the first line names {names}"));
    }
    let column = |cell: &str| Column::Written(vec![cell.to_owned()]);
    let columns = names.iter().cloned().zip(record.iter().map(column)).collect();
    Ok(Cells::Columns { columns, rows: 1, records: false })
}
