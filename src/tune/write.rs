//! Puts a setting into `model.toml`, and leaves everything else in it as it is.

use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml_edit::{Document, DocumentMut, Item, TomlError, Value};

use super::candidates::{Setting, Shape};
use crate::config::{BatchSize, ModelConfig};
use crate::model::load::Location;
use crate::model::manifest;

/// The file's name.
const FILE: &str = "model.toml";

/// A new content of a model's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The file in the version's folder if there is one, else the one in the model's.
    pub path: PathBuf,
    pub text: String,
    /// Lines that are gone, as they were.
    pub removed: Vec<String>,
    pub added: Vec<String>,
}

impl Edit {
    /// Reads a model's file, if there is one, and gives it this setting.
    ///
    /// # Errors
    /// The file cannot be read or is no TOML, or it is pinned by `SHA256SUMS`.
    pub fn prepare(location: &Location, setting: &Setting) -> Result<Self, String> {
        let path = location.files().find(FILE);
        let path = path.unwrap_or_else(|| location.model_folder.join(FILE));
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            other => other.map_err(|error| format!("{}: {error}", path.display()))?,
        };
        let new = edit(&text, setting).map_err(|error| format!("{}: {error}", path.display()))?;
        // Of a file that was written by hand only the lines with these keys differ.
        let only_in = |text: &str, other: &str| {
            let differs = |line: &&str| !line.is_empty() && !other.lines().any(|o| o == *line);
            let lines = text.lines().filter(differs);
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let (removed, added) = (only_in(&text, &new), only_in(&new, &text));
        Ok(Self { path, text: new, removed, added })
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }

    /// Replaces the file as a whole, so that nobody ever reads half of it.
    ///
    /// # Errors
    /// The folder or the file cannot be written, or the model's manifest lists the file.
    pub fn write(&self) -> Result<(), String> {
        let said = |error: std::io::Error| format!("{}: {error}", self.path.display());
        if is_pinned(&self.path) {
            let (path, sums) = (self.path.display(), manifest::NAME);
            return Err(format!("{path}: {sums} lists it, and would refuse another"));
        }
        // A link goes on to be one.
        let path = match fs::canonicalize(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => self.path.clone(),
            other => other.map_err(said)?,
        };
        let beside = path.with_file_name(format!(".{FILE}.{}", std::process::id()));
        let written = fs::write(&beside, &self.text).and_then(|()| {
            if let Ok(data) = fs::metadata(&path) {
                fs::set_permissions(&beside, data.permissions())?;
            }
            fs::rename(&beside, &path)
        });
        written.map_err(|error| {
            // What could not be made is not there either.
            let _ = fs::remove_file(&beside);
            said(error)
        })
    }
}

/// Whether a manifest in its folder, or in the model's above it, lists the file.
fn is_pinned(path: &Path) -> bool {
    path.ancestors().skip(1).take(2).any(|folder| {
        let Ok(sums) = fs::read_to_string(folder.join(manifest::NAME)) else { return false };
        sums.lines().filter_map(|line| line.get(66..)).any(|name| folder.join(name) == path)
    })
}

/// The text with the setting's keys in the place of those that are there.
fn edit(text: &str, setting: &Setting) -> Result<String, String> {
    let keys = keys(setting);
    let gone = keys.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| *key);
    let mut document: DocumentMut = without(text, gone)?.parse().map_err(said)?;
    let bare = document.iter().all(|(_, item)| !item.is_value());
    for (key, value) in keys.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        match document.get_mut(key) {
            Some(item) => replace(item, value),
            None => {
                document.insert(key, Item::Value(value));
            }
        }
    }
    let table = document.iter_mut().find_map(|(_, item)| item.as_table_mut());
    if let Some(table) = table.filter(|_| bare) {
        // Apart from the keys that are above it now.
        let above = table.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or("");
        let above = format!("\n{}", above.trim_start_matches('\n'));
        table.decor_mut().set_prefix(above);
    }
    let text = document.to_string();
    // What a server would not take must not be written.
    ModelConfig::parse(&text)?;
    Ok(text)
}

/// The text without the lines of these keys. Comments above them stay.
fn without<'a>(text: &str, keys: impl Iterator<Item = &'a str>) -> Result<String, String> {
    let document = Document::parse(text).map_err(said)?;
    let mut lines: Vec<Range<usize>> = Vec::new();
    for key in keys {
        let Some((key, item)) = document.as_table().get_key_value(key) else { continue };
        if let (Some(key), Some(value)) = (key.span(), item.span()) {
            let start = text[..key.start].rfind('\n').map_or(0, |at| at + 1);
            let end = text[value.end..].find('\n').map_or(text.len(), |at| value.end + at + 1);
            lines.push(start..end);
        }
    }
    lines.sort_by_key(|line| line.start);
    let mut rest = text.to_owned();
    for line in lines.into_iter().rev() {
        rest.replace_range(line, "");
    }
    Ok(rest)
}

fn said(error: TomlError) -> String {
    error.to_string()
}

/// The keys of a setting as they are written; `None` is a key that is not there.
#[must_use]
pub fn keys(setting: &Setting) -> [(&'static str, Option<Value>); 4] {
    let number = |number: usize| Value::from(i64::try_from(number).unwrap_or(i64::MAX));
    let Shape { instances, intra_op_threads } = setting.layout;
    let batch = setting.max_batch_size.map(|batch| match batch {
        BatchSize::Rows(rows) => number(rows.get()),
        BatchSize::Auto => Value::from("auto"),
    });
    let delay = setting.max_queue_delay;
    let delay = delay.map(|delay| Value::from(humantime::format_duration(delay).to_string()));
    [
        ("instances", instances.map(|n| number(n.get()))),
        ("intra_op_threads", intra_op_threads.map(|n| number(n.get()))),
        ("max_batch_size", batch),
        ("max_queue_delay", delay),
    ]
}

/// The comment behind a value stays.
fn replace(item: &mut Item, mut value: Value) {
    if let Some(old) = item.as_value() {
        // The same value may be written in another way.
        if old.to_string().trim() == value.to_string().trim() {
            return;
        }
        *value.decor_mut() = old.decor().clone();
    }
    *item = Item::Value(value);
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;

    fn two_by_one() -> Setting {
        let number = NonZeroUsize::new;
        Setting {
            layout: Shape { instances: number(2), intra_op_threads: number(1) },
            max_batch_size: number(8).map(BatchSize::Rows),
            max_queue_delay: Some(Duration::from_millis(2)),
        }
    }

    const KEYS: &str = "instances = 2\nintra_op_threads = 1\nmax_batch_size = 8\n\
                        max_queue_delay = \"2ms\"\n";

    fn location(folder: &Path) -> Location {
        let (model_folder, version_folder) = (folder.to_owned(), folder.to_owned());
        Location { name: "m".into(), version: 1, model_folder, version_folder }
    }

    #[test]
    fn other_keys_and_comments_stay_as_they_are() {
        let file = "# Ours.\ndefault = true # yes\n# Was slower with 4.\ninstances  =  4 # cores\n\n\
                    # By device.\n[variants]\ncpu = 'a.onnx'\n";
        let wanted = "# Ours.\ndefault = true # yes\n# Was slower with 4.\ninstances  = 2 # cores\n\
                      intra_op_threads = 1\nmax_batch_size = 8\nmax_queue_delay = \"2ms\"\n\n\
                      # By device.\n[variants]\ncpu = 'a.onnx'\n";
        let new = edit(file, &two_by_one()).unwrap();
        assert_eq!(new.replace("instances  =  2", "instances  = 2"), wanted);
        assert_eq!(edit(&new, &two_by_one()).unwrap(), new, "a second time changes nothing");
    }

    #[test]
    fn the_default_takes_its_keys_away_and_nothing_else() {
        let file = "# One.\ninstances = 4\n# Two.\ndefault = true\nmax_queue_delay = \"1ms\" # x";
        let wanted = "# One.\n# Two.\ndefault = true\n";
        assert_eq!(edit(file, &Setting::default()).unwrap(), wanted);
        assert_eq!(edit("", &Setting::default()).unwrap(), "");
    }

    #[test]
    fn keys_come_before_the_tables() {
        assert_eq!(edit("", &two_by_one()).unwrap(), KEYS);
        let tables = "[variants]\ncpu = \"a.onnx\"\n";
        assert_eq!(edit(tables, &two_by_one()).unwrap(), format!("{KEYS}\n{tables}"));
    }

    #[test]
    fn a_file_is_made_or_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (location, path) = (location(folder.path()), folder.path().join(FILE));
        let edit = Edit::prepare(&location, &two_by_one()).unwrap();
        assert_eq!((edit.removed.len(), edit.added.len()), (0, 4));
        edit.write().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), KEYS);
        assert!(Edit::prepare(&location, &two_by_one()).unwrap().is_empty());

        fs::write(&path, "task = \"tensors\"\ninstances = 1\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let edit = Edit::prepare(&location, &two_by_one()).unwrap();
        assert_eq!(edit.removed, ["instances = 1"]);
        edit.write().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn the_file_of_the_version_is_the_one_that_counts() {
        let folder = tempfile::tempdir().unwrap();
        let mut location = location(folder.path());
        location.version_folder = folder.path().join("2");
        let path = |location| Edit::prepare(location, &two_by_one()).unwrap().path;
        assert_eq!(path(&location), folder.path().join(FILE));
        fs::create_dir(&location.version_folder).unwrap();
        fs::write(location.version_folder.join(FILE), "").unwrap();
        assert_eq!(path(&location), folder.path().join("2").join(FILE));
    }

    #[test]
    fn what_cannot_be_written_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let location = location(folder.path());
        let broken = folder.path().join(FILE);
        fs::write(&broken, "instances = ").unwrap();
        assert!(Edit::prepare(&location, &two_by_one()).unwrap_err().contains("model.toml"));
        fs::remove_file(&broken).unwrap();

        let sums = format!("{}  ./{FILE}\n", "0".repeat(64));
        fs::write(folder.path().join(manifest::NAME), sums).unwrap();
        let error = Edit::prepare(&location, &two_by_one()).unwrap().write().unwrap_err();
        assert!(error.contains("SHA256SUMS lists it"), "{error}");
        assert!(!broken.exists());

        let mut edit = Edit::prepare(&location, &two_by_one()).unwrap();
        edit.path = folder.path().join("gone").join(FILE);
        assert!(edit.write().unwrap_err().contains("gone"));
    }
}
