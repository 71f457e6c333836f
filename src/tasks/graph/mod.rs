//! What only the network's own graph says: what its scores are, its classes, and which operators it has.

mod classes;
mod ending;
mod inline;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

pub use ending::Ending;

use crate::onnx::{self, AttributeProto, ModelProto, NodeProto, TensorProto};

/// The nodes of a network, with each function's in the place of its call, found by what they give.
pub struct Graph {
    nodes: Vec<NodeProto>,
    /// The node that gives a tensor, and at which of its outputs.
    givers: HashMap<String, (usize, usize)>,
    constants: HashMap<String, TensorProto>,
    /// What wrote it.
    producer: String,
    /// What the exporter wrote beside the graph.
    pub metadata: BTreeMap<String, String>,
}

impl Graph {
    /// Of a network's file; `None` of a file in ORT's format, which is no protobuf.
    #[must_use]
    pub fn read(network: &Path) -> Option<Self> {
        Self::of(onnx::read(network).ok()?)
    }

    /// Of a network that was read; `None` if it holds no graph.
    #[must_use]
    pub fn of(model: ModelProto) -> Option<Self> {
        let graph = model.graph?;
        let nodes = inline::inline(graph.node, model.functions);
        let mut givers = HashMap::new();
        let mut constants: HashMap<_, _> =
            graph.initializer.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        for (index, node) in nodes.iter().enumerate() {
            for (place, name) in node.output.iter().enumerate() {
                givers.insert(name.clone(), (index, place));
            }
            if let ("Constant", Some(name)) = (node.op_type.as_str(), node.output.first())
                && let Some(tensor) = constant(node)
            {
                constants.insert(name.clone(), tensor);
            }
        }
        let metadata = model.metadata_props.into_iter().map(|entry| (entry.key, entry.value));
        Some(Self {
            givers,
            constants,
            metadata: metadata.collect(),
            nodes,
            producer: model.producer_name,
        })
    }

    /// The node that gives this tensor, and at which of its outputs.
    fn giver(&self, tensor: &str) -> Option<(&NodeProto, usize)> {
        self.givers.get(tensor).map(|(index, place)| (&self.nodes[*index], *place))
    }
}

/// The value of a `Constant`, where it is one that is looked at.
fn constant(node: &NodeProto) -> Option<TensorProto> {
    node.attribute.iter().find_map(|attribute| match attribute.name.as_str() {
        "value" => attribute.t.clone(),
        "value_ints" => Some(TensorProto {
            dims: vec![attribute.ints.len() as i64],
            data_type: onnx::INT64,
            int64_data: attribute.ints.clone(),
            ..TensorProto::default()
        }),
        "value_strings" => Some(TensorProto {
            dims: vec![attribute.strings.len() as i64],
            data_type: onnx::STRING,
            string_data: attribute.strings.clone(),
            ..TensorProto::default()
        }),
        _ => None,
    })
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// An attribute that is a word; empty if it is not there.
fn word<'a>(node: &'a NodeProto, name: &str) -> &'a str {
    attribute(node, name).and_then(|attribute| str::from_utf8(&attribute.s).ok()).unwrap_or("")
}

/// What of a network decides how a GPU takes it. Operators inside loops and branches do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operators {
    /// It has convolutions, whose algorithms are chosen anew for each shape.
    pub convolves: bool,
    /// It has operators of `ai.onnx.ml`, which run on the CPU only: a classical model, and not a
    /// neural network.
    pub classical: bool,
}

impl Operators {
    /// Of a network's file; `None` of a file in ORT's format, which is no protobuf.
    #[must_use]
    pub fn of(network: &Path) -> Option<Self> {
        Graph::read(network).map(|graph| graph.operators())
    }
}

impl Graph {
    /// Whether it is a classical model rather than a neural network, by its operators or by what wrote it.
    #[must_use]
    pub fn is_classical(&self) -> bool {
        const CONVERTERS: [&str; 3] = ["skl2onnx", "OnnxMLTools", "CatBoost"];
        self.operators().classical || CONVERTERS.contains(&self.producer.as_str())
    }

    #[must_use]
    pub fn operators(&self) -> Operators {
        Operators {
            convolves: self.nodes.iter().any(|node| node.op_type.contains("Conv")),
            classical: self.nodes.iter().any(|node| node.domain == "ai.onnx.ml"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_told_apart_by_their_operators() {
        let of = |model: &str| {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
            Operators::of(&root.join(model).join("model.onnx")).unwrap()
        };
        let [image, text, classical] = ["efficientnet-lite0", "sentiment-minilm", "iris"].map(of);
        assert_eq!(image, Operators { convolves: true, classical: false });
        assert_eq!(text, Operators { convolves: false, classical: false });
        assert_eq!(classical, Operators { convolves: false, classical: true });
    }
}
