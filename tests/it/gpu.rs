//! What only a machine with a GPU shows. Elsewhere each test says why it is skipped;
//! `scripts/gpu_check.sh` runs them where there is one.

use std::process::Command;

use serde_json::Value;

use crate::support::root;

/// Why the GPU cannot be tried here; `None` if it can.
fn missing() -> Option<String> {
    if let Err(reason) = onnxd::runtime::device::gpus() {
        return Some(format!("no GPU: {reason}"));
    }
    let library = root().join(".onnxruntime/cuda/libonnxruntime.so");
    (!library.is_file()).then(|| "`make setup DEVICE=cuda` was not run".to_owned())
}

/// One JSON line for each input that `onnxd predict` answers.
fn predict(device: &str, model: &str, inputs: &[&str]) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_onnxd"))
        .current_dir(root())
        .args(["predict", "--device", device, "--format", "jsonl", model])
        .args(inputs)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn gpu_answers_are_the_cpus() {
    if let Some(reason) = missing() {
        eprintln!("skipped: {reason}");
        return;
    }
    let photos =
        ["jpeg-coffee.jpg", "jpeg-rocket.jpg"].map(|name| format!("tests/fixtures/images/{name}"));
    let photos = photos.each_ref().map(String::as_str);
    for (model, inputs) in [
        ("efficientnet-lite0", photos.as_slice()),
        ("sentiment-minilm", &["tests/fixtures/sentences.txt"]),
    ] {
        let (cpu, gpu) = (predict("cpu", model, inputs), predict("cuda:0", model, inputs));
        assert_eq!(cpu.len(), gpu.len());
        // The CPU's file may be the int8 one, so labels may differ where two are nearly equal.
        let same =
            cpu.iter().zip(&gpu).filter(|(a, b)| a["result"]["label"] == b["result"]["label"]);
        let same = same.count();
        eprintln!("{model}: {same} of {} labels are the same", cpu.len());
        assert!(same * 100 >= cpu.len() * 90, "{model}: {same} of {}", cpu.len());
    }
}

#[test]
fn gpu_is_told_at_the_start() {
    if let Some(reason) = missing() {
        eprintln!("skipped: {reason}");
        return;
    }
    for device in ["cuda:0", "auto"] {
        let output = Command::new(env!("CARGO_BIN_EXE_onnxd"))
            .current_dir(root())
            .args(["serve", "--check", "--device", device])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(
            told.contains("efficientnet-lite0 (image-classification, model.onnx on cuda:0)"),
            "{told}"
        );
        // CUDA has no operators of classical models.
        assert!(told.contains("iris (tabular-classification, model.onnx on cpu)"), "{told}");
    }
}
