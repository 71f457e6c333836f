//! Stopping: readiness first, then no new connections, and what is in work ends.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use onnxd::server::Drained;
use reqwest::header::HeaderMap;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::{Process, line_with};
use crate::support::{BUNDLED, Edge, Folder, IRIS, MILLISECONDS_50, in_time, onnxd};

/// A request in work: the server has asked for its body.
async fn in_work(edge: &Edge) -> TcpStream {
    let mut stream = TcpStream::connect(edge.data).await.unwrap();
    let head = format!(
        "POST /predict/iris HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        IRIS.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_work_is_answered_and_nothing_new_is_accepted() {
    let mut edge = Edge::start(BUNDLED.clone()).await;
    let mut held = in_work(&edge).await;
    let mut idle = TcpStream::connect(edge.data).await.unwrap();
    edge.stop();
    // An idle connection is closed, and no new one is accepted.
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
    in_time(async { while TcpStream::connect(edge.data).await.is_ok() {} }).await;
    let ready = edge.admin("/health/ready").await;
    assert_eq!((ready.status, &ready.body["reason"]), (503, &json!("draining")));
    assert_eq!(edge.admin("/health/live").await.status, 200);
    edge.counts("draining", 1).await;

    held.write_all(IRIS.as_bytes()).await.unwrap();
    let mut answer = String::new();
    held.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(edge.drained().await, Drained { answered: 1, aborted: 0, connections: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_delay_new_requests_are_answered_and_asked_to_go() {
    let mut app = BUNDLED.clone();
    app.server.drain_delay = Duration::from_hours(1);
    let mut edge = Edge::start(app).await;
    edge.stop();
    in_time(async { while edge.admin("/health/ready").await.status == 200 {} }).await;
    let answer = edge.predict(&HeaderMap::new()).await.unwrap();
    assert_eq!((answer.status, answer.headers["connection"].as_bytes()), (200, &b"close"[..]));
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    for _ in 0..3 {
        let request = client.post(format!("http://{}/predict/iris", edge.data)).body(IRIS);
        let answer = request.header("content-type", "application/json").send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    // Each on a connection of its own, which the server ended.
    edge.counts("connections_closed_total{reason=\"drained\"}", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_is_cut_off_after_the_grace_period() {
    let mut app = BUNDLED.clone();
    app.server.grace_period = MILLISECONDS_50;
    let mut edge = Edge::start(app).await;
    let _held = in_work(&edge).await;
    edge.stop();
    assert_eq!(edge.drained().await, Drained { answered: 0, aborted: 1, connections: 1 });
}

fn iris_alone() -> (Folder, PathBuf) {
    let folder = Folder::new();
    folder.copy("models/iris/model.onnx", "iris/model.onnx");
    let path = folder.path().to_owned();
    (folder, path)
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let (_folder, models) = iris_alone();
    let keys = [("ONNXD_SERVER__DRAIN_DELAY", "1h"), ("ONNXD_SERVER__GRACE_PERIOD", "2h")];
    for (name, status) in [("TERM", 143), ("INT", 130)] {
        let mut process = Process::start(models.to_str().unwrap(), &keys);
        assert_eq!(process.health("/health/ready"), Some(0));
        process.signal(name);
        line_with(process.log.as_mut().unwrap(), "stopping");
        assert_eq!(process.health("/health/ready"), Some(1));
        assert_eq!(process.health("/health/live"), Some(0));
        process.signal(name);
        assert_eq!(process.child.wait().unwrap().code(), Some(status));
    }
}

/// A model whose run on a large number takes hours and cannot be stopped.
fn endless() -> Folder {
    let models = Folder::new();
    models
        .copy("tests/fixtures/models/endless/model.onnx", "endless/model.onnx")
        .write("endless/model.toml", "task = \"tabular-regression\"\n");
    models
}

#[test]
fn a_run_that_never_ends_does_not_keep_the_process() {
    let models = endless();
    let keys = [
        ("ONNXD_SERVER__REQUEST_TIMEOUT", "1s"),
        ("ONNXD_SERVER__GRACE_PERIOD", "1s"),
        ("ONNXD_SERVER__STUCK_TIMEOUT", "1001ms"),
    ];
    let mut process = Process::start(models.path().to_str().unwrap(), &keys);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ask = |rows: f64| {
        let url = format!("http://{}/predict/endless", process.data);
        let request = reqwest::Client::new().post(url).json(&json!({"features": [[rows]]}));
        runtime.block_on(async { request.send().await.unwrap().status() })
    };
    assert_eq!(ask(3.0), 200);
    assert_eq!(ask(3e6), 504);
    // Nobody waits for the run any more and it goes on: that is no load.
    while process.health("/health/live") == Some(0) {}
    process.signal("TERM");
    assert_eq!(process.child.wait().unwrap().code(), Some(0));
    let mut log = String::new();
    process.log.as_mut().unwrap().read_to_string(&mut log).unwrap();
    let last = log.lines().last().unwrap();
    assert!(last.contains("stopped") && last.contains("\"aborted\":0"), "{log}");
}

#[test]
fn a_client_that_leaves_gives_its_place_back() {
    let models = endless();
    let keys = [
        ("ONNXD_SERVER__MAX_CONCURRENT_REQUESTS", "1"),
        ("ONNXD_SERVER__REQUEST_TIMEOUT", "1h"),
        ("ONNXD_SERVER__GRACE_PERIOD", "1h"),
        ("ONNXD_SERVER__STUCK_TIMEOUT", "2h"),
    ];
    let process = Process::start(models.path().to_str().unwrap(), &keys);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // 404 if there is a place, else 429.
    let is_taken = async || {
        let url = format!("http://{}/predict/unknown", process.data);
        reqwest::Client::new().post(url).send().await.unwrap().status() == 429
    };
    let body = json!({"features": [[3e6]]}).to_string();
    let request = format!(
        "POST /predict/endless HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    runtime.block_on(async {
        loop {
            let mut stream = TcpStream::connect(&process.data).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let taken = async { while !is_taken().await {} };
            tokio::select! {
                () = taken => break,
                // It met one of the questions, which had the place, and was refused: once more.
                _ = stream.read_u8() => {}
            }
        }
        in_time(async { while is_taken().await {} }).await;
    });
}

#[test]
fn health_says_what_is_wrong() {
    let ask = |url: &str| {
        let output = onnxd(&["health", "--url", url]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, said) = ask("127.0.0.1:9090");
    assert_eq!(status, Some(1));
    assert!(said.contains("expected http://HOST:PORT/PATH"), "{said}");
    // Bound and closed again: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(ask(&format!("http://{free}/health/ready")).0, Some(1));
}
