//! Folders with no file of ours: as Hugging Face Optimum writes them, and bare ONNX files.
//! The values in `tests/reference/zero_config.json` are made by transformers' own processors.

use std::collections::BTreeMap;

use onnxd::api::App;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::reference::{Case, compare};
use crate::support::{Folder, Server, fixture, image, root, send};

#[derive(Deserialize)]
struct Expected {
    task: String,
    cases: Vec<Case>,
}

fn expected() -> BTreeMap<String, Expected> {
    let path = root().join("tests/reference/zero_config.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Lossless images must match closely, so that a wrong filter shows; JPEG decoders may round.
fn tolerance(input: &Value) -> f64 {
    match input.as_str().and_then(|name| name.rsplit_once('.')) {
        Some((_, "png" | "webp")) => 1e-3,
        Some((_, "jpg")) => 0.02,
        _ => 1e-4,
    }
}

/// Every folder of one task whose name starts so.
async fn serve_all(prefix: &str, field: &str) -> usize {
    let mut served = 0;
    for (name, Expected { task, cases }) in expected() {
        let fits = match field {
            "image" => task == "image-classification",
            "text" => task == "text-classification",
            _ => task.starts_with("tabular"),
        };
        if !fits || !name.starts_with(prefix) || cases.is_empty() {
            continue;
        }
        let app = fixture(&name).unwrap_or_else(|error| panic!("{error:#}"));
        let server = Server::start(app).await;
        let path = format!("/predict/{name}?top_k=100");
        let mut largest = 0.0_f64;
        for case in &cases {
            let answer = match (field, &case.input) {
                ("image", input) => {
                    let file = image(input.as_str().unwrap());
                    server.post(&path, "application/octet-stream", file).await
                }
                ("features", Value::Array(_)) => {
                    server.json(&path, json!({"features": [case.input]})).await
                }
                // A pair of texts is told from two texts by standing in a list.
                ("text", Value::Array(_)) => {
                    server.json(&path, json!({"text": [case.input]})).await
                }
                (field, input) => server.json(&path, json!({ field: input })).await,
            };
            if case.error.is_some() {
                assert_eq!(answer.status, 500, "{name}: {}", answer.body);
                continue;
            }
            assert_eq!(answer.status, 200, "{name}: {}", answer.body);
            largest = largest.max(compare(&answer.result()[0], case, tolerance(&case.input)));
        }
        println!("{name}: {} cases, largest difference {largest:.6}", cases.len());
        served += 1;
    }
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn image_folders_of_optimum() {
    assert_eq!(serve_all("optimum-", "image").await, 14);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_folders_of_optimum() {
    assert_eq!(serve_all("optimum-", "text").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn bare_image_models() {
    assert_eq!(serve_all("bare-", "image").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn bare_text_models() {
    assert_eq!(serve_all("bare-", "text").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bare_feature_models() {
    assert_eq!(serve_all("", "features").await, 9);
}

/// What the start says of a fixture without one of its files, or with a `model.toml`.
fn start_without(fixture: &str, missing: &str, model_toml: &str) -> anyhow::Result<App> {
    let folder = Folder::new();
    for entry in std::fs::read_dir(root().join("tests/fixtures/models").join(fixture))? {
        let name = entry?.file_name().into_string().unwrap();
        if name != missing {
            folder.copy(format!("tests/fixtures/models/{fixture}/{name}"), &format!("m/{name}"));
        }
    }
    folder.write("m/model.toml", model_toml);
    folder.load()
}

/// What the metadata of a fixture without one of its files says was assumed.
async fn assumed_without(fixture: &str, missing: &str) -> String {
    let server = Server::start(start_without(fixture, missing, "").unwrap()).await;
    let metadata = send(server.request("GET", "/v2/models/m")).await;
    assert_eq!(metadata.body["properties"]["task"], "tensors", "{}", metadata.body);
    metadata.body["properties"]["assumed"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_is_named_with_the_line_that_would_do() {
    let said = |fixture, missing, toml| {
        format!("{:#}", start_without(fixture, missing, toml).err().expect("it should not start"))
    };
    let text = assumed_without("optimum-bert", "tokenizer.json").await;
    assert!(text.contains("no tokenizer.json"), "{text}");
    let image = assumed_without("optimum-vit", "preprocessor_config.json").await;
    assert!(image.contains("[preprocess]") && image.contains("served as tensors"), "{image}");
    let key = said("optimum-vit", "", "[preprocess]\nsise = 32\n");
    assert!(key.contains("preprocess.sise") && key.contains("did you mean `size`"), "{key}");
    let task = said("bare-features", "", "task = \"tabular-regresion\"\n");
    assert!(task.contains("did you mean `tabular-regression`"), "{task}");
    let variant = said("bare-features", "", "[variants]\ncpu = \"../other/model.onnx\"\n");
    assert!(variant.contains("leaves the folder"), "{variant}");
}

#[tokio::test]
async fn model_toml_supplies_what_no_file_says() {
    let toml = "[preprocess]\nsize = {height = 32, width = 32}\nresample = 2\n\
                image_mean = [0.5, 0.5, 0.5]\nimage_std = [0.5, 0.5, 0.5]\n";
    start_without("optimum-vit", "preprocessor_config.json", toml).unwrap();
    start_without("bare-classifier", "", "labels = [\"a\", \"b\", \"c\"]\n").unwrap();
}

#[tokio::test]
async fn a_model_that_does_not_answer_its_golden_inputs_is_not_served() {
    let folder = Folder::new();
    folder.copy("models/iris/model.onnx", "iris/model.onnx");
    folder.copy("models/iris/labels.txt", "iris/labels.txt");
    let golden = |text: &str| {
        folder.write("iris/golden.json", text);
        folder.load().map(|_| ()).map_err(|error| error.to_string())
    };
    let row = "\"features\": [5.1, 3.5, 1.4, 0.2]";
    golden(&format!("[{{{row}, \"label\": \"setosa\", \"score\": 0.9787}}]")).unwrap();
    for (case, told) in [
        (
            format!("{{{row}, \"label\": \"virginica\"}}"),
            "expected label `virginica`, got `setosa`",
        ),
        (format!("{{{row}, \"label\": \"setosa\", \"score\": 0.5}}"), "expected score 0.5"),
        (format!("{{{row}, \"value\": 1}}"), "expected `label`"),
        (
            "{\"text\": \"x\", \"label\": \"setosa\"}".to_owned(),
            "`features`, which the model takes",
        ),
        (format!("{{{row}, \"lable\": \"setosa\"}}"), "unknown field `lable`"),
        ("{\"image\": \"../x.jpg\", \"label\": \"a\"}".to_owned(), "leaves the folder"),
    ] {
        let error = golden(&format!("[{case}]")).unwrap_err();
        assert!(error.contains("golden.json") && error.contains(told), "{error}");
    }
}
