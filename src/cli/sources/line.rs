//! What a line asks: a text, a row of CSV, or JSON.

use std::sync::Arc;

use anyhow::{Context, Error, anyhow};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::api::cells::features;
use crate::api::envelope;
use crate::api::inputs;
use crate::meter::Meter;
use crate::tasks::{
    Cells, Column, Features, Input, InputKind, Number, Numbers, Parameters, Reading, Text,
};

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
    /// Not known before the first line.
    Open,
    /// A text as it is.
    Text,
    /// The value of the model's field, or a body of `/predict`.
    Json,
    /// A table, or JSON among its lines.
    Row(Table),
    /// What is wrong with the file as a whole.
    Refused(Arc<str>),
}

/// A table of separated cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// A tab's cells have no quotes.
    pub delimiter: u8,
    /// Of the columns.
    names: Option<Arc<Vec<String>>>,
}

/// What a first line is.
pub enum First {
    /// An input, as every other.
    Input(Form),
    /// It names the columns of those that follow.
    Names(Form),
    /// Neither.
    Wrong(Form, Error),
}

impl Form {
    /// As the file's name tells.
    pub fn of(ending: &str) -> Self {
        let table = |delimiter| Self::Row(Table { delimiter, names: None });
        match ending {
            "jsonl" | "ndjson" | "json" => Self::Json,
            "csv" => table(b','),
            "tsv" | "tab" => table(b'\t'),
            _ => Self::Open,
        }
    }

    /// Takes a first line of a model of this kind.
    pub fn begin(self, kind: InputKind, first: &str) -> First {
        let start = first.trim_start();
        let table = match (self, kind) {
            (Self::Open, InputKind::Features) if is_json(start) => return First::Input(Self::Json),
            (Self::Open, InputKind::Features) => {
                let delimiter =
                    if first.contains('\t') && !first.contains(',') { b'\t' } else { b',' };
                Table { delimiter, names: None }
            }
            (Self::Open, _) if is_object(start) => return First::Input(Self::Json),
            (Self::Open, _) => return First::Input(Self::Text),
            (Self::Row(table), InputKind::Features) if is_json(start) => {
                return First::Input(Self::Row(table));
            }
            (Self::Row(table), _) => table,
            (other, _) => return First::Input(other),
        };
        table.begin(kind, first)
    }

    /// The sign between cells, in which a quoted one may go over several lines.
    pub fn delimiter(&self) -> Option<u8> {
        match self {
            Self::Row(table) if table.delimiter != b'\t' => Some(table.delimiter),
            _ => None,
        }
    }

    pub fn read(&self, name: &str, line: &str, kind: InputKind, parameters: Parameters) -> Asked {
        let is_json = line.trim_start().starts_with(['[', '{']);
        let text = |text: String, pair| {
            let text = Text { field: name.to_owned(), text, pair };
            Asked::of(Ok((Input::Texts(vec![text]), parameters)))
        };
        match self {
            Self::Text | Self::Open => text(line.to_owned(), None),
            Self::Row(table) if kind == InputKind::Text => match table.text(line) {
                Ok((first, pair)) => text(first, pair),
                Err(error) => Asked::of(Err(error)),
            },
            Self::Row(table) if !is_json => {
                let cells = row(line, table.delimiter, table.names.as_deref().map(Vec::as_slice));
                let input = cells.map(|cells| Features { field: FIELD.to_owned(), cells });
                Asked::of(input.map(|features| (Input::Features(features), parameters)))
            }
            Self::Json | Self::Row(_) => json(line, kind, parameters),
            Self::Refused(reason) => Asked::of(Err(anyhow!("{reason}"))),
        }
    }
}

impl Table {
    fn begin(self, kind: InputKind, first: &str) -> First {
        let refused = |reason: String| {
            First::Wrong(Form::Refused("the table's first line is wrong".into()), anyhow!(reason))
        };
        let cells = match record(first, self.delimiter) {
            Ok(cells) => cells,
            Err(error) => return First::Wrong(Form::Row(self), error),
        };
        if self.delimiter == b',' && first.matches(';').count() > first.matches(',').count() {
            return refused(
                "the cells are separated by semicolons: expected commas and points in numbers (or \
                 tabs, in a .tsv)"
                    .to_owned(),
            );
        }
        let is_number = |cell: &&str| !cell.is_empty() && Number::of_cell(cell).is_some();
        let numbers = cells.iter().filter(is_number).count();
        let others = cells.iter().filter(|cell| !cell.is_empty() && !is_number(cell)).count();
        if kind != InputKind::Text && others == 0 {
            return First::Input(Form::Row(self));
        }
        if kind != InputKind::Text && numbers > 0 {
            let reason = anyhow!(
                "the first line is neither numbers nor names of columns: {numbers} of its cells are \
                 numbers and {others} are not"
            );
            return First::Wrong(Form::Row(self), reason);
        }
        let names: Vec<String> = cells.iter().map(ToOwned::to_owned).collect();
        if let Some((_, twice)) = names
            .iter()
            .enumerate()
            .find(|(i, name)| !name.is_empty() && names[..*i].contains(name))
        {
            return refused(format!("the first line names the column `{twice}` twice"));
        }
        let table = Self { names: Some(Arc::new(names)), ..self };
        if kind == InputKind::Text && table.column(&TEXTS).is_none() {
            return refused(format!(
                "a table of texts needs a column called {}, and a first line with that name; texts \
                 without a table are lines of a .txt",
                TEXTS.join(", ")
            ));
        }
        First::Names(Form::Row(table))
    }

    /// The first column of one of these names.
    fn column(&self, called: &[&str]) -> Option<usize> {
        let names = self.names.as_ref()?;
        called.iter().find_map(|called| names.iter().position(|n| n.eq_ignore_ascii_case(called)))
    }

    /// The text of a line, and its pair.
    fn text(&self, line: &str) -> Result<(String, Option<String>), Error> {
        let record = record(line, self.delimiter)?;
        let names = self.names.as_ref().map_or(0, |names| names.len());
        if names != record.len() {
            return Err(anyhow!("{} cells, but the first line names {names}", record.len()));
        }
        let cell = |called: &[&str]| Some(record.get(self.column(called)?)?.to_owned());
        Ok((cell(&TEXTS).context("no text")?, cell(&PAIRS)))
    }
}

/// Where in a cell a place is, as to its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quotes {
    /// Before its first sign.
    Start,
    Without,
    Within,
    /// After a quote that ends the quoted part, or is the first of two.
    After,
}

impl Quotes {
    /// After these bytes of a table.
    pub fn after(self, bytes: &[u8], delimiter: u8) -> Self {
        bytes.iter().fold(self, |quotes, byte| match (quotes, *byte) {
            (Self::Within, b'"') => Self::After,
            (Self::Within, _) | (Self::Start | Self::After, b'"') => Self::Within,
            (_, byte) if byte == delimiter => Self::Start,
            _ => Self::Without,
        })
    }
}

/// A line of JSON that is no number or word of a table.
fn is_json(start: &str) -> bool {
    start.starts_with(['[', '{']) || ["null", "true", "false"].contains(&start.trim_end())
}

/// Whether it begins as an object does: a broken one is an error, not a text.
fn is_object(start: &str) -> bool {
    start.strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with(['"', '}']))
}

/// Columns of texts, and of the second text of a pair.
const TEXTS: [&str; 6] = ["text", "sentence", "review", "content", "premise", "sentence1"];
const PAIRS: [&str; 3] = ["text_pair", "hypothesis", "sentence2"];

/// Rows of one field go together.
const FIELD: &str = "features";

fn json(line: &str, kind: InputKind, parameters: Parameters) -> Asked {
    if is_body(line, kind) {
        let (id, question) = envelope::parse_item(line.as_bytes(), kind, parameters);
        return Asked { id, question: question.map_err(Error::from) };
    }
    let meter = Meter::unbounded();
    let reading = Reading::unbounded(&meter);
    let input = match kind {
        InputKind::Features => features(FIELD, line, reading).map(Input::Features),
        InputKind::Text => inputs::texts("text", line, reading).map(Input::Texts),
        InputKind::Image | InputKind::Tensors => {
            inputs::images("image", line, reading).map(Input::Images)
        }
    };
    let told = |error| match serde_json::from_str::<IgnoredAny>(line) {
        Ok(_) => Error::from(error),
        // Then what it lacks as an input is beside the point.
        Err(error) => anyhow!("expected a line of JSON: {error}"),
    };
    Asked::of(input.map(|input| (input, parameters)).map_err(told))
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

fn record(line: &str, delimiter: u8) -> Result<csv::StringRecord, Error> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .quoting(delimiter != b'\t')
        .trim(csv::Trim::All)
        .from_reader(line.as_bytes());
    Ok(reader.records().next().context("no fields")??)
}

/// A line of CSV, whose columns may have names. An empty cell is a missing value.
fn row(line: &str, delimiter: u8, names: Option<&[String]>) -> Result<Cells, Error> {
    let record = record(line, delimiter)?;
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
