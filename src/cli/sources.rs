//! The inputs of `onnxd predict`: files, folders, or lines on standard input.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, anyhow, ensure};
use bytes::Bytes;
use walkdir::WalkDir;

use crate::api::cells::features;
use crate::model::load::Location;
use crate::model::{Model, golden};
use crate::tasks::image::Format;
use crate::tasks::{Cells, Column, Features, Image, ImageSource, Input, InputKind, Text};

/// One input under the name that the output gives it. Files are read when their turn comes.
pub type Item = (String, anyhow::Result<Input>);

/// Inputs in order, and how many there are where that is known beforehand.
pub struct Items {
    pub count: Option<u64>,
    pub items: Box<dyn Iterator<Item = Item>>,
}

/// Finds the inputs. `-` is standard input: lines of text or features; for images one file, or
/// lines that are paths.
///
/// # Errors
/// A path that is not there, a folder without a fitting file.
pub fn open(kind: InputKind, paths: &[PathBuf]) -> anyhow::Result<Items> {
    let extensions: &[&str] = match kind {
        InputKind::Image => &["jpg", "jpeg", "png", "webp", "gif", "bmp"],
        InputKind::Text => &["txt"],
        InputKind::Features => &["csv", "jsonl", "ndjson"],
        InputKind::Tensors => &[],
    };
    let mut found = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            found.push(path.clone());
        } else {
            found.extend(files(path, extensions)?);
        }
    }
    match kind {
        InputKind::Image => images(found),
        InputKind::Text => lines(found, |name, line| {
            let text = Text { field: name.to_owned(), text: line, pair: None };
            Ok(Some(Input::Texts(vec![text])))
        }),
        InputKind::Features => lines(found, {
            let mut header: Option<(String, Vec<String>)> = None;
            move |name, line| row(name, &line, &mut header)
        }),
        InputKind::Tensors => {
            anyhow::bail!("the model has no task: it is served through /v2 alone")
        }
    }
}

/// What to ask a model that is measured: the inputs of these paths, `most` of them; without one those of the
/// `golden.json` of `model`, which lies at `location`, else one made up.
///
/// # Errors
/// A path that is not there, an input that cannot be read, none at all.
pub fn questions(
    model: &Model,
    location: &Location,
    paths: &[PathBuf],
    most: usize,
) -> anyhow::Result<Vec<Input>> {
    if paths.is_empty() && model.input_kind() != InputKind::Tensors {
        let golden = golden::inputs(&location.files()).map_err(Error::msg)?;
        return Ok(if golden.is_empty() { vec![model.sample()] } else { golden });
    }
    let items = open(model.input_kind(), paths)?.items.take(most);
    let read = |(name, input): Item| input.context(name);
    let inputs = items.map(read).collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(!inputs.is_empty(), "there is no input in these files");
    Ok(inputs)
}

/// The path itself, or the fitting files below it in order of their names.
fn files(path: &Path, extensions: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    if !path.is_dir() {
        return Err(anyhow!("{}: no such file or folder", path.display()));
    }
    let fits = |path: &Path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|e| extensions.contains(&e.to_ascii_lowercase().as_str()))
    };
    let entries = WalkDir::new(path).sort_by_file_name().into_iter();
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    let files: Vec<PathBuf> =
        entries.into_iter().map(walkdir::DirEntry::into_path).filter(|path| fits(path)).collect();
    if files.is_empty() {
        return Err(anyhow!("{}: no file ends in {}", path.display(), extensions.join(", ")));
    }
    Ok(files)
}

fn image(name: String, file: Bytes) -> Item {
    let source = ImageSource::File(file, None);
    let input = Input::Images(vec![Image { field: name.clone(), source }]);
    (name, Ok(input))
}

fn images(paths: Vec<PathBuf>) -> anyhow::Result<Items> {
    let mut files = Vec::new();
    for path in paths {
        if path.as_os_str() != "-" {
            files.push(path);
            continue;
        }
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("standard input")?;
        if Format::sniff(&bytes).is_some() {
            let only = std::iter::once(image("-".to_owned(), bytes.into()));
            return Ok(Items { count: Some(1), items: Box::new(only) });
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| anyhow!("standard input is neither an image nor a list of paths"))?;
        files.extend(text.lines().filter(|line| !line.is_empty()).map(PathBuf::from));
    }
    let count = Some(files.len() as u64);
    let read = |path: PathBuf| {
        let name = path.display().to_string();
        match std::fs::read(&path) {
            Ok(file) => image(name, file.into()),
            Err(error) => (name, Err(error.into())),
        }
    };
    Ok(Items { count, items: Box::new(files.into_iter().map(read)) })
}

/// Each line of each file (a blank one aside) as `parse` reads it; `None` is no input, a header.
fn lines(
    paths: Vec<PathBuf>,
    mut parse: impl FnMut(&str, String) -> anyhow::Result<Option<Input>> + 'static,
) -> anyhow::Result<Items> {
    let mut count = Some(0);
    let mut all: Vec<(String, Box<dyn BufRead>)> = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            count = None;
            all.push(("-".to_owned(), Box::new(std::io::stdin().lock())));
        } else {
            let name = path.display().to_string();
            let open = || std::fs::File::open(&path).map(BufReader::new).context(name.clone());
            let in_file = open()?.lines().count() as u64;
            count = count.map(|count| count + in_file);
            let reader = open()?;
            all.push((name, Box::new(reader)));
        }
    }
    let items = all.into_iter().flat_map(|(name, reader)| {
        reader.lines().enumerate().map(move |(index, line)| (format!("{name}:{}", index + 1), line))
    });
    let items = items.filter_map(move |(name, line)| match line {
        Ok(line) if line.trim().is_empty() => None,
        Ok(line) => match parse(&name, line) {
            Ok(input) => input.map(|input| (name, Ok(input))),
            Err(error) => Some((name, Err(error))),
        },
        Err(error) => Some((name, Err(error.into()))),
    });
    Ok(Items { count, items: Box::new(items) })
}

/// A line of JSON (`[1, 2]` or `{"name": 1}`) or of CSV; a CSV's first line may name the columns.
fn row(
    name: &str,
    line: &str,
    header: &mut Option<(String, Vec<String>)>,
) -> anyhow::Result<Option<Input>> {
    if line.trim_start().starts_with(['[', '{']) {
        return Ok(Some(Input::Features(features(name, line)?)));
    }
    let input = |cells| Some(Input::Features(Features { field: name.to_owned(), cells }));
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .trim(csv::Trim::All)
        .from_reader(line.as_bytes());
    let record = reader.records().next().context("no fields")??;
    let numbers: Option<Vec<f64>> = record.iter().map(|cell| cell.parse().ok()).collect();
    let (file, number) = name.rsplit_once(':').unwrap_or((name, ""));
    let named = header.as_ref().filter(|(of, _)| of == file);
    match (numbers, named) {
        (Some(values), None) => Ok(input(Cells::Rows { columns: values.len(), values, rows: 1 })),
        (None, None) if number == "1" => {
            *header = Some((file.to_owned(), record.iter().map(ToOwned::to_owned).collect()));
            Ok(None)
        }
        (None, None) => Err(anyhow!("text in a row, but the first line names no columns")),
        (_, Some((_, names))) if names.len() != record.len() => {
            Err(anyhow!("{} cells, but the first line names {}", record.len(), names.len()))
        }
        (_, Some((_, names))) => {
            let column = |cell: &str| match cell.parse() {
                Ok(number) => Column::Numbers(vec![number]),
                Err(_) => Column::Strings(vec![cell.to_owned()]),
            };
            let cells = record.iter().map(column);
            let columns = names.iter().cloned().zip(cells).collect();
            Ok(input(Cells::Columns { columns, rows: 1 }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<anyhow::Result<Input>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows.csv");
        std::fs::write(&file, text).unwrap();
        let items = open(InputKind::Features, &[file]).unwrap();
        items.items.map(|(_, input)| input).collect()
    }

    fn cells(input: &anyhow::Result<Input>) -> &Cells {
        match input {
            Ok(Input::Features(features)) => &features.cells,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn csv_with_and_without_a_header() {
        let bare = rows("1,2\n3,4\n");
        let wanted = Cells::Rows { values: vec![3.0, 4.0], columns: 2, rows: 1 };
        assert_eq!(cells(&bare[1]), &wanted);
        let named = rows("age,sex\n39,male\n");
        assert_eq!(named.len(), 1);
        let columns = vec![
            ("age".to_owned(), Column::Numbers(vec![39.0])),
            ("sex".to_owned(), Column::Strings(vec!["male".to_owned()])),
        ];
        assert_eq!(cells(&named[0]), &Cells::Columns { columns, rows: 1 });
    }

    #[test]
    fn a_bad_row_is_its_own_error() {
        let rows = rows("1,2\nx,4\n5,6\n");
        assert_eq!(rows.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    }
}
