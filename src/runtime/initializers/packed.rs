//! Which weights ONNX Runtime's kernels for the CPU lay out anew, after which they are not read again.
//!
//! By the kernels with a `PrePack` of their own in ONNX Runtime 1.31. A tensor that is named here and is not
//! laid out after all costs page faults and no answers: it is read from the file. One that is missing stays
//! in memory beside its new layout.

use std::collections::{HashMap, HashSet};

use crate::onnx::{GraphProto, NodeProto, TensorProto};

/// Elements from which on it pays that a tensor stays in the file.
const LARGE: i64 = 256 << 10;

/// `TensorProto.FLOAT`, `UINT8` and `INT8`.
const FLOAT: &[i32] = &[1];
const BYTES: &[i32] = &[2, 3];

/// Names of large tensors of which every use lays them out anew.
pub(super) fn names(graph: &GraphProto) -> HashSet<&str> {
    let mut uses: HashMap<&str, Vec<Option<Packs>>> = HashMap::new();
    for node in &graph.node {
        for (place, name) in node.input.iter().enumerate() {
            uses.entry(name).or_default().push(packs(node, place));
        }
    }
    let mut others = HashSet::new();
    inner_names(graph, &mut others);
    // What a caller may set is not laid out.
    others.extend(graph.input.iter().chain(&graph.output).map(|value| value.name.as_str()));
    let is_large = |tensor: &TensorProto| {
        let size = tensor.dims.iter().fold(1, |size: i64, dim| size.saturating_mul(*dim));
        size >= LARGE
    };
    let is_packed = |tensor: &TensorProto| {
        let fits = |packs: &Option<Packs>| {
            packs.is_some_and(|(rank, types)| {
                tensor.dims.len() == rank && types.contains(&tensor.data_type)
            })
        };
        uses.get(tensor.name.as_str()).is_some_and(|uses| uses.iter().all(fits))
    };
    let packed = graph.initializer.iter().filter(|tensor| is_large(tensor) && is_packed(tensor));
    packed.map(|tensor| tensor.name.as_str()).filter(|name| !others.contains(name)).collect()
}

/// Axes and types of a tensor that an operator lays out.
type Packs = (usize, &'static [i32]);

/// What the operator lays out at this place.
fn packs(node: &NodeProto, place: usize) -> Option<Packs> {
    let is_onnx = matches!(node.domain.as_str(), "" | "ai.onnx");
    let is_microsoft = node.domain == "com.microsoft";
    Some(match (node.op_type.as_str(), place) {
        ("MatMul" | "Gemm", 1) if is_onnx => (2, FLOAT),
        ("FusedMatMul" | "FusedGemm" | "Attention", 1) if is_microsoft => (2, FLOAT),
        ("MatMulInteger", 1) | ("QLinearMatMul", 3) if is_onnx => (2, BYTES),
        ("MatMulIntegerToFloat" | "DynamicQuantizeMatMul" | "QAttention", 1) | ("QGemm", 3)
            if is_microsoft =>
        {
            (2, BYTES)
        }
        ("LSTM", 1 | 2) if is_onnx => (3, FLOAT),
        ("DynamicQuantizeLSTM", 1 | 2) if is_microsoft => (3, BYTES),
        _ => return None,
    })
}

/// Whether a branch or a loop has tensors of its own.
pub(super) fn has_inner_tensors(graph: &GraphProto) -> bool {
    inner_graphs(graph).any(|inner| !inner.initializer.is_empty() || has_inner_tensors(inner))
}

/// Everything that branches and loops name as an input.
fn inner_names<'a>(graph: &'a GraphProto, names: &mut HashSet<&'a str>) {
    for inner in inner_graphs(graph) {
        names.extend(inner.node.iter().flat_map(|node| &node.input).map(String::as_str));
        names.extend(inner.output.iter().map(|output| output.name.as_str()));
        inner_names(inner, names);
    }
}

fn inner_graphs(graph: &GraphProto) -> impl Iterator<Item = &GraphProto> {
    let attributes = graph.node.iter().flat_map(|node| &node.attribute);
    attributes.flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{AttributeProto, ValueInfoProto};

    fn node(operator: &str, inputs: &[&str]) -> NodeProto {
        let input = inputs.iter().map(|name| (*name).to_owned()).collect();
        NodeProto { op_type: operator.into(), input, ..Default::default() }
    }

    #[test]
    fn only_what_no_operator_reads_as_it_is_stays_in_the_file() {
        let tensor = |name: &str, side| TensorProto {
            name: name.into(),
            dims: vec![side, side],
            data_type: if name == "quantised" {
                3
            } else if name == "double" {
                11
            } else {
                1
            },
            ..Default::default()
        };
        let mut branch = node("If", &["condition"]);
        let then = GraphProto { node: vec![node("MatMul", &["x", "inner"])], ..Default::default() };
        branch.attribute.push(AttributeProto { g: Some(then), ..Default::default() });
        let mut graph = GraphProto {
            initializer: [
                ("weights", 1024),
                ("small", 16),
                ("words", 1024),
                ("tied", 1024),
                ("quantised", 1024),
                ("left", 1024),
                ("inner", 1024),
                ("answer", 1024),
                ("double", 1024),
                ("default", 1024),
                ("cube", 1024),
            ]
            .map(|(name, side)| tensor(name, side))
            .into(),
            node: vec![
                node("MatMul", &["x", "weights"]),
                node("Gemm", &["x", "weights", "small"]),
                node("MatMul", &["x", "small"]),
                node("Gather", &["words", "ids"]),
                node("Gather", &["tied", "ids"]),
                node("MatMul", &["x", "tied"]),
                node("QLinearMatMul", &["x", "s", "z", "quantised"]),
                node("MatMul", &["left", "x"]),
                node("MatMul", &["x", "answer"]),
                node("MatMul", &["x", "inner"]),
                node("MatMul", &["x", "double"]),
                node("MatMul", &["x", "default"]),
                node("MatMul", &["x", "cube"]),
                branch,
            ],
            input: vec![ValueInfoProto { name: "default".into(), ..Default::default() }],
            output: vec![ValueInfoProto { name: "answer".into(), ..Default::default() }],
            ..Default::default()
        };
        graph.initializer.last_mut().unwrap().dims.push(2);
        assert_eq!(names(&graph), HashSet::from(["weights", "quantised"]));
        assert!(!has_inner_tensors(&graph));
    }
}
