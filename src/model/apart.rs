//! A network whose weights are moved into a file beside it.
//!
//! ONNX Runtime reads a network as a whole before it takes weights out of it, so that these are in memory
//! twice. A file beside it is mapped.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use bytes::{Buf as _, BufMut as _};
use prost::encoding::{self, encode_varint};

use crate::onnx::{FileBuf, Property};

const NETWORK: &str = "network.onnx";
const DATA: &str = "network.data";
/// Bytes from which on the elements of a tensor are moved.
const LARGE: u64 = 4096;
/// Bytes into which the places of large tensors divide, so that each begins a page.
const PAGE: u64 = 4096;

/// Writes it into `folder`, piece by piece.
///
/// # Errors
/// The network cannot be read or is no ONNX, or the files cannot be written.
pub fn write(network: &Path, folder: &Path) -> io::Result<PathBuf> {
    let mut copy = Copy {
        from: FileBuf::open(network)?,
        data: BufWriter::with_capacity(1 << 20, File::create(folder.join(DATA))?),
        written: 0,
    };
    let model = copy.message(Message::Model, 0)?;
    copy.data.flush()?;
    let path = folder.join(NETWORK);
    std::fs::write(&path, model)?;
    Ok(path)
}

/// The messages on the way to a tensor of weights.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Graph,
    Tensor,
}

impl Message {
    /// What a field holds; the numbers are those of `onnx.proto`.
    fn field(self, number: u64) -> Option<Self> {
        match (self, number) {
            (Self::Model, 7) => Some(Self::Graph),
            (Self::Graph, 5) => Some(Self::Tensor),
            _ => None,
        }
    }
}

/// `TensorProto.raw_data`
const RAW_DATA: u64 = 9;

struct Copy {
    from: FileBuf,
    data: BufWriter<File>,
    written: u64,
}

impl Copy {
    /// A message as it is without what is moved. So many bytes follow it.
    fn message(&mut self, message: Message, after: usize) -> io::Result<Vec<u8>> {
        let (mut out, mut moved) = (Vec::new(), Vec::new());
        while self.from.remaining() > after {
            let key = self.varint()?;
            let mut keep = |bytes: &[u8]| {
                encode_varint(key, &mut out);
                out.extend_from_slice(bytes);
            };
            match key & 7 {
                0 => {
                    let mut value = Vec::new();
                    encode_varint(self.varint()?, &mut value);
                    keep(&value);
                }
                1 => keep(&self.bytes(8)?),
                5 => keep(&self.bytes(4)?),
                2 => {
                    let length = self.varint()?;
                    let left = self.from.remaining() as u64;
                    let rest = left.checked_sub(length).filter(|rest| *rest >= after as u64);
                    let rest = rest.ok_or(io::ErrorKind::UnexpectedEof)? as usize;
                    let bytes = match message.field(key >> 3) {
                        Some(child) => self.message(child, rest)?,
                        None if message == Message::Tensor
                            && key >> 3 == RAW_DATA
                            && length >= LARGE =>
                        {
                            moved.push(self.move_away(length)?);
                            continue;
                        }
                        None => self.bytes(length)?,
                    };
                    let mut whole = Vec::with_capacity(bytes.len() + 10);
                    encode_varint(bytes.len() as u64, &mut whole);
                    whole.extend_from_slice(&bytes);
                    keep(&whole);
                }
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        if let Some((offset, length)) = moved.pop() {
            let entry = |key: &str, value: String| Property { key: key.into(), value };
            let external_data = vec![
                entry("location", DATA.into()),
                entry("offset", offset.to_string()),
                entry("length", length.to_string()),
            ];
            // `external_data` and `data_location`; fields of a message may follow in any order.
            encoding::message::encode_repeated(13, &external_data, &mut out);
            encoding::int32::encode(14, &1, &mut out);
        }
        Ok(out)
    }

    /// Where so many bytes lie now.
    fn move_away(&mut self, length: u64) -> io::Result<(u64, u64)> {
        let start = self.written.next_multiple_of(PAGE);
        io::copy(&mut io::repeat(0).take(start - self.written), &mut self.data)?;
        let mut elements = (&mut self.from).take(length as usize).reader();
        if io::copy(&mut elements, &mut self.data)? < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.written = start + length;
        Ok((start, length))
    }

    fn bytes(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // By what comes and not by what is announced.
        bytes.put((&mut self.from).take(length as usize));
        if bytes.len() as u64 == length {
            Ok(bytes)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    fn varint(&mut self) -> io::Result<u64> {
        encoding::decode_varint(&mut self.from).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::onnx::{self, GraphProto, ModelProto, NodeProto, TensorProto};

    #[test]
    fn large_weights_are_moved_and_all_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let tensor = |name: &str, bytes: usize| TensorProto {
            name: name.into(),
            dims: vec![bytes as i64],
            data_type: 2,
            raw_data: (0..bytes).map(|at| (at % 251) as u8).collect(),
            ..Default::default()
        };
        let graph = GraphProto {
            name: "net".into(),
            initializer: vec![tensor("small", 10), tensor("one", 5000), tensor("two", 60_000)],
            node: vec![NodeProto { op_type: "Add".into(), ..Default::default() }],
            ..Default::default()
        };
        let model = ModelProto { ir_version: 8, graph: Some(graph), ..Default::default() };
        let path = folder.path().join("model.onnx");
        std::fs::write(&path, model.encode_to_vec()).unwrap();
        let written = write(&path, folder.path()).unwrap();
        let mut apart = onnx::read(&written).unwrap();
        let data = std::fs::read(folder.path().join(DATA)).unwrap();
        for tensor in &mut apart.graph.as_mut().unwrap().initializer {
            if tensor.data_location == 1 {
                let number = |at: usize| tensor.external_data[at].value.parse::<usize>().unwrap();
                let (offset, length) = (number(1), number(2));
                assert_eq!(offset % PAGE as usize, 0);
                tensor.raw_data = data[offset..offset + length].to_vec();
                (tensor.data_location, tensor.external_data) = (0, Vec::new());
            }
        }
        assert_eq!(apart, model);
        assert!(written.metadata().unwrap().len() < 1000);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
        assert!(write(&path, folder.path()).is_err(), "cut off");
    }
}
