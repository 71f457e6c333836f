//! The inputs of `onnxd predict`, `bench` and `tune`: files, folders, or lines. They are found and read
//! one after the other, so that there may be any number of them.
//!
//! `walk.rs`: the files of a folder. `lines.rs`: the lines of a file. `line.rs`: what a line says.

mod line;
mod lines;
mod walk;

use std::io::{BufRead, BufReader, Read};
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context, Error, anyhow, bail, ensure};
use bytes::Bytes;

use crate::model::load::Location;
use crate::model::{Model, golden};
use crate::tasks::image::Format;
use crate::tasks::{Features, Image, ImageSource, Input, InputKind, Parameters};
use lines::Lines;
use walk::Walk;

pub use line::{Asked, Form};

/// One input that is still to be read, under the name that the output gives it.
pub struct Source {
    pub name: String,
    what: What,
}

enum What {
    File(PathBuf),
    Image(Bytes),
    Line(String, Form),
    Unreadable(Error),
}

/// Inputs in order.
pub struct Sources {
    pub total: Total,
    pub items: Box<dyn Iterator<Item = Source> + Send>,
}

/// How much there is, where that is known beforehand.
#[derive(Clone)]
pub enum Total {
    Items(u64),
    /// Bytes of all files, and those that were read so far.
    Bytes(u64, Arc<AtomicU64>),
    Unknown,
}

impl Source {
    fn unreadable(name: String, error: impl Into<Error>) -> Self {
        Self { name, what: What::Unreadable(error.into()) }
    }

    /// Bytes that it takes in memory before it is read.
    pub fn bytes(&self) -> usize {
        self.name.len()
            + match &self.what {
                What::Line(text, _) => text.len(),
                What::Image(file) => file.len(),
                What::File(_) | What::Unreadable(_) => 0,
            }
    }

    /// What it asks a model of this kind, unless it says otherwise by these parameters. Files have at
    /// most `limit` bytes.
    pub fn read(self, kind: InputKind, parameters: Parameters, limit: usize) -> Asked {
        let Self { name, what } = self;
        let image = |file: Bytes| {
            let source = ImageSource::File(file, None);
            let input = Input::Images(vec![Image { field: name.clone(), source }]);
            Asked::of(Ok((input, parameters)))
        };
        match what {
            What::Line(text, form) => form.read(&name, &text, kind, parameters),
            What::Image(file) => image(file),
            What::File(path) => match read_file(&path, limit) {
                Ok(file) => image(file),
                Err(error) => Asked::of(Err(error)),
            },
            What::Unreadable(error) => Asked::of(Err(error)),
        }
    }
}

fn read_file(path: &Path, limit: usize) -> anyhow::Result<Bytes> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() <= limit, "more than server.max_body_size, {limit} bytes");
    Ok(bytes.into())
}

/// Finds the inputs. `-` is standard input: lines of text or features; for images one file, or
/// lines that are paths. Lines and files have at most `limit` bytes.
///
/// # Errors
/// A path that is not there, a folder without a fitting file.
pub fn open(kind: InputKind, paths: &[PathBuf], limit: usize) -> anyhow::Result<Sources> {
    let extensions: &'static [&'static str] = match kind {
        InputKind::Image => &["jpg", "jpeg", "png", "webp", "gif", "bmp"],
        InputKind::Text => &["txt"],
        InputKind::Features => &["csv", "jsonl", "ndjson"],
        InputKind::Tensors => bail!("the model has no task: it is served through /v2 alone"),
    };
    let read = Arc::new(AtomicU64::new(0));
    let is_lines = |path: &Path| kind != InputKind::Image || is_json_lines(path);
    let (mut count, mut all_files, mut bytes) = (0, true, Some(0));
    let mut found: Vec<Box<dyn Iterator<Item = anyhow::Result<PathBuf>> + Send>> = Vec::new();
    for path in paths {
        if path.as_os_str() != "-" && path.is_dir() {
            let mut files = Walk::new(path, extensions);
            let Some(first) = files.next() else {
                let wanted = extensions.join(", ");
                return Err(anyhow!("{}: no file ends in {wanted}", path.display()));
            };
            found.push(Box::new(iter::once(first).chain(files)));
            (all_files, bytes) = (false, None);
            continue;
        }
        found.push(Box::new(iter::once(Ok(path.clone()))));
        if path.as_os_str() == "-" {
            (all_files, bytes) = (false, None);
            continue;
        }
        let file = path.metadata();
        let file = file.map_err(|_| anyhow!("{}: no such file or folder", path.display()))?;
        count += 1;
        all_files &= !is_lines(path);
        bytes = bytes.filter(|_| is_lines(path) && file.is_file()).map(|sum| sum + file.len());
    }
    let total = match bytes {
        _ if all_files => Total::Items(count),
        Some(bytes) => Total::Bytes(bytes, read.clone()),
        None => Total::Unknown,
    };
    let items = found.into_iter().flatten().flat_map(move |path| match path {
        Ok(path) => of_path(path, kind, limit, &read),
        Err(error) => one(Source::unreadable("folder".to_owned(), error)),
    });
    Ok(Sources { total, items: Box::new(items) })
}

type Boxed = Box<dyn Iterator<Item = Source> + Send>;

fn one(source: Source) -> Boxed {
    Box::new(iter::once(source))
}

/// JSON lines by the file's name.
fn is_json_lines(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|e| ["jsonl", "ndjson"].contains(&e.to_ascii_lowercase().as_str()))
}

/// The inputs of one file, or of standard input.
fn of_path(path: PathBuf, kind: InputKind, limit: usize, read: &Arc<AtomicU64>) -> Boxed {
    let name = path.display().to_string();
    let is_input = path.as_os_str() == "-";
    match kind {
        InputKind::Image if is_input => images_of_input(limit),
        InputKind::Image if !is_json_lines(&path) => one(Source { name, what: What::File(path) }),
        _ => {
            let form = Form::of(kind, is_json_lines(&path));
            let reader: Box<dyn BufRead + Send> = if is_input {
                Box::new(BufReader::new(std::io::stdin()))
            } else {
                match std::fs::File::open(&path) {
                    Ok(file) => Box::new(BufReader::with_capacity(256 << 10, file)),
                    Err(error) => return one(Source::unreadable(name, error)),
                }
            };
            Box::new(Lines::new(name, reader, limit, read.clone()).sources(form))
        }
    }
}

/// Standard input of a model of images: one image, or paths.
fn images_of_input(limit: usize) -> Boxed {
    let mut input = BufReader::new(std::io::stdin());
    let name = || "-".to_owned();
    let is_image = match input.fill_buf() {
        Ok(first) => Format::sniff(first).is_some(),
        Err(error) => return one(Source::unreadable(name(), error)),
    };
    if is_image {
        let mut image = Vec::new();
        return one(match input.take(limit as u64 + 1).read_to_end(&mut image) {
            Ok(length) if length > limit => {
                Source::unreadable(name(), anyhow!("more than {limit} bytes"))
            }
            Ok(_) => Source { name: name(), what: What::Image(image.into()) },
            Err(error) => Source::unreadable(name(), error),
        });
    }
    let paths = Lines::new(name(), Box::new(input), limit, Arc::default());
    Box::new(paths.map(|(name, line)| match line {
        Ok(path) => Source { what: What::File(path.clone().into()), name: path },
        Err(error) => Source::unreadable(name, error),
    }))
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
    let kind = model.input_kind();
    let items = open(kind, paths, usize::MAX >> 1)?.items.take(most);
    let read = |source: Source| {
        let name = source.name.clone();
        let asked = source.read(kind, Parameters::default(), usize::MAX >> 1);
        let (mut input, _) = asked.question.with_context(|| name.clone())?;
        if let Input::Features(Features { field, .. }) = &mut input {
            // What is refused later must say which it was.
            *field = name;
        }
        anyhow::Ok(input)
    };
    let inputs = items.map(read).collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(!inputs.is_empty(), "there is no input in these files");
    Ok(inputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::{Cells, Column};

    fn asked(kind: InputKind, name: &str, text: &str) -> Vec<Asked> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let items = open(kind, &[file], 1000).unwrap().items;
        items.map(|source| source.read(kind, Parameters::default(), 1000)).collect()
    }

    fn cells(asked: &Asked) -> &Cells {
        match &asked.question {
            Ok((Input::Features(features), _)) => &features.cells,
            other => panic!("{other:?}"),
        }
    }

    fn row(values: &[f64]) -> Cells {
        Cells::row(values.to_vec().into())
    }

    #[test]
    fn csv_with_and_without_a_header() {
        let bare = asked(InputKind::Features, "rows.csv", "1,2\n3,4\n");
        assert_eq!(cells(&bare[1]), &row(&[3.0, 4.0]));
        let named = asked(InputKind::Features, "rows.csv", "age,sex\n39,male\n");
        assert_eq!(named.len(), 1);
        let columns = vec![
            ("age".to_owned(), Column::Written(vec!["39".to_owned()])),
            ("sex".to_owned(), Column::Written(vec!["male".to_owned()])),
        ];
        assert_eq!(cells(&named[0]), &Cells::Columns { columns, rows: 1, records: false });
    }

    #[test]
    fn a_first_line_with_missing_values_is_data() {
        for first in ["1,,3", "NaN,2,true"] {
            let rows = asked(InputKind::Features, "rows.csv", &format!("{first}\n4,5,6\n"));
            assert_eq!(rows.len(), 2, "{first}");
            assert_eq!(cells(&rows[1]), &row(&[4.0, 5.0, 6.0]));
        }
    }

    #[test]
    fn a_bad_row_is_its_own_error() {
        let rows = asked(InputKind::Features, "rows.csv", "1,2\nx,4\n5,6\n");
        let good: Vec<_> = rows.iter().map(|row| row.question.is_ok()).collect();
        assert_eq!(good, [true, false, true]);
    }

    #[test]
    fn json_lines_are_bare_values_or_bodies_with_an_id_and_parameters() {
        let text = "[1, 2]\n{\"features\": [[3, 4]], \"id\": \"b\", \"parameters\": {\"top_k\": 1}}\n\
                    {\"features\": 5}\n";
        let rows = asked(InputKind::Features, "rows.jsonl", text);
        assert_eq!(cells(&rows[0]), &row(&[1.0, 2.0]));
        assert_eq!(cells(&rows[1]), &row(&[3.0, 4.0]));
        assert_eq!(rows[1].id.as_ref().unwrap().get(), "\"b\"");
        assert_eq!(rows[1].question.as_ref().unwrap().1.top_k, 1);
        // A column of that name.
        assert!(matches!(cells(&rows[2]), Cells::Columns { .. }));

        let texts = asked(InputKind::Text, "texts.jsonl", "\"good\"\n{\"text\": \"bad\"}\n7\n");
        let said = |asked: &Asked| match &asked.question {
            Ok((Input::Texts(texts), _)) => texts[0].text.clone(),
            other => format!("{other:?}"),
        };
        assert_eq!([said(&texts[0]), said(&texts[1])], ["good", "bad"]);
        assert!(texts[2].question.is_err());
    }

    #[test]
    fn a_line_over_the_limit_is_an_error_and_the_next_is_read() {
        let text = format!("short\n{}\nlast", "x".repeat(3000));
        let texts = asked(InputKind::Text, "texts.txt", &text);
        let good: Vec<_> = texts.iter().map(|text| text.question.is_ok()).collect();
        assert_eq!(good, [true, false, true]);
    }
}
