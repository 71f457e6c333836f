//! The binary itself: serve, serve --check, predict.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::support::{Folder, onnxd};

fn output(arguments: &[&str]) -> Output {
    onnxd(arguments).output().unwrap()
}

fn with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = onnxd(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json_lines(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn serve_prints_its_address_and_models_and_stops_on_sigterm() {
    let mut child = onnxd(&["serve", "--listen", "127.0.0.1:0"])
        .env("ONNXD_ADMIN__LISTEN", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let (line, page) = (lines.next().unwrap(), lines.next().unwrap());
    let mut running = Running(child);
    let address = line.split("http://").nth(1).unwrap().split(' ').next().unwrap();
    assert_eq!(page, format!("Try it: http://{address}/"));
    for model in ["efficientnet-lite0", "iris", "sentiment-minilm", "sentiment-tfidf"] {
        assert!(line.contains(model), "{line}");
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = reqwest::Client::new();
    let url = format!("http://{address}/predict");
    let request = client.post(url).body("good").header("content-type", "text/plain");
    let status = runtime.block_on(async { request.send().await.unwrap().status() });
    assert_eq!(status, 200);
    drop(client);
    let stopped = Command::new("kill").arg(running.0.id().to_string()).status().unwrap();
    assert!(stopped.success());
    assert!(running.0.wait().unwrap().success());
}

#[test]
fn check_says_what_would_be_served() {
    let output = output(&["serve", "--check"]);
    assert!(output.status.success());
    assert!(text(&output.stdout).starts_with("ok: efficientnet-lite0"), "{output:?}");
}

#[test]
fn a_broken_model_fails_the_start_by_name() {
    let folder = Folder::new();
    folder
        .write("damaged/model.onnx", "no network")
        .copy("models/iris/model.onnx", "iris/model.onnx")
        .write("iris/labels.txt", "only one\n");
    let output = output(&["serve", "--check", "--models", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    let said = text(&output.stderr);
    assert!(said.contains("damaged") && said.contains("model.onnx"), "{said}");
    assert!(said.contains("labels.txt names 1 classes"), "{said}");
}

#[test]
fn a_missing_library_says_where_it_was_looked_for_and_how_to_get_it() {
    let output = output(&["serve", "--check", "--onnxruntime", "/nonexistent/libonnxruntime.so"]);
    assert_eq!(output.status.code(), Some(78));
    let said = text(&output.stderr);
    assert!(said.contains("/nonexistent/libonnxruntime.so: no such file"), "{said}");
    assert!(said.contains("make setup"), "{said}");
}

#[test]
fn an_unknown_key_fails_the_start_by_name() {
    let folder = Folder::new();
    folder.write("onnxd.toml", "[server]\nport = 80\n");
    let file = folder.path().join("onnxd.toml");
    let output = output(&["serve", "--check", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("port"), "{output:?}");
}

#[test]
fn predict_answers_for_images_in_files_and_folders() {
    let folder = Folder::new();
    folder
        .copy("tests/fixtures/images/jpeg-coffee.jpg", "photos/a.jpg")
        .copy("tests/fixtures/images/png-rgb.png", "photos/deeper/b.png")
        .write("photos/notes.txt", "not an image");
    let photos = folder.path().join("photos");
    let arguments =
        ["predict", "efficientnet-lite0", photos.to_str().unwrap(), "--format", "jsonl"];
    let output = output(&arguments);
    assert!(output.status.success(), "{output:?}");
    let lines = json_lines(&output);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["result"]["label"], "espresso");
    assert_eq!(lines[0]["result"]["classes"].as_array().unwrap().len(), 5);
    assert!(Path::new(lines[1]["input"].as_str().unwrap()).ends_with("deeper/b.png"));
}

#[test]
fn predict_answers_for_lines_on_standard_input() {
    let arguments = ["predict", "sentiment-minilm", "-", "--format", "jsonl", "--top-k", "1"];
    let output = with_input(&arguments, b"The acting is superb.\n\nWorst service ever.\n");
    let labels: Vec<_> = json_lines(&output).iter().map(|l| l["result"]["label"].clone()).collect();
    assert_eq!(labels, ["positive", "negative"]);
}

#[test]
fn predict_prints_a_table_for_people() {
    let output = with_input(&["predict", "iris", "-"], b"5.1,3.5,1.4,0.2\n6.3,3.3,6.0,2.5\n");
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn a_bad_line_is_told_and_the_others_are_answered() {
    let arguments = ["predict", "iris", "-", "--format", "jsonl"];
    let output = with_input(&arguments, b"5.1,3.5,1.4,0.2\n1,2\n6.3,3.3,6.0,2.5\n");
    assert_eq!(output.status.code(), Some(1));
    let lines = json_lines(&output);
    assert_eq!(lines.len(), 3);
    assert!(lines[1]["error"].as_str().unwrap().contains("expected 4 numbers"), "{}", lines[1]);
}

/// Does the driver show a GPU here?
fn has_gpu() -> bool {
    onnxd::runtime::device::gpus().is_ok()
}

#[test]
fn a_device_that_cannot_be_had_fails_the_start_with_what_is_missing() {
    for device in ["cuda", "cuda:0", "tensorrt:0"] {
        if has_gpu() {
            eprintln!("skipped for {device}: this machine has a GPU");
            continue;
        }
        let output = output(&["serve", "--check", "--device", device]);
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        let said = text(&output.stderr);
        let (name, _) = device.split_once(':').unwrap_or((device, ""));
        let asked = format!("device {name}:0 cannot be had: no GPU: ");
        assert!(said.contains(&asked) && said.contains("NVIDIA's driver"), "{said}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
    // On any machine: a number that no GPU has.
    let output = output(&["serve", "--check", "--device", "cuda:999"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(text(&output.stderr).contains("device cuda:999 cannot be had: no GPU"), "{output:?}");
}

#[test]
fn auto_without_a_gpu_is_the_cpu_and_one_line_says_why() {
    if has_gpu() {
        eprintln!("skipped: this machine has a GPU");
        return;
    }
    let output = output(&["serve", "--check"]);
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).contains(" on cpu)"), "{output:?}");
    let log = text(&output.stderr);
    let lines: Vec<_> =
        log.lines().filter(|line| line.contains("device auto is the CPU")).collect();
    assert!(lines.len() == 1 && lines[0].contains("INFO") && lines[0].contains("no GPU"), "{log}");
}

#[test]
fn the_cpu_that_is_asked_for_needs_no_reason() {
    let output = output(&["serve", "--check", "--device", "cpu"]);
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).contains(" on cpu)"), "{output:?}");
    assert!(!text(&output.stderr).contains("device"), "{output:?}");
}

#[test]
fn a_device_that_there_is_not_is_refused_with_what_there_is() {
    let output = output(&["serve", "--check", "--device", "gpu"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("\"cuda:N\" or \"tensorrt:N\""), "{output:?}");
}

#[test]
fn a_models_own_device_counts_for_it_alone() {
    let folder = Folder::new();
    folder
        .copy("models/iris/model.onnx", "one/model.onnx")
        .write("one/model.toml", "device = \"cuda:999\"\n")
        .copy("models/iris/model.onnx", "two/model.onnx")
        .write("two/model.toml", "device = \"cpu\"\n");
    let models = folder.path().to_str().unwrap();
    let both = output(&["serve", "--check", "--models", models]);
    assert_eq!(both.status.code(), Some(78));
    let said = text(&both.stderr);
    assert!(said.contains("one (") && said.contains("device cuda:999 cannot be had"), "{said}");
    assert!(!said.contains("two ("), "{said}");
}
