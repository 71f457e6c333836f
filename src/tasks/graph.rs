//! What only the network's own graph says: the class names inside scikit-learn's classifiers.

use std::path::Path;

use prost::Message;

/// The parts of ONNX's `ModelProto` on the way to a node's attributes; `prost` skips the rest.
/// Field numbers are those of `onnx.proto`.
#[derive(Message)]
struct ModelProto {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
}

#[derive(Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
}

#[derive(Message)]
struct NodeProto {
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<AttributeProto>,
}

#[derive(Message)]
struct AttributeProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, repeated, tag = "8")]
    ints: Vec<i64>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    strings: Vec<Vec<u8>>,
}

/// Class names in the order of the scores, from the first classifier node that has them
/// (attributes `classlabels_strings` and `classlabels_ints` of the `ai.onnx.ml` operators).
/// None of a file in ORT's format, which is no protobuf.
pub fn class_labels(network: &Path) -> Option<Vec<String>> {
    let bytes = std::fs::read(network).ok()?;
    let attributes = ModelProto::decode(bytes.as_slice()).ok()?.graph?.node.into_iter();
    let labels = |AttributeProto { name, ints, strings }: AttributeProto| match name.as_str() {
        "classlabels_strings" if !strings.is_empty() => {
            Some(strings.iter().map(|label| String::from_utf8_lossy(label).into_owned()).collect())
        }
        "classlabels_ints" | "classlabels_int64s" if !ints.is_empty() => {
            Some(ints.iter().map(ToString::to_string).collect())
        }
        _ => None,
    };
    attributes.flat_map(|node| node.attribute).find_map(labels)
}
