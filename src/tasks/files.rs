//! The files that lie beside a model.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::hugging_face::{is_complete, numbered, numbers_of};
use crate::impostor::{self, Expected};

/// Finds a model's files: in the version's folder first, then in the model's.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    folders: Vec<PathBuf>,
}

impl ModelFiles {
    #[must_use]
    pub fn new(version: &Path, model: &Path) -> Self {
        let mut folders = vec![version.to_owned()];
        if version != model {
            folders.push(model.to_owned());
        }
        Self { folders }
    }

    /// The file of this name, if there is one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        self.folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
    }

    /// The text of the file of this name, without a byte order mark.
    ///
    /// # Errors
    /// The file is there but cannot be read, is no text in UTF-8, or is something else in its place.
    pub fn read(&self, name: &str) -> Result<Option<String>, String> {
        for path in self.folders.iter().map(|folder| folder.join(name)) {
            match path.metadata() {
                Ok(data) if data.is_file() => {}
                // One that is not to be seen must not count as none.
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    return Err(format!("{name} {}", impostor::unreadable(&path, &error)));
                }
                _ => continue,
            }
            return read_text(&path).map(Some).map_err(|reason| format!("{name} {reason}"));
        }
        Ok(None)
    }

    /// # Errors
    /// The file is there but cannot be read, or is not the JSON that it should be.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, String> {
        let Some(text) = self.read(name)? else { return Ok(None) };
        if text.trim().is_empty() {
            return Err(format!("{name} is empty"));
        }
        serde_json::from_str(&pythons_json(&text)).map(Some).map_err(|e| format!("{name}: {e}"))
    }

    /// Lines of `labels.txt`, one class each in the order of the model's outputs.
    ///
    /// # Errors
    /// The file is there but cannot be read.
    pub fn labels(&self) -> Result<Option<Vec<String>>, String> {
        Ok(self.read("labels.txt")?.as_deref().map(lines_of_labels))
    }

    /// The same of `labels.json`: a list of names, or an object of numbers and names. One of another form
    /// is for somebody else.
    ///
    /// # Errors
    /// The file is there but cannot be read.
    pub fn labels_json(&self) -> Result<Option<Vec<String>>, String> {
        Ok(self.json("labels.json")?.as_ref().and_then(labels_of_json))
    }
}

/// A file as text, without a byte order mark.
///
/// # Errors
/// What is wrong, as a part of a sentence that begins with the file's name.
pub fn read_text(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| impostor::unreadable(path, &error))?;
    if let Some(told) = impostor::told_of(&bytes, bytes.len() as u64, Expected::Text) {
        return Err(told);
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("is text in UTF-16: save it as UTF-8".to_owned());
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("is no text in UTF-8: byte {at} is none of it; save it as UTF-8")
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(text) => text.to_owned(),
        None => text,
    })
}

/// Python writes numbers into JSON that have no place there, and reads them; here they say nothing.
fn pythons_json(text: &str) -> Cow<'_, str> {
    const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    if !WORDS.iter().any(|word| text.contains(word)) {
        return text.into();
    }
    let mut json = String::with_capacity(text.len());
    let (mut rest, mut is_quoted) = (text, false);
    while let Some(next) = rest.chars().next() {
        let word = WORDS.iter().find(|word| !is_quoted && rest.starts_with(**word));
        let taken = match (word, next) {
            (Some(word), _) => {
                json.push_str("null");
                word.len()
            }
            (None, '\\') if is_quoted => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            (None, _) => {
                is_quoted ^= next == '"';
                next.len_utf8()
            }
        };
        if word.is_none() {
            json.push_str(&rest[..taken]);
        }
        rest = &rest[taken..];
    }
    json.into()
}

/// One class a line, whichever way the lines end.
fn lines_of_labels(text: &str) -> Vec<String> {
    if text.trim_start().starts_with('[')
        && let Some(labels) = serde_json::from_str(text).ok().as_ref().and_then(labels_of_json)
    {
        return labels;
    }
    let text = text.trim_end();
    let lines: Vec<&str> = match text.contains('\n') {
        true => text.lines().map(str::trim).collect(),
        // As old Macs ended them.
        false => text.split('\r').map(str::trim).collect(),
    };
    let names = without_numbers(&lines).unwrap_or(lines);
    names.into_iter().map(ToOwned::to_owned).collect()
}

/// The names of lines that are `0 cat`, `1 dog`, …, or have a colon, a comma or a tab between. None where
/// they are not all so numbered, or where names would be lost: `1 star`, `2 stars` are names.
fn without_numbers<'a>(lines: &[&'a str]) -> Option<Vec<&'a str>> {
    let name = |(number, line): (usize, &&'a str)| {
        let rest = line.strip_prefix(&number.to_string())?;
        let name = rest.strip_prefix([' ', ':', ',', '\t'])?.trim();
        (!name.is_empty()).then_some(name)
    };
    let names: Vec<&str> =
        lines.iter().enumerate().map(|(i, line)| name((i, line))).collect::<Option<_>>()?;
    let distinct: std::collections::HashSet<&str> = names.iter().copied().collect();
    (names.len() > 1 && distinct.len() == names.len()).then_some(names)
}

fn labels_of_json(json: &Value) -> Option<Vec<String>> {
    let names = numbered(json).or_else(|| numbers_of(json)).filter(is_complete)?;
    Some(names.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &[u8])]) -> (tempfile::TempDir, ModelFiles) {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let found = ModelFiles::new(folder.path(), folder.path());
        (folder, found)
    }

    fn labels(name: &str, content: impl AsRef<[u8]>) -> Option<Vec<String>> {
        let (_folder, files) = files(&[(name, content.as_ref())]);
        files.labels().unwrap().or(files.labels_json().unwrap())
    }

    #[test]
    fn labels_are_read_whichever_way_they_were_saved() {
        let names =
            |names: &[&str]| Some(names.iter().map(ToString::to_string).collect::<Vec<_>>());
        for text in [
            "cat\ndog\n",
            "\u{feff}cat\r\ndog\r\n\r\n",
            "cat\rdog\r",
            "0 cat\n1 dog",
            "0: cat\n1:dog",
            "[\"cat\", \"dog\"]\n",
        ] {
            assert_eq!(labels("labels.txt", text), names(&["cat", "dog"]), "{text:?}");
        }
        for lines in
            [&["0 stars", "1 star", "2 stars"][..], &["1 cat", "2 dog"], &["cat", "", "dog"]]
        {
            assert_eq!(labels("labels.txt", lines.join("\n")), names(lines));
        }
        for json in [
            "[\"cat\", \"dog\"]",
            "{\"1\": \"dog\", \"0\": \"cat\"}",
            "{\"cat\": 0, \"dog\": 1}",
            "{\"0\": [\"n01\", \"cat\"], \"1\": [\"n02\", \"dog\"]}",
        ] {
            assert_eq!(labels("labels.json", json), names(&["cat", "dog"]), "{json}");
        }
        assert_eq!(labels("labels.json", "{\"5\": \"cat\"}"), None);
    }

    #[test]
    fn a_byte_order_mark_is_skipped_and_other_encodings_are_named() {
        let (_folder, read) = files(&[
            ("a.json", b"\xef\xbb\xbf{\"a\": 1}"),
            ("b.json", b"\xff\xfe{\0}\0"),
            ("c.txt", b"caf\xe9"),
            ("d.json", b"version https://git-lfs.github.com/spec/v1\nsize 5\n"),
            ("e.json", b""),
        ]);
        assert_eq!(read.json::<Value>("a.json"), Ok(Some(serde_json::json!({"a": 1}))));
        assert_eq!(read.json::<Value>("none.json"), Ok(None));
        let told = |name: &str| read.json::<Value>(name).unwrap_err();
        assert_eq!(told("b.json"), "b.json is text in UTF-16: save it as UTF-8");
        assert!(told("c.txt").contains("no text in UTF-8: byte 3"));
        assert!(told("d.json").starts_with("d.json is a Git LFS pointer of a file of 5 bytes"));
        assert_eq!(told("e.json"), "e.json is empty");
    }

    #[test]
    fn numbers_of_python_that_json_has_not_say_nothing() {
        let json = r#"{"a": NaN, "b": [-Infinity, Infinity], "NaN \" Infinity": "NaN\\"}"#;
        let (_folder, read) = files(&[("a.json", json.as_bytes())]);
        let expected =
            serde_json::json!({"a": null, "b": [null, null], "NaN \" Infinity": "NaN\\"});
        assert_eq!(read.json::<Value>("a.json"), Ok(Some(expected)));
    }
}
