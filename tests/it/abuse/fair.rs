//! One client asks for too much while another asks for little.

use std::sync::Arc;

use super::*;
use crate::support::{Folder, app, config};

/// The status of so many rows for the model that runs when a hundred wait, and the reason of a refusal.
async fn ask_rows(address: &str, edge: &Edge, rows: usize) -> (u16, Value) {
    let client = reqwest::Client::builder().local_address(address.parse::<IpAddr>().unwrap());
    let request = client.build().unwrap().post(format!("http://{}/predict/slow", edge.data));
    let rows = vec![[5.1, 3.5, 1.4, 0.2]; rows];
    let answer = request.json(&json!({ "features": rows })).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json::<Value>().await.unwrap()["detail"].take())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_of_one_client_does_not_refuse_another() {
    let folder = Folder::new();
    folder
        .copy("models/iris/model.onnx", "slow/model.onnx")
        .write("slow/model.toml", "max_queue_delay = \"1h\"\nmax_batch_size = 100\n");
    let keys = "[runtime]\nmax_queue_size = 100\n[limits]\nmax_rows = 99\nmax_texts = 9\n";
    let app = app(&config(keys), folder.path(), None).unwrap();
    let edge = Arc::new(Edge::start(app).await);
    let held = tokio::spawn({
        let edge = edge.clone();
        async move { ask_rows("127.0.0.1", &edge, 99).await }
    });
    edge.counts("requests_in_work", 1).await;
    let (status, detail) = ask_rows("127.0.0.1", &edge, 2).await;
    assert_eq!(status, 429);
    assert!(detail.as_str().unwrap().starts_with("with this request 101 rows"), "{detail}");
    // With it the batch is full.
    assert_eq!(ask_rows(OTHER, &edge, 2).await.0, 200);
    held.abort();
}
