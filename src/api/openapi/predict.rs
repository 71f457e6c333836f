//! `/predict` in every form of input.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use utoipa::openapi::content::{Content, ContentBuilder};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Ref, Type};
use utoipa::openapi::{Required, ResponseBuilder};

use super::operation::{Described, INFERENCE, with_examples};
use super::parameters;
use super::schemas::file;
use crate::api::predict::Answer;
use crate::tasks::image::Format;

pub const TAG: &str = "predict";

/// The media type of lines of JSON; others that are taken mean the same.
const LINES: &str = "application/x-ndjson";
const LINES_ASKED: &str = "{\"id\": 1, \"text\": \"It broke after a week.\"}\n\
                           {\"id\": 2, \"text\": \"I love it!\", \"parameters\": {\"top_k\": 1}}\n";
const LINES_ANSWERED: &str = "{\"id\":1,\"result\":[{\"label\":\"negative\",\"score\":0.9654254,\"classes\":\
                              [{\"label\":\"negative\",\"score\":0.9654254}]}]}\n";

/// An espresso, made small.
const PHOTO: &[u8] = include_bytes!("espresso.webp");

pub fn operations() -> Vec<Described> {
    vec![
        predict("/predict", "predict")
            .parameter("model_query")
            .summary("Predict with the model that takes this kind of input")
            .description(&describe("/predict")),
        predict("/predict/{model}", "predictWithModel")
            .summary("Predict with a model")
            .description(&describe("/predict/efficientnet-lite0")),
        predict("/predict/{model}/versions/{version}", "predictWithVersion")
            .summary("Predict with a version of a model")
            .description(&describe("/predict/efficientnet-lite0/versions/1")),
    ]
}

fn describe(path: &str) -> String {
    format!(
        "The body is an image's file, a text, a form, JSON with one of them or a list, or lines of such \
         JSON (NDJSON), which are answered line by line while further ones are still arriving; what is \
         wrong with a line is its answer:\n\n\
         ```sh\n\
         curl -s '127.0.0.1:8080{path}?top_k=3' --data-binary @photo.jpg -H 'content-type: image/jpeg'\n\
         curl -s 127.0.0.1:8080{path} -F image=@a.jpg -F image=@b.png\n\
         ```"
    )
}

fn predict(path: &str, id: &str) -> Described {
    let mut described = Described::post(path, id, TAG).body(body());
    for name in parameters::OF_PREDICT.into_iter().chain(parameters::OF_INFERENCE) {
        described = described.parameter(name);
    }
    let answer = described.reference::<Answer<'_>>();
    let content = with_examples(answer, answers());
    let response = ResponseBuilder::new()
        .description("An entry in `result` for each input, in order")
        .content("application/json", content)
        .content(LINES, lines("A `PredictLineResponse` for each line, in order", LINES_ANSWERED));
    described.response(200, of_inference(response)).fails(INFERENCE).on_data_port()
}

/// With the headers that every answer to an inference has.
pub fn of_inference(response: ResponseBuilder) -> ResponseBuilder {
    response
        .header_ref("server-timing", parameters::header("ServerTiming"))
        .header_ref("x-device", parameters::header("XDevice"))
}

/// The file of an image, in each format that is decoded.
pub fn images(body: RequestBodyBuilder) -> RequestBodyBuilder {
    let file = || ContentBuilder::new().schema(Some(file())).build();
    let body = body.content("application/octet-stream", file());
    Format::ALL.into_iter().fold(body, |body, format| body.content(format.media_type(), file()))
}

fn body() -> RequestBody {
    let json = with_examples(Ref::from_schema_name("PredictRequest"), requests());
    let form = Content::new(Some(Ref::from_schema_name("PredictForm")));
    let text = ContentBuilder::new()
        .schema(Some(parameters::text()))
        .example(Some(json!("The battery lasts for days, I love it!")))
        .build();
    images(RequestBodyBuilder::new())
        .required(Some(Required::True))
        .content("application/json", json)
        .content("multipart/form-data", form)
        .content("text/plain", text)
        .content(LINES, lines("A `PredictLine` each", LINES_ASKED))
        .build()
}

/// Lines of JSON. `OpenAPI` 3.1 has no word for the schema of one of several items.
fn lines(description: &str, example: &str) -> Content {
    let lines = ObjectBuilder::new().schema_type(Type::String).description(Some(description));
    ContentBuilder::new().schema(Some(lines)).example(Some(json!(example))).build()
}

/// An image as JSON carries it.
pub fn photo() -> String {
    STANDARD.encode(PHOTO)
}

fn requests() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("sentence", "A sentence", json!({"text": "The battery lasts for days, I love it!"})),
        (
            "sentences",
            "Several sentences, the best class of each",
            json!({
                "text": ["The battery lasts for days, I love it!", "It broke after a week."],
                "parameters": {"top_k": 1},
            }),
        ),
        ("features", "A row of iris", json!({"features": [[5.1, 3.5, 1.4, 0.2]]})),
        (
            "features_by_name",
            "Two rows of iris by name",
            json!({"features": {
                "sepal_length": [5.1, 6.7],
                "sepal_width": [3.5, 3.0],
                "petal_length": [1.4, 5.2],
                "petal_width": [0.2, 2.3],
            }}),
        ),
        ("photo", "A small photo in base64", json!({"image": photo()})),
        (
            "inputs",
            "Hugging Face's name for any kind of input",
            json!({"inputs": "It broke after a week.", "model": "sentiment-minilm"}),
        ),
    ]
}

fn answers() -> Vec<(&'static str, &'static str, Value)> {
    let classes = |classes: &[(&str, f64)]| {
        let listed: Vec<_> =
            classes.iter().map(|(label, score)| json!({"label": label, "score": score})).collect();
        json!({"label": classes[0].0, "score": classes[0].1, "classes": listed})
    };
    vec![
        (
            "sentence",
            "A sentence",
            json!({"model": "sentiment-minilm", "version": "1", "result": [classes(&[
                ("positive", 0.954_173_4), ("neutral", 0.037_604_8), ("negative", 0.008_221_8),
            ])]}),
        ),
        (
            "features",
            "A row of iris",
            json!({"model": "iris", "version": "1", "result": [classes(&[
                ("setosa", 0.978_716), ("versicolor", 0.021_283_1), ("virginica", 8.239_2e-7),
            ])]}),
        ),
        (
            "photo",
            "A photo",
            json!({"model": "efficientnet-lite0", "version": "1", "result": [classes(&[
                ("espresso", 0.960_5), ("cup", 0.010_8),
            ])]}),
        ),
    ]
}
