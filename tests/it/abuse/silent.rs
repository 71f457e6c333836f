//! Who sends nothing.

use super::*;

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
    in_time(async { while ask(&edge).await != 200 {} }).await;
    let told = rest(&mut first).await;
    assert!(told.starts_with("HTTP/1.1 408") && told.contains("connection: close"), "{told}");
    assert!(told.contains("others need the room"), "{told}");
    edge.counts("refusals_total{reason=\"made_room\"}", 1).await;
    edge.counts("open_requests", 1).await;
}

/// A server whose room for bodies an upload has taken that does not end.
async fn with_its_room_taken() -> (Edge, TcpStream) {
    let keys = "[server]\nmax_body_size = 2000\nmax_bodies_size = 2000\n\
                body_rate_window = \"1h\"\nbody_timeout = \"1h\"\n";
    let edge = Edge::start(app_with(keys)).await;
    let stalled = connect(&edge, upload(2000) + &" ".repeat(1990)).await;
    edge.counts("body_bytes", 1990).await;
    (edge, stalled)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_body_gives_its_room_to_one_that_comes() {
    let (edge, mut stalled) = with_its_room_taken().await;
    in_time(async { while ask(&edge).await != 200 {} }).await;
    let told = rest(&mut stalled).await;
    assert!(told.starts_with("HTTP/1.1 408") && told.contains("others need the room"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_that_has_most_gives_way_where_all_are_sending() {
    let (edge, mut greedy) = with_its_room_taken().await;
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
    let ask = async || {
        let client = reqwest::Client::new();
        let request = client.post(format!("http://{}/predict/iris", edge.data)).body(IRIS);
        match request.header("content-type", "application/json").send().await {
            Ok(answer) => Some(answer.status()),
            // Closed at once, as long as none is idle for long.
            Err(error) => {
                assert!(!error.is_timeout(), "{error}");
                None
            }
        }
    };
    let answered = async {
        loop {
            if let Some(status) = ask().await {
                break status;
            }
        }
    };
    assert_eq!(in_time(answered).await, 200);
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
