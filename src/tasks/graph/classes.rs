//! The classes that a network's own graph names.

use super::{Graph, attribute};
use crate::onnx::NodeProto;

/// Operators between a label and where it is taken from.
const PASSING: [&str; 8] =
    ["Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze", "Concat"];
/// Operators between the scores and the classifier that gives them.
const AFTER_SCORES: [&str; 9] = [
    "ArrayFeatureExtractor",
    "Cast",
    "Flatten",
    "Identity",
    "Normalizer",
    "Reshape",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];
const MOST: usize = 64;

impl Graph {
    /// The classes in the order of the scores: those of a `ZipMap`, else those that the output `label` is
    /// chosen from, else those of the classifier that gives the output `scores`.
    #[must_use]
    pub fn classes(&self, label: Option<&str>, scores: Option<&str>) -> Option<Vec<String>> {
        let zip_map = scores.and_then(|output| self.giver(output));
        let zip_map = zip_map.filter(|(node, _)| node.op_type == "ZipMap");
        zip_map
            .and_then(|(node, _)| named(node))
            .or_else(|| label.and_then(|output| self.chosen_from(output)))
            .or_else(|| scores.and_then(|output| self.of_classifier(output)))
    }

    /// The nodes behind this tensor, as far as these operators go, and the first that is none of them.
    fn behind<'a>(&'a self, tensor: &'a str, passing: &'a [&str]) -> Option<&'a NodeProto> {
        let mut tensor = tensor;
        for _ in 0..MOST {
            let (node, _) = self.giver(tensor)?;
            let passes = passing.contains(&node.op_type.as_str());
            // What is put together of several, or taken out of several classifiers, has no one source.
            if !passes || (node.op_type == "Concat" && node.input.len() > 1) {
                return Some(node);
            }
            tensor = node.input.first()?;
        }
        None
    }

    fn chosen_from(&self, label: &str) -> Option<Vec<String>> {
        let node = self.behind(label, &PASSING)?;
        match node.op_type.as_str() {
            "ArrayFeatureExtractor" | "Gather" | "GatherElements" | "GatherND" => {
                self.elements(node.input.first()?)
            }
            _ => named(node),
        }
    }

    fn of_classifier(&self, scores: &str) -> Option<Vec<String>> {
        named(self.behind(scores, &AFTER_SCORES)?)
    }

    /// The elements of a constant list.
    fn elements(&self, tensor: &str) -> Option<Vec<String>> {
        let mut tensor = tensor;
        for _ in 0..MOST {
            if let Some(constant) = self.constants.get(tensor) {
                let integers = constant.integers().into_iter().map(|class| class.to_string());
                let classes: Vec<String> = constant.strings().into_iter().chain(integers).collect();
                return Some(classes).filter(|classes| !classes.is_empty());
            }
            let (node, _) = self.giver(tensor)?;
            if !PASSING.contains(&node.op_type.as_str()) {
                return None;
            }
            tensor = node.input.first()?;
        }
        None
    }
}

/// The classes in a node's attributes.
fn named(node: &NodeProto) -> Option<Vec<String>> {
    let strings = |name: &str| {
        let texts = attribute(node, name)?.strings.iter();
        Some(texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>())
    };
    let integers = |name: &str| {
        Some(attribute(node, name)?.ints.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let found = match node.op_type.as_str() {
        "LabelEncoder" => {
            let values = || encoded(node, strings("values_strings"), integers("values_int64s"));
            // Its first form, numbered by their places.
            strings("classes_strings").or_else(values)
        }
        _ => strings("classlabels_strings")
            .filter(|classes| !classes.is_empty())
            .or_else(|| integers("classlabels_ints"))
            .or_else(|| integers("classlabels_int64s")),
    };
    found.filter(|classes| !classes.is_empty())
}

/// The values of a `LabelEncoder` in the order of its keys, where these number the classes from 0.
fn encoded(
    node: &NodeProto,
    strings: Option<Vec<String>>,
    integers: Option<Vec<String>>,
) -> Option<Vec<String>> {
    let values = strings.filter(|it| !it.is_empty()).or(integers)?;
    let keys = &attribute(node, "keys_int64s")?.ints;
    let mut pairs: Vec<_> = keys.iter().zip(values).collect();
    pairs.sort_by_key(|(key, _)| **key);
    let from_zero = pairs.iter().map(|(key, _)| **key).eq(0..pairs.len() as i64);
    from_zero.then(|| pairs.into_iter().map(|(_, value)| value).collect())
}
