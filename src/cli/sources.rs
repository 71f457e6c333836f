//! The inputs of `onnxd predict`, `bench` and `tune`: files, folders, or lines. They are found and read
//! one after the other, so that there may be any number of them.
//!
//! `walk.rs`: the files of a folder. `lines.rs`: the lines of a file. `line.rs`: what a line says.

mod line;
mod lines;
mod walk;

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Error, anyhow, bail, ensure};
use bytes::Bytes;

use crate::impostor;
use crate::model::load::Location;
use crate::model::{Model, golden};
use crate::tasks::image::{ENDINGS, Format};
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

/// Finds the inputs. `-` is standard input: lines of text, of features or of JSON; for images one file, or
/// lines that are paths. Lines and files have at most `limit` bytes.
///
/// # Errors
/// A path that is not there, a folder without a fitting file.
pub fn open(kind: InputKind, paths: &[PathBuf], limit: usize) -> anyhow::Result<Sources> {
    let extensions: &'static [&'static str] = match kind {
        InputKind::Image => &ENDINGS,
        InputKind::Text => &["txt"],
        InputKind::Features => &["csv", "tsv", "tab", "jsonl", "ndjson"],
        InputKind::Tensors => bail!("the model has no task: it is served through /v2 alone"),
    };
    let read = Arc::new(AtomicU64::new(0));
    let is_lines = |path: &Path| kind != InputKind::Image || is_json(path);
    let (mut count, mut all_files, mut bytes) = (0, true, Some(0));
    let mut found: Vec<Box<dyn Iterator<Item = anyhow::Result<PathBuf>> + Send>> = Vec::new();
    for path in paths {
        if path.as_os_str() != "-" && path.is_dir() {
            let mut files = Walk::new(path, extensions, kind == InputKind::Image);
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
        let file = file.map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow!("{}: no such file or folder", path.display()),
            _ => anyhow!("{} {}", path.display(), impostor::unreadable(path, &error)),
        })?;
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

/// A file's ending, in small letters.
fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// JSON by the file's name.
fn is_json(path: &Path) -> bool {
    ["jsonl", "ndjson", "json"].contains(&ending(path).as_str())
}

/// The inputs of one file, or of standard input.
fn of_path(path: PathBuf, kind: InputKind, limit: usize, read: &Arc<AtomicU64>) -> Boxed {
    let name = path.display().to_string();
    if path.as_os_str() == "-" {
        return of_input(kind, limit, read);
    }
    if kind == InputKind::Image && !is_json(&path) {
        return one(Source { name, what: What::File(path) });
    }
    let mut reader = match std::fs::File::open(&path) {
        Ok(file) => BufReader::with_capacity(256 << 10, file),
        Err(error) => return one(Source::unreadable(name, error)),
    };
    match reader.fill_buf() {
        Ok(start) => {
            if let Some(told) = impostor::no_lines(start) {
                return one(Source::unreadable(name, anyhow!("it {told}")));
            }
        }
        Err(error) => return one(Source::unreadable(name, error)),
    }
    if ending(&path) == "json" {
        return document(name, reader, kind, limit, read);
    }
    let lines = Lines::new(name, Box::new(reader), limit, read.clone());
    Box::new(lines.sources(kind, Form::of(&ending(&path))))
}

/// A file that is one JSON document rather than lines of it.
fn document(
    name: String,
    reader: impl BufRead + Send + 'static,
    kind: InputKind,
    limit: usize,
    read: &Arc<AtomicU64>,
) -> Boxed {
    let mut bytes = Vec::new();
    let length = match reader.take(limit as u64 + 1).read_to_end(&mut bytes) {
        Ok(length) => length,
        Err(error) => return one(Source::unreadable(name, error)),
    };
    read.fetch_add(length as u64, Ordering::Relaxed);
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let is_document = serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
    match std::str::from_utf8(text) {
        Ok(text) if is_document => {
            one(Source { name, what: What::Line(text.to_owned(), Form::Json) })
        }
        _ if length > limit => one(Source::unreadable(name, anyhow!("more than {limit} bytes"))),
        // Then it is lines, or the line that is none is told.
        _ => {
            let lines =
                Lines::new(name, Box::new(std::io::Cursor::new(bytes)), limit, Arc::default());
            Box::new(lines.sources(kind, Form::Json))
        }
    }
}

/// Standard input: lines; of a model of images one image, or lines that are paths or JSON.
fn of_input(kind: InputKind, limit: usize, read: &Arc<AtomicU64>) -> Boxed {
    let mut input = BufReader::new(std::io::stdin());
    let name = || "-".to_owned();
    let (is_image, is_json, no_lines) = match input.fill_buf() {
        Ok(start) => {
            let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
            let is_json = text.trim_ascii_start().starts_with(b"{");
            (Format::sniff(start).is_some(), is_json, impostor::no_lines(start))
        }
        Err(error) => return one(Source::unreadable(name(), error)),
    };
    let is_image = kind == InputKind::Image && is_image;
    if let Some(told) = no_lines.filter(|_| !is_image) {
        return one(Source::unreadable(name(), anyhow!("it {told}")));
    }
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
    let lines = Lines::new(name(), Box::new(input), limit, read.clone());
    if kind != InputKind::Image || is_json {
        let form = if is_json && kind == InputKind::Image { Form::Json } else { Form::Open };
        return Box::new(lines.sources(kind, form));
    }
    Box::new(lines.map(|(name, line)| match line {
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

    fn asked(kind: InputKind, name: &str, text: impl AsRef<[u8]>) -> Vec<Asked> {
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
            let rows = asked(InputKind::Features, "rows.csv", format!("{first}\n4,5,6\n"));
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

    /// What each input is: answered, or an error.
    fn are_good(kind: InputKind, name: &str, text: impl AsRef<[u8]>) -> Vec<bool> {
        asked(kind, name, text).iter().map(|asked| asked.question.is_ok()).collect()
    }

    fn told(kind: InputKind, name: &str, text: impl AsRef<[u8]>) -> String {
        match &asked(kind, name, text)[0].question {
            Err(error) => format!("{error:#}"),
            Ok(input) => panic!("{input:?}"),
        }
    }

    #[test]
    fn a_first_line_that_is_not_understood_is_an_error_and_no_header() {
        const FEATURES: InputKind = InputKind::Features;
        for first in ["null", "{\"features\": [1, 2", "true", "[1, 2"] {
            for name in ["rows.jsonl", "rows.NDJSON", "rows", "rows.txt"] {
                let text = format!("{first}\n[3, 4]\n");
                assert_eq!(are_good(FEATURES, name, &text), [false, true], "{first} {name}");
            }
        }
        assert_eq!(are_good(FEATURES, "rows.jsonl", "x,y\n[1, 2]\n"), [false, true]);
        assert_eq!(are_good(FEATURES, "rows.csv", "5.1,oops\n1,2\n"), [false, true]);
        assert_eq!(are_good(FEATURES, "rows.csv", "a,b\n"), [false]);
        assert!(told(FEATURES, "rows.csv", "a;b\n1,5;2\n").contains("semicolons"));
        assert!(told(FEATURES, "rows.csv", "a,b,a\n1,2,3\n").contains("`a` twice"));
        assert_eq!(are_good(FEATURES, "rows.csv", "a,b,a\n1,2,3\n"), [false, false]);
        assert_eq!(are_good(FEATURES, "rows.csv", b"caf\xe9,b\n1,2\n"), [false, false]);
    }

    #[test]
    fn a_byte_order_mark_is_skipped_and_other_encodings_are_named() {
        for (name, text) in [
            ("rows.csv", "\u{feff}1,2\n3,4"),
            ("rows.csv", "\u{feff}a,b\r\n\r\n1,2\r\n3,4\r\n"),
            ("rows.tsv", "\u{feff}a\tb\n1\t2\n3\t4\n"),
            ("rows.jsonl", "\u{feff}[1, 2]\n[3, 4]\n"),
            ("rows", "\n\n1\t2\n3\t4\n"),
        ] {
            assert_eq!(are_good(InputKind::Features, name, text), [true; 2], "{text:?}");
        }
        assert!(told(InputKind::Text, "a.txt", b"\xff\xfea\0").contains("UTF-16"));
        assert!(told(InputKind::Features, "a.csv.gz", b"\x1f\x8b\x08\0").contains("gzip"));
        assert!(told(InputKind::Features, "a.xlsx", b"PK\x03\x04\0").contains("ZIP"));
    }

    #[test]
    fn a_quoted_cell_may_have_several_lines() {
        let text = "name,note\n\"a, \"\"b\"\"\",\"one\ntwo\"\n\"5\"\" pipe\",x\n7\" pipe,y\n";
        let rows = asked(InputKind::Features, "rows.csv", text);
        assert_eq!(rows.len(), 3);
        let Cells::Columns { columns, .. } = cells(&rows[0]) else { panic!("{rows:?}") };
        assert_eq!(format!("{:?}", columns[1].1).matches("one\\ntwo").count(), 1, "{columns:?}");
        assert!(are_good(InputKind::Features, "rows.csv", text).iter().all(|good| *good));
        assert_eq!(are_good(InputKind::Features, "rows.csv", "a,b\n\"x,1\ny,2\n"), [false]);
    }

    #[test]
    fn texts_come_from_lines_from_json_and_from_a_column() {
        let said = |name: &str, text: &str| -> Vec<String> {
            let asked = asked(InputKind::Text, name, text);
            let said = |asked: &Asked| match &asked.question {
                Ok((Input::Texts(texts), _)) => texts[0].text.clone(),
                other => format!("{other:?}"),
            };
            asked.iter().map(said).collect()
        };
        assert_eq!(said("a.txt", "{odd} text\nsecond"), ["{odd} text", "second"]);
        assert_eq!(said("a", "{\"text\": \"a\"}\n\"b\"\n"), ["a", "b"]);
        assert_eq!(said("a.csv", "id,Text\n1,\"a, b\"\n2,c\n"), ["a, b", "c"]);
        assert_eq!(said("a.tsv", "text\tlabel\n\"a\tx\n"), ["\"a"]);
        assert_eq!(said("a.json", "{\n  \"text\": \"a\"\n}\n"), ["a"]);
        assert!(told(InputKind::Text, "a.csv", "good film\nbad film\n").contains("called text"));
    }

    #[test]
    fn a_folder_gives_what_people_see_in_it_as_images() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "a.JPG",
            "b.jfif",
            "c.jpe",
            ".hidden.jpg",
            "._a.jpg",
            ".DS_Store",
            "Thumbs.db",
            "d.heic",
            "notes.txt",
            ".git/e.jpg",
            "without",
            "other",
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let content: &[u8] = if name == "without" { b"\xff\xd8\xff\xe0" } else { b"text" };
            std::fs::write(path, content).unwrap();
        }
        let items = open(InputKind::Image, &[folder.path().to_owned()], 1000).unwrap().items;
        let names: Vec<_> =
            items.map(|source| source.name.rsplit('/').next().unwrap().to_owned()).collect();
        // That one is no format that is read, and is told so.
        assert_eq!(names, ["a.JPG", "b.jfif", "c.jpe", "d.heic", "without"]);
    }
}
