//! ONNX's own file format: what a network says of itself, without its weights.
//!
//! Only the fields that are looked at are listed; `prost` steps over the rest, and `FileBuf` makes a
//! step over weights a seek, so that a network of any size takes little memory. Field numbers are those
//! of `onnx.proto`. Files of external data and where they may lie: `model/external_data.rs`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{self, DecodeContext, WireType};
use prost::{DecodeError, Message};

#[derive(Clone, PartialEq, Message)]
pub struct ModelProto {
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    #[prost(string, tag = "2")]
    pub producer_name: String,
    #[prost(string, tag = "3")]
    pub producer_version: String,
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetId>,
    /// What an exporter writes beside the graph.
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<Property>,
    #[prost(message, repeated, tag = "25")]
    pub functions: Vec<FunctionProto>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Property {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct OperatorSetId {
    /// Empty: ONNX's own.
    #[prost(string, tag = "1")]
    pub domain: String,
    #[prost(int64, tag = "2")]
    pub version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct FunctionProto {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, repeated, tag = "4")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    pub output: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    pub node: Vec<NodeProto>,
    #[prost(string, tag = "10")]
    pub domain: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "15")]
    pub sparse_initializer: Vec<SparseTensorProto>,
}

#[derive(Clone, PartialEq, Message)]
pub struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, tag = "4")]
    pub op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    #[prost(string, tag = "7")]
    pub domain: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct AttributeProto {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int64, tag = "3")]
    pub i: i64,
    #[prost(bytes = "vec", tag = "4")]
    pub s: Vec<u8>,
    /// Of a `Constant`, for example.
    #[prost(message, optional, tag = "5")]
    pub t: Option<TensorProto>,
    /// Of an `If` or a `Loop`.
    #[prost(message, optional, tag = "6")]
    pub g: Option<GraphProto>,
    /// Weights of classical models, among others.
    #[prost(float, repeated, tag = "7")]
    pub floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub strings: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "11")]
    pub graphs: Vec<GraphProto>,
}

/// A tensor, with its elements only where these are few or are strings: a model's classes, not its weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TensorProto {
    pub dims: Vec<i64>,
    pub data_type: i32,
    pub float_data: Vec<f32>,
    pub int32_data: Vec<i32>,
    pub string_data: Vec<Vec<u8>>,
    pub int64_data: Vec<i64>,
    pub name: String,
    /// Elements in little-endian order, if there are at most `FEW_BYTES` of them.
    pub raw_data: Vec<u8>,
    /// `location`, `offset` and `length` of what is in a file of its own.
    pub external_data: Vec<Property>,
    /// 1: in a file of its own.
    pub data_location: i32,
}

/// Bytes of a tensor that are kept.
const FEW_BYTES: usize = 64 << 10;

impl TensorProto {
    /// The elements of an integer or boolean tensor, as far as they were kept; else none.
    #[must_use]
    pub fn integers(&self) -> Vec<i64> {
        fn raw<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> i64) -> Vec<i64> {
            bytes.as_chunks().0.iter().map(|bytes| read(*bytes)).collect()
        }
        match element_type(self.data_type) {
            Some(("INT64", _)) if self.int64_data.is_empty() => {
                raw(&self.raw_data, i64::from_le_bytes)
            }
            Some(("INT64", _)) => self.int64_data.clone(),
            Some(("INT32", _)) if self.int32_data.is_empty() => {
                raw(&self.raw_data, |bytes| i32::from_le_bytes(bytes).into())
            }
            Some(("BOOL" | "UINT8", _)) if self.int32_data.is_empty() => {
                raw(&self.raw_data, |[byte]| byte.into())
            }
            Some(("INT32" | "BOOL" | "UINT8", _)) => {
                self.int32_data.iter().map(|value| (*value).into()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Elements in one piece, as most files hold them.
    fn merge_elements(&mut self, tag: u32, mut bytes: Bytes) -> Result<(), DecodeError> {
        match tag {
            4 => {
                self.float_data
                    .extend(bytes.as_chunks().0.iter().map(|it| f32::from_le_bytes(*it)));
            }
            9 => self.raw_data = bytes.to_vec(),
            5 => {
                while bytes.has_remaining() {
                    self.int32_data.push(encoding::decode_varint(&mut bytes)? as i32);
                }
            }
            7 => {
                while bytes.has_remaining() {
                    self.int64_data.push(encoding::decode_varint(&mut bytes)? as i64);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The elements of a tensor of strings; else none.
    #[must_use]
    pub fn strings(&self) -> Vec<String> {
        self.string_data.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
    }
}

/// By hand, since prost would read all weights into memory to give us a few class names.
impl Message for TensorProto {
    fn merge_field(
        &mut self,
        tag: u32,
        wire: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        if wire == WireType::LengthDelimited && [4, 5, 7, 9, 10, 11].contains(&tag) {
            let length = encoding::decode_varint(buffer)?;
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if length > buffer.remaining() {
                // An error as prost words it: it offers no other way to make one.
                return encoding::decode_varint(&mut [].as_slice()).map(|_| ());
            }
            if length > FEW_BYTES {
                buffer.advance(length);
                return Ok(());
            }
            return self.merge_elements(tag, buffer.copy_to_bytes(length));
        }
        match tag {
            1 => encoding::int64::merge_repeated(wire, &mut self.dims, buffer, context),
            2 => encoding::int32::merge(wire, &mut self.data_type, buffer, context),
            4 => encoding::float::merge_repeated(wire, &mut self.float_data, buffer, context),
            5 => encoding::int32::merge_repeated(wire, &mut self.int32_data, buffer, context),
            6 => encoding::bytes::merge_repeated(wire, &mut self.string_data, buffer, context),
            7 => encoding::int64::merge_repeated(wire, &mut self.int64_data, buffer, context),
            8 => encoding::string::merge(wire, &mut self.name, buffer, context),
            13 => encoding::message::merge_repeated(wire, &mut self.external_data, buffer, context),
            14 => encoding::int32::merge(wire, &mut self.data_location, buffer, context),
            _ => encoding::skip_field(wire, tag, buffer, context),
        }
    }

    fn encode_raw(&self, buffer: &mut impl BufMut) {
        encoding::int64::encode_packed(1, &self.dims, buffer);
        encoding::int32::encode(2, &self.data_type, buffer);
        encoding::float::encode_packed(4, &self.float_data, buffer);
        encoding::int32::encode_packed(5, &self.int32_data, buffer);
        encoding::bytes::encode_repeated(6, &self.string_data, buffer);
        encoding::int64::encode_packed(7, &self.int64_data, buffer);
        encoding::string::encode(8, &self.name, buffer);
        encoding::bytes::encode(9, &self.raw_data, buffer);
        encoding::message::encode_repeated(13, &self.external_data, buffer);
        encoding::int32::encode(14, &self.data_location, buffer);
    }

    fn encoded_len(&self) -> usize {
        let mut bytes = Vec::new();
        self.encode_raw(&mut bytes);
        bytes.len()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[derive(Clone, PartialEq, Message)]
pub struct SparseTensorProto {
    #[prost(message, optional, tag = "1")]
    pub values: Option<TensorProto>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorType>,
    /// What is in it does not matter here.
    #[prost(message, optional, tag = "4")]
    pub sequence_type: Option<OtherType>,
    #[prost(message, optional, tag = "5")]
    pub map_type: Option<OtherType>,
    #[prost(message, optional, tag = "9")]
    pub optional_type: Option<OtherType>,
}

#[derive(Clone, PartialEq, Message)]
pub struct OtherType {}

#[derive(Clone, PartialEq, Message)]
pub struct TensorType {
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Dimension {
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    pub value: Option<DimensionValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum DimensionValue {
    #[prost(int64, tag = "1")]
    Length(i64),
    /// A name for a length that is open.
    #[prost(string, tag = "2")]
    Name(String),
}

/// `TensorProto.INT64` and `STRING`.
pub const INT64: i32 = 7;
pub const STRING: i32 = 8;

/// Name and bits an element of a `TensorProto.DataType`.
#[must_use]
pub fn element_type(number: i32) -> Option<(&'static str, u64)> {
    Some(match number {
        1 => ("FP32", 32),
        2 => ("UINT8", 8),
        3 => ("INT8", 8),
        4 => ("UINT16", 16),
        5 => ("INT16", 16),
        6 => ("INT32", 32),
        7 => ("INT64", 64),
        // Of any length.
        8 => ("BYTES", 0),
        9 => ("BOOL", 8),
        10 => ("FP16", 16),
        11 => ("FP64", 64),
        12 => ("UINT32", 32),
        13 => ("UINT64", 64),
        14 => ("COMPLEX64", 64),
        15 => ("COMPLEX128", 128),
        16 => ("BF16", 16),
        17 => ("FP8E4M3FN", 8),
        18 => ("FP8E4M3FNUZ", 8),
        19 => ("FP8E5M2", 8),
        20 => ("FP8E5M2FNUZ", 8),
        21 => ("UINT4", 4),
        22 => ("INT4", 4),
        23 => ("FP4E2M1", 4),
        _ => return None,
    })
}

/// Reads a network without its weights.
///
/// # Errors
/// The file cannot be read, or is no ONNX; ORT's format is none.
pub fn read(network: &Path) -> Result<ModelProto, String> {
    read_as(network)
}

/// The same with the fields that `M` lists alone, which takes a fraction of the time where a network has
/// trees or words in its attributes.
///
/// # Errors
/// As [`read`].
pub fn read_as<M: Message + Default>(network: &Path) -> Result<M, String> {
    let open = || FileBuf::open(network).map_err(|error| error.to_string());
    let decode = |buffer| M::decode(buffer).map_err(|error| error.to_string());
    open().and_then(decode).map_err(|error| {
        let name = network.file_name().unwrap_or_default().to_string_lossy();
        format!("{name} cannot be read as ONNX: {error}")
    })
}

/// A file as a buffer, of which only a part is in memory. Where reading fails, it ends: the message
/// that is decoded from it is then cut off, which is an error.
pub(crate) struct FileBuf {
    reader: BufReader<File>,
    remaining: u64,
}

impl FileBuf {
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let remaining = file.metadata()?.len();
        let mut buffer = Self { reader: BufReader::with_capacity(64 << 10, file), remaining };
        buffer.fill();
        Ok(buffer)
    }

    /// A chunk is empty at the end alone.
    fn fill(&mut self) {
        if self.remaining > 0 && self.reader.fill_buf().map_or(true, <[u8]>::is_empty) {
            self.remaining = 0;
        }
    }
}

impl Buf for FileBuf {
    fn remaining(&self) -> usize {
        self.remaining as usize
    }

    fn chunk(&self) -> &[u8] {
        let buffer = self.reader.buffer();
        &buffer[..buffer.len().min(self.remaining())]
    }

    fn advance(&mut self, count: usize) {
        self.remaining = self.remaining.saturating_sub(count as u64);
        // Keeps what is in the buffer, if that holds the new place.
        if self.reader.seek_relative(count as i64).is_err() {
            self.remaining = 0;
        }
        self.fill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_stepped_over_and_a_file_that_is_cut_off_is_an_error() {
        let weights = TensorProto { dims: vec![300_000], data_type: 2, ..Default::default() };
        let graph =
            GraphProto { name: "net".into(), initializer: vec![weights], ..Default::default() };
        let mut model = ModelProto { ir_version: 8, graph: Some(graph), ..Default::default() };
        model.opset_import.push(OperatorSetId { domain: String::new(), version: 17 });
        // `raw_data` of the tensor, which is the graph's and the model's last field.
        let mut tensor = model.graph.as_ref().unwrap().initializer[0].encode_to_vec();
        tensor.extend(b"\x4a\xe0\xa7\x12");
        tensor.extend(vec![0xff; 300_000]);
        let field = |tag: u8, content: &[u8]| {
            let mut bytes = vec![tag << 3 | 2];
            prost::encoding::encode_varint(content.len() as u64, &mut bytes);
            [bytes.as_slice(), content].concat()
        };
        let mut whole = model.clone();
        whole.graph = None;
        let graph = [field(2, b"net"), field(5, &tensor)].concat();
        let bytes = [whole.encode_to_vec(), field(7, &graph)].concat();

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read(&path), Ok(model));
        for end in [1, 20, 1000, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..end]).unwrap();
            assert!(
                read(&path).unwrap_err().contains("model.onnx cannot be read as ONNX"),
                "{end}"
            );
        }
        assert!(read(&folder.path().join("none.onnx")).is_err());
    }
}
