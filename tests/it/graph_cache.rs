//! Optimised networks that are kept on disk: what clients see of them, which is nothing.

use std::path::{Path, PathBuf};

use onnxd::config::{Flags, ServerConfig};
use serde_json::{Value, json};

use crate::support::{Folder, Server, app, image, root};

/// What a model that is loaded with this cache answers; empty for none. All classes, with every digit.
async fn answer(models: &Path, cache: &str, model: &str) -> Value {
    let folder = Folder::new();
    folder.write("onnxd.toml", format!("[runtime]\ngraph_cache = \"{cache}\"\n"));
    let file = folder.path().join("onnxd.toml");
    let config = ServerConfig::load(Some(&file), &Flags::default()).unwrap();
    let server = Server::start(app(&config, models, Some(model)).unwrap()).await;
    let path = format!("/predict/{model}?top_k=1000");
    let answer = match model {
        "efficientnet-lite0" => server.post(&path, "image/jpeg", image("jpeg-640x480.jpg")).await,
        _ => server.json(&path, json!({"text": "The battery lasts for days."})).await,
    };
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["result"].clone()
}

/// The only entry of a cache.
fn entry(cache: &Path) -> PathBuf {
    let entries: Vec<_> = cache.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    let [only] = entries.as_slice() else { panic!("{entries:?}") };
    only.clone()
}

async fn answers_are_the_same(models: &Path, model: &str) {
    let cache = Folder::new();
    let path = cache.path().join("graphs");
    let with = path.to_str().unwrap();
    let without = answer(models, "", model).await;
    assert_eq!(answer(models, with, model).await, without, "made");
    let made = entry(&path);
    assert_eq!(answer(models, with, model).await, without, "kept");
    std::fs::write(made.join("weights.bin"), "not weights").unwrap();
    assert_eq!(answer(models, with, model).await, without, "damaged and made anew");
    assert!(made.join("weights.bin").metadata().unwrap().len() > 1 << 20);
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::write(&path, "no folder").unwrap();
    assert_eq!(answer(models, with, model).await, without, "no folder to be had");
}

#[tokio::test(flavor = "multi_thread")]
async fn int8_networks_answer_alike_to_the_last_bit() {
    for model in ["efficientnet-lite0", "sentiment-minilm"] {
        answers_are_the_same(&root().join("models"), model).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_fp32_network_answers_alike_to_the_last_bit() {
    let models = Folder::new();
    for file in ["model.onnx", "labels.txt", "preprocessor_config.json"] {
        let name = format!("efficientnet-lite0/{file}");
        models.copy(format!("models/{name}"), &name);
    }
    answers_are_the_same(models.path(), "efficientnet-lite0").await;
}
