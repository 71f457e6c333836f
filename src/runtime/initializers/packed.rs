//! Which weights ONNX Runtime's kernels for the CPU lay out anew, after which they are not read again.
//!
//! By the kernels with a `PrePack` of their own in ONNX Runtime 1.31. A tensor that is named here and is not
//! laid out after all costs page faults and no answers: it is read from the file. One that is missing stays
//! in memory beside its new layout.

use std::collections::{HashMap, HashSet};

use crate::onnx::GraphProto;

/// Bytes from which on it pays that a tensor stays in the file.
const LARGE: i64 = 256 << 10;

/// Names of large tensors of which every use lays them out anew.
pub(super) fn names(graph: &GraphProto) -> HashSet<&str> {
    let mut packed: HashMap<&str, bool> = HashMap::new();
    for node in &graph.node {
        for (place, name) in node.input.iter().enumerate() {
            let is_packed = packs(&node.op_type, place);
            packed.entry(name).and_modify(|all| *all &= is_packed).or_insert(is_packed);
        }
    }
    let mut inner = HashSet::new();
    inner_names(graph, &mut inner);
    let outputs: HashSet<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    let is_large =
        |dims: &[i64]| dims.iter().fold(1, |size: i64, dim| size.saturating_mul(*dim)) >= LARGE;
    graph
        .initializer
        .iter()
        .filter(|tensor| is_large(&tensor.dims))
        .map(|tensor| tensor.name.as_str())
        .filter(|name| packed.get(name).is_some_and(|all| *all))
        .filter(|name| !inner.contains(name) && !outputs.contains(name))
        .collect()
}

/// Whether the operator lays out its input at this place.
fn packs(operator: &str, place: usize) -> bool {
    match operator {
        "MatMul"
        | "FusedMatMul"
        | "Gemm"
        | "FusedGemm"
        | "MatMulInteger"
        | "MatMulIntegerToFloat"
        | "DynamicQuantizeMatMul"
        | "MatMulNBits"
        | "Attention"
        | "QAttention" => place == 1,
        "QLinearMatMul" | "QGemm" => place == 3,
        "LSTM" | "DynamicQuantizeLSTM" => place == 1 || place == 2,
        _ => false,
    }
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
    use crate::onnx::{AttributeProto, NodeProto, TensorProto, ValueInfoProto};

    fn node(operator: &str, inputs: &[&str]) -> NodeProto {
        let input = inputs.iter().map(|name| (*name).to_owned()).collect();
        NodeProto { op_type: operator.into(), input, ..Default::default() }
    }

    #[test]
    fn only_what_no_operator_reads_as_it_is_stays_in_the_file() {
        let tensor = |name: &str, side| TensorProto {
            name: name.into(),
            dims: vec![side, side],
            ..Default::default()
        };
        let mut branch = node("If", &["condition"]);
        let then = GraphProto { node: vec![node("MatMul", &["x", "inner"])], ..Default::default() };
        branch.attribute.push(AttributeProto { g: Some(then), ..Default::default() });
        let graph = GraphProto {
            initializer: [
                ("weights", 1024),
                ("small", 16),
                ("words", 1024),
                ("tied", 1024),
                ("quantised", 1024),
                ("left", 1024),
                ("inner", 1024),
                ("answer", 1024),
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
                branch,
            ],
            output: vec![ValueInfoProto { name: "answer".into(), ..Default::default() }],
            ..Default::default()
        };
        assert_eq!(names(&graph), HashSet::from(["weights", "quantised"]));
        assert!(!has_inner_tensors(&graph));
    }
}
