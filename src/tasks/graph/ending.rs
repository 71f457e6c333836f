//! What a network's scores are, by the operators that they come out of.

use super::{Graph, attribute, word};
use crate::onnx::NodeProto;

/// What an output holds, as far as the last operators before it tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Of all classes: they add up to 1.
    Probabilities,
    LogProbabilities,
    /// Each class's own, by a sigmoid.
    EachProbability,
    /// How far a row is from what separates the classes: of a support vector machine or a linear classifier.
    Margins,
    Distances,
    /// The last operator is linear: logits, if these are classes.
    Linear,
    /// A vector of length 1.
    Normalized,
    Unknown,
    /// 1 less a probability.
    Complement,
    /// Probabilities, or logarithms of them, made greater or smaller by constants: percent, for example.
    Rescaled,
}

impl Ending {
    /// Whether it is probabilities, or logarithms of them.
    fn is_probability(self) -> bool {
        matches!(
            self,
            Self::Complement | Self::EachProbability | Self::LogProbabilities | Self::Probabilities
        )
    }
}

/// Operators that leave numbers as they are.
const PASSING: [&str; 17] = [
    "Cast",
    "CastLike",
    "Clip",
    "DequantizeLinear",
    "Dropout",
    "Expand",
    "Flatten",
    "Identity",
    "Max",
    "Min",
    "QuantizeLinear",
    "Reshape",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
    "ZipMap",
    "Trilu",
];
/// Operators that take some of the numbers.
const TAKING: [&str; 6] =
    ["ArrayFeatureExtractor", "Gather", "GatherElements", "GatherND", "Slice", "Split"];
const LINEAR: [&str; 22] = [
    "AveragePool",
    "BatchNormalization",
    "BiasAdd",
    "Conv",
    "Einsum",
    "FusedConv",
    "FusedGemm",
    "FusedMatMul",
    "Gemm",
    "GlobalAveragePool",
    "LayerNormalization",
    "MatMul",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "MatMulNBits",
    "Neg",
    "QGemm",
    "QLinearAdd",
    "QLinearConv",
    "QLinearGlobalAveragePool",
    "QLinearMatMul",
    "ReduceMean",
];
/// Operators that are looked at, at most: a graph may branch and join over and over.
const MOST: usize = 256;

impl Graph {
    /// What this output of the network holds.
    #[must_use]
    pub fn ending(&self, output: &str) -> Ending {
        match self.walk(output, &mut MOST.clone()) {
            Ending::Complement => Ending::EachProbability,
            ending => ending,
        }
    }

    fn walk(&self, tensor: &str, left: &mut usize) -> Ending {
        let Some((node, place)) = self.giver(tensor) else { return Ending::Unknown };
        if *left == 0 {
            return Ending::Unknown;
        }
        *left -= 1;
        let mut of = |input: usize| match node.input.get(input) {
            Some(input) => self.walk(input, left),
            None => Ending::Unknown,
        };
        match node.op_type.as_str() {
            "Softmax" => Ending::Probabilities,
            "LogSoftmax" => Ending::LogProbabilities,
            "Sigmoid" | "HardSigmoid" => Ending::EachProbability,
            "Log" if matches!(of(0), Ending::Probabilities | Ending::EachProbability) => {
                Ending::LogProbabilities
            }
            "Exp" if of(0) == Ending::LogProbabilities => Ending::Probabilities,
            "Normalizer" if word(node, "norm") == "L1" => Ending::Probabilities,
            "Normalizer" if word(node, "norm") == "L2" => Ending::Normalized,
            "LpNormalization" => Ending::Normalized,
            "Sqrt" | "CDist" => Ending::Distances,
            "Div" => self.quotient(node, of(0)),
            "LinearClassifier" | "SVMClassifier" | "TreeEnsembleClassifier" if place == 1 => {
                classifier(node)
            }
            "Sub" if self.is_one(node.input.first()) => match of(1) {
                Ending::EachProbability => Ending::Complement,
                _ => Ending::Unknown,
            },
            "Concat" => {
                let parts: Vec<_> = (0..node.input.len()).map(of).collect();
                joined(&parts)
            }
            "Where" => match (of(1), of(2)) {
                (one, other) if one == other => one,
                // A mask's constant.
                (Ending::Unknown, Ending::Linear) | (Ending::Linear, Ending::Unknown) => {
                    Ending::Linear
                }
                _ => Ending::Unknown,
            },
            "Add" | "Sub" | "Sum" | "Mul" => {
                let parts: Vec<_> = (0..node.input.len()).map(of).collect();
                let constants = node.input.iter().filter(|input| self.is_constant(input)).count();
                let rescales = constants + 1 == parts.len();
                match parts.iter().any(|ending| ending.is_probability()) {
                    true if rescales => Ending::Rescaled,
                    true => Ending::Unknown,
                    // A product of two results of a network is no logit by itself.
                    false if rescales && parts.contains(&Ending::Rescaled) => Ending::Rescaled,
                    false if node.op_type == "Mul" && !parts.contains(&Ending::Linear) => {
                        Ending::Unknown
                    }
                    false => Ending::Linear,
                }
            }
            name if PASSING.contains(&name) => of(0),
            name if TAKING.contains(&name) => match of(0) {
                Ending::Probabilities => Ending::EachProbability,
                ending => ending,
            },
            name if LINEAR.contains(&name) => Ending::Linear,
            _ => Ending::Unknown,
        }
    }

    /// Of what is divided, and by what.
    fn quotient(&self, node: &NodeProto, divided: Ending) -> Ending {
        let [Some(dividend), Some(mut divisor)] = [node.input.first(), node.input.get(1)] else {
            return Ending::Unknown;
        };
        while let Some((node, _)) = self.giver(divisor) {
            match node.op_type.as_str() {
                "ReduceL2" => return Ending::Normalized,
                "ReduceSum" | "ReduceL1" if divided == Ending::EachProbability => {
                    return Ending::Probabilities;
                }
                "ReduceSum" if self.squares(node, dividend) => return Ending::Normalized,
                "Add" | "Pow" | "Sqrt" => {}
                name if PASSING.contains(&name) => {}
                _ => break,
            }
            match node.input.first() {
                Some(input) => divisor = input,
                None => break,
            }
        }
        match divided {
            // By a constant: a temperature.
            Ending::Linear => Ending::Linear,
            ending
                if (ending.is_probability() || ending == Ending::Rescaled)
                    && node.input.get(1).is_some_and(|divisor| self.is_constant(divisor)) =>
            {
                Ending::Rescaled
            }
            _ => Ending::Unknown,
        }
    }

    /// Whether this sum is one of this tensor's squares.
    fn squares(&self, sum: &NodeProto, tensor: &str) -> bool {
        let Some((square, _)) = sum.input.first().and_then(|input| self.giver(input)) else {
            return false;
        };
        ["Pow", "Mul"].contains(&square.op_type.as_str())
            && square.input.first().is_some_and(|input| input == tensor)
    }

    fn is_constant(&self, tensor: &str) -> bool {
        self.constants.contains_key(tensor)
    }

    fn is_one(&self, tensor: Option<&String>) -> bool {
        let Some(constant) = tensor.and_then(|name| self.constants.get(name)) else { return false };
        constant.float_data == [1.0]
            || constant.raw_data == 1.0_f32.to_le_bytes()
            || constant.raw_data == 1.0_f64.to_le_bytes()
    }
}

/// Of what several are put together to.
fn joined(parts: &[Ending]) -> Ending {
    match parts {
        [Ending::Complement, Ending::EachProbability]
        | [Ending::EachProbability, Ending::Complement] => Ending::Probabilities,
        // A column of each of several classifiers.
        [Ending::Probabilities, _, ..] if parts.iter().all(|it| *it == parts[0]) => {
            Ending::EachProbability
        }
        [first, rest @ ..] if rest.iter().all(|ending| ending == first) => *first,
        _ => Ending::Unknown,
    }
}

/// Of a classifier of `ai.onnx.ml`.
fn classifier(node: &NodeProto) -> Ending {
    let classes = ["classlabels_ints", "classlabels_int64s", "classlabels_strings"];
    let classes = classes.iter().filter_map(|name| attribute(node, name));
    let classes = classes.map(|labels| labels.ints.len() + labels.strings.len()).max();
    let floats = |name| attribute(node, name).map_or(&[][..], |attribute| &attribute.floats);
    match (node.op_type.as_str(), word(node, "post_transform")) {
        (_, "SOFTMAX" | "SOFTMAX_ZERO") => Ending::Probabilities,
        // Of two classes one has a score, to which ONNX Runtime adds the other's.
        (_, "LOGISTIC" | "PROBIT") if classes == Some(2) => Ending::Probabilities,
        (_, "LOGISTIC" | "PROBIT") => Ending::EachProbability,
        ("SVMClassifier", _) if !floats("prob_a").is_empty() => Ending::Probabilities,
        ("SVMClassifier" | "LinearClassifier", _) => Ending::Margins,
        // A forest's leaves hold shares of classes, a boosted tree's hold margins.
        (_, _) => {
            let weights = floats("class_weights");
            let shares = !weights.is_empty() && weights.iter().all(|it| (0.0..=1.0).contains(it));
            if shares { Ending::Probabilities } else { Ending::Unknown }
        }
    }
}
