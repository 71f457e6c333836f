//! Functions of a network in the place of their calls, as `PyTorch`'s newer exporter may write them.

use std::collections::HashMap;

use crate::onnx::{FunctionProto, NodeProto};

/// Calls within calls that are followed, and nodes at which following ends: a file may call without end.
const DEPTH: usize = 16;
const MOST_NODES: usize = 1 << 20;

/// The nodes of a graph with those of each function in the place of its call.
pub fn inline(nodes: Vec<NodeProto>, functions: Vec<FunctionProto>) -> Vec<NodeProto> {
    if functions.is_empty() {
        return nodes;
    }
    let functions =
        functions.into_iter().map(|it| ((it.domain.clone(), it.name.clone()), it)).collect();
    let mut inliner = Inliner { functions, done: Vec::new(), calls: 0 };
    for node in nodes {
        inliner.add(node, 0);
    }
    inliner.done
}

struct Inliner {
    functions: HashMap<(String, String), FunctionProto>,
    done: Vec<NodeProto>,
    calls: usize,
}

impl Inliner {
    fn add(&mut self, node: NodeProto, depth: usize) {
        let key = (node.domain.clone(), node.op_type.clone());
        let Some(function) = self.functions.get(&key).cloned() else {
            return self.done.push(node);
        };
        if depth == DEPTH || self.done.len() + function.node.len() > MOST_NODES {
            return self.done.push(node);
        }
        self.calls += 1;
        // Names inside a function are its own; those of its inputs and outputs become the caller's.
        let inputs = function.input.iter().cloned().zip(node.input.iter().cloned());
        let outputs = function.output.iter().cloned().zip(node.output.iter().cloned());
        let of_caller: HashMap<String, String> = inputs.chain(outputs).collect();
        let call = self.calls;
        let rename = |name: String| match of_caller.get(&name) {
            Some(name) => name.clone(),
            None if name.is_empty() => name,
            None => format!("{name}@{call}"),
        };
        for mut inner in function.node {
            inner.input = inner.input.into_iter().map(rename).collect();
            inner.output = inner.output.into_iter().map(rename).collect();
            self.add(inner, depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(op_type: &str, domain: &str, input: &str, output: &str) -> NodeProto {
        NodeProto {
            op_type: op_type.into(),
            domain: domain.into(),
            input: vec![input.into()],
            output: vec![output.into()],
            attribute: Vec::new(),
        }
    }

    fn function(name: &str, nodes: Vec<NodeProto>) -> FunctionProto {
        FunctionProto {
            name: name.into(),
            domain: "own".into(),
            input: vec!["in".into()],
            output: vec!["out".into()],
            node: nodes,
        }
    }

    #[test]
    fn calls_are_replaced_by_what_they_call_and_end_where_they_call_themselves() {
        let twice =
            function("twice", vec![node("Neg", "", "in", "t"), node("once", "own", "t", "out")]);
        let once = function("once", vec![node("Softmax", "", "in", "out")]);
        let flat = inline(vec![node("twice", "own", "x", "y")], vec![twice, once]);
        assert_eq!(flat, [node("Neg", "", "x", "t@1"), node("Softmax", "", "t@1", "y")]);

        let endless = function("endless", vec![node("endless", "own", "in", "out")]);
        assert_eq!(inline(vec![node("endless", "own", "x", "y")], vec![endless]).len(), 1);
    }
}
