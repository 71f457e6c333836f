//! What only the network's own graph says: the class names inside scikit-learn's classifiers, and which
//! operators it has.

use std::path::Path;

use crate::onnx::{self, AttributeProto, NodeProto};

/// Class names in the order of the scores, from the first classifier node that has them
/// (attributes `classlabels_strings` and `classlabels_ints` of the `ai.onnx.ml` operators).
/// None of a file in ORT's format, which is no protobuf.
pub fn class_labels(network: &Path) -> Option<Vec<String>> {
    let nodes = nodes(network)?.into_iter();
    let labels = |AttributeProto { name, ints, strings, .. }: AttributeProto| match name.as_str() {
        "classlabels_strings" if !strings.is_empty() => {
            Some(strings.iter().map(|label| String::from_utf8_lossy(label).into_owned()).collect())
        }
        "classlabels_ints" | "classlabels_int64s" if !ints.is_empty() => {
            Some(ints.iter().map(ToString::to_string).collect())
        }
        _ => None,
    };
    nodes.flat_map(|node| node.attribute).find_map(labels)
}

fn nodes(network: &Path) -> Option<Vec<NodeProto>> {
    Some(onnx::read(network).ok()?.graph?.node)
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
        let nodes = nodes(network)?;
        Some(Self {
            convolves: nodes.iter().any(|node| node.op_type.contains("Conv")),
            classical: nodes.iter().any(|node| node.domain == "ai.onnx.ml"),
        })
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
