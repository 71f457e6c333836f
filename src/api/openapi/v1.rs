//! The V1 protocol.

use serde_json::{Value, json};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::{Required, ResponseBuilder};

use super::operation::{Described, INFERENCE, OF_MODEL, OF_MODELS, with_examples};
use super::predict::{of_inference, photo};
use super::{parameters, v2};
use crate::api::oip::metadata::ModelList;
use crate::api::v1::{ModelStatus, Predicted, Request};

pub const TAG: &str = "v1";

pub fn operations() -> Vec<Described> {
    let models = Described::get("/v1/models", "v1Models", TAG)
        .summary("The models' names")
        .answers::<ModelList>(200, "The names", Some(v2::names()))
        .fails(OF_MODELS)
        .on_data_port();
    let mut all = vec![models];
    for (path, id, what) in [
        ("/v1/models/{model}", "v1Model", "a model"),
        ("/v1/models/{model}/versions/{version}", "v1Version", "a version of a model"),
        ("/v1/models/{model}/labels/{label}", "v1Label", "the version with a label"),
    ] {
        let status = Described::get(path, id, TAG)
            .summary(&format!("How {what} stands"))
            .answers::<ModelStatus>(200, "How it stands", None);
        all.push(status.fails(OF_MODEL).on_data_port());
        all.push(predict(&format!("{path}:predict"), &format!("{id}Predict"), what));
    }
    all
}

fn predict(path: &str, id: &str, what: &str) -> Described {
    let mut described = Described::post(path, id, TAG).summary(&format!("Predict with {what}"));
    for name in parameters::OF_INFERENCE {
        described = described.parameter(name);
    }
    let request = described.reference::<Request<'_>>();
    let body = RequestBodyBuilder::new()
        .required(Some(Required::True))
        .content("application/json", with_examples(request, requests()));
    let answer = described.reference::<Predicted>();
    let response = ResponseBuilder::new()
        .description("`predictions` for `instances`, `outputs` for `inputs`")
        .content("application/json", with_examples(answer, answers()));
    described
        .body(body.build())
        .response(200, of_inference(response))
        .fails(INFERENCE)
        .on_data_port()
}

fn requests() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        (
            "texts",
            "Sentences, for sentiment-minilm",
            json!({"instances": ["The battery lasts for days, I love it!", "It broke after a week."]}),
        ),
        ("rows", "A row for iris", json!({"instances": [[5.1, 3.5, 1.4, 0.2]]})),
        (
            "columns",
            "The same as a whole tensor, for iris",
            json!({"inputs": {"features": [[5.1, 3.5, 1.4, 0.2]]}}),
        ),
        (
            "images",
            "A small photo, for efficientnet-lite0",
            json!({"instances": [{"b64": photo()}]}),
        ),
    ]
}

fn answers() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        (
            "rows",
            "A row for iris",
            json!({"predictions": [
                {"label": 0, "probabilities": [0.978_716, 0.021_283_1, 8.239_2e-7]},
            ]}),
        ),
        (
            "columns",
            "The same as whole tensors",
            json!({"outputs": {
                "label": [0], "probabilities": [[0.978_716, 0.021_283_1, 8.239_2e-7]],
            }}),
        ),
    ]
}
