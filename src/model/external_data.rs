//! Tensors in files of their own: which files a network names, and that these lie in its folder.
//!
//! ONNX Runtime has checks of its own, which had gaps in several of its releases; these do not
//! depend on them. They look at the files once, at the load: whoever may write into the folder
//! later can still exchange what was checked, so the folder should be read-only for others.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use prost::Message as _;

use super::formats;
use crate::impostor::{self, Expected};

/// A file of external data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// As the network has it.
    pub location: PathBuf,
    pub path: PathBuf,
}

/// The files of external data that a network names, each once. All of them lie in the model's
/// folder, also once their links are followed, and none has a second name elsewhere.
///
/// # Errors
/// The network is no ONNX file, or it names a file that is missing or not its own.
pub fn files(network: &Path, model_folder: &Path) -> Result<Vec<DataFile>, String> {
    // An ORT-format file holds all of its tensors.
    if formats::is_ort(network) {
        return Ok(Vec::new());
    }
    let folder = network.parent().unwrap_or(model_folder);
    let root = model_folder
        .canonicalize()
        .map_err(|error| format!("{}: {error}", model_folder.display()))?;
    let locations = locations(network)?;
    locations.iter().map(|(location, needed)| own_file(location, *needed, folder, &root)).collect()
}

/// The file at `location`, relative to the network's folder, of which the first `needed` bytes are used.
fn own_file(location: &[u8], needed: u64, folder: &Path, root: &Path) -> Result<DataFile, String> {
    let name = String::from_utf8_lossy(location);
    let refused = |reason: &str| Err(format!("external data `{}` {reason}", name.escape_debug()));
    let relative = Path::new(name.as_ref());
    let plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if location.is_empty() || std::str::from_utf8(location).is_err() {
        return refused("has no valid file name");
    }
    // ONNX Runtime's marks of tensors in its own memory, `*/_ORT_MEM_ADDR_/*` and one like it.
    if name.starts_with("*/") {
        return refused("is an address in memory: expected a file in the model's folder");
    }
    if !relative.components().all(plain) {
        return refused("is outside the model's folder: expected a path inside it");
    }
    let path = folder.join(relative);
    let (target, metadata) = match path.canonicalize().and_then(|t| Ok((t, path.metadata()?))) {
        Ok(found) => found,
        Err(error) => return refused(&impostor::unreadable(&path, &error)),
    };
    if !target.starts_with(root) {
        return refused("is a link that leaves the model's folder: put the file itself there");
    }
    if !metadata.is_file() {
        return refused("is not a file");
    }
    if metadata.nlink() > 1 {
        return refused(&format!(
            "has {} hard links, so it may be another's file: put a copy in its place",
            metadata.nlink()
        ));
    }
    if let Some(told) = impostor::told(&path, Expected::Bytes).filter(|_| needed > 0) {
        return refused(&told);
    }
    if metadata.len() < needed {
        return refused(&format!(
            "is cut off: it has {} bytes, and the network takes {needed}; copy or download it again",
            metadata.len()
        ));
    }
    Ok(DataFile { location: relative.to_owned(), path })
}

/// An entry of `TensorProto.external_data`.
#[derive(prost::Message)]
struct StringStringEntry {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// The messages of `onnx.proto` that tensors may be inside.
#[derive(Clone, Copy)]
enum Message {
    Model,
    TrainingInfo,
    Function,
    Graph,
    Node,
    Attribute,
    SparseTensor,
    Tensor,
}

impl Message {
    /// What a field holds, if a tensor may be inside. The numbers are those of `onnx.proto`.
    fn field(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Model, 7) | (Self::TrainingInfo, 1 | 2) | (Self::Attribute, 6 | 11) => {
                Self::Graph
            }
            (Self::Model, 20) => Self::TrainingInfo,
            (Self::Model, 25) => Self::Function,
            (Self::Function, 7) | (Self::Graph, 1) => Self::Node,
            (Self::Function, 11) | (Self::Node, 5) => Self::Attribute,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::SparseTensor, 1 | 2) => {
                Self::Tensor
            }
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::SparseTensor,
            _ => return None,
        })
    }
}

/// `TensorProto.external_data`
const EXTERNAL_DATA: u64 = 13;
const CUT_OFF: &str =
    "the file is cut off or damaged, as after a copy or a download that did not end";
/// Messages inside each other; protobuf's own limit.
const MAX_DEPTH: usize = 100;
/// Bytes of one entry of external data, which holds a path or a number.
const MAX_ENTRY: u64 = 64 << 10;

/// Everything that any tensor of the file calls its location, whether it is used or not, and how many
/// bytes of it are taken.
fn locations(network: &Path) -> Result<BTreeMap<Vec<u8>, u64>, String> {
    let read = || {
        let file = File::open(network)?;
        let end = file.metadata()?.len();
        let reader = BufReader::with_capacity(64 << 10, file);
        let mut scan = Scan { reader, position: 0, locations: BTreeMap::new() };
        scan.message(Message::Model, end, MAX_DEPTH)?;
        Ok(scan.locations)
    };
    read().map_err(|error: std::io::Error| {
        let name = network.file_name().unwrap_or_default().to_string_lossy();
        format!("{name} cannot be read as ONNX: {error}")
    })
}

/// Walks through a file by the lengths in it. Weights are stepped over and never in memory.
struct Scan {
    reader: BufReader<File>,
    position: u64,
    locations: BTreeMap<Vec<u8>, u64>,
}

/// The external data of one tensor, entry by entry.
#[derive(Default)]
struct External {
    locations: Vec<Vec<u8>>,
    offset: u64,
    length: u64,
}

fn malformed(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what)
}

impl Scan {
    fn message(&mut self, message: Message, end: u64, depth: usize) -> std::io::Result<()> {
        let mut external = External::default();
        while self.position < end {
            let key = self.varint(end)?;
            let number = key >> 3;
            if number == 0 || key > u64::from(u32::MAX) {
                return Err(malformed("a field without a number"));
            }
            // Wire types. Groups, 3 and 4, are in no version of ONNX.
            match key & 7 {
                0 => {
                    self.varint(end)?;
                }
                1 => self.skip(8, end)?,
                5 => self.skip(4, end)?,
                2 => {
                    let length = self.varint(end)?;
                    let inner = self.position.checked_add(length).filter(|inner| *inner <= end);
                    let inner = inner.ok_or_else(|| malformed(CUT_OFF))?;
                    match (message, message.field(number)) {
                        (_, Some(_)) if depth == 0 => {
                            return Err(malformed("graphs are nested too deeply"));
                        }
                        (_, Some(child)) => self.message(child, inner, depth - 1)?,
                        (Message::Tensor, None) if number == EXTERNAL_DATA => {
                            self.entry(length, &mut external)?;
                        }
                        (_, None) => self.skip(length, end)?,
                    }
                }
                _ => return Err(malformed("a field of unknown type")),
            }
        }
        let External { locations, offset, length } = external;
        for location in locations {
            let needed = self.locations.entry(location).or_default();
            *needed = (*needed).max(offset.saturating_add(length));
        }
        Ok(())
    }

    fn entry(&mut self, length: u64, external: &mut External) -> std::io::Result<()> {
        if length > MAX_ENTRY {
            return Err(malformed("an entry of external data is too long"));
        }
        let mut bytes = vec![0; length as usize];
        self.reader.read_exact(&mut bytes)?;
        self.position += length;
        let entry = StringStringEntry::decode(bytes.as_slice())
            .map_err(|_| malformed("an entry of external data is damaged"))?;
        // What is no number, ONNX Runtime refuses.
        let number = || std::str::from_utf8(&entry.value).ok()?.parse().ok();
        match entry.key.as_slice() {
            b"location" => external.locations.push(entry.value),
            b"offset" => external.offset = number().unwrap_or(0),
            b"length" => external.length = number().unwrap_or(0),
            _ => {}
        }
        Ok(())
    }

    fn varint(&mut self, end: u64) -> std::io::Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            if self.position == end {
                return Err(malformed(CUT_OFF));
            }
            let mut byte = [0];
            self.reader.read_exact(&mut byte)?;
            self.position += 1;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        Err(malformed("a number is too long"))
    }

    fn skip(&mut self, length: u64, end: u64) -> std::io::Result<()> {
        let position = self.position.checked_add(length).filter(|position| *position <= end);
        self.position = position.ok_or_else(|| malformed(CUT_OFF))?;
        // Never negative: a file is shorter than that.
        self.reader.seek_relative(length as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field with a message, a string or bytes.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut varint = |mut value: usize| {
            while value >= 0x80 {
                bytes.push(value as u8 | 0x80);
                value >>= 7;
            }
            bytes.push(value as u8);
        };
        varint((usize::from(number) << 3) | 2);
        varint(content.len());
        bytes.extend_from_slice(content);
        bytes
    }

    /// A tensor with weights of its own, too, and a location.
    fn tensor(location: &str) -> Vec<u8> {
        let entry = [field(1, b"location"), field(2, location.as_bytes())].concat();
        let length = [field(1, b"length"), field(2, b"4")].concat();
        let weights = field(9, &[0xff; 300]);
        [vec![0x70, 1], weights, field(13, &length), field(13, &entry)].concat()
    }

    fn found(model: &[u8]) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        std::fs::write(&path, model).unwrap();
        let found = locations(&path)?;
        Ok(found.into_keys().map(|name| String::from_utf8(name).unwrap()).collect())
    }

    /// `content` inside messages, the innermost field first.
    fn inside(content: Vec<u8>, fields: &[u8]) -> Vec<u8> {
        fields.iter().fold(content, |content, number| field(*number, &content))
    }

    #[test]
    fn a_location_is_found_wherever_a_tensor_may_be() {
        let paths: [&[u8]; 13] = [
            &[5, 7],
            // Values and indices of a sparse initializer.
            &[1, 15, 7],
            &[2, 15, 7],
            // A node's attributes: t, tensors, sparse_tensor, sparse_tensors.
            &[5, 5, 1, 7],
            &[10, 5, 1, 7],
            &[1, 22, 5, 1, 7],
            &[2, 23, 5, 1, 7],
            // Within graphs of an If, two deep, and in graphs.
            &[5, 6, 5, 1, 6, 5, 1, 7],
            &[5, 11, 5, 1, 7],
            // A function's nodes and the defaults of its attributes.
            &[5, 5, 7, 25],
            &[5, 11, 25],
            // Training: initialization and algorithm.
            &[5, 1, 20],
            &[5, 2, 20],
        ];
        for path in paths {
            let model = inside(tensor("some.data"), path);
            assert_eq!(found(&model), Ok(vec!["some.data".to_owned()]), "{path:?}");
        }
    }

    #[test]
    fn all_locations_are_told_once() {
        let graph = [field(5, &tensor("a")), field(5, &tensor("b")), field(5, &tensor("a"))];
        let model = [inside(graph.concat(), &[7]), inside(tensor("c"), &[5, 7])].concat();
        assert_eq!(found(&model), Ok(["a", "b", "c"].map(str::to_owned).to_vec()));
        // What is no tensor's field is no location.
        assert_eq!(found(&inside(tensor("a"), &[2, 7])), Ok(Vec::new()));
    }

    #[test]
    fn an_address_in_memory_and_a_bad_name_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let marked = root.join("*/_ORT_MEM_ADDR_");
        std::fs::create_dir_all(&marked).unwrap();
        std::fs::write(marked.join("*"), "").unwrap();
        let told = |name: &[u8]| own_file(name, 0, &root, &root).unwrap_err();
        assert!(told(b"*/_ORT_MEM_ADDR_/*").contains("address in memory"));
        assert!(told(b"").contains("no valid file name"));
        assert!(told(b"a\xff").contains("no valid file name"));
        assert!(told(b"a\0b").contains("cannot be read"));
    }

    #[test]
    fn a_file_that_is_cut_off_or_stands_for_another_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let told = |content: &[u8]| {
            std::fs::write(root.join("w.data"), content).unwrap();
            own_file(b"w.data", 200, &root, &root)
        };
        assert!(told(&[7; 200]).is_ok());
        let short = told(&[7; 199]).unwrap_err();
        assert!(
            short.contains("is cut off: it has 199 bytes, and the network takes 200"),
            "{short}"
        );
        let pointer =
            told(b"version https://git-lfs.github.com/spec/v1\nsize 5000000\n").unwrap_err();
        assert!(pointer.contains("`w.data` is a Git LFS pointer of a file of 5.0 MB"), "{pointer}");
        assert!(told(b"").unwrap_err().contains("is empty"));
    }

    #[test]
    fn damaged_files_are_refused() {
        let model = inside(tensor("a"), &[5, 7]);
        for end in 1..model.len() {
            assert!(found(&model[..end]).is_err(), "cut off at {end}");
        }
        let deep: Vec<u8> = [6, 5, 1].repeat(60);
        let deep = inside(tensor("a"), &[&[5], deep.as_slice(), &[7]].concat());
        let told = found(&deep).unwrap_err();
        assert!(told.contains("nested too deeply"), "{told}");
        assert!(found(&[0x0b]).unwrap_err().contains("unknown type"));
        assert!(found(&[0xff; 20]).unwrap_err().contains("too long"));
    }
}
