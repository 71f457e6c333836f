//! Files that are not what their names say: pointers of Git LFS, answers of a web server that were saved in a
//! file's place, archives, and networks of other formats.
//!
//! Only a file's first bytes are read.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes that are looked at.
const START: usize = 1024;
/// An answer of a server is no longer than that.
const SHORT: u64 = 64 << 10;

/// What a file's content may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A network as ONNX or in ORT's own format.
    Network,
    /// Any bytes: weights, an image.
    Bytes,
    /// JSON or lines of text.
    Text,
}

/// What is wrong with the file, as a part of a sentence that begins with its name: `is empty`. None if
/// it may be what is expected.
#[must_use]
pub fn told(path: &Path, expected: Expected) -> Option<String> {
    let read = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut start = Vec::with_capacity(START);
        file.by_ref().take(START as u64).read_to_end(&mut start)?;
        Ok((start, length))
    };
    match read() {
        Ok((start, length)) => told_of(&start, length, expected),
        Err(error) => Some(unreadable(path, &error)),
    }
}

/// The same of a file's first bytes and its length.
#[must_use]
pub fn told_of(start: &[u8], length: u64, expected: Expected) -> Option<String> {
    let start = &start[..start.len().min(START)];
    if length == 0 {
        return (expected != Expected::Text).then(|| "is empty".to_owned());
    }
    if let Some(pointer) = pointer(start) {
        return Some(pointer);
    }
    if length <= SHORT
        && let Some(answer) = answer(start, expected)
    {
        return Some(answer);
    }
    if expected != Expected::Network {
        return None;
    }
    if let Some(format) = other_format(start) {
        return Some(format);
    }
    let text = std::str::from_utf8(start).ok()?;
    // Protocol buffers have control characters from the first byte on.
    let is_text = text.chars().all(|c| !c.is_control() || c.is_whitespace());
    is_text.then(|| format!("is text and no network: it starts with {:?}", excerpt(text)))
}

/// Why a file that begins so holds no lines of text.
#[must_use]
pub fn no_lines(start: &[u8]) -> Option<String> {
    let start = &start[..start.len().min(START)];
    let is_other = || {
        let formats: [(&[u8], &str); 2] =
            [(b"PAR1", "a Parquet file"), (b"\x89HDF", "a file of HDF5")];
        let format = formats.iter().find(|(bytes, _)| start.starts_with(bytes));
        format.map(|(_, what)| format!("is {what}: expected lines of text"))
    };
    // A text may well say what a server's answer does.
    pointer(start).or_else(|| archive(start)).or_else(is_other)
}

/// Why a file or a folder cannot be read: where rights are missing, whose it is and who asks.
#[must_use]
pub fn unreadable(path: &Path, error: &io::Error) -> String {
    if error.kind() != ErrorKind::PermissionDenied {
        return format!("cannot be read: {error}");
    }
    let asks = std::fs::metadata("/proc/self").map_or_else(
        |_| "this process".to_owned(),
        |own| format!("this process, which runs as user {} and group {},", own.uid(), own.gid()),
    );
    match path.metadata() {
        Ok(data) => format!("cannot be read: {asks} has no right to it ({})", rights(&data)),
        // Then the folder is what keeps it out.
        Err(_) => {
            let folder = path.parent().unwrap_or(path);
            let of = folder.metadata().map(|data| format!(" ({})", rights(&data)));
            let of = of.unwrap_or_default();
            format!("cannot be read: {asks} has no right to its folder {}{of}", folder.display())
        }
    }
}

fn rights(data: &Metadata) -> String {
    format!("mode {:04o}, of user {} and group {}", data.mode() & 0o7777, data.uid(), data.gid())
}

/// A file that stands for another one, which a tool has still to fetch.
fn pointer(start: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    // The second is what Git LFS was called before.
    let lfs =
        ["version https://git-lfs.github.com/spec/", "version https://hawser.github.com/spec/"];
    if lfs.iter().any(|first| text.starts_with(first)) {
        let size = text.lines().find_map(|line| line.strip_prefix("size ")?.trim().parse().ok());
        let of = size.map(|size| format!(" of a file of {}", bytes(size))).unwrap_or_default();
        return Some(format!("is a Git LFS pointer{of}: run `git lfs pull`"));
    }
    if text.starts_with("# xet version") {
        return Some(
            "is a pointer of Xet: run `git xet checkout`, or download the file".to_owned(),
        );
    }
    let is_annex = text.lines().next()?.contains("/annex/objects/");
    is_annex.then(|| "is a pointer of git-annex: run `git annex get`".to_owned())
}

/// What a server says instead of giving the file.
fn answer(start: &[u8], expected: Expected) -> Option<String> {
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start_matches('\u{feff}').trim();
    let lower: String = text.chars().take(200).collect::<String>().to_ascii_lowercase();
    let again = "download the file again";
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        let page = match within(text, "<title>", "</title>") {
            Some(title) => format!("is an HTML page ({:?})", excerpt(title)),
            None => "is an HTML page".to_owned(),
        };
        return Some(format!("{page}, as a server gives for an error or a login: {again}"));
    }
    if lower.starts_with("<?xml") || lower.starts_with("<error>") {
        let code =
            within(text, "<Code>", "</Code>").or_else(|| within(text, "<Message>", "</Message>"));
        let code = code.filter(|_| text.contains("<Error>"))?;
        return Some(format!("is an error of a storage service ({:?}): {again}", excerpt(code)));
    }
    if lower.starts_with('{') {
        // Only what is nothing but an error: a configuration may well have such a key among others.
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
        let said = ["error", "message", "detail", "Message"]
            .iter()
            .find_map(|key| object.get(*key)?.as_str())?;
        let is_answer = object.len() <= 4 && !object.values().any(serde_json::Value::is_array);
        return is_answer
            .then(|| format!("is an error message in JSON ({:?}): {again}", excerpt(said)));
    }
    is_said(&lower, expected).then(|| format!("is an error message ({:?}): {again}", excerpt(text)))
}

/// Whether a server says this, in small letters, where a file is missing or not for everybody.
fn is_said(text: &str, expected: Expected) -> bool {
    // And whether a text of one line that says so is surely a server's.
    const SAID: [(&str, bool); 9] = [
        ("entry not found", true),
        ("repository not found", true),
        ("404: not found", true),
        ("404 not found", true),
        ("invalid username or password", true),
        ("invalid credentials", false),
        ("file not found", false),
        ("not found", false),
        ("access denied", false),
    ];
    let is_restricted = text.starts_with("access to model ") && text.contains("restricted");
    is_restricted
        || SAID.iter().any(|(said, is_sure)| match expected {
            Expected::Text => *is_sure && text == *said,
            Expected::Network | Expected::Bytes => text.starts_with(said),
        })
}

/// Files in a file, or one that is compressed.
fn archive(start: &[u8]) -> Option<String> {
    const ARCHIVES: [(usize, &[u8], &str); 8] = [
        (0, b"PK\x03\x04", "a ZIP archive"),
        (0, b"\x1f\x8b", "compressed by gzip"),
        (0, b"BZh", "compressed by bzip2"),
        (0, b"\xfd7zXZ\0", "compressed by xz"),
        (0, b"\x28\xb5\x2f\xfd", "compressed by zstd"),
        (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (0, b"Rar!\x1a\x07", "a RAR archive"),
        (257, b"ustar", "a tar archive"),
    ];
    let at =
        |place: usize, bytes: &[u8]| start.get(place..).is_some_and(|rest| rest.starts_with(bytes));
    let (.., what) = ARCHIVES.iter().find(|(place, bytes, _)| at(*place, bytes))?;
    Some(format!("is {what}: unpack it"))
}

/// A format that is no ONNX, told by its first bytes.
fn other_format(start: &[u8]) -> Option<String> {
    let has = |bytes: &[u8]| memchr::memmem::find(start, bytes).is_some();
    let at =
        |place: usize, bytes: &[u8]| start.get(place..).is_some_and(|rest| rest.starts_with(bytes));
    let convert = "export it as ONNX (docs/models.md, \"From other formats\")";
    if at(0, b"PK\x03\x04") && has(b"data.pkl") {
        return Some(format!("is a file of PyTorch (torch.save): {convert}"));
    }
    if at(0, b"PK\x03\x04") && (has(b"model.weights.h5") || has(b"metadata.json")) {
        return Some(format!("is a model of Keras: {convert}"));
    }
    if let Some(archive) = archive(start) {
        return Some(archive);
    }
    if at(4, b"ORTM") {
        return Some("is in ORT's own format, of which the name has to end in .ort".to_owned());
    }
    let is_safetensors = at(8, b"{\"") && start.get(3..8) == Some(&[0; 5]);
    let is_pickle = matches!(start, [0x80, 2..=5, ..]);
    // A node of TensorFlow's graph: `name` and `op` in the first field, in which ONNX has a number.
    let is_graph_def = start.first() == Some(&0x0a)
        && (has(b"Placeholder") || has(b"Const") || has(b"VarHandleOp"));
    // The schema's version, then the first of its graphs, which knows tags.
    let is_saved_model = at(0, b"\x08\x01\x12") && has(b"serve");
    let formats = [
        (is_safetensors, "weights as safetensors, without a network"),
        (is_pickle, "a pickled Python object"),
        (at(0, b"\x89HDF\r\n\x1a\n"), "a file of HDF5, as Keras writes it"),
        (at(4, b"TFL3"), "a model of TensorFlow Lite"),
        (at(0, b"GGUF"), "a file of GGUF (llama.cpp)"),
        (is_graph_def, "a graph of TensorFlow"),
        (is_saved_model, "a SavedModel of TensorFlow"),
    ];
    let format = formats.iter().find(|(is, _)| *is)?.1;
    Some(format!("is {format}: {convert}"))
}

/// What is between two marks.
fn within<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(open)?;
    rest.split_once(close).map(|(inside, _)| inside.trim())
}

/// Enough of a text to know it again.
fn excerpt(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(60).filter(|c| !c.is_control()).collect()
}

/// `118 MB`
#[must_use]
pub fn bytes(count: u64) -> String {
    let number = count as f64;
    match number {
        ..1e3 => format!("{count} bytes"),
        ..1e6 => format!("{:.0} kB", number / 1e3),
        ..1e7 => format!("{:.1} MB", number / 1e6),
        ..1e9 => format!("{:.0} MB", number / 1e6),
        _ => format!("{:.1} GB", number / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(bytes: &[u8]) -> Option<String> {
        told_of(bytes, bytes.len() as u64, Expected::Network)
    }

    #[test]
    fn what_stands_in_a_files_place_is_named_with_what_to_do() {
        let pointer =
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 118012345\n";
        for expected in [Expected::Network, Expected::Bytes, Expected::Text] {
            let told = told_of(pointer, pointer.len() as u64, expected).unwrap();
            assert_eq!(told, "is a Git LFS pointer of a file of 118 MB: run `git lfs pull`");
            let page = b"\n<!DOCTYPE html><html><head><title>Sign in</title>";
            let told = told_of(page, 5000, expected).unwrap();
            assert!(told.contains("HTML page (\"Sign in\")"), "{told}");
            let denied = b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>";
            assert!(told_of(denied, 61, expected).unwrap().contains("AccessDenied"));
            let json = b"{\"error\":\"Repository not found\"}";
            assert!(told_of(json, 32, expected).unwrap().contains("Repository not found"));
            assert!(told_of(b"Entry not found", 15, expected).unwrap().contains("error message"));
        }
        assert_eq!(network(b"").unwrap(), "is empty");
    }

    #[test]
    fn other_formats_and_archives_are_named() {
        let tar = [vec![b'x'; 257], b"ustar\0".to_vec(), vec![0; 300]].concat();
        let cases: [(&[u8], &str); 11] = [
            (b"PK\x03\x04\0\0\0\0archive/data.pkl\0", "PyTorch"),
            (b"PK\x03\x04\0\0\0\0model.onnx\0", "ZIP"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (&tar, "tar"),
            (b"\x40\0\0\0\0\0\0\0{\"w\":{\"dtype\":\"F32\"", "safetensors"),
            (b"\x80\x02}q\0", "pickled"),
            (b"\x89HDF\r\n\x1a\n\0", "HDF5"),
            (b"\x1c\0\0\0TFL3\0\0", "TensorFlow Lite"),
            (b"\x0a\x20\x0a\x01x\x12\x0bPlaceholder\x1a\0", "a graph of TensorFlow"),
            (b"\x08\x01\x12\x80\x10\x0a\x20\x12\x05serve", "SavedModel"),
            (b"import onnx\n", "is text"),
        ];
        for (start, name) in cases {
            let told = network(start).unwrap_or_else(|| panic!("{name}"));
            assert!(told.contains(name), "{told}");
            assert_eq!(told_of(start, start.len() as u64, Expected::Bytes), None, "{name}");
        }
    }

    #[test]
    fn what_may_be_what_it_says_is_left_alone() {
        assert_eq!(network(b"\x08\x08\x12\x07pytorch\x1a\x012:\x05\x0a\x03"), None);
        for text in
            ["", "not found\n", "Not found", "cat\ndog\n", "{\"error\": \"x\", \"id2label\": [1]}"]
        {
            assert_eq!(told_of(text.as_bytes(), text.len() as u64, Expected::Text), None, "{text}");
        }
    }

    #[test]
    fn a_missing_right_is_told_with_who_asks_and_whose_the_file_is() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let told = unreadable(file.path(), &ErrorKind::PermissionDenied.into());
        assert!(told.contains("runs as user") && told.contains("mode 0600, of user"), "{told}");
        let told = unreadable(Path::new("/none/of/these"), &ErrorKind::NotFound.into());
        assert!(told.starts_with("cannot be read: "), "{told}");
    }
}
