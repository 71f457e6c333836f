//! Records of CSV, TSV and JSON lines, with the names of their columns.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use indexmap::IndexMap;
use serde_json::Value;

use super::Problem;
use crate::impostor;

/// A file of records; the first line of a CSV or TSV names the columns.
pub struct Table {
    path: PathBuf,
    format: Format,
    header: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// With quotes as RFC 4180 has them.
    Csv,
    /// Without any quoting: a tab ends a cell, a line break ends a record.
    Tsv,
    JsonLines,
}

/// The cells of a record in the order of the header; strings, unless JSON says otherwise.
pub struct Record {
    /// Of the file, from 1 on.
    pub line: u64,
    pub cells: Vec<Value>,
}

type Records = Box<dyn Iterator<Item = Result<Record, Problem>> + Send>;

impl Table {
    /// Reads the names of the columns: of JSON lines, the first object's.
    ///
    /// # Errors
    /// A file of another format, an empty one, or one without names.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let format = match extension.to_ascii_lowercase().as_str() {
            "csv" => Format::Csv,
            "tsv" | "tab" => Format::Tsv,
            "jsonl" | "ndjson" => Format::JsonLines,
            _ => bail!(
                "{}: expected a file that ends in .csv, .tsv, .jsonl or .ndjson, or a folder of \
                 images by class",
                path.display()
            ),
        };
        let mut table = Self { path: path.to_owned(), format, header: Vec::new() };
        let mut start = Vec::new();
        let read = File::open(path).and_then(|file| file.take(1024).read_to_end(&mut start));
        if let (Ok(_), Some(told)) = (read, impostor::no_lines(&start)) {
            bail!("{} {told}", path.display());
        }
        if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
            bail!("{} is text in UTF-16: save it as UTF-8", path.display());
        }
        table.header = table.read_header().with_context(|| path.display().to_string())?;
        Ok(table)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn header(&self) -> &[String] {
        &self.header
    }

    fn read_header(&self) -> anyhow::Result<Vec<String>> {
        if self.format == Format::JsonLines {
            for line in BufReader::new(File::open(&self.path)?).lines() {
                let line = line?;
                if line.trim().is_empty() {
                    continue;
                }
                let object = object(without_mark(&line))
                    .map_err(|reason| anyhow!("the first line: {reason}"))?;
                return Ok(object.keys().cloned().collect());
            }
            bail!("it is empty");
        }
        let mut reader = self.csv()?;
        let header = reader.headers().context("the first line, which names the columns")?;
        if header.is_empty() {
            bail!("it is empty; the first line should name the columns");
        }
        let header: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
        if let [only] = header.as_slice()
            && only.contains(';')
            && self.format == Format::Csv
        {
            bail!("the cells are separated by semicolons: expected commas (or tabs, in a .tsv)");
        }
        if let Some((_, twice)) = header
            .iter()
            .enumerate()
            .find(|(i, name)| !name.is_empty() && header[..*i].contains(name))
        {
            bail!("the first line names the column `{twice}` twice");
        }
        Ok(header)
    }

    fn csv(&self) -> anyhow::Result<csv::Reader<File>> {
        let is_tsv = self.format == Format::Tsv;
        let mut builder = csv::ReaderBuilder::new();
        builder.flexible(true).quoting(!is_tsv).delimiter(if is_tsv { b'\t' } else { b',' });
        let file = File::open(&self.path).with_context(|| self.path.display().to_string())?;
        Ok(builder.from_reader(file))
    }

    /// All records in order, blank lines left out.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn records(&self) -> anyhow::Result<Records> {
        let name = self.path.display().to_string();
        let problem = move |line: u64, reason: String| {
            Err(Problem { place: format!("{name}:{line}"), reason })
        };
        let header = self.header.clone();
        if self.format == Format::JsonLines {
            let file = File::open(&self.path).with_context(|| self.path.display().to_string())?;
            let lines = (1_u64..).zip(BufReader::new(file).lines());
            return Ok(Box::new(lines.filter_map(move |(line, text)| {
                let text = match text {
                    Ok(text) if text.trim().is_empty() => return None,
                    Ok(text) => text,
                    Err(error) => return Some(problem(line, error.to_string())),
                };
                Some(match object(without_mark(&text)) {
                    Ok(mut object) => {
                        let cell = |name| object.shift_remove(name).unwrap_or_default();
                        Ok(Record { line, cells: header.iter().map(cell).collect() })
                    }
                    Err(reason) => problem(line, reason),
                })
            })));
        }
        let names = header.len();
        let mut records = self.csv()?.into_records();
        let mut lines = LineCounter::open(&self.path)?;
        Ok(Box::new(std::iter::from_fn(move || {
            let record = records.next()?;
            let began = match &record {
                Ok(record) => record.position(),
                Err(error) => error.position(),
            };
            let line = match lines.at(began.map_or(0, csv::Position::byte)) {
                Ok(line) => line,
                Err(error) => return Some(problem(0, error.to_string())),
            };
            let record = match record {
                Ok(record) => record,
                Err(error) => return Some(problem(line, told(error))),
            };
            Some(if record.len() == names {
                let cells = record.iter().map(|cell| Value::String(cell.to_owned())).collect();
                Ok(Record { line, cells })
            } else {
                problem(line, format!("{} cells, but the first line names {names}", record.len()))
            })
        })))
    }
}

/// Numbers of lines by places in a file. The reader's own take no notice of blank lines before a record,
/// and count those that end as on Windows late.
struct LineCounter {
    file: BufReader<File>,
    /// How far it has read.
    byte: u64,
    line: u64,
}

impl LineCounter {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        Ok(Self { file: BufReader::new(file), byte: 0, line: 1 })
    }

    /// The line of the first record from this byte on, which is none before the last one's.
    fn at(&mut self, byte: u64) -> std::io::Result<u64> {
        loop {
            let read = self.file.fill_buf()?;
            let before = usize::try_from(byte - self.byte.min(byte)).unwrap_or(usize::MAX);
            let count = if before > 0 {
                before.min(read.len())
            } else {
                read.iter().take_while(|byte| matches!(**byte, b'\n' | b'\r')).count()
            };
            if count == 0 {
                return Ok(self.line);
            }
            self.line += memchr::memchr_iter(b'\n', &read[..count]).count() as u64;
            self.file.consume(count);
            self.byte += count as u64;
        }
    }
}

fn told(error: csv::Error) -> String {
    match error.into_kind() {
        csv::ErrorKind::Utf8 { err, .. } => err.to_string(),
        csv::ErrorKind::Io(error) => error.to_string(),
        other => format!("{other:?}"),
    }
}

/// Programs of Windows put it before a file's first line.
fn without_mark(line: &str) -> &str {
    line.strip_prefix('\u{feff}').unwrap_or(line)
}

/// Keys in the line's own order, which is that of the columns.
fn object(line: &str) -> Result<IndexMap<String, Value>, String> {
    serde_json::from_str(line).map_err(|error| match error.is_data() {
        true => "expected a JSON object".to_owned(),
        false => format!("no JSON: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, content: impl AsRef<[u8]>) -> (Vec<String>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let table = Table::open(&path).unwrap();
        let told = |record: Result<Record, Problem>| match record {
            Ok(record) => format!("{}: {}", record.line, Value::Array(record.cells)),
            Err(problem) => {
                let line = problem.place.rsplit(':').next().unwrap().to_owned();
                format!("{line}! {}", problem.reason)
            }
        };
        (table.header().to_vec(), table.records().unwrap().map(told).collect())
    }

    #[test]
    fn csv_has_quotes_and_a_byte_order_mark() {
        let (header, records) =
            read("a.csv", "\u{feff}text, label\n\"one,\ntwo \"\"x\"\"\",a\nthree,b\n");
        assert_eq!(header, ["text", "label"]);
        assert_eq!(records, [r#"2: ["one,\ntwo \"x\"","a"]"#, r#"4: ["three","b"]"#]);
    }

    #[test]
    fn lines_are_counted_as_an_editor_does() {
        for end in ["\n", "\r\n"] {
            let text = ["text,label", "", "one,a", "", "", "\"two", "lines\",b", "odd", "three,c"];
            let (_, records) = read("a.csv", text.join(end));
            let lines: Vec<_> = records.iter().map(|record| record[..2].to_owned()).collect();
            assert_eq!(lines, ["3:", "6:", "8!", "9:"], "{end:?}");
        }
    }

    #[test]
    fn tsv_has_no_quotes() {
        let (header, records) = read("a.tsv", "text\tlabel\n\"so it is\" he said\ta\n\" odd\tb\n");
        assert_eq!(header, ["text", "label"]);
        assert_eq!(records, [r#"2: ["\"so it is\" he said","a"]"#, r#"3: ["\" odd","b"]"#]);
    }

    #[test]
    fn json_lines_keep_their_types_and_a_key_may_be_missing() {
        let lines = "{\"text\": \"x\", \"label\": 1}\n\n[1]\n{\"label\": true}\n{\n";
        let (header, records) = read("a.jsonl", lines);
        assert_eq!(header, ["text", "label"]);
        assert_eq!(records[..3], [r#"1: ["x",1]"#, "3! expected a JSON object", "4: [null,true]"]);
        assert!(records[3].starts_with("5! no JSON: "), "{records:?}");
    }

    #[test]
    fn text_that_is_not_utf_8_is_told_by_line() {
        let (_, records) = read("a.csv", b"text,label\nfine,a\n\xff,b\nfine,c\n");
        assert!(records[1].starts_with("3! ") && records[1].contains("UTF-8"), "{records:?}");
        assert_eq!(records[2], r#"4: ["fine","c"]"#);
    }
}
