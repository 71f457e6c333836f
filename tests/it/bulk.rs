//! Streams of lines: answers while the input is still arriving, in order, within bounds.

use std::time::Duration;

use onnxd::server::Drained;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

use crate::support::{
    BUNDLED, Edge, Folder, MILLISECONDS_50, Server, app_with, assert_same, image, in_time,
    with_slow,
};

const NDJSON: &str = "application/x-ndjson";
const ROW: &str = r#"{"features": [[5.1, 3.5, 1.4, 0.2]]}"#;

/// A client that sends and reads as the test says, on HTTP/1.1.
struct Raw {
    stream: TcpStream,
    /// Came and was not read yet; without the chunks' frames.
    lines: Vec<u8>,
    /// Of the head, then of chunks.
    came: Vec<u8>,
    head: String,
    ended: bool,
}

impl Raw {
    async fn open(address: std::net::SocketAddr, path: &str, headers: &str) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), path, headers).await
    }

    async fn over(mut stream: TcpStream, path: &str, headers: &str) -> Self {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {NDJSON}\r\n\
             transfer-encoding: chunked\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let (lines, came, head) = (Vec::new(), Vec::new(), String::new());
        Self { stream, lines, came, head, ended: false }
    }

    fn chunk(text: &str) -> Vec<u8> {
        format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
    }

    async fn send(&mut self, text: &str) {
        self.stream.write_all(&Self::chunk(text)).await.unwrap();
    }

    async fn end(&mut self) {
        self.stream.write_all(b"0\r\n\r\n").await.unwrap();
    }

    /// Reads once and takes the frames off.
    async fn more(&mut self) -> usize {
        let mut buffer = [0; 4096];
        let length = self.stream.read(&mut buffer).await.unwrap();
        self.came.extend_from_slice(&buffer[..length]);
        if self.head.is_empty() {
            let Some(end) = find(&self.came, b"\r\n\r\n") else { return length };
            self.head = String::from_utf8(self.came.drain(..end + 4).collect()).unwrap();
        }
        while let Some(end) = find(&self.came, b"\r\n") {
            let size = std::str::from_utf8(&self.came[..end]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            if self.came.len() < end + 2 + size + 2 {
                break;
            }
            self.lines.extend_from_slice(&self.came[end + 2..end + 2 + size]);
            self.came.drain(..end + 2 + size + 2);
            self.ended |= size == 0;
        }
        length
    }

    /// The next answer; `None` at the stream's end, which must be a proper one.
    async fn answer(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = find(&self.lines, b"\n") {
                let line: Vec<u8> = self.lines.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            if self.ended {
                assert!(self.lines.is_empty());
                return None;
            }
            assert_ne!(self.more().await, 0, "cut off: {}", self.head);
        }
    }

    async fn answers(&mut self) -> Vec<Value> {
        let mut answers = Vec::new();
        while let Some(answer) = self.answer().await {
            answers.push(answer);
        }
        answers
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn row(id: usize) -> String {
    let width = 0.1 + (id % 25) as f64 / 10.0;
    format!("{{\"id\": {id}, \"features\": [[5.1, 3.5, 1.4, {width}]]}}\n")
}

async fn post(server: &Server, path: &str, body: impl Into<Vec<u8>>) -> Vec<Value> {
    let answer = server.post(path, NDJSON, body).await;
    assert_eq!((answer.status, answer.content_type.as_str()), (200, NDJSON), "{}", answer.body);
    match answer.body {
        Value::String(lines) => {
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
        one => vec![one],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_answered_before_the_next_one_is_sent() {
    let server = Server::bundled().await;
    let mut client = Raw::open(server.address, "/predict/iris", "").await;
    for id in 0..20 {
        // In two pieces, of which the first is no line yet.
        let line = row(id);
        let (first, second) = line.split_at(17);
        client.send(first).await;
        client.send(second).await;
        let answer = client.answer().await.unwrap();
        assert_eq!((&answer["id"], &answer["result"][0]["label"]), (&json!(id), &json!("setosa")));
    }
    assert!(client.head.starts_with("HTTP/1.1 200"), "{}", client.head);
    assert!(client.head.contains("x-device: cpu"), "{}", client.head);
    client.end().await;
    assert_eq!(client.answer().await, None);
    // The connection takes a further request.
    let head = "GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    client.stream.write_all(head.as_bytes()).await.unwrap();
    let mut rest = String::new();
    client.stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("HTTP/1.1 200"), "{rest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_lines_are_answered_in_order_as_each_by_itself() {
    let server = Server::bundled().await;
    let lines: String = (0..10_000).map(row).collect();
    let answers = post(&server, "/predict/iris?top_k=1", lines).await;
    assert_eq!(answers.len(), 10_000);
    for (id, answer) in answers.iter().enumerate() {
        assert_eq!(answer["id"], json!(id));
    }
    for (id, answer) in answers.iter().enumerate().step_by(1237) {
        let body: Value = serde_json::from_str(&row(id)).unwrap();
        let features = json!({"features": body["features"]});
        let alone = server.json("/predict/iris?top_k=1", features).await;
        assert_same(&answer["result"], &alone.body["result"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_is_told_by_its_number_and_the_others_are_answered() {
    let server = Server::bundled().await;
    let lines = "\
        {\"features\": [[5.1, 3.5, 1.4, 0.2]], \"id\": \"a\"}\r\n\
        \n\
        {\"features\": [[5.1, 3.5]], \"id\": \"b\"}\n\
        {\"features\": [[1e39, 1, 1, 1]]}\n\
        {\"features\": [[\n\
        {\"feature\": [[5.1, 3.5, 1.4, 0.2]], \"id\": 7}\n\
        {\"text\": \"no features\"}\n\
        {\"id\": [1], \"features\": [[5.1, 3.5, 1.4, 0.2]]}\n\
        {\"features\": [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]], \"id\": \"c\"}";
    let answers = post(&server, "/predict/iris", lines).await;
    let told: Vec<_> = answers
        .iter()
        .map(|answer| {
            let error = &answer["error"];
            let result = answer["result"].as_array().map(Vec::len);
            json!([answer["id"], answer["line"], error["status"], error["detail"], result])
        })
        .collect();
    insta::assert_json_snapshot!(told);
    assert!(answers[1]["error"]["request_id"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn images_and_texts_of_several_models_may_stand_in_one_stream() {
    use base64::Engine;
    let server = Server::bundled().await;
    let photo = base64::engine::general_purpose::STANDARD.encode(image("jpeg-rocket.jpg"));
    let lines = [
        json!({"text": "What a waste of two hours.", "model": "sentiment-minilm", "id": 1}),
        json!({"image": photo, "id": 2, "parameters": {"top_k": 2}}),
        json!({"features": [[5.1, 3.5, 1.4, 0.2]], "id": 3}),
        json!({"image": "bm8gaW1hZ2U=", "id": 4}),
        json!({"inputs": "A wonderful film.", "model": "sentiment-minilm", "id": 5}),
        json!({"inputs": "of any kind", "id": 6}),
    ];
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    let answers = post(&server, "/predict", lines.join("\n")).await;
    let label = |at: usize| answers[at]["result"][0]["label"].as_str().unwrap();
    assert_eq!(
        [label(0), label(1), label(2), label(4)],
        ["negative", "missile", "setosa", "positive"]
    );
    assert_eq!(answers[1]["result"][0]["classes"].as_array().unwrap().len(), 2);
    assert_eq!((&answers[3]["id"], &answers[3]["error"]["status"]), (&json!(4), &json!(422)));
    assert_eq!((&answers[5]["line"], &answers[5]["error"]["field"]), (&json!(6), &json!("model")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_whole_request_is_its_status() {
    let server = Server::bundled().await;
    for (path, status) in [("/predict/none", 404), ("/predict/iris?top_k=0", 422)] {
        let answer = server.post(path, NDJSON, ROW).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    let zipped = server.request("POST", "/predict/iris").header("content-encoding", "gzip");
    let zipped = crate::support::send(zipped.header("content-type", NDJSON).body(ROW)).await;
    assert_eq!((zipped.status, &zipped.body["field"]), (415, &json!("content-encoding")));
    // Other names of the same, and a body without a line.
    for name in ["application/jsonl", "application/ndjson; charset=utf-8"] {
        let answer = server.post("/predict/iris", name, ROW).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body["result"][0]["label"], "setosa");
    }
    assert_eq!(server.post("/predict/iris", NDJSON, "\n").await.body, json!(""));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_on_bodies_is_one_on_lines() {
    let server = Server::start(app_with("[server]\nmax_body_size = 100000\n")).await;
    let long = format!("{{\"text\": \"{}\"}}\n", "x".repeat(200_000));
    // Longer than a block, and within the limit.
    let spaces = format!("{}{ROW}\n", " ".repeat(90_000));
    let lines = format!("{}{long}{spaces}{}", row(1), row(4).repeat(5000));
    assert!(lines.len() > 300_000);
    let answers = post(&server, "/predict/iris", lines).await;
    assert_eq!(answers.len(), 5003);
    assert_eq!(answers[0]["id"], 1);
    assert_eq!((&answers[1]["line"], &answers[1]["error"]["status"]), (&json!(2), &json!(413)));
    let told = "`line`: expected at most 100000 bytes, got more";
    assert_eq!(answers[1]["error"]["detail"], told);
    assert_eq!(answers[2]["result"][0]["label"], "setosa");
    assert!(answers[3..].iter().all(|answer| answer["id"] == 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_not_read_from() {
    const LINES: usize = 64 << 10;
    /// A line has 1 KiB. What may be ahead of the answers that were read: sockets' buffers in both
    /// directions, of which the system decides, and our own window, which is small beside them.
    const AHEAD: usize = 40 << 20;
    let app = app_with("");
    let edge = Edge::start(app).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let stream = socket.connect(edge.data).await.unwrap();
    let mut client = Raw::over(stream, "/predict/iris", "").await;
    let line = format!("{:1023}\n", r#"{"features": [[5.1, 3.5, 1.4, 0.2]]}"#);
    let chunk = Raw::chunk(&line.repeat(64));
    let (mut sent, mut answered, mut most) = (0, 0, 0);
    let mut rest: &[u8] = &[];
    while answered < LINES {
        if rest.is_empty() && sent < LINES {
            (rest, sent) = (&chunk, sent + 64);
        }
        // Whatever can be sent is sent first.
        let wrote = match rest {
            [] => None,
            rest => client.stream.try_write(rest).ok(),
        };
        match wrote {
            Some(length) => rest = &rest[length..],
            None if rest.is_empty() => {
                client.more().await;
            }
            None => {
                tokio::select! {
                    biased;
                    () = async { client.stream.writable().await.unwrap() } => continue,
                    () = async { client.stream.readable().await.unwrap() } => {}
                }
                client.more().await;
            }
        }
        answered += memchr::memchr_iter(b'\n', &client.lines).count();
        client.lines.clear();
        most = most.max((sent - answered) * line.len());
    }
    assert!(most < AHEAD, "{} MiB were taken ahead of the answers", most >> 20);
    client.end().await;
    while !client.ended {
        client.more().await;
    }
    edge.counts("bulk_lines_in_work", 0).await;
    edge.counts("bulk_lines_total{outcome=\"ok\"}", LINES as u64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_left() {
    let mut app = BUNDLED.clone();
    app.server.keep_alive_timeout = MILLISECONDS_50;
    let edge = Edge::start(app).await;
    let mut client = Raw::open(edge.data, "/predict/iris", "").await;
    let chunk = Raw::chunk(&row(1).repeat(1000));
    in_time(async { while client.stream.write_all(&chunk).await.is_ok() {} }).await;
    edge.counts("connections_closed_total{reason=\"unread_answers\"}", 1).await;
    edge.counts("bulk_lines_in_work", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_lines_ends_and_says_after_which() {
    let mut app = BUNDLED.clone();
    app.server.keep_alive_timeout = MILLISECONDS_50;
    let server = Server::start(app).await;
    let mut client = Raw::open(server.address, "/predict/iris", "").await;
    client.send(&format!("{}\n", row(1))).await;
    let answers = client.answers().await;
    assert_eq!(answers.len(), 2, "{answers:?}");
    // The blank line counts as one.
    assert_eq!(
        (&answers[1]["error"]["status"], &answers[1]["stopped_after"]),
        (&json!(408), &json!(2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_does_not_end_in_time_ends_the_stream() {
    let server = Server::start(app_with("[server]\nbody_timeout = \"50ms\"\n")).await;
    let mut client = Raw::open(server.address, "/predict/iris", "").await;
    client.send(&row(1)).await;
    assert_eq!(client.answer().await.unwrap()["id"], 1);
    client.send("{\"features\": ").await;
    let last = client.answer().await.unwrap();
    assert_eq!((&last["error"]["status"], &last["stopped_after"]), (&json!(408), &json!(1)));
    assert_eq!(client.answer().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_has_a_deadline_of_its_own() {
    let (_folder, app) = with_slow("");
    let server = Server::start(app).await;
    let headers = "x-request-timeout-ms: 50\r\n";
    let mut client = Raw::open(server.address, "/predict/slow", headers).await;
    for number in 1..=2 {
        client.send(&format!("{ROW}\n")).await;
        let answer = client.answer().await.unwrap();
        let told = (&answer["line"], &answer["error"]["status"]);
        assert_eq!(told, (&json!(number), &json!(504)), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_takes_its_lines_along() {
    let (_folder, app) = with_slow("");
    let edge = Edge::counting(app).await;
    let mut client = Raw::open(edge.data, "/predict/slow", "").await;
    client.send(&format!("{ROW}\n{ROW}\n")).await;
    edge.counts("queue_depth{model=\"slow\",version=\"1\"}", 2).await;
    edge.counts("bulk_lines_in_work", 2).await;
    drop(client);
    edge.counts("bulk_lines_in_work", 0).await;
    edge.counts("in_flight{model=\"slow\",version=\"1\"}", 0).await;
    let labels = "model=\"slow\",outcome=\"cancelled\",protocol=\"bulk\",\
                  task=\"tabular-classification\",version=\"1\"";
    edge.counts(&format!("requests_total{{{labels}}}"), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_streams_both_ways_too() {
    let server = Server::bundled().await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let (lines, sent) = mpsc::channel::<String>(1);
    let sent = futures_util::stream::unfold(sent, async |mut sent| {
        sent.recv().await.map(|line| (Ok::<_, std::convert::Infallible>(line), sent))
    });
    let request = client
        .post(format!("http://{}/predict/iris", server.address))
        .header("content-type", NDJSON)
        .body(reqwest::Body::wrap_stream(sent));
    let mut response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    for id in 0..3 {
        lines.send(row(id)).await.unwrap();
        let answer = response.chunk().await.unwrap().unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&answer).unwrap()["id"], json!(id));
    }
    drop(lines);
    // The end may come with an empty part.
    while let Some(rest) = response.chunk().await.unwrap() {
        assert!(rest.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_says_after_which_line() {
    let mut app = BUNDLED.clone();
    app.server.drain_delay = Duration::ZERO;
    let mut edge = Edge::start(app).await;
    let mut client = Raw::open(edge.data, "/predict/iris", "").await;
    client.send(&row(1)).await;
    assert_eq!(client.answer().await.unwrap()["id"], 1);
    edge.stop();
    let last = client.answer().await.unwrap();
    assert_eq!((&last["error"]["status"], &last["stopped_after"]), (&json!(503), &json!(1)));
    assert!(last["error"]["detail"].as_str().unwrap().contains("stopping"), "{last}");
    assert_eq!(client.answer().await, None);
    drop(client);
    assert_eq!(edge.drained().await, Drained { answered: 1, aborted: 0, connections: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_holds_one_place_while_it_has_lines_in_work_and_waits_where_a_request_is_refused()
{
    let (_folder, app) = with_slow("server.max_concurrent_requests = 1\n");
    let edge = Edge::start(app).await;
    let ask = async || edge.predict(&reqwest::header::HeaderMap::new()).await.unwrap().status;
    let mut idle = Raw::open(edge.data, "/predict/iris", "").await;
    idle.send(&row(1)).await;
    idle.answer().await.unwrap();
    // It holds nothing while it says nothing.
    in_time(async { while ask().await != 200 {} }).await;
    let mut busy = Raw::open(edge.data, "/predict/slow", "").await;
    for _ in 0..3 {
        busy.send(&format!("{ROW}\n")).await;
    }
    edge.counts("bulk_lines_in_work", 3).await;
    edge.counts("requests_in_work", 1).await;
    assert_eq!(ask().await, 429);
    // A line waits for the place.
    idle.send(&row(2)).await;
    edge.counts("bulk_lines_in_work", 4).await;
    drop(busy);
    assert_eq!(idle.answer().await.unwrap()["id"], 2);

    // More rows than the queue takes at once.
    let small = Folder::new();
    small.copy("models/iris/model.onnx", "iris/model.onnx").write(
        "onnxd.toml",
        "[runtime]\nmax_queue_size = 8\nmax_batch_size = 2\n\
         [limits]\nmax_rows = 8\nmax_texts = 8\nmax_images = 8\n",
    );
    let file = small.path().join("onnxd.toml");
    let config = onnxd::config::ServerConfig::load(Some(&file), &onnxd::config::Flags::default());
    let app = crate::support::app(&config.unwrap(), small.path(), None).unwrap();
    let server = Server::start(app).await;
    let answers = post(&server, "/predict/iris", (0..3000).map(row).collect::<String>()).await;
    assert_eq!(answers.len(), 3000);
    assert!(answers.iter().all(|answer| answer["result"].is_array()));
}
