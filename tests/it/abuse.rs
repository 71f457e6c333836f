//! What one client can do to others: nothing, whatever it sends, leaves unsent or does not read.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::client::{ResponseFuture, SendRequest};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{BUNDLED, Edge, IRIS, MILLISECONDS_50, app_with, post, with_slow};

/// A second client. All of 127.0.0.0/8 is this machine.
const OTHER: &str = "127.0.0.2";

/// The head of an upload that announces so many bytes.
fn upload(bytes: usize) -> String {
    format!(
        "POST /predict/iris HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {bytes}\r\n\r\n"
    )
}

async fn connect(edge: &Edge, sends: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(edge.data).await.unwrap();
    stream.write_all(sends.as_ref()).await.unwrap();
    stream
}

/// Asks from another address.
async fn ask_from(address: &str, edge: &Edge) -> u16 {
    let client = reqwest::Client::builder().local_address(address.parse::<IpAddr>().unwrap());
    let client = client.http1_only().build().unwrap();
    let request = client.post(format!("http://{}/predict/iris", edge.data)).body(IRIS);
    let request = request.header("content-type", "application/json");
    request.send().await.unwrap().status().as_u16()
}

async fn ask(edge: &Edge) -> u16 {
    edge.predict(&HeaderMap::new()).await.unwrap().status
}

/// What comes until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is as good as a close.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn metric(edge: &Edge, name: &str) -> usize {
    let Value::String(text) = edge.admin("/metrics").await.body else { panic!("no text") };
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("onnxd_{name} ")));
    line.unwrap().parse().unwrap()
}

// Who sends nothing.

#[tokio::test(flavor = "multi_thread")]
async fn silent_uploads_hold_nothing_that_others_need() {
    let keys = "[server]\nmax_concurrent_requests = 16\nmax_bodies_size = 33554432\n\
                body_rate_window = \"1h\"\nbody_timeout = \"1h\"\n";
    let edge = Edge::start(app_with(keys)).await;
    let head = upload(33_554_432);
    let expecting = head.replacen("\r\n", "\r\nexpect: 100-continue\r\n", 1);
    let heads = [&head, &expecting];
    let silent: Vec<TcpStream> =
        join_all((0..50).map(|number| connect(&edge, heads[number % 2]))).await;
    let chunked = "POST /predict/iris HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunked: Vec<TcpStream> = join_all((0..50).map(|_| connect(&edge, chunked))).await;
    edge.counts("open_requests", 100).await;
    for _ in 0..20 {
        assert_eq!((ask(&edge).await, ask_from(OTHER, &edge).await), (200, 200));
    }
    assert_eq!(metric(&edge, "body_bytes").await, 0);
    drop((silent, chunked));
    edge.counts("open_requests", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_pieces_is_answered_on_an_idle_server() {
    let edge = Edge::start(BUNDLED.clone()).await;
    let mut slow = connect(&edge, upload(IRIS.len())).await;
    let mut sent = 0;
    for piece in IRIS.as_bytes().chunks(7) {
        slow.write_all(piece).await.unwrap();
        sent += piece.len();
        // Each is there before the next one is sent. After the last one the answer is.
        if sent < IRIS.len() {
            edge.counts("body_bytes", sent as u64).await;
        }
    }
    let mut answer = [0; 15];
    slow.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_silent_gives_way_to_a_new_request() {
    let keys = "[server]\nmax_concurrent_requests = 2\nmax_open_requests = 2\n\
                max_peer_share = 1.0\nbody_rate_window = \"1h\"\nbody_timeout = \"1h\"\n";
    let edge = Edge::start(app_with(keys)).await;
    let mut first = connect(&edge, upload(100)).await;
    edge.counts("open_requests", 1).await;
    let _second = connect(&edge, upload(100)).await;
    edge.counts("open_requests", 2).await;
    // Nobody has been silent for long yet.
    while ask(&edge).await != 200 {}
    let told = rest(&mut first).await;
    assert!(told.starts_with("HTTP/1.1 408") && told.contains("connection: close"), "{told}");
    assert!(told.contains("others need the room"), "{told}");
    edge.counts("refusals_total{reason=\"made_room\"}", 1).await;
    edge.counts("open_requests", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_body_gives_its_room_to_one_that_comes() {
    let keys = "[server]\nmax_body_size = 2000\nmax_bodies_size = 2000\n\
                body_rate_window = \"1h\"\nbody_timeout = \"1h\"\n";
    let edge = Edge::start(app_with(keys)).await;
    let mut stalled = connect(&edge, upload(2000) + &" ".repeat(1990)).await;
    edge.counts("body_bytes", 1990).await;
    while ask(&edge).await != 200 {}
    let told = rest(&mut stalled).await;
    assert!(told.starts_with("HTTP/1.1 408") && told.contains("others need the room"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_that_has_most_gives_way_where_all_are_sending() {
    let keys = "[server]\nmax_body_size = 2000\nmax_bodies_size = 2000\n\
                body_rate_window = \"1h\"\nbody_timeout = \"1h\"\n";
    let edge = Edge::start(app_with(keys)).await;
    let mut greedy = connect(&edge, upload(2000) + &" ".repeat(1990)).await;
    edge.counts("body_bytes", 1990).await;
    // At once, since it is another address.
    assert_eq!(ask_from(OTHER, &edge).await, 200);
    let told = rest(&mut greedy).await;
    assert!(told.starts_with("HTTP/1.1 429") && told.contains("has most"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_takes_all_the_places() {
    let (_folder, app) = with_slow("[server]\nmax_concurrent_requests = 4\n");
    let edge = Edge::start(app).await;
    let mut held = Vec::new();
    for number in 1..=2 {
        held.push(edge.in_work(number).await);
    }
    let refused = edge.predict(&HeaderMap::new()).await.unwrap();
    assert_eq!((refused.status, &refused.headers["retry-after"]), (429, &"1".parse().unwrap()));
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("server.max_peer_share"), "{detail}");
    edge.counts("refusals_total{reason=\"peer_share\"}", 1).await;
    assert_eq!(ask_from(OTHER, &edge).await, 200);

    let (_folder, app) = with_slow("[server]\nmax_concurrent_requests = 4\nmax_peer_share = 1.0\n");
    let edge = Edge::start(app).await;
    for number in 1..=4 {
        held.push(edge.in_work(number).await);
    }
    assert_eq!(ask(&edge).await, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_are_keys_a_key_is_the_client() {
    // printf %s first | sha256sum, and second
    let folder = crate::support::Folder::new();
    folder.write(
        "keys",
        "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e\n\
         16367aacb67a4a017c8da8ab95682ccb390863780f7114dda0a0e0c55644c7c4\n",
    );
    let keys = folder.path().join("keys");
    let (_models, app) =
        with_slow(&format!("[server]\nmax_concurrent_requests = 2\napi_keys_file = {keys:?}\n"));
    let edge = Edge::start(app).await;
    let request = post("/predict/slow", IRIS).replacen("\r\n", "\r\nx-api-key: first\r\n", 1);
    let _held = connect(&edge, request).await;
    edge.counts("requests_in_work", 1).await;
    let ask = async |key: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", key.parse().unwrap());
        edge.predict(&headers).await.unwrap().status
    };
    assert_eq!([ask("first").await, ask("second").await], [429, 200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_gives_way_to_a_new_one() {
    let edge = Edge::start(app_with("server.max_connections = 2\n")).await;
    let mut silent = connect(&edge, "").await;
    let idle = connect(&edge, post("/predict/iris", IRIS)).await;
    idle.readable().await.unwrap();
    loop {
        let client = reqwest::Client::new();
        let request = client.post(format!("http://{}/predict/iris", edge.data)).body(IRIS);
        match request.header("content-type", "application/json").send().await {
            Ok(answer) => break assert_eq!(answer.status(), 200),
            // Closed at once, as long as none is idle for long.
            Err(error) => assert!(!error.is_timeout(), "{error}"),
        }
    }
    assert_eq!(rest(&mut silent).await, "");
    edge.counts("connections_closed_total{reason=\"made_room\"}", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_takes_all_the_connections() {
    let (_folder, app) = with_slow("server.max_connections = 4\n");
    let edge = Edge::start(app).await;
    let _held = [edge.in_work(1).await, edge.in_work(2).await];
    let mut third = connect(&edge, "").await;
    assert_eq!(rest(&mut third).await, "");
    edge.counts("connections_closed_total{reason=\"peer_share\"}", 1).await;
    assert_eq!(ask_from(OTHER, &edge).await, 200);
}

// Who has left.

const LINES: &str = "POST /predict/slow HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-ndjson\r\n\
                     transfer-encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// Opens a stream of lines, of which the answer's head is read: so leaving is a FIN, not a reset.
async fn stream_of(edge: &Edge, lines: &str) -> TcpStream {
    let mut stream = connect(edge, LINES.to_owned() + lines).await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    stream
}

async fn is_gone(edge: &Edge) {
    edge.counts("open_requests", 0).await;
    edge.counts("requests_in_work", 0).await;
    edge.counts("bulk_lines_in_work", 0).await;
    edge.counts("body_bytes", 0).await;
    edge.counts("connections", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_lines_that_leaves_is_gone_whatever_it_left_behind() {
    let (_folder, app) = with_slow("server.max_concurrent_requests = 1\n");
    let edge = Edge::start(app).await;
    let line = format!("{IRIS}\n");
    // More than the reader takes ahead, so that nobody reads from the socket.
    let many = chunk(&line).repeat(2000);
    let end = "0\r\n\r\n";
    for (lines, in_work) in [
        (String::new(), false),
        (chunk("{\"features\""), false),
        (chunk(&line), true),
        (chunk(&line) + end, true),
        (many.clone(), true),
        (many + end, true),
    ] {
        let stream = stream_of(&edge, &lines).await;
        if in_work {
            edge.counts("requests_in_work", 1).await;
        }
        drop(stream);
        is_gone(&edge).await;
    }
    assert_eq!(ask(&edge).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_lines_that_only_closed_its_half_is_answered() {
    let (_folder, app) = with_slow("");
    let edge = Edge::start(app).await;
    let head = LINES.replacen("\r\n", "\r\nx-request-timeout-ms: 1000\r\n", 1);
    let mut stream = connect(&edge, head + &chunk(&format!("{IRIS}\n")) + "0\r\n\r\n").await;
    stream.shutdown().await.unwrap();
    let answer = rest(&mut stream).await;
    let (head, lines) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    // The server has asked whether anybody is there, by a zero before a length, which does not change it.
    let (length, lines) = lines.split_once("\r\n").unwrap();
    assert!(length.starts_with('0'), "{answer}");
    let length = usize::from_str_radix(length, 16).unwrap();
    assert!(lines[..length].contains("\"status\":504"), "{answer}");
    assert!(lines[length..].ends_with("0\r\n\r\n"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_gone_with_its_client_though_more_is_in_its_pipe() {
    let (_folder, app) = with_slow("server.max_concurrent_requests = 1\n");
    let edge = Edge::start(app).await;
    let request = post("/predict/slow", IRIS);
    for pipe in [request.clone(), request.repeat(3), request.clone() + &request[..20]] {
        let stream = connect(&edge, pipe).await;
        edge.counts("requests_in_work", 1).await;
        drop(stream);
        is_gone(&edge).await;
    }
    // An upload under way.
    let stream = connect(&edge, upload(1000) + "{").await;
    edge.counts("body_bytes", 1).await;
    drop(stream);
    is_gone(&edge).await;
}

/// A connection of HTTP/2 whose windows are this wide.
async fn http2(edge: &Edge, window: u32) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(edge.data).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let (sender, connection) = builder.initial_window_size(window).handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn send(sender: &SendRequest<Bytes>, body: &str) -> ResponseFuture {
    let mut sender = sender.clone().ready().await.unwrap();
    let request = http::Request::post("http://localhost/predict/iris");
    let request = request.header("content-type", "application/json").body(()).unwrap();
    let (response, mut sending) = sender.send_request(request, false).unwrap();
    let mut body = Bytes::from(body.to_owned());
    while !body.is_empty() {
        sending.reserve_capacity(body.len());
        let room = std::future::poll_fn(|cx| sending.poll_capacity(cx)).await;
        let room = room.unwrap().unwrap().min(body.len());
        let part = body.split_to(room);
        sending.send_data(part, body.is_empty()).unwrap();
    }
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_http2_that_is_reset_is_gone() {
    let (_folder, app) = with_slow("server.max_concurrent_requests = 1\n");
    let edge = Edge::start(app).await;
    let sender = http2(&edge, 65_535).await;
    let mut ready = sender.clone().ready().await.unwrap();
    let request = http::Request::post("http://localhost/predict/slow");
    let request = request.header("content-type", "application/x-ndjson").body(()).unwrap();
    let (response, mut lines) = ready.send_request(request, false).unwrap();
    lines.send_data(Bytes::from(format!("{IRIS}\n")), false).unwrap();
    edge.counts("requests_in_work", 1).await;
    lines.send_reset(h2::Reason::CANCEL);
    drop(response);
    edge.counts("open_requests", 0).await;
    edge.counts("requests_in_work", 0).await;
    edge.counts("bulk_lines_in_work", 0).await;
    // The connection goes on.
    assert_eq!(send(&sender, IRIS).await.await.unwrap().status(), 200);
}

// Who does not read.

/// A body for iris whose answer has some 130 KB.
fn thousand() -> String {
    json!({"features": vec![[5.1, 3.5, 1.4, 0.2]; 1000]}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_connection_of_http2_does_not_read_is_bounded_and_then_refused() {
    let edge = Edge::start(app_with("")).await;
    let sender = http2(&edge, 0).await;
    let body = thousand();
    let asked = join_all((0..30).map(|_| send(&sender, &body))).await;
    let answers = join_all(asked).await;
    let statuses: Vec<u16> =
        answers.iter().map(|answer| answer.as_ref().unwrap().status().as_u16()).collect();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    let good = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!((good + refused, good <= 3, good >= 1), (30, true, true), "{statuses:?}");
    let unread = metric(&edge, "unread_answer_bytes").await;
    assert!(unread <= 512 << 10, "{unread}");
    edge.counts("refusals_total{reason=\"unread_answers\"}", refused as u64).await;
    // Others do not notice.
    assert_eq!(ask(&edge).await, 200);
    drop((answers, sender));
    edge.counts("unread_answer_bytes", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_requests_are_no_progress() {
    let mut app = BUNDLED.clone();
    app.server.keep_alive_timeout = Duration::from_millis(300);
    let edge = Edge::start(app).await;
    let sender = http2(&edge, 0).await;
    let unread = send(&sender, &thousand()).await.await.unwrap();
    // New requests, whose heads are answered, one after the other.
    let asks = async {
        loop {
            let Ok(mut sender) = sender.clone().ready().await else { return };
            let request = http::Request::get("http://localhost/nowhere").body(()).unwrap();
            match sender.send_request(request, true) {
                Ok((answer, _)) => match answer.await {
                    Ok(_) => {}
                    Err(_) => return,
                },
                Err(_) => return,
            }
        }
    };
    asks.await;
    edge.counts("connections_closed_total{reason=\"unread_answers\"}", 1).await;
    drop(unread);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_http1_that_nobody_reads_are_bounded_and_the_connection_is_closed() {
    let mut app = BUNDLED.clone();
    app.server.keep_alive_timeout = MILLISECONDS_50;
    let edge = Edge::start(app).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    let mut stream = socket.connect(edge.data).await.unwrap();
    let request = post("/predict/iris", &thousand());
    // In the pipe, as long as they are taken.
    while stream.write_all(request.as_bytes()).await.is_ok() {}
    edge.counts("connections_closed_total{reason=\"unread_answers\"}", 1).await;
    edge.counts("unread_answer_bytes", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_read_slowly_is_read_to_its_end() {
    let mut app = BUNDLED.clone();
    app.server.keep_alive_timeout = Duration::from_millis(200);
    // Of any size.
    app.server.max_unread_size = 1000;
    let edge = Edge::start(app).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    let mut stream = socket.connect(edge.data).await.unwrap();
    let request = post("/predict/iris", &thousand());
    let last = request.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let requests = request.repeat(19) + &last;
    let (mut reads, mut sends) = stream.split();
    let sent = async { sends.write_all(requests.as_bytes()).await.unwrap() };
    let read = async {
        let (mut answers, mut part) = (Vec::new(), [0; 4096]);
        loop {
            match reads.read(&mut part).await.unwrap() {
                0 => return String::from_utf8(answers).unwrap(),
                length => answers.extend_from_slice(&part[..length]),
            }
            // All of it takes longer than a client may read nothing.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let ((), answers) = tokio::join!(sent, read);
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 20);
    assert!(answers.ends_with("]}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_gives_way_when_answers_are_too_many() {
    let keys = "[server]\nmax_answers_size = 200000\nmax_peer_share = 1.0\n";
    let edge = Edge::start(app_with(keys)).await;
    let sender = http2(&edge, 0).await;
    let unread = send(&sender, &thousand()).await.await.unwrap();
    let large = async || {
        let request = edge.request("POST", "/predict/iris").body(thousand());
        request.header("content-type", "application/json").send().await.unwrap().status().as_u16()
    };
    while large().await != 200 {}
    edge.counts("connections_closed_total{reason=\"unread_answers\"}", 1).await;
    drop(unread);
}

// Who breaks the rules of HTTP.

/// What comes back for these bytes, until the server closes.
async fn answers(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_two_servers_may_read_in_two_ways_are_refused_and_closed() {
    let edge = Edge::start(BUNDLED.clone()).await;
    // Whatever is meant as a body, and a request that must not be answered.
    let hidden = "GET /v2/models HTTP/1.1\r\nhost: a\r\n\r\n";
    let cases = [
        "host: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n",
        "host: a\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n",
        "host: a\r\ncontent-length: 0\r\ncontent-length: 0\r\n",
        "host: a\r\ncontent-length: 0\r\ncontent-length: 40\r\n",
        "host: a\r\ncontent-length: 0, 0\r\n",
        "host: a\r\ncontent-length: +0\r\n",
        "host: a\r\ncontent-length : 0\r\n",
        "host: a\r\ntransfer-encoding: xchunked\r\n",
        "host: a\r\ntransfer-encoding: gzip, chunked\r\n",
        "host: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "host: a\r\ntransfer-encoding : chunked\r\n",
        "host: a\r\ntransfer-encoding:\u{b}chunked\r\n",
        "host: a\r\nte: chunked\r\n",
        "host: a\r\nx: y\r\n z\r\n",
        "host: a\nx: y\r\n",
        "host: a\r\nx: y\n",
        "host: a\r\nx: y\rz\r\n",
        "host: a\r\nx\u{0}: y\r\n",
        "x: y\r\n",
        "host: a\r\nhost: a\r\n",
        "host: a\r\nhost: b\r\n",
        "host: a\r\ncontent-type: text/plain\r\ncontent-type: application/json\r\n",
        "host: a/b\r\n",
        "host: u@a\r\n",
        "host: a:b\r\n",
    ];
    for headers in cases {
        let request = format!("POST /predict/iris HTTP/1.1\r\n{headers}\r\n{hidden}");
        let answer = answers(edge.data, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{headers:?}: {answer}");
        assert!(answer.to_ascii_lowercase().contains("connection: close"), "{headers:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{headers:?}: {answer}");
    }
    for head in
        ["GET /v2/models HTTP/1.1\nhost: a\r\n\r\n", "GET /v2/models HTTP/1.1\r\nhost: a\n\n"]
    {
        let answer = answers(edge.data, format!("{head}{hidden}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{head:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{head:?}: {answer}");
    }
    let closed = cases.len() + 2;
    edge.counts("connections_closed_total{reason=\"malformed\"}", closed as u64).await;
    // What is refused here says what was wrong.
    let request = "GET /v2/models HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n";
    let answer = answers(edge.data, request.as_bytes()).await;
    assert!(answer.contains("`host`: expected one host, got several"), "{answer}");
    assert!(metric(&edge, "refusals_total{reason=\"malformed\"}").await > 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_request_before_a_bad_one_is_answered_and_none_after_it() {
    let edge = Edge::start(BUNDLED.clone()).await;
    let good = post("/predict/iris", IRIS);
    let chunked = format!(
        "POST /predict/iris HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk(IRIS)
    );
    let bad = "GET /v2/models HTTP/1.1\r\nhost: a\nx: y\r\n\r\n";
    let whole = format!("{good}{chunked}{bad}{good}").into_bytes();
    // At once, and in pieces that cut everything.
    for size in [whole.len(), 61, 7] {
        let mut stream = TcpStream::connect(edge.data).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in whole.chunks(size) {
            // The server may have closed.
            let _ = stream.write_all(piece).await;
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let statuses: Vec<&str> =
            answer.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
        assert_eq!(statuses, ["200", "200", "400"], "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_two_servers_may_read_in_two_ways_are_refused_and_closed() {
    let edge = Edge::start(BUNDLED.clone()).await;
    let hidden = "0\r\n\r\nGET /v2/models HTTP/1.1\r\nhost: a\r\n\r\n";
    for chunks in
        ["2\n{}\r\n", "2 \r\n{}\r\n", "2\r\n{}\n", "0x2\r\n{}\r\n", "+2\r\n{}\r\n", "2;\n{}\r\n"]
    {
        let request = format!(
            "POST /predict/iris HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
             transfer-encoding: chunked\r\n\r\n{chunks}{hidden}"
        );
        let answer = answers(edge.data, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{chunks:?}: {answer}");
        assert!(answer.contains("connection: close"), "{chunks:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{chunks:?}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_old_are_served() {
    let edge = Edge::start(BUNDLED.clone()).await;
    for request in [
        "GET /v2/health/ready HTTP/1.0\r\n\r\n",
        "\r\nGET /v2/health/ready HTTP/1.0\r\nhost: a\r\n\r\n",
        "GET /v2/health/ready HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n",
        "GET http://a/v2/health/ready HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "GET /v2/health/ready HTTP/1.1\r\nhost: [::1]:80\r\nte: trailers\r\nconnection: close\r\n\r\n",
    ] {
        let answer = answers(edge.data, request.as_bytes()).await;
        assert_eq!(&answer[8..12], " 200", "{request:?}: {answer}");
    }
    let sender = http2(&edge, 65_535).await;
    let ask = async |host: &str| {
        let mut sender = sender.clone().ready().await.unwrap();
        let request = http::Request::get("http://localhost/v2/health/ready").header("host", host);
        let (response, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
        response.await.unwrap().status().as_u16()
    };
    assert_eq!([ask("localhost").await, ask("another").await], [200, 400]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_boundary_is_as_long_as_it_may_be() {
    let edge = Edge::start(BUNDLED.clone()).await;
    for (length, told) in [(70, false), (71, true), (10_000, true)] {
        let boundary = "b".repeat(length);
        let request = edge.request("POST", "/predict/iris");
        let form = format!("multipart/form-data; boundary={boundary}");
        let body = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"features\"\r\n\r\n\
             [[5.1, 3.5, 1.4, 0.2]]\r\n--{boundary}--\r\n"
        );
        let answer = crate::support::send(request.header("content-type", form).body(body)).await;
        assert_eq!(answer.status == 400, told, "{length}: {}", answer.body);
        assert_eq!(answer.headers.contains_key("connection"), told);
        assert_eq!(answer.status == 200, !told);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_that_two_servers_may_read_in_two_ways_are_refused_and_closed() {
    let edge = Edge::start(BUNDLED.clone()).await;
    let hidden = "GET /v2/models HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let ask = async |kind: &str, body: &str| {
        let head = "POST /predict/iris HTTP/1.1\r\nhost: a\r\n";
        let length = body.len();
        let request = format!(
            "{head}content-type: multipart/form-data; {kind}\r\ncontent-length: {length}\r\n\r\n\
             {body}{hidden}"
        );
        answers(edge.data, request.as_bytes()).await
    };
    let name = "content-disposition: form-data; name=features\r\n";
    let of = |headers: &str, end: &str| format!("--b\r\n{headers}\r\n[[1,2,3,4]]\r\n--b{end}");
    let good = ask("boundary=b", &of(name, "--\r\n")).await;
    assert_eq!(good.matches("HTTP/1.1 200").count(), 2, "{good}");
    for (kind, body) in [
        ("boundary=b", of(&format!("x: {}\r\n{name}", "y".repeat(20_480)), "--\r\n")),
        ("boundary=b", of(&("x: y\r\n".repeat(2_000) + name), "--\r\n")),
        ("boundary=b", of(&format!("x: y\n\nz: y\r\n{name}"), "--\r\n")),
        ("boundary=b", of(&format!("x\r\n{name}"), "--\r\n")),
        ("boundary=b", of(&name.repeat(2), "--\r\n")),
        ("boundary=b", of(name, "--x")),
        ("boundary=b", of(name, "x--\r\n")),
        ("boundary=b", of(name, "")),
        ("boundary=c", of(name, "--\r\n")),
        ("boundary=b; boundary=c", of(name, "--\r\n")),
    ] {
        let answer = ask(kind, &body).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{kind} {body:?}: {answer}");
        assert!(answer.contains("connection: close"), "{kind} {body:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{kind} {body:?}: {answer}");
    }
    edge.counts("refusals_total{reason=\"malformed\"}", 10).await;
}
