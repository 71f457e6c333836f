//! The Open Inference Protocol v2.

use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::content::{Content, ContentBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{AnyOfBuilder, Ref};
use utoipa::openapi::{Required, ResponseBuilder};

use super::operation::{ANY, Described, INFERENCE, OF_MODEL, OF_MODELS, with_examples};
use super::parameters;
use super::predict::{of_inference, photo};
use super::schemas::file;
use crate::api::oip::metadata::{
    ModelConfig, ModelList, ModelMetadata, ModelReady, ServerLive, ServerMetadata, ServerReady,
    Statistics,
};
use crate::api::oip::{InferAnswerBody, InferRequestBody};
use crate::error::ErrorKind;

pub const TAG: &str = "v2";

pub fn operations() -> Vec<Described> {
    let mut all = vec![
        probe::<ServerLive>("/v2/health/live", "v2Live")
            .summary("Whether the server is alive, as the probe of the admin port"),
        probe::<ServerReady>("/v2/health/ready", "v2Ready")
            .summary("Whether requests should be sent here, as the probe of the admin port"),
        server("/v2", "v2Server").summary("The server and its extensions"),
        server("/v2/", "v2ServerSlash").summary("The same as /v2, as some clients ask"),
        Described::get("/v2/models", "v2Models", TAG)
            .summary("The models' names")
            .answers::<ModelList>(200, "The names", Some(names()))
            .fails(OF_MODELS)
            .on_data_port(),
        Described::get("/v2/models/stats", "v2Statistics", TAG)
            .summary("Counts and times of all models")
            .answers::<Statistics>(200, "Counts since the models were loaded", None)
            .fails(OF_MODELS)
            .on_data_port(),
    ];
    let models = [
        ("/v2/models/{model}", "v2Model", "a model"),
        ("/v2/models/{model}/versions/{version}", "v2Version", "a version of a model"),
    ];
    for (path, id, what) in models {
        all.push(
            about::<ModelMetadata>(path, id, "The inputs and outputs")
                .summary(&format!("Inputs and outputs of {what}")),
        );
        all.push(ready(&format!("{path}/ready"), &format!("{id}Ready"), what));
        all.push(
            about::<ModelConfig>(
                &format!("{path}/config"),
                &format!("{id}Config"),
                "The configuration",
            )
            .summary(&format!("Configuration of {what}, in Triton's words")),
        );
        all.push(
            about::<Statistics>(&format!("{path}/stats"), &format!("{id}Statistics"), "The counts")
                .summary(&format!("Counts and times of {what}")),
        );
        all.push(infer(&format!("{path}/infer"), &format!("{id}Infer"), what));
    }
    all
}

pub fn names() -> Value {
    json!({"models": ["efficientnet-lite0", "iris", "sentiment-minilm", "sentiment-tfidf"]})
}

fn server(path: &str, id: &str) -> Described {
    let described = Described::get(path, id, TAG);
    described.answers::<ServerMetadata>(200, "The server", None).fails(ANY).on_data_port()
}

/// Probes pass the limit on requests in work.
fn probe<T: ToSchema>(path: &str, id: &str) -> Described {
    Described::get(path, id, TAG)
        .answers::<T>(200, "Yes", None)
        .answers::<T>(503, "No", None)
        .fails(&[ErrorKind::Unauthorized])
        .on_data_port()
}

fn about<T: ToSchema>(path: &str, id: &str, description: &str) -> Described {
    let described = Described::get(path, id, TAG);
    described.answers::<T>(200, description, None).fails(OF_MODEL).on_data_port()
}

fn ready(path: &str, id: &str, what: &str) -> Described {
    let mut described =
        Described::get(path, id, TAG).summary(&format!("Whether {what} can answer"));
    let not = AnyOfBuilder::new()
        .item(described.reference::<ModelReady>())
        .item(Ref::from_schema_name("Problem"));
    let not = ResponseBuilder::new()
        .description("It cannot, or the models are loading")
        .content("application/json", Content::new(Some(not)))
        .header_ref("retry-after", parameters::header("RetryAfter"));
    let described = described.answers::<ModelReady>(200, "It can", None).fails(OF_MODEL);
    described.response(503, not).on_data_port()
}

fn infer(path: &str, id: &str, what: &str) -> Described {
    let mut described = Described::post(path, id, TAG)
        .summary(&format!("Infer with {what}"))
        .description(
            "As JSON, or as JSON and the bytes of tensors after it (`binary_data_size`, little-endian), or \
             with a header length of 0 as nothing but the only input, for one row: numbers, or an image's \
             file.\n\n```sh\ncurl -s 127.0.0.1:8080/v2/models/efficientnet-lite0/infer --data-binary @photo.jpg \
             -H 'content-type: application/octet-stream' -H 'inference-header-content-length: 0'\n```",
        )
        .parameter(parameters::HEADER_LENGTH);
    for name in parameters::OF_INFERENCE {
        described = described.parameter(name);
    }
    let request = described.reference::<InferRequestBody<'_>>();
    let binary = || ContentBuilder::new().schema(Some(file())).build();
    let body = RequestBodyBuilder::new()
        .required(Some(Required::True))
        .content("application/json", with_examples(request, requests()))
        .content("application/octet-stream", binary());
    let content = described.content::<InferAnswerBody<'_>>(Some(answer()));
    let response = ResponseBuilder::new()
        .description("The outputs; as bytes after the JSON where they are asked for so")
        .content("application/json", content)
        .content("application/octet-stream", binary())
        .header_ref(parameters::HEADER_LENGTH, parameters::header("InferenceHeaderContentLength"));
    described
        .body(body.build())
        .response(200, of_inference(response))
        .fails(INFERENCE)
        .on_data_port()
}

fn requests() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        (
            "text",
            "A sentence as BYTES, for sentiment-minilm",
            json!({"inputs": [{
                "name": "text", "shape": [1], "datatype": "BYTES",
                "data": ["The battery lasts for days, I love it!"],
            }]}),
        ),
        (
            "features",
            "A row for iris",
            json!({"inputs": [{
                "name": "features", "shape": [1, 4], "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2],
            }]}),
        ),
        (
            "image",
            "A small photo as BYTES, for efficientnet-lite0",
            json!({
                "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [photo()]}],
                "outputs": [{"name": "label", "parameters": {"classification": 3}}],
            }),
        ),
    ]
}

fn answer() -> Value {
    json!({"model_name": "sentiment-minilm", "model_version": "1", "outputs": [
        {"name": "label", "datatype": "BYTES", "shape": [1], "data": ["positive"]},
        {"name": "score", "datatype": "FP32", "shape": [1], "data": [0.954_173_4]},
    ]})
}
