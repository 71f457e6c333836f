//! What a model's folder may hold: formats, external data, and what `SHA256SUMS` says of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::{Folder, Server, assert_same, fixture, root};

/// Why the folder is not served.
#[track_caller]
fn refusal(folder: &Folder) -> String {
    match folder.load() {
        Ok(_) => panic!("was loaded"),
        Err(error) => format!("{error:#}"),
    }
}

/// Asserts that all of `parts` are in what the start says.
#[track_caller]
fn refuses(folder: &Folder, parts: &[&str]) {
    let said = refusal(folder);
    for part in parts {
        assert!(said.contains(part), "no `{part}` in: {said}");
    }
}

fn fixture_file(path: &str) -> Vec<u8> {
    fs::read(root().join("tests/fixtures/models").join(path)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_in_ort_format_answers_as_its_onnx_twin() {
    let folder = Folder::new();
    folder
        .copy("tests/fixtures/models/ort-format/model.ort", "a/model.ort")
        .copy("tests/fixtures/models/ort-format/model.ort", "b/other.ort")
        .copy("models/iris/model.onnx", "c/model.onnx");
    for model in ["a", "b", "c"] {
        folder.copy("models/iris/labels.txt", &format!("{model}/labels.txt"));
    }
    let server = Server::start(folder.load().unwrap()).await;
    let rows =
        json!({"features": [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5], [5.5, 2.4, 3.8, 1]]});
    let twin = server.json("/predict/c", rows.clone()).await;
    for model in ["a", "b"] {
        let answer = server.json(&format!("/predict/{model}"), rows.clone()).await;
        assert_same(&answer.body["result"], &twin.body["result"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ort_file_without_labels_is_served_by_number() {
    let folder = Folder::new();
    folder.copy("tests/fixtures/models/ort-format/model.ort", "a/1/model.ort");
    let server = Server::start(folder.load().unwrap()).await;
    let answer = server.json("/predict/a", json!({"features": [[5.1, 3.5, 1.4, 0.2]]})).await;
    assert_eq!(answer.result()[0]["classes"].as_array().unwrap().len(), 3);
}

#[test]
fn a_file_that_is_no_ort_format_is_refused_by_name() {
    let folder = Folder::new();
    folder.write("a/model.ort", "no network").copy("models/iris/model.onnx", "b/1/model.ort");
    refuses(&folder, &["a (", "model.ort", "b ("]);
}

#[derive(Deserialize)]
struct Expected {
    rows: Vec<Vec<f64>>,
    scores: Vec<Vec<f64>>,
}

/// The answers of the PMML's reference evaluator, which `make_pmml.py` wrote down.
#[tokio::test(flavor = "multi_thread")]
async fn models_converted_from_pmml_answer_as_the_reference_evaluator() {
    for name in ["tree", "logistic", "boosted", "forest"] {
        let name = format!("pmml-{name}");
        let expected: Expected =
            serde_json::from_slice(&fixture_file(&format!("{name}/expected.json"))).unwrap();
        let labels = fixture_file(&format!("{name}/labels.txt").replace("forest", "tree"));
        let labels = String::from_utf8(labels).unwrap();
        let server = Server::start(fixture(&name).unwrap()).await;
        let body = json!({"features": expected.rows});
        let answer = server.json(&format!("/predict/{name}?top_k=10"), body).await;
        assert_eq!(answer.result().len(), expected.rows.len());
        for (result, scores) in answer.result().iter().zip(&expected.scores) {
            let near =
                |got: &serde_json::Value, want: f64| (got.as_f64().unwrap() - want).abs() < 1e-6;
            if let [value] = scores[..] {
                assert!(near(&result["value"], value), "{name}: {result}, expected {value}");
                continue;
            }
            for (label, score) in labels.lines().zip(scores) {
                let classes = result["classes"].as_array().unwrap();
                let class = classes.iter().find(|class| class["label"] == label).unwrap();
                assert!(near(&class["score"], *score), "{name}: {result}, expected {score}");
            }
        }
    }
}

#[test]
fn other_formats_are_named_with_the_way_to_onnx() {
    let cases: [(&str, &[u8], &[&str]); 14] = [
        ("model.pmml", b"<PMML/>", &["PMML", "pmml.py model.pmml"]),
        ("weights.pt", b"", &["weights.pt (PyTorch)", "torch.onnx.export"]),
        ("pytorch_model.bin", b"", &["PyTorch", "torch.onnx.export"]),
        ("model.safetensors", b"", &["weights without a network", "torch.onnx.export"]),
        ("program.pt2", b"", &["torch.export.load(\"program.pt2\")"]),
        ("net.keras", b"", &["Keras", "tf2onnx.convert --keras net.keras"]),
        ("net.h5", b"", &["Keras", "tf2onnx.convert --keras net.h5"]),
        ("saved_model.pb", b"", &["SavedModel", "tf2onnx.convert --saved-model"]),
        ("net.tflite", b"", &["tf2onnx.convert --tflite net.tflite"]),
        ("model.joblib", b"", &["pickled", "skl2onnx.to_onnx"]),
        ("model.cbm", b"CBM1", &["CatBoost", "load_model(\"model.cbm\")"]),
        ("trees.json", br#"{"learner":{"attributes":{}}}"#, &["XGBoost", "convert_xgboost"]),
        ("trees.txt", b"tree\nversion=v4\n", &["LightGBM", "convert_lightgbm"]),
        ("model.plan", b"", &["TensorRT", "cannot be turned back"]),
    ];
    for (file, content, parts) in cases {
        let folder = Folder::new();
        folder
            .write(&format!("foreign/{file}"), content)
            .copy("models/iris/model.onnx", "a/model.onnx");
        refuses(&folder, &["these models cannot be served", "foreign (", file]);
        refuses(&folder, parts);
    }
    let folder = Folder::new();
    folder.write("a/config.json", "{}").write("a/model.safetensors", "");
    refuses(&folder, &["Hugging Face", "optimum-cli export onnx"]);
    let folder = Folder::new();
    folder.write("a/model.xml", "").write("a/model.bin", "");
    refuses(&folder, &["OpenVINO"]);
}

#[test]
fn a_version_that_is_not_converted_does_not_answer_as_another() {
    let folder = Folder::new();
    folder
        .copy("models/iris/model.onnx", "a/model.onnx")
        .copy("models/iris/model.onnx", "a/1/model.onnx")
        .write("a/2/model.pkl", "");
    refuses(&folder, &["a/2", "model.pkl", "skl2onnx"]);
}

#[test]
fn folders_without_a_model_are_passed_over() {
    let folder = Folder::new();
    folder
        .copy("models/iris/model.onnx", "a/model.onnx")
        .write("data/rows.json", r#"{"rows": []}"#)
        .write("data/notes.txt", "trees")
        .write("data/page.xml", "<page/>")
        .write("data/blob.bin", "")
        .write("a/model.pkl", "what the ONNX file was made of");
    assert_eq!(folder.load().unwrap().repository().unwrap().iter().count(), 1);
}

/// A model whose weights are at `location`, which is as long as the fixture's own.
fn with_data_at(location: &str) -> Folder {
    let own = "model.onnx.data";
    assert_eq!(location.len(), own.len());
    let network = fixture_file("external-data/model.onnx");
    let mut moved = network.clone();
    let mut found = 0;
    for start in 0..network.len() - own.len() {
        if &network[start..start + own.len()] == own.as_bytes() {
            moved[start..start + own.len()].copy_from_slice(location.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0);
    let folder = Folder::new();
    folder.write("a/model.onnx", moved);
    folder
}

fn data() -> Vec<u8> {
    fixture_file("external-data/model.onnx.data")
}

#[test]
fn external_data_in_the_folder_and_below_it_is_loaded() {
    let beside = with_data_at("model.onnx.data");
    beside.write("a/model.onnx.data", data()).load().unwrap();
    let below = with_data_at("data/model.bina");
    below.write("a/data/model.bina", data()).load().unwrap();
    // As a ConfigMap or a Secret of Kubernetes is mounted.
    let linked = with_data_at("model.onnx.data");
    linked.write("a/..2026/model.onnx.data", data());
    let folder = linked.path().join("a");
    fs::rename(folder.join("model.onnx"), folder.join("..2026/model.onnx")).unwrap();
    symlink("..2026", folder.join("..data")).unwrap();
    for file in ["model.onnx", "model.onnx.data"] {
        symlink(Path::new("..data").join(file), folder.join(file)).unwrap();
    }
    linked.load().unwrap();
}

#[test]
fn external_data_outside_the_folder_is_refused() {
    let above = with_data_at("../model.secret");
    above.write("model.secret", data());
    refuses(&above, &["a (", "`../model.secret`", "outside the model's folder"]);

    let back = with_data_at("../a/model.data");
    back.write("a/model.data", data());
    refuses(&back, &["outside the model's folder"]);

    let absolute = with_data_at("/tmp/model.data");
    refuses(&absolute, &["`/tmp/model.data`", "outside the model's folder"]);

    let linked = with_data_at("model.onnx.data");
    linked.write("secret", data());
    symlink("../secret", linked.path().join("a/model.onnx.data")).unwrap();
    refuses(&linked, &["`model.onnx.data`", "link that leaves the model's folder"]);

    let parent = with_data_at("data/model.bina");
    parent.write("elsewhere/model.bina", data());
    symlink("../elsewhere", parent.path().join("a/data")).unwrap();
    refuses(&parent, &["`data/model.bina`", "link that leaves the model's folder"]);

    let hard = with_data_at("model.onnx.data");
    hard.write("secret", data());
    let link = hard.path().join("a/model.onnx.data");
    fs::hard_link(hard.path().join("secret"), link).unwrap();
    refuses(&hard, &["`model.onnx.data`", "2 hard links"]);

    let missing = with_data_at("model.onnx.data");
    refuses(&missing, &["`model.onnx.data`", "No such file"]);

    let folder = with_data_at("model.onnx.data");
    fs::create_dir(folder.path().join("a/model.onnx.data")).unwrap();
    refuses(&folder, &["`model.onnx.data` is not a file"]);
}

/// A line of `sha256sum`.
fn line(content: &[u8], name: &str) -> String {
    let digits = Sha256::digest(content).into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let hash: String =
        digits.map(|digit| char::from_digit(u32::from(digit), 16).unwrap()).collect();
    format!("{hash}  {name}\n")
}

/// A model with external data, and a manifest of these files.
fn listed(files: &[(&str, &[u8])]) -> Folder {
    let folder = with_data_at("model.onnx.data");
    folder.write("a/model.onnx.data", data()).write("a/labels.txt", "x\ny\nz\n");
    let lines: String = files.iter().map(|(name, content)| line(content, name)).collect();
    folder.write("a/SHA256SUMS", lines);
    folder
}

#[test]
fn a_model_is_loaded_if_its_files_are_those_of_the_manifest() {
    let network = fixture_file("external-data/model.onnx");
    let all: [(&str, &[u8]); 2] = [("model.onnx", &network), ("./model.onnx.data", &data())];
    // The manifest lists itself where it was there before.
    let folder = listed(&[all[0], all[1], ("SHA256SUMS", b"")]);
    let sums = fs::read_to_string(folder.path().join("a/SHA256SUMS")).unwrap();
    fs::remove_file(folder.path().join("a/labels.txt")).unwrap();
    folder.load().unwrap();
    // As `sha256sum --binary` and other programs write it.
    folder.write(
        "a/SHA256SUMS",
        format!(
            "# of a\n\n{}",
            sums.replace("  ", " *")
                .to_uppercase()
                .replace("./MODEL.ONNX.DATA", "./model.onnx.data")
                .replace("MODEL.ONNX", "model.onnx")
        ),
    );
    folder.load().unwrap();
}

#[test]
fn a_model_that_differs_from_its_manifest_is_refused() {
    let network = fixture_file("external-data/model.onnx");
    let other: (&str, &[u8]) = ("model.onnx.data", b"other");
    let model: (&str, &[u8]) = ("model.onnx", &network);
    refuses(
        &listed(&[model, other]),
        &[
            "SHA256SUMS: model.onnx.data is not the file",
            "expected sha256 d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa",
        ],
    );
    refuses(&listed(&[model]), &["SHA256SUMS does not list model.onnx.data"]);
    refuses(&listed(&[(other.0, &data())]), &["SHA256SUMS does not list model.onnx,"]);
    refuses(&listed(&[]), &["SHA256SUMS does not list model.onnx,"]);
    let gone: (&str, &[u8]) = ("gone.txt", b"");
    refuses(&listed(&[model, gone]), &["SHA256SUMS: gone.txt cannot be read: No such file"]);
    refuses(&listed(&[model, ("labels.txt", b"")]), &["labels.txt is not the file"]);
    refuses(&listed(&[("../a/model.onnx", &network)]), &["line 1: ../a/model.onnx is outside"]);
    let folder = listed(&[model]);
    folder.write("a/SHA256SUMS", "model.onnx d9298a10\n");
    refuses(&folder, &["SHA256SUMS, line 1: expected a line as `sha256sum` writes it"]);
    folder.write("a/SHA256SUMS", line(&network, "model.onnx").replace("  ", " "));
    refuses(&folder, &["SHA256SUMS, line 1: expected a line as `sha256sum` writes it"]);
}

#[test]
fn a_manifest_may_cover_all_versions_or_one() {
    let network = fs::read(root().join("models/iris/model.onnx")).unwrap();
    let folder = Folder::new();
    folder
        .write("a/2/model.onnx", &network)
        .write("a/SHA256SUMS", line(&network, "2/model.onnx") + &line(b"", "1/model.onnx"));
    folder.load().unwrap();
    folder.write("a/2/SHA256SUMS", line(b"other", "model.onnx"));
    refuses(&folder, &["SHA256SUMS: model.onnx is not the file"]);
}
