//! What is odd about a model: what costs speed, or may not be what was meant.

use std::path::Path;

use super::Report;
use super::network::{Axis, Network};
use crate::signature::{BatchAxis, Kind, Signature};
use crate::tasks::ModelFiles;
use crate::tensor::DataType;

/// Opsets before this one lack what today's exporters write, and ONNX Runtime's optimiser does less.
const OLD_OPSET: i64 = 13;
/// Bytes from which weights are the most of a network.
const LARGE: u64 = 1 << 20;

/// What the network's file shows.
pub fn of_network(network: &Network, signature: &Signature) -> Vec<String> {
    let mut odd = Vec::new();
    if let Some(opset) = network.opsets.get("ai.onnx").filter(|opset| **opset < OLD_OPSET) {
        odd.push(format!("opset {opset} is old: export with {OLD_OPSET} or later"));
    }
    for name in &network.unused_inputs {
        odd.push(format!("no node reads input `{name}`"));
    }
    for data in &network.external_data {
        odd.push(format!("its weights are in {}, which must come along", data.file.display()));
    }
    for input in &signature.inputs {
        if let Some(data_type @ (DataType::F64 | DataType::F16 | DataType::BF16)) =
            input.data_type()
        {
            odd.push(format!(
                "input `{}` is {}: most clients and operators have FP32",
                input.name,
                data_type.name()
            ));
        }
    }
    for output in &network.outputs {
        // The first axis is the batch's.
        let open = output.shape.iter().skip(1).filter(|axis| matches!(axis, Axis::Open(_))).count();
        if open > 0 {
            odd.push(format!("output `{}` has {open} open axes beside the batch's", output.name));
        }
    }
    if signature.outputs.iter().any(|output| output.kind == Kind::ClassMap) {
        odd.push(
            "a ZipMap gives its scores as maps, which takes longer than a tensor does".to_owned(),
        );
    }
    odd
}

/// What the files beside it show.
pub fn of_files(
    report: &Report,
    network: Option<&Network>,
    files: &ModelFiles,
    axis: BatchAxis,
    folder: &Path,
) -> Vec<String> {
    let mut odd = Vec::new();
    match axis {
        BatchAxis::Dynamic => {}
        BatchAxis::Fixed(1) | BatchAxis::None | BatchAxis::InputsOnly => odd.push(
            "a run takes one item, so that requests cannot share one: export it with an open batch \
             axis"
                .to_owned(),
        ),
        BatchAxis::Fixed(size) => odd.push(format!(
            "a run takes {size} items, and fewer are filled up: export it with an open batch axis"
        )),
    }
    if report.golden_inputs == 0 {
        odd.push("no golden.json: wrong answers would not stop the start".to_owned());
    }
    if pads_to_fixed_length(files) {
        odd.push(
            "tokenizer.json pads to a fixed length, which is not followed: a batch is padded to its \
             longest text"
                .to_owned(),
        );
    }
    let of_bytes = |parameters: &[super::network::Parameters], types: &[&str]| -> u64 {
        let of = parameters.iter().filter(|p| types.contains(&p.r#type.as_str()));
        of.map(|parameters| parameters.bytes).sum()
    };
    if let Some(Network { parameters, file, .. }) = network {
        let int8 = of_bytes(parameters, &["INT8", "UINT8"]);
        let rest = of_bytes(parameters, &["FP32", "FP16", "BF16", "FP64"]);
        if int8 > rest && int8 > LARGE && report.variants.is_empty() {
            odd.push(format!(
                "{file} is of int8 and no [variants] names a file for a GPU, where int8 is slow"
            ));
        }
    }
    odd.extend(unnamed(report, folder));
    odd
}

/// Whether the file says so, which padding to the longest of a batch replaces.
fn pads_to_fixed_length(files: &ModelFiles) -> bool {
    let tokenizer: Option<serde_json::Value> = files.json("tokenizer.json").ok().flatten();
    tokenizer.is_some_and(|tokenizer| tokenizer["padding"]["strategy"]["Fixed"].is_number())
}

/// Networks in the folder that nothing names.
fn unnamed(report: &Report, folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| Path::new(name).extension().is_some_and(|e| e == "onnx" || e == "ort"))
        .filter(|name| name != "model.onnx")
        .filter(|name| !report.variants.iter().any(|variant| variant.file == Path::new(name)))
        .filter(|name| report.runs.as_ref().is_none_or(|runs| !runs.file.ends_with(name.as_str())))
        .collect();
    names.sort();
    let told = |name| format!("{name} is served on no device, since no [variants] names it");
    names.into_iter().map(told).collect()
}
