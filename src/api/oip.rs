//! Open Inference Protocol v2, as far as it is served: what a model is.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::{Value, json};

use super::App;
use super::error::ApiError;
use crate::model::Model;
use crate::signature::TensorSpec;

/// `GET /v2/models/{model}`: names, types and shapes (-1 for an axis of any length), and in
/// `properties` what runs it.
pub async fn model(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(metadata(&*app.repository()?.find(&name, None)?)))
}

/// `GET /v2/models/{model}/versions/{version}`.
pub async fn version(
    State(app): State<App>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(metadata(&*app.repository()?.find(&name, Some(&version))?)))
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: Vec<i64>,
}

fn metadata(model: &Model) -> Value {
    json!({
        "name": model.name,
        "versions": [model.version.to_string()],
        "platform": "onnxruntime_onnx",
        "inputs": tensors(&model.signature.inputs),
        "outputs": tensors(&model.signature.outputs),
        "properties": {
            "task": model.task(),
            "device": model.provider.to_string(),
            "file": model.file,
        },
    })
}

/// Maps and sequences, which the protocol has no words for, are left out.
fn tensors(specs: &[TensorSpec]) -> Vec<Tensor<'_>> {
    let tensors = specs.iter().filter_map(|spec| {
        let axis = |axis: &Option<usize>| axis.map_or(-1, |length| length as i64);
        let datatype = spec.data_type()?.name();
        Some(Tensor { name: &spec.name, datatype, shape: spec.shape.iter().map(axis).collect() })
    });
    tensors.collect()
}
