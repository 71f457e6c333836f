//! The lines of a file or of standard input, one at a time.

use std::io::{BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Error, anyhow};

use super::line::{First, Form, Quotes};
use super::{Source, What};
use crate::tasks::InputKind;

/// Lines that are not blank, each under a name such as `rows.csv:7`.
pub struct Lines {
    name: String,
    reader: Box<dyn BufRead + Send>,
    /// Bytes of a line.
    limit: usize,
    number: u64,
    /// Bytes that were read, of all files.
    read: Arc<AtomicU64>,
    failed: bool,
    /// Of a table: the sign between its cells, of which a quoted one may have several lines.
    delimiter: Option<u8>,
    /// Lines that the last record has after its first.
    record: u64,
}

/// What programs of Windows put before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Lines {
    pub fn new(
        name: String,
        reader: Box<dyn BufRead + Send>,
        limit: usize,
        read: Arc<AtomicU64>,
    ) -> Self {
        Self { name, reader, limit, number: 0, read, failed: false, delimiter: None, record: 0 }
    }

    /// The inputs that the lines are of a model of this kind; the first of a table may name the columns instead.
    pub fn sources(mut self, kind: InputKind, form: Form) -> impl Iterator<Item = Source> + Send {
        self.delimiter = form.delimiter();
        let (mut form, mut began, mut names) = (form, false, None);
        std::iter::from_fn(move || {
            loop {
                let Some((name, line)) = self.next() else {
                    // Somebody expects answers of that file.
                    let name = names.take()?;
                    let reason = anyhow!("the first line names columns, and no row follows it");
                    return Some(Source::unreadable(name, reason));
                };
                names = None;
                let line = match line {
                    Ok(line) => line,
                    Err(error) => {
                        if !began && matches!(form, Form::Row(_)) {
                            // It may have named the columns.
                            form = Form::Refused("the table's first line cannot be read".into());
                        }
                        return Some(Source::unreadable(name, error));
                    }
                };
                if !std::mem::replace(&mut began, true) {
                    let begun = form.clone().begin(kind, &line);
                    form = match begun {
                        First::Input(form) => form,
                        First::Names(with_names) => {
                            (form, names) = (with_names, Some(name));
                            self.delimiter = form.delimiter();
                            continue;
                        }
                        First::Wrong(rest, error) => {
                            form = rest;
                            self.delimiter = form.delimiter();
                            return Some(Source::unreadable(name, error));
                        }
                    };
                    self.delimiter = form.delimiter();
                }
                return Some(Source { name, what: What::Line(line, form.clone()) });
            }
        })
    }

    /// The next line without its end, or the lines of a record; `None` at the end of the file.
    fn line(&mut self) -> Result<Option<String>, Error> {
        let mut bytes = Vec::new();
        if !self.piece(&mut bytes)? {
            return Ok(None);
        }
        let is_first = self.number == 1;
        if is_first && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        if is_first && (bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff")) {
            self.failed = true;
            return Err(anyhow!("text in UTF-16: save it as UTF-8"));
        }
        // Lines of JSON may be among those of a table.
        let is_json = matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['));
        if let Some(delimiter) = self.delimiter.filter(|_| !is_json) {
            let began = self.number;
            let mut quotes = Quotes::Start.after(&bytes, delimiter);
            while quotes == Quotes::Within && bytes.len() <= self.limit {
                let start = bytes.len();
                if !self.piece(&mut bytes)? {
                    return Err(anyhow!("a quote is opened in this line and not closed"));
                }
                quotes = quotes.after(&bytes[start..], delimiter);
            }
            self.record = self.number - began;
        }
        if bytes.ends_with(b"\n") {
            bytes.pop();
        }
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
        if bytes.len() > self.limit {
            return Err(anyhow!("a line of more than {} bytes", self.limit));
        }
        String::from_utf8(bytes).map(Some).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            anyhow!("expected text in UTF-8, got other bytes after byte {valid}")
        })
    }

    /// Adds the next line with its end, of which no more is kept than the limit shows to be too much;
    /// false at the end of the file.
    fn piece(&mut self, bytes: &mut Vec<u8>) -> Result<bool, Error> {
        let most = (self.limit as u64 + 5).saturating_sub(bytes.len() as u64).max(1);
        let start = bytes.len();
        let mut length = (&mut self.reader).take(most).read_until(b'\n', bytes)?;
        let whole = bytes[start..].last() == Some(&b'\n');
        if !whole && length as u64 == most {
            length += skip_line(&mut self.reader)?;
        }
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        self.number += u64::from(length > 0);
        Ok(length > 0)
    }
}

/// Reads on to the end of the line, without keeping it; its bytes.
fn skip_line(reader: &mut dyn BufRead) -> std::io::Result<usize> {
    let mut skipped = 0;
    loop {
        let buffer = reader.fill_buf()?;
        let end = memchr::memchr(b'\n', buffer);
        let length = end.map_or(buffer.len(), |end| end + 1);
        reader.consume(length);
        skipped += length;
        if end.is_some() || length == 0 {
            return Ok(skipped);
        }
    }
}

impl Iterator for Lines {
    type Item = (String, Result<String, Error>);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            let before = self.number;
            self.record = 0;
            let line = match self.line() {
                Ok(None) => return None,
                Ok(Some(line)) if line.trim().is_empty() => continue,
                Ok(Some(line)) => Ok(line),
                Err(error) => {
                    // What cannot be read will not end either.
                    self.failed = self.number == before;
                    Err(error)
                }
            };
            return Some((format!("{}:{}", self.name, self.number - self.record), line));
        }
        None
    }
}
