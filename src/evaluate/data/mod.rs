//! Labelled items: images in folders by class, or the rows of a CSV, TSV or JSON lines file.
//!
//! Items come one by one, and files are read when an item's turn is there, so that a set of any size
//! takes little memory.

mod columns;
mod folder;
mod table;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use serde::Serialize;

use crate::tasks::{
    Cells, Column, Features, Image, ImageSource, Input, InputKind, Number, Numbers, Text,
};

use columns::Columns;
pub use columns::{ColumnOptions, FeatureShape};
use table::Table;

/// One input and its label as the data has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The image's path, or the table's path and line.
    pub place: String,
    pub label: String,
    pub payload: Payload,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    Image(PathBuf),
    Text {
        text: String,
        pair: Option<String>,
    },
    /// A row's cells in the order in which the model takes them.
    Row(Vec<Cell>),
}

/// A missing number is NaN, a missing text is empty.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Number(Number),
    Text(String),
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub place: String,
    pub reason: String,
}

/// Items that can be gone through several times.
pub struct Dataset {
    source: Source,
    /// What was decided without being told.
    pub notes: Vec<String>,
}

enum Source {
    Folder(PathBuf),
    Table(Table, Columns),
}

impl Dataset {
    /// Finds out what `path` holds for a model that takes `kind`. `shape` is of a model of features.
    ///
    /// # Errors
    /// No such path, a file of another format, or columns that cannot be told.
    pub fn open(
        path: &Path,
        kind: InputKind,
        options: &ColumnOptions,
        shape: Option<&FeatureShape>,
    ) -> anyhow::Result<Self> {
        if path.is_dir() {
            if kind != InputKind::Image {
                bail!(
                    "{} is a folder; a model of {} is evaluated on a CSV, TSV or JSON lines file",
                    path.display(),
                    kind.field()
                );
            }
            return Ok(Self { source: Source::Folder(path.to_owned()), notes: Vec::new() });
        }
        if !path.exists() {
            return Err(anyhow!("{}: no such file or folder", path.display()));
        }
        let table = Table::open(path)?;
        let (columns, notes) = Columns::choose(kind, table.header(), options, shape)
            .with_context(|| path.display().to_string())?;
        Ok(Self { source: Source::Table(table, columns), notes })
    }

    /// All items in order, and what is no item.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn items(
        &self,
    ) -> anyhow::Result<Box<dyn Iterator<Item = Result<Item, Problem>> + Send + '_>> {
        match &self.source {
            Source::Folder(root) => Ok(Box::new(folder::items(root))),
            Source::Table(table, columns) => {
                let folder = table.path().parent().unwrap_or(Path::new(""));
                let read = move |record: Result<table::Record, Problem>| {
                    let record = record?;
                    let place = format!("{}:{}", table.path().display(), record.line);
                    match columns.read(record.cells, folder) {
                        Ok((label, payload)) => Ok(Item { place, label, payload }),
                        Err(reason) => Err(Problem { place, reason }),
                    }
                };
                Ok(Box::new(table.records()?.map(read)))
            }
        }
    }
}

/// One input for all items, which are of one kind; images are read from their files. Blocks.
///
/// # Errors
/// A file that cannot be read.
pub fn input(items: &[&Item], shape: Option<&FeatureShape>) -> Result<Input, String> {
    let mut images = Vec::new();
    let mut texts = Vec::new();
    let mut rows: Vec<&[Cell]> = Vec::new();
    for item in items {
        let field = item.place.clone();
        match &item.payload {
            Payload::Image(path) => {
                let file = std::fs::read(path).map_err(|error| error.to_string())?;
                images.push(Image { field, source: ImageSource::File(Bytes::from(file), None) });
            }
            Payload::Text { text, pair } => {
                texts.push(Text { field, text: text.clone(), pair: pair.clone() });
            }
            Payload::Row(cells) => rows.push(cells),
        }
    }
    if !images.is_empty() {
        return Ok(Input::Images(images));
    }
    if !texts.is_empty() {
        return Ok(Input::Texts(texts));
    }
    let field = items.first().map_or_else(String::new, |item| item.place.clone());
    Ok(Input::Features(Features { field, cells: cells(&rows, shape) }))
}

fn cells(rows: &[&[Cell]], shape: Option<&FeatureShape>) -> Cells {
    let number = |cell: &Cell| match cell {
        Cell::Number(number) => *number,
        // Not made by `columns` for such a model.
        Cell::Text(_) => Number::Fraction(f64::NAN),
    };
    match shape {
        Some(FeatureShape::Columns(columns)) => {
            let column = |(index, (name, is_text)): (usize, &(String, bool))| {
                let cells = rows.iter().filter_map(|row| row.get(index));
                let column = if *is_text {
                    let text = |cell: &Cell| match cell {
                        Cell::Text(text) => Some(text.clone()),
                        Cell::Number(_) => None,
                    };
                    Column::Texts(cells.map(text).collect())
                } else {
                    Column::Numbers(cells.map(number).collect())
                };
                (name.clone(), column)
            };
            let columns = columns.iter().enumerate().map(column).collect();
            Cells::Columns { columns, rows: rows.len(), records: false }
        }
        _ => Cells::Rows {
            values: rows.iter().copied().flatten().map(number).collect::<Numbers>(),
            columns: rows.first().map_or(0, |row| row.len()),
            rows: rows.len(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_gives_items_with_their_lines_and_says_what_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        std::fs::write(&path, "a,b,label\n1,2,x\n3,oops,y\n\n5,6\n7,8,\n9,10,z\n").unwrap();
        let shape = FeatureShape::Row { names: None, count: None };
        let options = ColumnOptions::default();
        let data = Dataset::open(&path, InputKind::Features, &options, Some(&shape)).unwrap();
        for _ in 0..2 {
            let items: Vec<_> = data.items().unwrap().collect();
            let places: Vec<_> = items
                .iter()
                .map(|item| match item {
                    Ok(item) => (item.place.rsplit(':').next().unwrap(), item.label.as_str()),
                    Err(bad) => (bad.place.rsplit(':').next().unwrap(), bad.reason.as_str()),
                })
                .collect();
            let expected = [
                ("2", "x"),
                ("3", "column `b`: expected a number, got `oops`"),
                ("5", "2 cells, but the first line names 3"),
                ("6", "column `label` is empty"),
                ("7", "z"),
            ];
            assert_eq!(places, expected);
        }
    }

    #[test]
    fn rows_become_one_input() {
        let row = |cells: Vec<Cell>| Item {
            place: "rows.csv:2".to_owned(),
            label: String::new(),
            payload: Payload::Row(cells),
        };
        let cells =
            |rows: &[Item], shape| match input(&rows.iter().collect::<Vec<_>>(), Some(&shape)) {
                Ok(Input::Features(features)) => features.cells,
                other => panic!("{other:?}"),
            };
        let numbers = |numbers: &[f64]| {
            row(numbers.iter().copied().map(Number::Fraction).map(Cell::Number).collect())
        };
        let rows = [numbers(&[1.0, 2.0]), numbers(&[3.0, f64::NAN])];
        let wanted =
            Cells::Rows { values: vec![1.0, 2.0, 3.0, f64::NAN].into(), columns: 2, rows: 2 };
        assert_eq!(cells(&rows, FeatureShape::Row { names: None, count: None }), wanted);
        let mixed = |number, text: &str| {
            row(vec![Cell::Number(Number::Fraction(number)), Cell::Text(text.to_owned())])
        };
        let rows = [mixed(1.0, "2"), mixed(3.0, "")];
        let names = [("a".to_owned(), false), ("b".to_owned(), true)];
        let columns = vec![
            ("a".to_owned(), Column::Numbers(vec![1.0, 3.0].into())),
            ("b".to_owned(), Column::Texts(vec![Some("2".to_owned()), Some(String::new())])),
        ];
        let wanted = Cells::Columns { columns, rows: 2, records: false };
        assert_eq!(cells(&rows, FeatureShape::Columns(names.to_vec())), wanted);
    }
}
