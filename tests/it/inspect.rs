//! `onnxd inspect`: what it tells of bundled models and of odd ones.

use serde_json::Value;

use crate::support::{Folder, onnxd, root};

/// Status, standard output, standard error.
fn inspect(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = onnxd(&[&["inspect"], arguments, &["--device", "cpu"]].concat()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn fixture(name: &str) -> String {
    root().join("tests/fixtures/models").join(name).to_str().unwrap().to_owned()
}

#[track_caller]
fn report(arguments: &[&str]) -> Value {
    let (status, out, error) = inspect(&[arguments, &["--format", "json"]].concat());
    assert_eq!(status, Some(0), "{out}{error}");
    serde_json::from_str(&out).unwrap()
}

fn odd(report: &Value) -> String {
    let odd = report["odd"].as_array().unwrap().iter();
    odd.map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

/// What depends on the machine is left out.
#[track_caller]
fn snapshot(name: &str, model: &str) {
    let mut report = report(&[model]);
    let measured = &mut report["runs"]["measured"];
    for key in ["single_p50_ms", "load_seconds", "process_bytes"] {
        assert!(measured[key].as_f64().unwrap() > 0.0, "{key}: {measured}");
    }
    *measured = "[measured]".into();
    report["folder"] = "[folder]".into();
    insta::assert_json_snapshot!(name, report);
}

#[test]
fn bundled_models_tell_all_that_is_inferred_and_from_which_file() {
    for model in ["efficientnet-lite0", "iris", "sentiment-minilm", "sentiment-tfidf"] {
        snapshot(model, model);
    }
}

#[test]
fn models_of_the_other_tasks_tell_theirs() {
    for model in [
        "bare-image",
        "named-columns",
        "sentence-transformers-bert",
        "optimum-bert-tokens",
        "ort-format",
    ] {
        snapshot(model, &fixture(model));
    }
}

#[test]
fn people_get_a_table() {
    let (status, out, error) = inspect(&["iris", "--no-run"]);
    assert_eq!((status, error.as_str()), (Some(0), ""));
    let out = out.replace(root().to_str().unwrap(), "[root]");
    insta::assert_snapshot!(out);
    let (_, out, _) = inspect(&["iris"]);
    for told in ["latency, p50", "resident memory", "sessions", "largest batch"] {
        assert!(out.contains(told), "{out}");
    }
}

#[test]
fn what_is_odd_is_told() {
    let told = odd(&report(&[&fixture("bare-image-fixed"), "--no-run"]));
    assert!(told.contains("open batch axis") && told.contains("no golden.json"), "{told}");
    assert!(told.contains("no preprocessor_config.json"), "{told}");
    let told = odd(&report(&[&fixture("double-features"), "--no-run"]));
    assert!(told.contains("is FP64"), "{told}");
    let of_data = report(&[&fixture("external-data"), "--no-run"]);
    assert!(odd(&of_data).contains("model.onnx.data"), "{of_data}");
    assert_eq!(of_data["network"]["external_data"][0]["file"], "model.onnx.data");
    assert!(of_data["network"]["external_data"][0]["bytes"].as_u64().unwrap() > 0);
    let told = odd(&report(&[&fixture("bare-classifier")]));
    assert!(told.contains("no class names") || told.contains("ZipMap"), "{told}");

    let folder = Folder::new();
    folder
        .copy("models/sentiment-minilm/model.int8.onnx", "text/model.onnx")
        .copy("models/iris/model.onnx", "text/other.onnx")
        .copy("models/sentiment-minilm/config.json", "text/config.json");
    let tokenizer = root().join("models/sentiment-minilm/tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&std::fs::read(tokenizer).unwrap()).unwrap();
    tokenizer["padding"] = serde_json::json!({
        "strategy": {"Fixed": 128}, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"
    });
    folder.write("text/tokenizer.json", tokenizer.to_string());
    let text = folder.path().join("text");
    let told = odd(&report(&[text.to_str().unwrap(), "--no-run"]));
    for part in
        ["is of int8 and no [variants]", "pads to a fixed length", "other.onnx is served on no"]
    {
        assert!(told.contains(part), "{part} in\n{told}");
    }
}

#[test]
fn a_model_that_does_not_load_is_told_as_far_as_it_can_be_read() {
    let folder = Folder::new();
    let network = std::fs::read(root().join("models/iris/model.onnx")).unwrap();
    folder
        .write("labels/model.onnx", &network)
        .write("labels/labels.txt", "only one\n")
        .write("damaged/model.onnx", &network[..network.len() / 2])
        .write("strange/model.onnx", "no network")
        .write("empty/labels.txt", "a\n");
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (name, said) in [
        ("labels", "labels.txt names 1 classes"),
        ("damaged", "model.onnx cannot be read as ONNX"),
        ("strange", "model.onnx is text and no network"),
    ] {
        for run in [&["--format", "json"][..], &["--format", "json", "--no-run"]] {
            let (status, out, error) = inspect(&[&[path(name).as_str()], run].concat());
            assert_eq!(status, Some(78), "{out}{error}");
            let report: Value = serde_json::from_str(&out).unwrap();
            assert!(report["error"].as_str().unwrap().contains(said), "{report}");
            assert_eq!(report["runs"]["file"], "model.onnx");
            // Of what is no ONNX file, nothing can be told.
            let told = if name == "labels" { "model.onnx".into() } else { Value::Null };
            assert_eq!(report["network"]["file"], told);
        }
    }
    let (_, out, _) = inspect(&[&path("labels")]);
    assert!(out.contains("features") && out.contains("It cannot be served: "), "{out}");
    for missing in [path("empty"), "no-such-model".to_owned()] {
        let (status, _, error) = inspect(&[&missing]);
        assert_eq!(status, Some(78), "{error}");
        assert!(!error.is_empty());
    }
}

#[test]
fn one_file_can_be_named() {
    let file = root().join("models/sentiment-minilm/model.onnx");
    let whole = report(&[file.to_str().unwrap(), "--no-run"]);
    let small = report(&[file.with_file_name("model.int8.onnx").to_str().unwrap(), "--no-run"]);
    assert_eq!(
        (&whole["runs"]["file"], &small["runs"]["file"]),
        (&"model.onnx".into(), &"model.int8.onnx".into())
    );
    assert_eq!(whole["runs"]["file_from"], "the command line");
    assert_eq!(whole["network"]["parameters"][0]["type"], "FP32");
    assert_eq!(small["network"]["parameters"][0]["type"], "INT8");
    // Without ONNX Runtime there is no need for it.
    let library = ["--onnxruntime", "/nonexistent/libonnxruntime.so"];
    report(&[&["iris", "--no-run"][..], &library].concat());
    let (status, out, _) = inspect(&[&["iris"][..], &library].concat());
    assert_eq!(status, Some(78));
    assert!(out.contains("sepal_length") && out.contains("It cannot be served: "), "{out}");
}
