//! Files and folders that are not what they seem: what the start and the command line say of them.

use std::process::{Output, Stdio};

use crate::support::{Folder, onnxd};

fn check(folder: &Folder) -> (Option<i32>, String) {
    let models = folder.path().to_str().unwrap();
    let output = onnxd(&["serve", "--check", "--models", models]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

const POINTER: &str =
    "version https://git-lfs.github.com/spec/v1\noid sha256:4665\nsize 118412389\n";

#[test]
fn what_stands_in_the_place_of_a_models_file_is_named() {
    let folder = Folder::new();
    folder
        .write("lfs/model.onnx", POINTER)
        .write("page/model.onnx", "<!DOCTYPE html><html><title>Log in</title></html>")
        .write("zip/model.onnx", b"PK\x03\x04\x14\0model.onnx")
        .write("none/model.onnx", "")
        .copy("models/iris/model.onnx", "labels/model.onnx")
        .write("labels/labels.txt", POINTER)
        .copy("models/iris/model.onnx", "golden/model.onnx")
        .write("golden/golden.json", "{\"error\": \"Repository not found\"}");
    let (status, told) = check(&folder);
    assert_eq!(status, Some(78), "{told}");
    for said in [
        "model.onnx is a Git LFS pointer of a file of 118 MB: run `git lfs pull`",
        "model.onnx is an HTML page (\"Log in\")",
        "model.onnx is a ZIP archive: unpack it",
        "model.onnx is empty",
        "labels.txt is a Git LFS pointer",
        "golden.json is an error message in JSON (\"Repository not found\")",
    ] {
        assert!(told.contains(said), "{said} in\n{told}");
    }
}

#[test]
fn a_quantized_network_alone_is_served_and_the_choice_among_several_is_told() {
    let folder = Folder::new();
    folder
        .copy("models/iris/model.onnx", "alone/onnx/model_quantized.onnx")
        .copy("models/iris/model.onnx", "several/onnx/model_fp16.onnx")
        .copy("models/iris/model.onnx", "several/onnx/model_int8.onnx")
        // A text editor of Windows wrote it.
        .write("alone/labels.txt", "\u{feff}setosa\r\nversicolor\r\nvirginica\r\n\r\n")
        .write("t5/encoder_model.onnx", "\x08\x08")
        .write("t5/decoder_model.onnx", "\x08\x08")
        .write("v/v1/model.onnx", "\x08\x08");
    let (status, told) = check(&folder);
    assert_eq!(status, Some(0), "{told}");
    for said in [
        "alone (tabular-classification, onnx/model_quantized.onnx",
        "several (tabular-classification, onnx/model_int8.onnx",
        "the best for a CPU of onnx/model_fp16.onnx, onnx/model_int8.onnx",
        "an encoder and a decoder, which generate text together",
        "a version's folder is a number, such as 1",
    ] {
        assert!(told.contains(said), "{said} in\n{told}");
    }
}

#[test]
fn where_there_is_no_model_what_was_seen_is_told() {
    let folder = Folder::new();
    folder
        .write("a/README.md", "x")
        .write("b/v2/model.onnx", "\x08\x08")
        .write("model.onnx", "\x08\x08");
    std::fs::create_dir(folder.path().join("c")).unwrap();
    let (status, told) = check(&folder);
    assert_eq!(status, Some(78), "{told}");
    for said in [
        "no models in ",
        "/a: it holds no model of a known format, only README.md",
        "its folder v2 is passed over: a version's folder is a number, such as 2",
        "/c: it is empty",
        "/model.onnx: a model has a folder of its own",
    ] {
        assert!(told.contains(said), "{said} in\n{told}");
    }
}

#[test]
fn lines_of_standard_input_are_json_whichever_the_first_is() {
    let answers_of = |model: &str, input: &str| {
        use std::io::Write;
        let arguments = ["predict", model, "-", "--format", "jsonl", "--top-k", "1"];
        let mut child = onnxd(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let Output { status, stdout, .. } = child.wait_with_output().unwrap();
        let lines: Vec<bool> = String::from_utf8(stdout)
            .unwrap()
            .lines()
            .map(|line| line.contains("\"result\""))
            .collect();
        (status.code(), lines)
    };
    let answers = |input: &str| answers_of("iris", input);
    let row = "[5.1, 3.5, 1.4, 0.2]";
    let texts = "{\"text\": good}\n{\"text\": \"bad\"}\n";
    assert_eq!(answers_of("sentiment-tfidf", texts), (Some(1), vec![false, true]));
    assert_eq!(answers(&format!("\u{feff}{row}\r\n{row}")), (Some(0), vec![true, true]));
    assert_eq!(answers(&format!("null\n{row}\n")), (Some(1), vec![false, true]));
    assert_eq!(answers(&format!("{{\"features\": [[5.1\n{row}\n")), (Some(1), vec![false, true]));
    assert_eq!(answers("5.1,3.5,1.4,oops\n5.1,3.5,1.4,0.2\n"), (Some(1), vec![false, true]));
    assert_eq!(answers("a,b,c,d\n"), (Some(1), vec![false]));
}
