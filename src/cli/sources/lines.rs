//! The lines of a file or of standard input, one at a time.

use std::io::{BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Error, anyhow};

use super::line::Form;
use super::{Source, What};

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
}

impl Lines {
    pub fn new(
        name: String,
        reader: Box<dyn BufRead + Send>,
        limit: usize,
        read: Arc<AtomicU64>,
    ) -> Self {
        Self { name, reader, limit, number: 0, read, failed: false }
    }

    /// The inputs that the lines are; the first of CSV may name the columns instead.
    pub fn sources(self, form: Form) -> impl Iterator<Item = Source> + Send {
        let first = format!("{}:1", self.name);
        let mut form = form;
        self.filter_map(move |(name, line)| {
            let line = match line {
                Ok(line) => line,
                Err(error) => return Some(Source::unreadable(name, error)),
            };
            if name == first
                && let Some(with_names) = form.named_by(&line)
            {
                form = with_names;
                return None;
            }
            Some(Source { name, what: What::Line(line, form.clone()) })
        })
    }

    /// The next line without its end; `None` at the end of the file.
    fn line(&mut self) -> Result<Option<String>, Error> {
        let mut bytes = Vec::new();
        let most = self.limit as u64 + 2;
        let mut length = (&mut self.reader).take(most).read_until(b'\n', &mut bytes)?;
        let whole = bytes.last() == Some(&b'\n');
        if !whole && length as u64 == most {
            length += skip_line(&mut self.reader)?;
        }
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        if length == 0 {
            return Ok(None);
        }
        self.number += 1;
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
            return Some((format!("{}:{}", self.name, self.number), line));
        }
        None
    }
}
