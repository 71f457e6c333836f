//! How a network reckons, as its file says: what of a run a number depends on, and how far numbers jump.

use std::path::Path;

use prost::Message;

use crate::onnx;

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "25")]
    functions: Vec<Function>,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(message, repeated, tag = "7")]
    node: Vec<Node>,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Weight>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    /// Of an `If` or a `Loop`.
    #[prost(message, optional, tag = "6")]
    g: Option<Graph>,
}

#[derive(Clone, PartialEq, Message)]
struct Weight {
    #[prost(int32, tag = "2")]
    data_type: i32,
}

/// Operators that take the range of a whole tensor, and so of all rows of a run.
const OF_WHOLE_RUN: [&str; 3] =
    ["DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"];
/// FP16 and BF16, as ONNX numbers them.
const HALVES: [i32; 2] = [10, 16];

/// Of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arithmetic {
    /// An operator by which the rows of a run depend on each other for certain.
    pub of_whole_run: Option<&'static str>,
    /// Numbers jump by a step when those before them are rounded otherwise. Of a file in ORT's format,
    /// which cannot be read, this is assumed.
    pub is_coarse: bool,
}

impl Arithmetic {
    pub fn of(network: &Path) -> Self {
        let mut found = Self { of_whole_run: None, is_coarse: false };
        match onnx::read_as::<Model>(network) {
            Ok(model) => {
                model.graph.iter().for_each(|graph| found.read(graph));
                model.functions.iter().for_each(|function| found.read_nodes(&function.node));
            }
            Err(_) => found.is_coarse = true,
        }
        found
    }

    fn read(&mut self, graph: &Graph) {
        self.is_coarse |= graph.initializer.iter().any(|weight| HALVES.contains(&weight.data_type));
        self.read_nodes(&graph.node);
    }

    fn read_nodes(&mut self, nodes: &[Node]) {
        for node in nodes {
            let name = node.op_type.as_str();
            let found = OF_WHOLE_RUN.into_iter().find(|operator| *operator == name);
            self.of_whole_run = self.of_whole_run.or(found);
            self.is_coarse |= name.starts_with('Q')
                || name.starts_with("MatMulNBits")
                || name.contains("QuantizeLinear")
                || name.contains("Integer");
            for attribute in &node.attribute {
                attribute.g.iter().for_each(|graph| self.read(graph));
            }
        }
    }
}
