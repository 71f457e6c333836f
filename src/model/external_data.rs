//! Tensors in files of their own: which files a network names, and that these lie in its folder.
//!
//! ONNX Runtime has checks of its own, which had gaps in several of its releases; these do not
//! depend on them. They look at the files once, at the load: whoever may write into the folder
//! later can still exchange what was checked, so the folder should be read-only for others.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use prost::Message as _;

use super::formats;

/// The files of external data that a network names, each once. All of them lie in the model's
/// folder, also once their links are followed, and none has a second name elsewhere.
///
/// # Errors
/// The network is no ONNX file, or it names a file that is missing or not its own.
pub fn files(network: &Path, model_folder: &Path) -> Result<Vec<PathBuf>, String> {
    // An ORT-format file holds all of its tensors.
    if formats::is_ort(network) {
        return Ok(Vec::new());
    }
    let folder = network.parent().unwrap_or(model_folder);
    let root = model_folder
        .canonicalize()
        .map_err(|error| format!("{}: {error}", model_folder.display()))?;
    let locations = locations(network)?;
    locations.iter().map(|location| own_file(location, folder, &root)).collect()
}

/// The file at `location`, relative to the network's folder.
fn own_file(location: &[u8], folder: &Path, root: &Path) -> Result<PathBuf, String> {
    let name = String::from_utf8_lossy(location);
    let refused = |reason: &str| Err(format!("external data `{}` {reason}", name.escape_debug()));
    let relative = Path::new(name.as_ref());
    let plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if location.is_empty() || std::str::from_utf8(location).is_err() {
        return refused("has no valid file name");
    }
    if !relative.components().all(plain) {
        return refused("is outside the model's folder: expected a path inside it");
    }
    let path = folder.join(relative);
    let (target, metadata) = match path.canonicalize().and_then(|t| Ok((t, path.metadata()?))) {
        Ok(found) => found,
        Err(error) => return refused(&format!("cannot be read: {error}")),
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
    Ok(path)
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
/// Messages inside each other; protobuf's own limit.
const MAX_DEPTH: usize = 100;
/// Bytes of one entry of external data, which holds a path or a number.
const MAX_ENTRY: u64 = 64 << 10;

/// Everything that any tensor of the file calls its location, whether it is used or not.
fn locations(network: &Path) -> Result<BTreeSet<Vec<u8>>, String> {
    let read = || {
        let file = File::open(network)?;
        let end = file.metadata()?.len();
        let reader = BufReader::with_capacity(64 << 10, file);
        let mut scan = Scan { reader, position: 0, locations: BTreeSet::new() };
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
    locations: BTreeSet<Vec<u8>>,
}

fn malformed(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what)
}

impl Scan {
    fn message(&mut self, message: Message, end: u64, depth: usize) -> std::io::Result<()> {
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
                    let inner = inner.ok_or_else(|| malformed("the file is cut off or damaged"))?;
                    match (message, message.field(number)) {
                        (_, Some(_)) if depth == 0 => {
                            return Err(malformed("graphs are nested too deeply"));
                        }
                        (_, Some(child)) => self.message(child, inner, depth - 1)?,
                        (Message::Tensor, None) if number == EXTERNAL_DATA => self.entry(length)?,
                        (_, None) => self.skip(length, end)?,
                    }
                }
                _ => return Err(malformed("a field of unknown type")),
            }
        }
        Ok(())
    }

    fn entry(&mut self, length: u64) -> std::io::Result<()> {
        if length > MAX_ENTRY {
            return Err(malformed("an entry of external data is too long"));
        }
        let mut bytes = vec![0; length as usize];
        self.reader.read_exact(&mut bytes)?;
        self.position += length;
        let entry = StringStringEntry::decode(bytes.as_slice())
            .map_err(|_| malformed("an entry of external data is damaged"))?;
        if entry.key == b"location" {
            self.locations.insert(entry.value);
        }
        Ok(())
    }

    fn varint(&mut self, end: u64) -> std::io::Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            if self.position == end {
                return Err(malformed("the file is cut off or damaged"));
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
        self.position = position.ok_or_else(|| malformed("the file is cut off or damaged"))?;
        // Never negative: a file is shorter than that.
        self.reader.seek_relative(length as i64)
    }
}
