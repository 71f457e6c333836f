//! Every bad input: its status, a body that names the field, the expected and the got; and the
//! next good request works.

use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderMap;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::support::{
    Answer, BUNDLED, Edge, Folder, Server, app, default_config, image, root, send, with_slow,
};

/// Collects what came back, under the name of what was sent.
struct Cases {
    server: Server,
    seen: Vec<Value>,
}

impl Cases {
    async fn bundled() -> Self {
        Self { server: Server::bundled().await, seen: Vec::new() }
    }

    fn push(&mut self, sent: &str, answer: Answer) {
        assert_eq!(answer.content_type, "application/problem+json", "{sent}: {}", answer.body);
        assert!((400..500).contains(&answer.status), "{sent}: {}", answer.body);
        assert_eq!(answer.body["status"], answer.status, "{sent}");
        assert_eq!(answer.body["error"], answer.body["detail"], "{sent}");
        let id = answer.headers["x-request-id"].to_str().unwrap();
        assert_eq!(answer.body["request_id"], id, "{sent}");
        let mut body = answer.body;
        for repeated in ["status", "error", "request_id"] {
            body.as_object_mut().unwrap().remove(repeated);
        }
        self.seen.push(json!({"sent": sent, "status": answer.status, "body": body}));
    }

    async fn json(&mut self, path: &str, body: &str) {
        let answer = self.server.post(path, "application/json", body).await;
        let short: String = body.chars().take(80).collect();
        self.push(&format!("{path} {short}"), answer);
    }

    async fn file(&mut self, name: &str) {
        let file = image(&format!("bad/{name}"));
        let answer = self.server.post("/predict", "application/octet-stream", file).await;
        self.push(name, answer);
    }

    /// The server is as well as before.
    async fn finish(self) -> Vec<Value> {
        let good = json!({"features": [[5.1, 3.5, 1.4, 0.2]]});
        let answer = self.server.json("/predict/iris", good).await;
        assert_eq!(answer.result()[0]["label"], "setosa");
        self.seen
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_or_foreign_json() {
    let mut cases = Cases::bundled().await;
    for body in [
        "",
        "{",
        "{\"text\": \"good\",\n \"model\" \"iris\"}",
        "{\"text\": \"good\"} trailing",
        "[1, 2, 3]",
        "\"good\"",
        "null",
        "{}",
        "{\"featurs\": [[1, 2, 3, 4]]}",
        "{\"text\": \"good\", \"parameters\": {\"topk\": 3}}",
        "{\"text\": \"good\", \"parameters\": {\"top_k\": 0}}",
        "{\"text\": \"good\", \"parameters\": {\"top_k\": \"3\"}}",
        "{\"text\": \"good\", \"parameters\": {\"raw_scores\": 1}}",
        "{\"text\": \"good\", \"parameters\": []}",
        "{\"text\": \"good\", \"features\": [[1]]}",
        "{\"text\": \"good\", \"text\": \"bad\"}",
        "{\"inputs\": \"good\"}",
        "{\"model\": 7, \"text\": \"good\"}",
    ] {
        cases.json("/predict", body).await;
    }
    insta::assert_json_snapshot!(cases.finish().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_models_routes_and_methods() {
    let mut cases = Cases::bundled().await;
    cases.json("/predict/sentiment", "{\"text\": \"good\"}").await;
    cases.json("/predict", "{\"model\": \"irys\", \"features\": [[1, 2, 3, 4]]}").await;
    cases.json("/predict/iris", "{\"model\": \"other\", \"features\": [[1, 2, 3, 4]]}").await;
    cases.json("/predict/iris/versions/7", "{\"features\": [[1, 2, 3, 4]]}").await;
    cases.json("/predict/iris/versions/..%2f1", "{\"features\": [[1, 2, 3, 4]]}").await;
    cases.json("/predict/%ff", "{\"features\": [[1, 2, 3, 4]]}").await;
    cases.json("/predictions", "{}").await;
    cases.json("/predict?topk=3", "{\"text\": \"good\"}").await;
    cases.json("/predict?top_k=many", "{\"text\": \"good\"}").await;
    let answer = send(cases.server.request("GET", "/predict")).await;
    assert_eq!(answer.headers["allow"], "POST");
    cases.push("GET /predict", answer);
    insta::assert_json_snapshot!(cases.finish().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_kind_of_input() {
    let mut cases = Cases::bundled().await;
    cases.json("/predict/iris", "{\"text\": \"good\"}").await;
    cases.json("/predict/sentiment-minilm", "{\"features\": [[1, 2, 3, 4]]}").await;
    cases.json("/predict/efficientnet-lite0", "{\"text\": \"good\"}").await;
    let photo = image("jpeg-coffee.jpg");
    let answer = cases.server.post("/predict/iris", "image/jpeg", photo).await;
    cases.push("/predict/iris a photo", answer);
    cases.json("/predict/sentiment-minilm", "{\"inputs\": [[1, 2]]}").await;
    cases.json("/predict/sentiment-tfidf", "{\"text\": [[\"a\", \"b\"]]}").await;
    insta::assert_json_snapshot!(cases.finish().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_models_for_one_input_must_be_told_apart() {
    let folder = Folder::new();
    for name in ["one", "two"] {
        folder.copy("models/iris/model.onnx", &format!("{name}/model.onnx"));
    }
    let mut cases = Cases { server: Server::start(folder.load().unwrap()).await, seen: vec![] };
    cases.json("/predict", "{\"features\": [[1, 2, 3, 4]]}").await;
    cases.json("/predict", "{\"text\": \"good\"}").await;
    insta::assert_json_snapshot!(cases.seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_features() {
    let mut cases = Cases::bundled().await;
    for features in [
        "[]",
        "[[]]",
        "[[1, 2, 3]]",
        "[1, 2, 3, 4, 5]",
        "[[1, 2, 3, 4], [1, 2]]",
        "[[1, 2, 3, 4], 5]",
        "[[1, 2, 3, \"x\"]]",
        "[[1, 2, 3, null]]",
        "[[1, 2, 3, NaN]]",
        "[[1, 2, 3, Infinity]]",
        "[[1, 2, 3, 1e999]]",
        "[[1, 2, 3, 1e39]]",
        "[[[1, 2, 3, 4]]]",
        "7",
        "\"1,2,3,4\"",
        "{\"sepal_length\": [1], \"sepal_width\": [1], \"petal_length\": [1]}",
        "{\"sepal_lenght\": [1]}",
        "{\"sepal_length\": [1, 2], \"sepal_width\": [1], \"petal_length\": [1], \"petal_width\": [1]}",
        "{\"sepal_length\": [\"a\"], \"sepal_width\": [1], \"petal_length\": [1], \"petal_width\": [1]}",
        "{\"sepal_length\": [1, \"a\"]}",
        "{\"sepal_length\": [[1]]}",
        "{\"sepal_length\": [1], \"sepal_length\": [1]}",
        "{}",
    ] {
        cases.json("/predict/iris", &format!("{{\"features\": {features}}}")).await;
    }
    let many = json!({"features": vec![[1, 2, 3, 4]; 1025]}).to_string();
    cases.json("/predict/iris", &many).await;
    insta::assert_json_snapshot!(cases.finish().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_numbers_stay_whole() {
    let models = root().join("tests/fixtures/models");
    let app = app(&default_config(), &models, Some("int-features")).unwrap();
    let mut cases = Cases { server: Server::start(app).await, seen: vec![] };
    for features in ["[[5.5, 3, 1, 0]]", "[[1e30, 3, 1, 0]]", "[{\"a\": 1}]", "{\"a\": [1]}"] {
        cases.json("/predict", &format!("{{\"features\": {features}}}")).await;
    }
    insta::assert_json_snapshot!(cases.seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_text() {
    let mut cases = Cases::bundled().await;
    let long = json!({"text": ["fine", "x".repeat(16_385)]}).to_string();
    cases.json("/predict", &long).await;
    let many = json!({"text": vec!["fine"; 257]}).to_string();
    cases.json("/predict", &many).await;
    cases.json("/predict", "{\"text\": []}").await;
    cases.json("/predict", "{\"text\": 5}").await;
    cases.json("/predict", "{\"text\": [\"fine\", 5]}").await;
    cases.json("/predict", "{\"text\": [[\"a\", \"b\", \"c\"]]}").await;
    cases.json("/predict", "{\"text\": {\"txt\": \"a\"}}").await;
    cases.json("/predict/sentiment-tfidf", "{\"text\": \"a\\u0000b\"}").await;
    let answer = cases.server.post("/predict", "text/plain", b"caf\xe9".as_slice()).await;
    cases.push("text/plain in Latin-1", answer);
    insta::assert_json_snapshot!(cases.finish().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_images() {
    let mut cases = Cases::bundled().await;
    for name in [
        "text.jpg",
        "truncated.jpg",
        "truncated-progressive.jpg",
        "truncated.png",
        "truncated.webp",
        "truncated.gif",
        "header-only.jpg",
        "header-only.png",
        "corrupt-data.png",
        "size-10000x1000.png",
        "size-8000x8000.png",
        "claims-60000x60000.jpg",
        "arithmetic.jpg",
        "odd-sampling.jpg",
    ] {
        cases.file(name).await;
    }
    let photo = STANDARD.encode(image("jpeg-coffee.jpg"));
    cases.json("/predict", &json!({"image": [photo, "not base64!"]}).to_string()).await;
    cases.json("/predict", &json!({"image": "https://example.com/cat.jpg"}).to_string()).await;
    cases.json("/predict", &json!({"image": "data:image/png,abc"}).to_string()).await;
    cases.json("/predict", &json!({"image": STANDARD.encode("hello")}).to_string()).await;
    cases.json("/predict", &json!({"image": 5}).to_string()).await;
    cases.json("/predict", &json!({"image": vec!["AAAA"; 65]}).to_string()).await;
    insta::assert_json_snapshot!(cases.finish().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_in_a_list_is_named_by_its_place() {
    let server = Server::bundled().await;
    let files = ["jpeg-coffee.jpg", "bad/truncated.jpg", "png-rgb.png"];
    let images: Vec<String> = files.iter().map(|name| STANDARD.encode(image(name))).collect();
    let answer = server.json("/predict", json!({ "image": images })).await;
    assert_eq!((answer.status, &answer.body["field"]), (422, &json!("image[1]")));
}

#[tokio::test(flavor = "multi_thread")]
async fn content_types_and_bodies() {
    let mut cases = Cases::bundled().await;
    let photo = image("jpeg-coffee.jpg");
    for (content_type, body) in [
        ("application/x-www-form-urlencoded", b"{\"text\": \"good\"}".to_vec()),
        ("application/xml", b"<text/>".to_vec()),
        ("nonsense", b"x".to_vec()),
        ("text/plain; charset=latin1", b"x".to_vec()),
        ("multipart/form-data", b"x".to_vec()),
        ("multipart/form-data; boundary=x", b"no parts here".to_vec()),
        ("image/png", photo.clone()),
        ("image/jpeg", Vec::new()),
    ] {
        let answer = cases.server.post("/predict", content_type, body).await;
        cases.push(content_type, answer);
    }
    let answer = send(cases.server.request("POST", "/predict").body(photo.clone())).await;
    cases.push("no content type", answer);
    let answer = send(
        cases
            .server
            .request("POST", "/predict")
            .header("content-type", "image/jpeg")
            .header("content-encoding", "br")
            .body(photo.clone()),
    )
    .await;
    cases.push("content-encoding: br", answer);
    let form = Form::new().part("fille", Part::text("x"));
    let answer = send(cases.server.request("POST", "/predict").multipart(form)).await;
    cases.push("multipart with an unknown part", answer);
    let form = Form::new().text("text", "good").part("file", Part::bytes(photo).file_name("a.jpg"));
    let answer = send(cases.server.request("POST", "/predict").multipart(form)).await;
    cases.push("multipart with two kinds", answer);
    insta::assert_json_snapshot!(cases.finish().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit() {
    let mut app = BUNDLED.clone();
    app.server.max_body_size = 1000;
    let mut cases = Cases { server: Server::start(app).await, seen: vec![] };
    let answer = cases.server.post("/predict", "text/plain", vec![b'x'; 1001]).await;
    cases.push("1001 bytes", answer);
    let pieces = (0..11).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 100]));
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let request = cases.server.request("POST", "/predict").header("content-type", "text/plain");
    let answer = send(request.body(stream)).await;
    cases.push("1100 bytes in pieces, of no declared length", answer);
    insta::assert_json_snapshot!(cases.finish().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_colour_profile_that_inflates_to_200_mb_is_skipped() {
    let server = Server::bundled().await;
    let file = image("bad/icc-200mb.png");
    let answer = server.post("/predict", "image/png", file).await;
    assert_eq!(answer.result().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn not_a_number_from_the_model_is_no_answer() {
    let models = root().join("tests/fixtures/models");
    let app = app(&default_config(), &models, Some("nan-output")).unwrap();
    let server = Server::start(app).await;
    let answer = server.json("/predict", json!({"features": [[-1.0, -2.0]]})).await;
    assert_eq!((answer.status, answer.content_type.as_str()), (500, "application/problem+json"));
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(!detail.contains("NaN"), "the cause belongs to the log: {detail}");
    assert_eq!(server.json("/predict", json!({"features": [[1.0, 2.0]]})).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_the_bound_are_answered_at_once() {
    let (_folder, app) = with_slow("server.max_concurrent_requests = 1\n");
    let edge = Edge::start(app).await;
    let holder = edge.in_work(1).await;
    // Before its body comes.
    let mut late = TcpStream::connect(edge.data).unwrap();
    let head = "POST /predict/iris HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n";
    late.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 1024];
    let length = late.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    drop(holder);
    edge.counts("requests_in_work", 0).await;
    assert_eq!(edge.predict(&HeaderMap::new()).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlines_and_priorities_of_the_client() {
    let mut cases = Cases::bundled().await;
    let body = json!({"text": "good"});
    for (header, value) in [("x-request-timeout-ms", "soon"), ("x-priority", "urgent")] {
        let request = cases.server.request("POST", "/predict").json(&body);
        let answer = send(request.header(header, value)).await;
        cases.push(&format!("{header}: {value}"), answer);
    }
    let request = cases.server.request("POST", "/predict").json(&body);
    let late = send(request.header("x-request-timeout-ms", "0")).await;
    assert_eq!(
        (late.status, &late.body["type"]),
        (504, &json!("urn:onnxd:error:deadline-exceeded"))
    );
    insta::assert_json_snapshot!(cases.finish().await);
}
