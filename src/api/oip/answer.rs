//! An inference's answer as HTTP carries it.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::binary;
use super::json::{Flat, check_finite};
use super::missing::Missing;
use super::request::BinaryOutputs;
use super::rest::HEADER_LENGTH;
use crate::error::Error;
use crate::tensor::Tensor;

/// What comes before the outputs.
pub struct Head<'a> {
    pub model: &'a str,
    pub version: String,
    pub id: Option<String>,
}

/// An inference's outputs.
#[derive(Serialize, ToSchema)]
#[schema(as = InferResponse)]
pub struct Body<'a> {
    model_name: &'a str,
    model_version: &'a str,
    /// As in the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<&'a str>,
    outputs: Vec<Output<'a>>,
}

/// A tensor.
#[derive(Serialize, ToSchema)]
#[schema(as = InferOutput)]
pub struct Output<'a> {
    name: &'a str,
    #[schema(schema_with = crate::api::openapi::datatypes)]
    datatype: &'static str,
    shape: &'a [usize],
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = OutputParameters, required = false)]
    parameters: Option<OutputParameters>,
    /// The elements as one flat list in row-major order, unless they come as bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Value>, required = false)]
    data: Option<Flat<'a>>,
}

/// Where a tensor's elements are bytes after the JSON: how many.
#[derive(Serialize, ToSchema)]
#[schema(as = InferOutputParameters)]
pub struct OutputParameters {
    binary_data_size: usize,
}

/// # Errors
/// NaN or infinity in an output that is to be JSON, which has no number for them; the client's where
/// the row lacks a value.
pub fn write(
    head: &Head<'_>,
    outputs: &[(String, Tensor)],
    is_binary: &BinaryOutputs,
    missing: &Missing,
) -> Result<Response, Error> {
    let mut tail = Vec::new();
    let mut described = Vec::with_capacity(outputs.len());
    for (name, tensor) in outputs {
        let (mut data, mut parameters) = (None, None);
        if is_binary.of(name) {
            let before = tail.len();
            binary::append(tensor, &mut tail);
            parameters = Some(OutputParameters { binary_data_size: tail.len() - before });
        } else {
            check_finite(name, tensor, missing)?;
            data = Some(Flat(tensor));
        }
        let (datatype, shape) = (tensor.data_type().name(), tensor.shape());
        described.push(Output { name, datatype, shape, parameters, data });
    }
    let binary = described.iter().any(|output| output.parameters.is_some());
    let body = Body {
        model_name: head.model,
        model_version: &head.version,
        id: head.id.as_deref(),
        outputs: described,
    };
    let mut json = serde_json::to_vec(&body).map_err(Error::internal)?;
    if !binary {
        let content_type = HeaderValue::from_static("application/json");
        return Ok(([(header::CONTENT_TYPE, content_type)], json).into_response());
    }
    let length = json.len();
    json.append(&mut tail);
    let content_type = HeaderValue::from_static("application/octet-stream");
    let mut response = ([(header::CONTENT_TYPE, content_type)], json).into_response();
    response.headers_mut().insert(HEADER_LENGTH, length.into());
    Ok(response)
}
