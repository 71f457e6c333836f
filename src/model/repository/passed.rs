//! What in a models folder is no model, and why.

use std::path::{Path, PathBuf};

use crate::model::network_file::Contents;

/// A file or folder that is passed over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Passed {
    pub path: PathBuf,
    pub reason: String,
    /// Somebody may have meant it to be served.
    pub is_likely: bool,
}

/// Names that are told of a folder's content.
const MOST_NAMES: usize = 4;
/// Lines of a message.
const MOST: usize = 10;

impl Passed {
    pub fn new(path: &Path, reason: String, is_likely: bool) -> Self {
        Self { path: path.to_owned(), reason, is_likely }
    }

    pub fn log(&self) {
        let Self { path, reason, is_likely } = self;
        match is_likely {
            true => tracing::warn!("{} is passed over: {reason}", path.display()),
            false => tracing::info!("{} is passed over: {reason}", path.display()),
        }
    }
}

/// A line for each, as the end of a message.
pub fn lines(passed: &[Passed]) -> String {
    let line = |Passed { path, reason, .. }: &Passed| format!("\n  {}: {reason}", path.display());
    let mut lines: String = passed.iter().take(MOST).map(line).collect();
    if passed.len() > MOST {
        lines.push_str(&format!("\n  and {} more", passed.len() - MOST));
    }
    lines
}

/// A file in the models folder: a network there is meant to be served.
pub fn file(file: &Path, models: &Path) -> Option<Passed> {
    let ending = file.extension()?;
    if !["onnx", "ort"].iter().any(|known| ending.eq_ignore_ascii_case(known)) {
        return None;
    }
    let stem = file.file_stem()?.to_string_lossy();
    let ending = ending.to_string_lossy().to_lowercase();
    let models = models.display();
    let reason = match stem.as_ref() {
        "model" => format!(
            "a model has a folder of its own, {models}/NAME/model.{ending}; if {models} is that \
             folder, serve the one that it is in"
        ),
        _ => format!("a model has a folder of its own: {models}/{stem}/model.{ending}"),
    };
    Some(Passed::new(file, reason, true))
}

/// Whether somebody may have meant a folder of this name as a version: `v1`, `1.0`, `01`, `version-2`.
pub fn is_like_a_version(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let rest = lower.strip_prefix("version").or(lower.strip_prefix('v')).unwrap_or(&lower);
    let number = rest.trim_start_matches(['-', '_', '.', '+']);
    number.starts_with(|c: char| c.is_ascii_digit())
        && number.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '_'))
}

/// A folder that is like a version's and holds a model.
pub fn version(folder: &Path) -> Option<Passed> {
    let digits = |c: char| c.is_ascii_digit();
    let name = folder.file_name()?.to_string_lossy();
    let number: String =
        name.trim_start_matches(|c| !digits(c)).chars().take_while(|c| digits(*c)).collect();
    let number: u64 = number.parse().unwrap_or(1);
    let reason = format!("a version's folder is a number, such as {number}");
    (Contents::of(folder) != Contents::Nothing).then(|| Passed::new(folder, reason, true))
}

/// A folder without a model: what it holds instead. `versions` are those of its folders that are like
/// versions.
pub fn folder(folder: &Path, versions: Vec<Passed>) -> Passed {
    if let Some(Passed { path, reason, .. }) = versions.first() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let reason =
            format!("it holds no model itself, and its folder {name} is passed over: {reason}");
        return Passed::new(folder, reason, true);
    }
    let (mut files, mut with_models, mut folders) = (Vec::new(), Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        match path.is_dir() {
            // A few are enough to know what this is.
            true if with_models.len() < MOST_NAMES && Contents::of(&path) == Contents::Model => {
                with_models.push(name);
            }
            true => folders.push(name),
            false => files.push(name),
        }
    }
    if !with_models.is_empty() {
        let (names, is_are) =
            (list(with_models), "a model's folder lies in the models folder itself");
        let reason = format!(
            "it holds no model itself, but {names} in it does: {is_are}; move it up, or serve {}",
            folder.display()
        );
        return Passed::new(folder, reason, true);
    }
    files.extend(folders.into_iter().map(|name| format!("{name}/")));
    let reason = match files.is_empty() {
        true => "it is empty".to_owned(),
        false => format!("it holds no model of a known format, only {}", list(files)),
    };
    Passed::new(folder, reason, false)
}

/// `a, b, c and 5 more`
fn list(mut names: Vec<String>) -> String {
    names.sort();
    let more = names.len().saturating_sub(MOST_NAMES);
    names.truncate(MOST_NAMES);
    let names = names.join(", ");
    if more > 0 { format!("{names} and {more} more") } else { names }
}

#[cfg(test)]
mod tests {
    use super::super::scan::scan;

    #[test]
    fn whatever_is_no_model_is_passed_over_with_a_reason() {
        let models = tempfile::tempdir().unwrap();
        let write = |file: &str| {
            let path = models.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"\x08\x08").unwrap();
        };
        for file in [
            "bert/v1/model.onnx",
            "gpt/1/model.onnx",
            "gpt/2.0/model.onnx",
            "notes/README.md",
            "org/a/model.onnx",
            "resnet.onnx",
            "LICENSE",
            "t5/encoder_model.onnx",
            "t5/decoder_model.onnx",
            ".git/model.onnx",
            "xenova/onnx/model_quantized.onnx",
        ] {
            write(file);
        }
        std::fs::create_dir(models.path().join("empty")).unwrap();
        let scan = scan(models.path()).unwrap();
        let found: Vec<_> = scan.found.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(found, ["gpt", "xenova"]);
        let told: Vec<String> = scan
            .passed
            .iter()
            .map(|passed| {
                let path = passed.path.strip_prefix(models.path()).unwrap().display();
                format!("{path}: {}", passed.reason)
            })
            .collect();
        let expected = [
            ("bert: ", "its folder v1 is passed over: a version's folder is a number, such as 1"),
            ("empty: ", "it is empty"),
            ("gpt/2.0: ", "a version's folder is a number, such as 2"),
            ("notes: ", "only README.md"),
            ("org: ", "but a in it does"),
            ("resnet.onnx: ", "/resnet/model.onnx"),
            ("t5: ", "an encoder and a decoder, which generate text together"),
        ];
        assert_eq!(told.len(), expected.len(), "{told:?}");
        for (told, (start, part)) in told.iter().zip(expected) {
            assert!(told.starts_with(start) && told.contains(part), "{told}");
        }
    }

    #[test]
    fn names_that_are_like_versions() {
        for name in ["v1", "V2", "1.0", "01", "+1", "version1", "version-2", "v1.2.3", "2024-01-01"]
        {
            assert!(super::is_like_a_version(name), "{name}");
        }
        for name in ["onnx", "v", "1_Pooling", "vision", "b7", "v1-large", ""] {
            assert!(!super::is_like_a_version(name), "{name}");
        }
    }
}
