//! What a model declares: its inputs and outputs, and whether rows can be batched.

use std::fmt;

use crate::tensor::DataType;

/// Suffix of the name under which the class names of a `ZipMap` output are found, see [`Kind::ClassMap`].
pub const KEYS_SUFFIX: &str = ".keys";

/// What an input or output holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Tensor(DataType),
    /// A sequence of maps from class to score, as scikit-learn's converter writes by default
    /// (`ZipMap`). It arrives as two tensors: `name`, `FP32 [N, classes]`, and `name.keys`,
    /// `BYTES [N, classes]`.
    ClassMap,
    /// Anything else (a sequence of tensors, an optional): known, but not served.
    Other,
}

/// One input or output as the model declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    pub name: String,
    pub kind: Kind,
    /// Lengths of the axes; `None` where the model leaves one open.
    pub shape: Vec<Option<usize>>,
}

impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data_type = match self.kind {
            Kind::Tensor(data_type) => data_type.name(),
            Kind::ClassMap => "map of classes",
            Kind::Other => "other",
        };
        let axes: Vec<String> =
            self.shape.iter().map(|axis| axis.map_or("?".into(), |n| n.to_string())).collect();
        write!(f, "`{}` {data_type} [{}]", self.name, axes.join(","))
    }
}

/// All inputs and outputs of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub inputs: Vec<TensorSpec>,
    pub outputs: Vec<TensorSpec>,
}

impl Signature {
    #[must_use]
    pub fn input(&self, name: &str) -> Option<&TensorSpec> {
        self.inputs.iter().find(|spec| spec.name == name)
    }

    /// All inputs (or outputs) in one line, for a message.
    #[must_use]
    pub fn list(specs: &[TensorSpec]) -> String {
        specs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

impl TensorSpec {
    #[must_use]
    pub fn data_type(&self) -> Option<DataType> {
        match self.kind {
            Kind::Tensor(data_type) => Some(data_type),
            Kind::ClassMap | Kind::Other => None,
        }
    }

    /// Whether this is an input of that rank and one of these element types.
    #[must_use]
    pub fn is(&self, rank: usize, types: &[DataType]) -> bool {
        self.shape.len() == rank && self.data_type().is_some_and(|t| types.contains(&t))
    }
}

/// Whether, and how, several rows go through the network in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchAxis {
    /// Axis 0 has any length.
    Dynamic,
    /// Axis 0 has this length: a smaller batch is filled up with copies of its last row.
    Fixed(usize),
    /// There is no batch axis: rows run one by one.
    None,
    /// The inputs have one of any length, the outputs have none: rows run one by one.
    InputsOnly,
}

/// Which rows may share a run without a change to what any of them is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batching {
    /// All that go with each other.
    Together,
    /// Those with as many tokens, since padding would change an answer.
    OwnLength,
    /// None.
    Alone,
}

impl BatchAxis {
    /// Of an input that has a batch axis.
    #[must_use]
    pub fn of(spec: &TensorSpec) -> Self {
        match spec.shape.first() {
            Some(Some(size)) => Self::Fixed(*size),
            _ => Self::Dynamic,
        }
    }
}
