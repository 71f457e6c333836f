//! The names of a model's classes.

use super::super::hugging_face::HfConfig;
use super::super::note::ASSUMED;
use super::super::{Material, Note};
use crate::tasks::graph::Graph;

/// Names of classes, in the order of the scores, and the file that gives them.
pub type Named = (&'static str, Vec<String>);

/// The names that a file gives: `model.toml`, `labels.txt`, `config.json`, or the metadata in the network's
/// file, as Ultralytics writes it.
///
/// # Errors
/// A file that cannot be read.
pub fn class_names(
    Material { files, config, .. }: Material<'_>,
    hf: &HfConfig,
    graph: Option<&Graph>,
) -> Result<Option<Named>, String> {
    if let Some(labels) = &config.labels {
        return Ok(Some(("model.toml", labels.clone())));
    }
    if let Some(labels) = files.labels()? {
        return Ok(Some(("labels.txt", labels)));
    }
    if let Some(labels) = hf.labels()? {
        return Ok(Some(("config.json", labels)));
    }
    if let Some(labels) = files.labels_json()? {
        return Ok(Some(("labels.json", labels)));
    }
    let names = graph.and_then(|graph| graph.metadata.get("names"));
    Ok(names
        .and_then(|names| python_dict(names))
        .map(|names| ("the network's metadata (names)", names)))
}

/// The values of `{0: 'cat', 1: "dog's"}`, a dictionary as Python prints it, where its keys number them from 0;
/// or the same as JSON.
fn python_dict(text: &str) -> Option<Vec<String>> {
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (key, after) = rest.split_once(':')?;
        if key.trim().trim_matches(['"', '\'']).parse() != Ok(names.len()) {
            return None;
        }
        let after = after.trim_start();
        let quote = after.chars().next().filter(|first| ['"', '\''].contains(first))?;
        let (name, after) = quoted(&after[1..], quote)?;
        names.push(name);
        let after = after.trim_start();
        rest = after.strip_prefix(',').unwrap_or(after).trim_start();
        if rest == after && !rest.is_empty() {
            return None;
        }
    }
    Some(names).filter(|names| !names.is_empty())
}

/// What is before the closing quote, and what is after it.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => name.push(chars.next()?.1),
            char if char == quote => return Some((name, &text[at + char.len_utf8()..])),
            char => name.push(char),
        }
    }
    None
}

/// How many classes there are and which come first.
pub fn labels_note(labels: Option<(&str, &[String])>) -> Note {
    const FIRST: usize = 3;
    let Some((file, names)) = labels else {
        return Note::new("labels", "LABEL_0, LABEL_1, …", ASSUMED);
    };
    let first: Vec<_> = names.iter().take(FIRST).map(String::as_str).collect();
    let rest = if names.len() > FIRST { ", …" } else { "" };
    Note::new("labels", format!("{}: {}{rest}", names.len(), first.join(", ")), file)
}

/// # Errors
/// Another number of names than classes.
pub fn check_labels(file: &str, labels: usize, width: usize, output: &str) -> Result<(), String> {
    if labels == width {
        return Ok(());
    }
    Err(format!("{file} names {labels} classes, but output `{output}` has {width}"))
}

/// The name of a class that no file names, as Hugging Face's transformers writes it.
pub fn unnamed(class: usize) -> String {
    format!("LABEL_{class}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_networks_metadata_are_read_as_python_prints_them() {
        let names = |text| python_dict(text).unwrap_or_default();
        assert_eq!(names("{0: 'cat', 1: \"dog's\", 2: 'a: b, c'}"), ["cat", "dog's", "a: b, c"]);
        assert_eq!(names(r"{0: 'it\'s'}"), ["it's"]);
        assert_eq!(names("{\"0\": \"cat\"}"), ["cat"]);
        for odd in
            ["", "{}", "{1: 'cat'}", "{0: cat}", "{0: 'cat'", "['cat']", "{0: 'cat' 1: 'dog'}"]
        {
            assert!(names(odd).is_empty(), "{odd}");
        }
    }
}
