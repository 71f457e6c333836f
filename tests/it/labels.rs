//! What classes are called and what their scores are, where a network says it by its last operators.

use serde_json::{Value, json};

use crate::network::{FP32, INT64, Network};
use crate::support::{Folder, Server};

const LABELS: &[(&str, &str)] = &[("labels.txt", "a\nb\nc\n")];

/// The scores of three classes are a softmax of the features, and the label counts them from `first` on.
fn classifier(first: i64) -> Network {
    Network::default()
        .input("x", FP32, &[None, Some(3)])
        .number("first", INT64, &first.to_le_bytes())
        .node_with("Softmax", &["x"], "probabilities", &[("axis", 1)])
        .node_with("ArgMax", &["probabilities"], "best", &[("axis", 1), ("keepdims", 0)])
        .node("Add", &["best", "first"], "label")
        .output("label", INT64, &[None])
        .output("probabilities", FP32, &[None, Some(3)])
}

async fn serve(network: Network, files: &[(&str, &str)]) -> Server {
    let folder = Folder::new();
    folder.write("m/model.onnx", network.bytes());
    for (name, text) in files {
        folder.write(&format!("m/{name}"), text);
    }
    Server::start(folder.load().unwrap_or_else(|error| panic!("{error:#}"))).await
}

/// Of each row the label, the first class and the best score.
async fn answers(server: &Server, rows: Value) -> Vec<(String, String, f64)> {
    let answer = server.json("/predict/m", json!({ "features": rows })).await;
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned();
    let entries = answer.result().iter().map(|entry| {
        let first = &entry["classes"][0];
        (text(&entry["label"]), text(&first["label"]), first["score"].as_f64().unwrap())
    });
    entries.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_count_from_another_number_go_with_their_own_scores() {
    let rows = || json!([[0.0, 0.0, 9.0], [9.0, 0.0, 0.0]]);
    let without: &[_] = &[];
    for (first, files, expected) in [
        (1, LABELS, ["c", "a"]),
        (1, without, ["3", "1"]),
        (0, LABELS, ["c", "a"]),
        (-1, without, ["1", "-1"]),
    ] {
        let server = serve(classifier(first), files).await;
        let answers = answers(&server, rows()).await;
        for ((label, best, score), expected) in answers.iter().zip(expected) {
            assert_eq!((label.as_str(), best.as_str()), (expected, expected), "{first} {files:?}");
            assert!(*score > 0.99, "{score}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_of_probabilities_is_not_squashed_again() {
    let percent = Network::default()
        .input("x", FP32, &[None, Some(3)])
        .number("hundred", FP32, &100.0_f32.to_le_bytes())
        .node_with("Softmax", &["x"], "probabilities", &[("axis", 1)])
        .node("Mul", &["probabilities", "hundred"], "percent")
        .output("percent", FP32, &[None, Some(3)]);
    let server = serve(percent, LABELS).await;
    let answers = answers(&server, json!([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]])).await;
    assert!((answers[0].2 - 100.0 / 3.0).abs() < 1e-3, "{answers:?}");
    assert!(answers[1].0 == "a" && answers[1].2 > 99.0, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_numbers_of_several_columns_are_values() {
    let network = Network::default()
        .input("x", INT64, &[None, Some(2)])
        .node("Add", &["x", "x"], "twice")
        .output("twice", INT64, &[None, Some(2)]);
    let server = serve(network, &[]).await;
    let answer =
        server.json("/predict/m", json!({"features": [[1, 4_503_599_627_370_497_i64]]})).await;
    assert_eq!(
        answer.result()[0]["value"],
        json!([2, 9_007_199_254_740_994_i64]),
        "{}",
        answer.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn minus_infinity_is_a_masked_class_and_has_no_json_as_a_tensor() {
    let network = Network::default()
        .input("x", FP32, &[None, Some(3)])
        .number("zero", FP32, &0.0_f32.to_le_bytes())
        .number("masked", FP32, &f32::NEG_INFINITY.to_le_bytes())
        .node("Greater", &["x", "zero"], "is_open")
        .node("Where", &["is_open", "x", "masked"], "logits")
        .output("logits", FP32, &[None, Some(3)]);
    let server = serve(network, &[LABELS[0], ("model.toml", "scores = \"logits\"\n")]).await;
    let answers = answers(&server, json!([[-1.0, -1.0, 2.0]])).await;
    assert_eq!(answers, [("c".to_owned(), "c".to_owned(), 1.0)]);
    let x = json!({"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [-1, -1, 2]});
    let answer = server.json("/v2/models/m/infer", json!({"inputs": [x]})).await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert!(answer.body["error"].as_str().unwrap().contains("binary"), "{}", answer.body);
}
