//! How a network reckons, as its file says: what of a run a number depends on, and how far numbers jump.

use std::path::Path;

use crate::onnx::{self, GraphProto, NodeProto};

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
        match onnx::read(network) {
            Ok(model) => {
                model.graph.iter().for_each(|graph| found.read(graph));
                model.functions.iter().for_each(|function| found.read_nodes(&function.node));
            }
            Err(_) => found.is_coarse = true,
        }
        found
    }

    fn read(&mut self, graph: &GraphProto) {
        self.is_coarse |= graph.initializer.iter().any(|weight| HALVES.contains(&weight.data_type));
        self.read_nodes(&graph.node);
    }

    fn read_nodes(&mut self, nodes: &[NodeProto]) {
        for node in nodes {
            let name = node.op_type.as_str();
            let found = OF_WHOLE_RUN.into_iter().find(|operator| *operator == name);
            self.of_whole_run = self.of_whole_run.or(found);
            self.is_coarse |= name.starts_with('Q')
                || name.starts_with("MatMulNBits")
                || name.contains("QuantizeLinear")
                || name.contains("Integer");
            for attribute in &node.attribute {
                attribute.g.iter().chain(&attribute.graphs).for_each(|graph| self.read(graph));
            }
        }
    }
}
