//! What a network's own file says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::model::formats;
use crate::onnx::{
    DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto,
    element_type,
};
use crate::signature::{Kind, Signature, TensorSpec};
use crate::tensor::DataType;

#[derive(Debug, Default, Serialize)]
pub struct Network {
    pub file: String,
    pub format: &'static str,
    pub bytes: u64,
    /// Files of its own that hold tensors.
    pub external_data: Vec<DataFile>,
    pub ir_version: Option<i64>,
    /// Name and version of what wrote it.
    pub producer: Option<String>,
    pub graph: Option<String>,
    /// Version by domain; `ai.onnx` is ONNX's own.
    pub opsets: BTreeMap<String, i64>,
    pub inputs: Vec<Value>,
    pub outputs: Vec<Value>,
    /// Weights and other constants by element type, the largest first.
    pub parameters: Vec<Parameters>,
    /// Those of graphs inside nodes and of functions included.
    pub nodes: u64,
    /// The most common first.
    pub operators: Vec<Operator>,
    /// Inputs that no node reads.
    pub unused_inputs: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct DataFile {
    pub file: PathBuf,
    pub bytes: u64,
}

/// An input or output.
#[derive(Debug, Serialize)]
pub struct Value {
    pub name: String,
    /// As the Open Inference Protocol names it, for example `FP32`.
    pub r#type: String,
    pub shape: Vec<Axis>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Axis {
    Length(i64),
    /// Open, under the name that the file gives it; `?` if it gives none.
    Open(String),
}

#[derive(Debug, Serialize)]
pub struct Parameters {
    pub r#type: String,
    pub count: u64,
    pub bytes: u64,
}

#[derive(Debug, Serialize)]
pub struct Operator {
    /// With its domain, unless that is ONNX's own.
    pub name: String,
    pub count: u64,
}

impl Network {
    /// The file itself, still without what it says.
    ///
    /// # Errors
    /// It is not there.
    pub fn of_file(path: &Path) -> Result<Self, String> {
        let bytes = path.metadata().map_err(|error| format!("{}: {error}", path.display()))?.len();
        let format = if formats::is_ort(path) { "ORT" } else { "ONNX" };
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { file, format, bytes, ..Self::default() })
    }

    /// Takes over what the file says, and gives the inputs and outputs as a session would.
    pub fn read(&mut self, model: &ModelProto) -> Signature {
        self.ir_version = Some(model.ir_version);
        let producer = format!("{} {}", model.producer_name, model.producer_version);
        self.producer = Some(producer.trim().to_owned()).filter(|name| !name.is_empty());
        for set in &model.opset_import {
            let domain = if set.domain.is_empty() { "ai.onnx" } else { &set.domain };
            self.opsets.insert(domain.to_owned(), set.version);
        }
        let mut seen = Seen::default();
        model.functions.iter().for_each(|function| seen.nodes(&function.node));
        let Some(graph) = &model.graph else {
            return Signature { inputs: vec![], outputs: vec![] };
        };
        self.graph = Some(graph.name.clone()).filter(|name| !name.is_empty());
        seen.graph(graph);
        // Up to version 3, weights are inputs as well.
        let weights: BTreeSet<&str> = graph.initializer.iter().map(|w| w.name.as_str()).collect();
        let inputs: Vec<_> =
            graph.input.iter().filter(|input| !weights.contains(input.name.as_str())).collect();
        self.unused_inputs = inputs
            .iter()
            .map(|input| &input.name)
            .filter(|name| !seen.read.contains(name.as_str()))
            .filter(|name| !graph.output.iter().any(|output| output.name == **name))
            .cloned()
            .collect();
        self.inputs = inputs.iter().map(|input| value(input)).collect();
        self.outputs = graph.output.iter().map(value).collect();
        let signature = Signature {
            inputs: inputs.iter().map(|input| spec(input)).collect(),
            outputs: graph.output.iter().map(spec).collect(),
        };
        self.nodes = seen.operators.values().sum();
        self.operators =
            seen.operators.into_iter().map(|(name, count)| Operator { name, count }).collect();
        self.operators.sort_by(|a, b| b.count.cmp(&a.count).then(a.name.cmp(&b.name)));
        self.parameters = seen
            .parameters
            .into_iter()
            .map(|(name, (count, bits))| Parameters {
                r#type: name,
                count,
                bytes: bits.div_ceil(8),
            })
            .collect();
        self.parameters.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(b.count.cmp(&a.count)));
        signature
    }

    pub fn add_external(&mut self, files: &[PathBuf], folder: &Path) {
        let file = |path: &PathBuf| DataFile {
            file: path.strip_prefix(folder).unwrap_or(path).to_owned(),
            bytes: path.metadata().map_or(0, |file| file.len()),
        };
        self.external_data = files.iter().map(file).collect();
    }

    /// Takes over a session's inputs and outputs, where the file could not be read.
    pub fn fill_in(&mut self, signature: &Signature) {
        let value = |spec: &TensorSpec| Value {
            name: spec.name.clone(),
            r#type: match spec.kind {
                Kind::Tensor(data_type) => data_type.name().to_owned(),
                Kind::ClassMap => CLASS_MAP.to_owned(),
                Kind::Other => "other".to_owned(),
            },
            shape: spec.shape.iter().map(|axis| Axis::of(axis.map(|n| n as i64))).collect(),
        };
        if self.inputs.is_empty() {
            self.inputs = signature.inputs.iter().map(value).collect();
        }
        if self.outputs.is_empty() {
            self.outputs = signature.outputs.iter().map(value).collect();
        }
    }
}

impl Axis {
    fn of(length: Option<i64>) -> Self {
        length.map_or_else(|| Self::Open("?".to_owned()), Self::Length)
    }
}

/// `TensorProto.DataType.FLOAT`.
const FLOAT: i32 = 1;
/// Of an output by `ZipMap`.
const CLASS_MAP: &str = "sequence of maps";

fn value(info: &ValueInfoProto) -> Value {
    let TypeProto { tensor_type, sequence_type, map_type, optional_type } =
        info.r#type.clone().unwrap_or_default();
    let Some(tensor) = tensor_type else {
        let other = [
            (sequence_type.is_some(), CLASS_MAP),
            (map_type.is_some(), "map"),
            (optional_type.is_some(), "optional"),
        ];
        let other = other.iter().find(|(is, _)| *is).map_or("unknown", |(_, name)| name);
        return Value { name: info.name.clone(), r#type: other.to_owned(), shape: Vec::new() };
    };
    let axis = |dimension: crate::onnx::Dimension| match dimension.value {
        Some(DimensionValue::Length(length)) => Axis::Length(length),
        Some(DimensionValue::Name(name)) if !name.is_empty() => Axis::Open(name),
        _ => Axis::of(None),
    };
    let dimensions = tensor.shape.map(|shape| shape.dim).unwrap_or_default();
    Value {
        name: info.name.clone(),
        r#type: type_name(tensor.elem_type),
        shape: dimensions.into_iter().map(axis).collect(),
    }
}

fn spec(info: &ValueInfoProto) -> TensorSpec {
    let Value { name, r#type, shape } = value(info);
    let length = |axis: &Axis| match axis {
        Axis::Length(length) => usize::try_from(*length).ok().filter(|length| *length > 0),
        Axis::Open(_) => None,
    };
    let kind = match DataType::parse(&r#type) {
        Some(data_type) => Kind::Tensor(data_type),
        None if r#type == CLASS_MAP => Kind::ClassMap,
        None => Kind::Other,
    };
    TensorSpec { name, kind, shape: shape.iter().map(length).collect() }
}

fn type_name(number: i32) -> String {
    element_type(number).map_or_else(|| format!("type {number}"), |(name, _)| name.to_owned())
}

/// What is in a graph, and in those inside it.
#[derive(Default)]
struct Seen {
    operators: BTreeMap<String, u64>,
    /// Elements and bits by type.
    parameters: BTreeMap<String, (u64, u64)>,
    /// Names that nodes read.
    read: BTreeSet<String>,
}

impl Seen {
    fn graph(&mut self, graph: &GraphProto) {
        graph.initializer.iter().for_each(|tensor| self.tensor(tensor));
        let sparse = graph.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref());
        sparse.for_each(|tensor| self.tensor(tensor));
        self.nodes(&graph.node);
        // A graph inside a node may give back what is outside it.
        self.read.extend(graph.output.iter().map(|output| output.name.clone()));
    }

    fn nodes(&mut self, nodes: &[NodeProto]) {
        for NodeProto { input, op_type, attribute, domain, output: _ } in nodes {
            let name = match domain.as_str() {
                "" | "ai.onnx" => op_type.clone(),
                domain => format!("{domain}.{op_type}"),
            };
            *self.operators.entry(name).or_default() += 1;
            self.read.extend(input.iter().cloned());
            for attribute in attribute {
                // The weights of classical models.
                if domain == "ai.onnx.ml" && !attribute.floats.is_empty() {
                    let count = attribute.floats.len() as i64;
                    let floats =
                        TensorProto { dims: vec![count], data_type: FLOAT, ..Default::default() };
                    self.tensor(&floats);
                }
                attribute.t.iter().for_each(|tensor| self.tensor(tensor));
                attribute.g.iter().chain(&attribute.graphs).for_each(|graph| self.graph(graph));
            }
        }
    }

    fn tensor(&mut self, tensor: &TensorProto) {
        let length = |length: &i64| u64::try_from(*length).unwrap_or(0);
        let count = tensor.dims.iter().map(length).fold(1, u64::saturating_mul);
        let bits = element_type(tensor.data_type).map_or(0, |(_, bits)| bits);
        let sum = self.parameters.entry(type_name(tensor.data_type)).or_default();
        sum.0 = sum.0.saturating_add(count);
        sum.1 = sum.1.saturating_add(count.saturating_mul(bits));
    }
}
