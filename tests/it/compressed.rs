//! Bodies that clients compress: taken on every route that reads one whole, within the bounds of bodies.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::{Answer, IRIS, Server, app_with, assert_same, image, send};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn ask(server: &Server, path: &str, content_type: &str, body: Vec<u8>) -> Answer {
    let request = server.request("POST", path).header("content-encoding", "gzip");
    send(request.header("content-type", content_type).body(body)).await
}

/// `rows` rows of numbers that do not repeat.
fn rows(rows: usize) -> Value {
    let mut random = fastrand::Rng::with_seed(7);
    let rows: Vec<[f64; 4]> = (0..rows).map(|_| [(); 4].map(|()| random.f64() * 7.0)).collect();
    json!({ "features": rows })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_gzip_is_answered_like_the_same_without() {
    let server = Server::bundled().await;
    let json = "application/json";
    // More than is inflated where it is read, and less.
    for body in [rows(2), rows(1000)] {
        let plain = server.json("/predict/iris", body.clone()).await;
        let packed = ask(&server, "/predict/iris", json, gzip(body.to_string().as_bytes())).await;
        assert_eq!(packed.status, 200, "{}", packed.body);
        assert_same(&packed.body, &plain.body);
    }
    let photo = image("jpeg-coffee.jpg");
    let plain = server.post("/predict", "image/jpeg", photo.clone()).await;
    let packed = ask(&server, "/predict", "image/jpeg", gzip(&photo)).await;
    assert_same(&packed.body, &plain.body);
    let v1 = json!({"instances": [[5.1, 3.5, 1.4, 0.2]]}).to_string();
    let v2 = json!({"inputs": [{
        "name": "features", "shape": [1, 4], "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2],
    }]});
    let v2 = v2.to_string();
    let text = json!({"inputs": "A wonderful film."}).to_string();
    for (path, body) in [
        ("/v1/models/iris:predict", v1),
        ("/v2/models/iris/infer", v2),
        ("/models/sentiment-minilm", text),
    ] {
        let answer = ask(&server, path, json, gzip(body.as_bytes())).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_is_told_and_costs_no_more_than_twenty_times_itself() {
    let server = Server::start(app_with("[server]\nmax_body_size = 400000\n")).await;
    // A thousand times, and twenty times but over the limit on bodies.
    let bomb = gzip(&vec![b' '; 10_000_000]);
    let large = gzip(rows(8000).to_string().as_bytes());
    assert!(bomb.len() < 20_000 && large.len() < 400_000);
    for body in [bomb, large] {
        let answer = ask(&server, "/predict/iris", "application/json", body).await;
        let told = (answer.status, &answer.body["field"], &answer.body["got"]);
        assert_eq!(told, (413, &json!("body"), &json!("more")), "{}", answer.body);
    }
    // Its room is free again.
    let answer = ask(&server, "/predict/iris", "application/json", gzip(IRIS.as_bytes())).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_must_be_room_for_what_a_body_becomes() {
    let app = app_with("[server]\nmax_body_size = 65536\nmax_bodies_size = 65536\n");
    let server = Server::start(app).await;
    let body = json!({"features": vec![[5.1, 3.5, 1.4, 0.25]; 2500]}).to_string();
    let packed = gzip(&[body.as_bytes(), &[b' '; 100]].concat());
    assert!(body.len() < 65536);
    let answer = ask(&server, "/predict/iris", "application/json", packed.clone()).await;
    // The bytes that came have a part of the room, so that there is too little for the whole of it.
    let expected = if packed.len() * 20 < body.len() { 413 } else { 429 };
    assert_eq!(answer.status, expected, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_gzip_and_other_encodings_are_refused_by_name() {
    let server = Server::bundled().await;
    let whole = gzip(IRIS.as_bytes());
    let half = whole[..whole.len() / 2].to_vec();
    for body in [IRIS.as_bytes().to_vec(), half] {
        let answer = ask(&server, "/predict/iris", "application/json", body).await;
        let told = (answer.status, &answer.body["expected"]);
        assert_eq!(told, (400, &json!("a whole gzip stream")), "{}", answer.body);
    }
    for encoding in ["br", "deflate", "zstd", "gzip, gzip"] {
        let request = server.request("POST", "/predict/iris").header("content-encoding", encoding);
        let answer = send(request.header("content-type", "application/json").body(IRIS)).await;
        let told = (answer.status, &answer.body["field"]);
        assert_eq!(told, (415, &json!("content-encoding")), "{encoding}: {}", answer.body);
    }
    let lines = ask(&server, "/predict/iris", "application/x-ndjson", whole).await;
    let told = (lines.status, &lines.body["expected"]);
    assert_eq!(told, (415, &json!("lines that are not compressed")), "{}", lines.body);
}
