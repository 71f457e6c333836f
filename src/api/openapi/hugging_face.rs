//! Hugging Face's form of requests.

use serde_json::{Value, json};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::Ref;
use utoipa::openapi::{Required, ResponseBuilder};

use super::operation::{Described, INFERENCE, with_examples};
use super::parameters;
use super::predict::{images, of_inference, photo};
use crate::api::hugging_face::{Group, Request};
use crate::tasks::ClassScore;

pub const TAG: &str = "hugging-face";

pub fn operations() -> Vec<Described> {
    vec![
        predict("/", "huggingFace").summary("Predict with the model that takes this kind of input"),
        predict("/models/{model}", "huggingFaceModel").summary("Predict with a model"),
    ]
}

fn predict(path: &str, id: &str) -> Described {
    let mut described = Described::post(path, id, TAG).description(
        "The answer is that of the task's pipeline: for one input what it is, but a list of it where it is \
         a text's classes, and a list for several inputs.",
    );
    for name in parameters::OF_INFERENCE {
        described = described.parameter(name);
    }
    let request = described.reference::<Request<'_>>();
    let body = images(RequestBodyBuilder::new())
        .required(Some(Required::True))
        .content("application/json", with_examples(request, requests()));
    // What the lists hold.
    described.reference::<ClassScore>();
    described.reference::<Group<'_>>();
    let answer = Ref::from_schema_name("HuggingFaceResponse");
    let content = ContentBuilder::new().schema(Some(answer)).example(Some(answered())).build();
    let response = ResponseBuilder::new()
        .description("As the pipeline of the model's task answers")
        .content("application/json", content);
    described
        .body(body.build())
        .response(200, of_inference(response))
        .fails(INFERENCE)
        .on_data_port()
}

fn requests() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("text", "A sentence", json!({"inputs": "The battery lasts for days, I love it!"})),
        (
            "texts",
            "Several sentences",
            json!({
                "inputs": ["The battery lasts for days, I love it!", "It broke after a week."],
                "parameters": {"top_k": 1},
            }),
        ),
        ("image", "A small photo, for efficientnet-lite0", json!({"inputs": photo()})),
    ]
}

fn answered() -> Value {
    json!([[
        {"label": "positive", "score": 0.954_173_4},
        {"label": "neutral", "score": 0.037_604_8},
        {"label": "negative", "score": 0.008_221_8},
    ]])
}
