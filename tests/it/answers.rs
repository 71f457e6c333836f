//! Every form of input, and the answer to it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::support::{Answer, Folder, Server, assert_same, fixture, image, send};

const PHOTO: &str = "jpeg-coffee.jpg";

/// The body with scores rounded, since the last digits are the processor's business.
macro_rules! assert_answer {
    ($answer:expr) => {{
        let answer: Answer = $answer;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.content_type, "application/json");
        insta::assert_json_snapshot!(answer.body, {".**.score" => insta::rounded_redaction(2)});
    }};
}

fn labels(answer: &Answer) -> Vec<&str> {
    answer.result().iter().map(|entry| entry["label"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_image_goes_to_the_image_model() {
    let server = Server::bundled().await;
    assert_answer!(server.post("/predict?top_k=1", "image/jpeg", image(PHOTO)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_one_image_has_the_same_answer() {
    let server = Server::bundled().await;
    let raw = server.post("/predict/efficientnet-lite0", "image/jpeg", image(PHOTO)).await;
    assert_eq!(labels(&raw), ["espresso"]);
    let base64 = STANDARD.encode(image(PHOTO));
    let uri = format!("data:image/jpeg;base64,{base64}");
    let part = || Part::bytes(image(PHOTO)).file_name(PHOTO);
    let forms = [
        server.post("/predict", "application/octet-stream", image(PHOTO)).await,
        server.post("/predict/efficientnet-lite0/versions/1", "image/jpeg", image(PHOTO)).await,
        server.json("/predict", json!({ "image": base64 })).await,
        server.json("/predict", json!({ "image": [uri] })).await,
        server.json("/predict", json!({"model": "efficientnet-lite0", "inputs": uri})).await,
        send(server.request("POST", "/predict").multipart(Form::new().part("file", part()))).await,
    ];
    for answer in forms {
        assert_same(&answer.body, &raw.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_images_have_one_entry_each_in_order() {
    let server = Server::bundled().await;
    let part = |name: &'static str| Part::bytes(image(name)).file_name(name);
    let form = Form::new()
        .part("image", part(PHOTO))
        .part("image", part("png-rgb.png"))
        .part("image", part("jpeg-rocket.jpg"))
        .text("top_k", "2");
    let form = send(server.request("POST", "/predict").multipart(form)).await;
    let files = [PHOTO, "png-rgb.png", "jpeg-rocket.jpg"];
    let base64: Vec<String> = files.iter().map(|name| STANDARD.encode(image(name))).collect();
    let body = json!({"image": base64, "parameters": {"top_k": 2}});
    assert_same(&server.json("/predict", body).await.body, &form.body);
    for (entry, name) in form.result().iter().zip(files) {
        let alone = server.post("/predict?top_k=2", "application/octet-stream", image(name)).await;
        assert_eq!(entry, &alone.result()[0], "{name}: alone and in a list");
        assert_eq!(entry["classes"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_goes_to_the_default_text_model() {
    let server = Server::bundled().await;
    let text = "I absolutely love this phone, the battery lasts for days!";
    let json = server.json("/predict", json!({ "text": text })).await;
    let plain = server.post("/predict", "text/plain; charset=utf-8", format!("{text}\n")).await;
    assert_same(&json.body, &plain.body);
    let form = Form::new().text("text", text);
    let form = send(server.request("POST", "/predict").multipart(form)).await;
    assert_same(&json.body, &form.body);
    assert_answer!(json);
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_have_one_entry_each_in_order() {
    let server = Server::bundled().await;
    let text = ["The acting is superb.", "Worst service ever.", "The train leaves at 3 pm."];
    let list = server.json("/predict", json!({ "text": text })).await;
    assert_eq!(labels(&list), ["positive", "negative", "neutral"]);
    let inputs = json!({"model": "sentiment-minilm", "inputs": text});
    assert_same(&server.json("/predict", inputs).await.body, &list.body);
    assert_answer!(
        server
            .json("/predict/sentiment-tfidf", json!({"text": text, "parameters": {"top_k": 1}}))
            .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pairs_of_texts_have_two_spellings() {
    let server = Server::start(fixture("optimum-bert").unwrap()).await;
    let list = json!({"text": [["Is it good?", "Very."], ["Is it good?", "No."]]});
    let list = server.json("/predict", list).await;
    let object = json!({"text": {"text": "Is it good?", "text_pair": "Very."}});
    let object = server.json("/predict", object).await;
    assert_eq!(object.result()[0], list.result()[0]);
    let single = server.json("/predict", json!({"text": "Is it good?"})).await;
    assert_ne!(single.result()[0], list.result()[0], "the second text must matter");
}

#[tokio::test(flavor = "multi_thread")]
async fn long_pairs_are_cut_and_refused_where_they_may_not_be() {
    let server = Server::start(fixture("optimum-bert").unwrap()).await;
    let ask = async |text: String, truncate: bool| {
        let parameters = json!({"truncate": truncate});
        let body = json!({"text": [[text.clone(), text]], "parameters": parameters});
        server.json("/predict", body).await
    };
    let (long, longer) = ("a b ".repeat(1000), "a b ".repeat(2000));
    let cut = ask(long.clone(), true).await;
    assert_eq!(cut.result()[0], ask(longer, true).await.result()[0]);
    assert_eq!(ask(long, false).await.status, 422);
    assert_eq!(ask("a b".to_owned(), false).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn features_in_rows_in_one_row_and_by_name() {
    let server = Server::bundled().await;
    let row = json!([5.1, 3.5, 1.4, 0.2]);
    let rows = server.json("/predict", json!({"features": [row]})).await;
    assert_eq!(labels(&rows), ["setosa"]);
    let named = json!({
        "petal_width": [0.2], "sepal_length": [5.1], "sepal_width": [3.5], "petal_length": [1.4]
    });
    let one = json!({
        "sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2
    });
    for features in [row, named, one] {
        let answer = server.json("/predict", json!({ "features": features })).await;
        assert_same(&answer.body, &rows.body);
    }
    let several = json!({"features": [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]});
    assert_answer!(server.json("/predict/iris", several).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_numbers_and_of_text() {
    let server = Server::start(fixture("named-columns").unwrap()).await;
    let features = json!({
        "age": [22, 38], "fare": [7.25, 71.3], "siblings": [1, 1],
        "sex": ["male", "female"], "embarked": ["Southampton", "Cherbourg"]
    });
    assert_answer!(server.json("/predict", json!({ "features": features })).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_regression_answers_with_values() {
    let server = Server::start(fixture("no-batch").unwrap()).await;
    assert_answer!(
        server.json("/predict", json!({"features": [[1, 2, 3, 4], [2, 2, 3, 4]]})).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_a_multi_label_model_stand_for_themselves() {
    let server = Server::start(fixture("optimum-distilbert-multi-label").unwrap()).await;
    let answer = server.json("/predict", json!({"text": "I love this phone."})).await;
    let classes = answer.result()[0]["classes"].as_array().unwrap();
    let sum: f64 = classes.iter().map(|class| class["score"].as_f64().unwrap()).sum();
    assert!(sum > 1.5, "sigmoids do not add up to 1: {sum}");
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_scores_are_the_models_own() {
    let server = Server::bundled().await;
    let text = "I absolutely love this phone!";
    let body = json!({"text": text, "parameters": {"raw_scores": true}});
    let raw = server.json("/predict", body).await;
    let probable = server.json("/predict", json!({ "text": text })).await;
    let score = |answer: &Answer, class: usize| {
        answer.result()[0]["classes"][class]["score"].as_f64().unwrap()
    };
    let logits: Vec<f64> = (0..3).map(|class| score(&raw, class)).collect();
    let sum: f64 = logits.iter().map(|logit| (logit - logits[0]).exp()).sum();
    assert!((1.0 / sum - score(&probable, 0)).abs() < 1e-5);
    let by_query = server.post("/predict?raw_scores=true", "text/plain", text).await;
    assert_same(&by_query.body, &raw.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_text_is_cut_unless_that_is_refused() {
    let server = Server::bundled().await;
    let long = "not good ".repeat(400);
    let cut = server.json("/predict", json!({ "text": long })).await;
    assert_eq!(cut.result().len(), 1);
    let body = json!({"text": [long], "parameters": {"truncate": false}});
    let refused = server.json("/predict", body).await;
    assert_eq!((refused.status, &refused.body["field"]), (422, &json!("text[0]")));
    let short = json!({"text": "not good", "parameters": {"truncate": false}});
    assert_eq!(server.json("/predict", short).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_version_is_served_and_named() {
    let folder = Folder::new();
    folder
        .copy("models/iris/model.onnx", "iris/2/model.onnx")
        .copy("models/iris/model.onnx", "iris/10/model.onnx")
        .copy("models/iris/labels.txt", "iris/labels.txt");
    let server = Server::start(folder.load().unwrap()).await;
    let body = json!({"features": [[5.1, 3.5, 1.4, 0.2]]});
    let answer = server.json("/predict/iris/versions/10", body.clone()).await;
    assert_eq!(answer.body["version"], "10");
    assert_eq!(labels(&answer), ["setosa"], "labels.txt of the model counts for every version");
    assert_eq!(server.json("/predict/iris/versions/2", body).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_variant_of_the_device_runs() {
    let folder = Folder::new();
    folder
        .copy("models/iris/model.onnx", "iris/other.onnx")
        .copy("models/iris/labels.txt", "iris/labels.txt")
        .write("iris/model.onnx", "this variant is for another device and no network at all")
        .write("iris/model.toml", "[variants]\ncpu = \"other.onnx\"\ncuda = \"model.onnx\"\n");
    let app = folder.load().unwrap();
    assert_eq!(app.repository().unwrap().find("iris", None).unwrap().file, "other.onnx");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_taken_over_or_made() {
    let server = Server::bundled().await;
    let ask = |id: &'static str| {
        let request = server.request("POST", "/predict").json(&json!({"text": "good"}));
        send(request.header("x-request-id", id))
    };
    assert_eq!(ask("abc-123").await.headers["x-request-id"], "abc-123");
    let made = ask("not a harmless id").await;
    assert_eq!(made.headers["x-request-id"].len(), 32);
    let refused = send(server.request("GET", "/predict").header("x-request-id", "mine")).await;
    assert_eq!(refused.body["request_id"], Value::from("mine"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_where_its_time_went() {
    let server = Server::bundled().await;
    let answer = server.post("/predict", "image/jpeg", image(PHOTO)).await;
    let timing = answer.headers["server-timing"].to_str().unwrap();
    let stages: Vec<&str> =
        timing.split(", ").map(|stage| stage.split(';').next().unwrap()).collect();
    assert_eq!(stages, ["decode", "preprocess", "queue", "infer", "postprocess"]);
    for stage in timing.split(", ") {
        let duration: f64 = stage.split_once("dur=").unwrap().1.parse().unwrap();
        assert!(duration >= 0.0, "{stage}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_work_has_the_same_answers() {
    let server = Server::bundled().await;
    let body = json!({"text": "The acting is superb."});
    let request = |priority: &'static str| {
        send(server.request("POST", "/predict").json(&body).header("x-priority", priority))
    };
    assert_same(&request("bulk").await.body, &request("interactive").await.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_which_device_it_comes_from() {
    let server = Server::bundled().await;
    let answer = server.json("/predict/iris", json!({"features": [[5.1, 3.5, 1.4, 0.2]]})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.headers["x-device"], "cpu");
    assert!(answer.body.get("provider").is_none(), "{}", answer.body);
    let refused = server.json("/predict/iris", json!({"features": []})).await;
    assert!(refused.status >= 400 && !refused.headers.contains_key("x-device"));
}

#[tokio::test]
async fn metadata_tells_what_a_model_takes_and_what_runs_it() {
    let server = Server::bundled().await;
    for path in ["/v2/models/iris", "/v2/models/iris/versions/1"] {
        let answer = send(server.request("GET", path)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.body["versions"], json!(["1"]));
        let input = json!([{"name": "features", "datatype": "FP32", "shape": [-1, 4]}]);
        assert_eq!(answer.body["inputs"], input);
        assert_eq!(answer.body["properties"]["device"], "cpu");
    }
    assert_eq!(send(server.request("GET", "/v2/models/nobody")).await.status, 404);
    assert_eq!(send(server.request("POST", "/v2/models/iris")).await.status, 405);
}
