//! Optimised networks that are kept on disk: what clients see of them, which is nothing.

use std::path::{Path, PathBuf};

use onnxd::config::{Flags, ServerConfig};
use onnxd::onnx::{
    Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, OperatorSetId, Property,
    TensorProto, TensorShapeProto, TensorType, TypeProto, ValueInfoProto,
};
use prost::Message as _;
use serde_json::{Value, json};

use crate::support::{Folder, Server, app, image, root};

/// A server of a model that is loaded with this cache; empty for none.
async fn serve(models: &Path, cache: &str, model: &str) -> Server {
    let folder = Folder::new();
    folder.write("onnxd.toml", format!("[runtime]\ngraph_cache = \"{cache}\"\n"));
    let file = folder.path().join("onnxd.toml");
    let config = ServerConfig::load(Some(&file), &Flags::default()).unwrap();
    Server::start(app(&config, models, Some(model)).unwrap()).await
}

/// What it answers: all classes, with every digit.
async fn ask(server: &Server, model: &str) -> Value {
    let path = format!("/predict/{model}?top_k=1000");
    let answer = match model {
        "efficientnet-lite0" => server.post(&path, "image/jpeg", image("jpeg-640x480.jpg")).await,
        "linear" => server.json(&path, json!({"features": [vec![1.0; SIDE]]})).await,
        _ => server.json(&path, json!({"text": "The battery lasts for days."})).await,
    };
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["result"].clone()
}

async fn answer(models: &Path, cache: &str, model: &str) -> Value {
    ask(&serve(models, cache, model).await, model).await
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

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_an_entry_after_the_load_matters_to_nobody() {
    let cache = Folder::new();
    let path = cache.path().join("graphs");
    for model in ["efficientnet-lite0", "sentiment-minilm"] {
        let server = serve(&root().join("models"), path.to_str().unwrap(), model).await;
        let before = ask(&server, model).await;
        let weights = entry(&path).join("weights.bin");
        // Into the same file, as `cp` does, and then cut off.
        let length = weights.metadata().unwrap().len() as usize;
        for content in [vec![0x55; length], Vec::new()] {
            std::fs::write(&weights, content).unwrap();
            assert_eq!(ask(&server, model).await, before, "{model}");
        }
        std::fs::remove_dir_all(&path).unwrap();
    }
}

const SIDE: usize = 600;

/// A network of one product, with its weights in a file beside it.
fn linear(models: &Folder) {
    let names = |name: &str| vec![name.to_owned()];
    let rows = |name: &str| ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorType {
                elem_type: 1,
                shape: Some(TensorShapeProto {
                    dim: [DimensionValue::Name("rows".into()), DimensionValue::Length(SIDE as i64)]
                        .map(|value| Dimension { value: Some(value) })
                        .into(),
                }),
            }),
            ..Default::default()
        }),
    };
    let entry = |key: &str, value: &str| Property { key: key.into(), value: value.into() };
    let weights = TensorProto {
        name: "w".into(),
        dims: vec![SIDE as i64; 2],
        data_type: 1,
        data_location: 1,
        external_data: vec![
            entry("location", "model.onnx.data"),
            entry("offset", "0"),
            entry("length", &(SIDE * SIDE * 4).to_string()),
        ],
        ..Default::default()
    };
    let product = NodeProto {
        op_type: "MatMul".into(),
        input: [names("x"), names("w")].concat(),
        output: names("y"),
        ..Default::default()
    };
    let graph = GraphProto {
        name: "linear".into(),
        node: vec![product],
        initializer: vec![weights],
        input: vec![rows("x")],
        output: vec![rows("y")],
        ..Default::default()
    };
    let opset_import = vec![OperatorSetId { domain: String::new(), version: 17 }];
    let model =
        ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() };
    models.write("linear/model.onnx", model.encode_to_vec());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_with_external_data_answers_alike_and_by_its_data() {
    let models = Folder::new();
    linear(&models);
    let values = |of: usize| (0..SIDE * SIDE).flat_map(move |at| ((at % of) as f32).to_le_bytes());
    let data = |of| models.write("linear/model.onnx.data", values(of).collect::<Vec<u8>>());
    data(7);
    answers_are_the_same(models.path(), "linear").await;
    let cache = Folder::new();
    let path = cache.path().join("graphs");
    let cache = path.to_str().unwrap();
    let before = answer(models.path(), cache, "linear").await;
    data(11);
    let after = answer(models.path(), cache, "linear").await;
    assert_ne!(after, before, "the network is the same, and its data is not");
    assert_eq!(after, answer(models.path(), "", "linear").await);
}
