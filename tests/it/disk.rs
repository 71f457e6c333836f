//! What others do to the files of a server that runs, and what a server that was killed leaves.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::process::Process;
use crate::support::Folder;

const FILES: [&str; 2] = ["config.json", "tokenizer.json"];

/// The bundled model of texts, whose network is large enough to be kept.
fn texts() -> Folder {
    let models = Folder::new();
    for file in FILES {
        let path = format!("models/sentiment-minilm/{file}");
        models.copy(path, &format!("texts/{file}"));
    }
    models.copy("models/sentiment-minilm/model.int8.onnx", "texts/model.onnx");
    models
}

fn start(models: &Path, cache: &str) -> Process {
    Process::start(models.to_str().unwrap(), &[("ONNXD_RUNTIME__GRAPH_CACHE", cache)])
}

/// Another text each time, so that other weights are read.
fn asks(process: &Process, text: &str) {
    let body = format!("{{\"text\": \"{text}\"}}");
    assert_eq!(process.ask("POST /predict/texts", "", &body), 200);
}

/// The files of the only entry of a cache.
fn entry(cache: &Path) -> Vec<PathBuf> {
    let entries: Vec<_> = cache.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    let [only] = entries.as_slice() else { panic!("{entries:?}") };
    only.read_dir().unwrap().map(|file| file.unwrap().path()).collect()
}

fn truncate(files: &[PathBuf]) {
    for file in files {
        File::options().write(true).open(file).unwrap().set_len(0).unwrap();
    }
}

#[test]
fn weights_that_another_truncates_do_not_end_the_server() {
    let (models, cache) = (texts(), Folder::new());
    let kept = start(models.path(), cache.path().to_str().unwrap());
    asks(&kept, "The battery lasts for days.");
    let files = entry(cache.path());
    assert!(files.iter().any(|file| file.ends_with("weights.bin")), "{files:?}");
    // The same network as a model of its own with weights in a file beside it.
    let beside = Folder::new();
    for name in ["model.onnx", "weights.bin"] {
        let file = files.iter().find(|file| file.ends_with(name)).unwrap();
        beside.write(&format!("texts/{name}"), std::fs::read(file).unwrap());
    }
    for file in FILES {
        beside.copy(format!("models/sentiment-minilm/{file}"), &format!("texts/{file}"));
    }
    truncate(&files);
    asks(&kept, "A cold and dreary evening, which nobody will remember.");

    let plain = start(beside.path(), "");
    asks(&plain, "The battery lasts for days.");
    truncate(&[beside.path().join("texts/weights.bin")]);
    asks(&plain, "A cold and dreary evening, which nobody will remember.");
    for mut process in [kept, plain] {
        assert!(process.stop().success());
    }
}

#[test]
fn what_a_killed_server_left_in_the_graph_cache_is_removed_at_the_next_start() {
    let (models, cache) = (texts(), Folder::new());
    cache.write(".making-left/model.onnx", "half of a network");
    let process = start(models.path(), cache.path().to_str().unwrap());
    asks(&process, "It is served all the same.");
    // Nothing but the model's entry is there.
    assert_eq!(entry(cache.path()).len(), 3);
}
