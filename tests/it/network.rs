//! Small networks that a test writes itself, as ONNX.

use onnxd::onnx::{
    Dimension, DimensionValue, OperatorSetId, TensorShapeProto, TensorType, TypeProto,
    ValueInfoProto,
};
use prost::Message;

/// Element types by ONNX's numbers.
pub const FP32: i32 = 1;
pub const INT64: i32 = 7;
pub const BYTES: i32 = 8;
pub const BOOL: i32 = 9;
pub const FP64: i32 = 11;
pub const UINT64: i32 = 13;

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSetId>,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "3")]
    i: i64,
    /// 2: an integer.
    #[prost(int32, tag = "20")]
    r#type: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(bytes = "vec", repeated, tag = "6")]
    string_data: Vec<Vec<u8>>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

/// A network in the making.
#[derive(Default)]
pub struct Network(Graph);

impl Network {
    /// An input of this element type; `None` is an open axis.
    pub fn input(mut self, name: &str, data_type: i32, shape: &[Option<i64>]) -> Self {
        self.0.input.push(value(name, data_type, shape));
        self
    }

    pub fn output(mut self, name: &str, data_type: i32, shape: &[Option<i64>]) -> Self {
        self.0.output.push(value(name, data_type, shape));
        self
    }

    /// A number by its bytes, little-endian.
    pub fn number(mut self, name: &str, data_type: i32, bytes: &[u8]) -> Self {
        let raw_data = bytes.to_vec();
        self.0.initializer.push(Tensor {
            data_type,
            name: name.into(),
            raw_data,
            ..Tensor::default()
        });
        self
    }

    /// A list of whole numbers.
    pub fn list(mut self, name: &str, numbers: &[i64]) -> Self {
        self.0.initializer.push(Tensor {
            dims: vec![numbers.len() as i64],
            data_type: INT64,
            name: name.into(),
            raw_data: numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
            ..Tensor::default()
        });
        self
    }

    pub fn text(mut self, name: &str, text: &str) -> Self {
        let (name, string_data) = (name.to_owned(), vec![text.as_bytes().to_vec()]);
        self.0.initializer.push(Tensor {
            data_type: BYTES,
            name,
            string_data,
            ..Tensor::default()
        });
        self
    }

    pub fn node(self, operator: &str, inputs: &[&str], output: &str) -> Self {
        self.node_with(operator, inputs, output, &[])
    }

    /// With attributes that are integers.
    pub fn node_with(
        mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[(&str, i64)],
    ) -> Self {
        let attribute =
            |(name, i): &(&str, i64)| Attribute { name: (*name).into(), i: *i, r#type: 2 };
        self.0.node.push(Node {
            input: inputs.iter().map(ToString::to_string).collect(),
            output: vec![output.to_owned()],
            op_type: operator.to_owned(),
            attribute: attributes.iter().map(attribute).collect(),
        });
        self
    }

    pub fn bytes(mut self) -> Vec<u8> {
        "network".clone_into(&mut self.0.name);
        let opset_import = vec![OperatorSetId { domain: String::new(), version: 19 }];
        Model { ir_version: 9, graph: Some(self.0), opset_import }.encode_to_vec()
    }
}

fn value(name: &str, data_type: i32, shape: &[Option<i64>]) -> ValueInfoProto {
    let axis = |(place, axis): (usize, &Option<i64>)| Dimension {
        value: Some(match axis {
            Some(length) => DimensionValue::Length(*length),
            None => DimensionValue::Name(format!("axis_{place}")),
        }),
    };
    let shape = TensorShapeProto { dim: shape.iter().enumerate().map(axis).collect() };
    let tensor_type = TensorType { elem_type: data_type, shape: Some(shape) };
    let r#type = TypeProto { tensor_type: Some(tensor_type), ..TypeProto::default() };
    ValueInfoProto { name: name.to_owned(), r#type: Some(r#type) }
}
