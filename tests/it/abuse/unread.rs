//! Who does not read.

use super::*;

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
    // Some of the others may find the queue full.
    assert!(metric(&edge, "refusals_total{reason=\"unread_answers\"}").await > 0);
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
    in_time(asks).await;
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
    in_time(async { while stream.write_all(request.as_bytes()).await.is_ok() {} }).await;
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
    let ((), answers) = in_time(Box::pin(async { tokio::join!(sent, read) })).await;
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
    in_time(async { while large().await != 200 {} }).await;
    edge.counts("connections_closed_total{reason=\"unread_answers\"}", 1).await;
    drop(unread);
}
