//! The bundled models answer as Pillow, Hugging Face's tokenizers and onnxruntime in Python do.
//! The values in tests/reference/*.json are made by tests/reference/reference.py.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{Answer, Folder, Server, image, root};

#[derive(Deserialize)]
pub struct Reference {
    pub model: String,
    pub cases: Vec<Case>,
}

#[derive(Deserialize)]
pub struct Case {
    pub input: Value,
    pub label: Option<String>,
    #[serde(default)]
    pub classes: Vec<(String, f64)>,
    pub value: Option<f64>,
    pub error: Option<String>,
}

fn reference(name: &str) -> Reference {
    let path = root().join("tests/reference").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Compares one answer with the reference; gives the largest difference of a probability.
#[track_caller]
pub fn compare(entry: &Value, case: &Case, tolerance: f64) -> f64 {
    if let Some(value) = case.value {
        let got = entry["value"].as_f64().unwrap_or_else(|| panic!("{entry}"));
        let difference = (got - value).abs() / value.abs().max(1.0);
        assert!(difference <= tolerance, "{}: {got}, expected {value}", case.input);
        return difference;
    }
    let label = case.label.as_deref().unwrap();
    assert_eq!(entry["label"], label, "{}: {entry}", case.input);
    let got = entry["classes"].as_array().unwrap();
    let mut largest = 0.0;
    for (label, score) in &case.classes {
        let of_label = got.iter().find(|class| class["label"] == label.as_str());
        let of_label = of_label.unwrap_or_else(|| panic!("{}: no {label}", case.input));
        let difference = (of_label["score"].as_f64().unwrap() - score).abs();
        assert!(
            difference <= tolerance,
            "{}: {label} has {}, expected {score}",
            case.input,
            of_label["score"]
        );
        largest = difference.max(largest);
    }
    largest
}

/// A class that leads by less has no certain top-1.
const COIN_TOSS: f64 = 0.03;

fn is_coin_toss(case: &Case) -> bool {
    matches!(case.classes.as_slice(), [a, b, ..] if a.1 - b.1 < COIN_TOSS)
}

async fn images(server: &Server, reference: &Reference) {
    let (mut certain, mut largest) = (0, 0.0_f64);
    for case in &reference.cases {
        let file = image(case.input.as_str().unwrap());
        let path = format!("/predict/{}?top_k=1000", reference.model);
        let answer = server.post(&path, "application/octet-stream", file).await;
        largest = largest.max(compare(&answer.result()[0], case, 0.02));
        certain += usize::from(!is_coin_toss(case));
    }
    println!("{}: {certain} images, largest difference {largest:.5}", reference.model);
    assert!(certain >= 60, "{certain}");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_match_pillow_and_onnxruntime() {
    images(&Server::bundled().await, &reference("efficientnet-lite0.json")).await;
}

/// The variant that the CPU does not take, served from a folder without variants.
async fn without_variants(model: &str, files: &[&str], model_toml: &str) -> Server {
    let folder = Folder::new();
    folder.write(&format!("{model}/model.toml"), model_toml);
    for file in files {
        folder.copy(format!("models/{model}/{file}"), &format!("{model}/{file}"));
    }
    Server::start(folder.load().unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fp32_image_model_matches_as_well() {
    let files = ["model.onnx", "labels.txt", "preprocessor_config.json"];
    let server = without_variants("efficientnet-lite0", &files, "").await;
    images(&server, &reference("efficientnet-lite0.fp32.json")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_photos_are_answered_as_if_every_pixel_had_been_decoded() {
    let folder = Folder::new();
    for (model, toml) in [("fast", ""), ("exact", "[preprocess]\nexact = true\n")] {
        for file in ["model.onnx", "labels.txt", "preprocessor_config.json"] {
            folder.copy(format!("models/efficientnet-lite0/{file}"), &format!("{model}/{file}"));
        }
        folder.write(&format!("{model}/model.toml"), toml);
    }
    let server = Server::start(folder.load().unwrap()).await;
    for photo in ["jpeg-12mp.jpg", "jpeg-12mp-progressive.jpg"] {
        let mut answers = Vec::new();
        for model in ["fast", "exact"] {
            let path = format!("/predict/{model}?top_k=1000");
            answers.push(server.post(&path, "image/jpeg", image(photo)).await.result()[0].clone());
        }
        let [fast, exact] = answers.as_slice() else { unreachable!() };
        assert_ne!(fast, exact, "{photo}: both were decoded in full");
        let classes = exact["classes"].as_array().unwrap();
        let score = |class: &Value| {
            (class["label"].as_str().unwrap().to_owned(), class["score"].as_f64().unwrap())
        };
        let case = Case {
            input: photo.into(),
            label: Some(exact["label"].as_str().unwrap().to_owned()),
            classes: classes.iter().map(score).collect(),
            value: None,
            error: None,
        };
        println!("{photo}: largest difference {:.5}", compare(fast, &case, 0.02));
    }
}

async fn rows(server: &Server, reference: &Reference, field: &str, chunk: usize) {
    let mut largest = 0.0_f64;
    for cases in reference.cases.chunks(chunk) {
        let inputs: Vec<&Value> = cases.iter().map(|case| &case.input).collect();
        let body = json!({ field: inputs });
        let answer: Answer = server.json(&format!("/predict/{}", reference.model), body).await;
        assert_eq!(answer.result().len(), cases.len());
        for (entry, case) in answer.result().iter().zip(cases) {
            largest = largest.max(compare(entry, case, 1e-4));
        }
    }
    println!("{}: largest difference {largest:.7}", reference.model);
}

#[tokio::test(flavor = "multi_thread")]
async fn sentences_match_the_tokenizers_and_onnxruntime() {
    let server = Server::bundled().await;
    let reference = reference("sentiment-minilm.json");
    assert!(reference.cases.len() >= 200);
    rows(&server, &reference, "text", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentences_answer_alike_alone_and_in_a_list() {
    rows(&Server::bundled().await, &reference("sentiment-minilm.json"), "text", 16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fp32_text_model_matches_as_well() {
    let files = ["model.onnx", "config.json", "tokenizer.json"];
    let server = without_variants("sentiment-minilm", &files, "max_length = 256\n").await;
    rows(&server, &reference("sentiment-minilm.fp32.json"), "text", 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_strings_match_the_tfidf_pipeline() {
    rows(&Server::bundled().await, &reference("sentiment-tfidf.json"), "text", 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn features_match_onnxruntime() {
    rows(&Server::bundled().await, &reference("iris.json"), "features", 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_gets_the_answers_that_each_would_have_alone() {
    let server = std::sync::Arc::new(Server::bundled().await);
    let reference = std::sync::Arc::new(reference("sentiment-minilm.json"));
    let callers = (0..reference.cases.len()).map(|index| {
        let (server, reference) = (server.clone(), reference.clone());
        tokio::spawn(async move {
            let case = &reference.cases[index];
            let answer = server.json("/predict", json!({ "text": case.input })).await;
            compare(&answer.result()[0], case, 1e-4)
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
}
