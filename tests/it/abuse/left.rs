//! Who has left.

use super::*;

const LINES: &str = "POST /predict/slow HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-ndjson\r\n\
                     transfer-encoding: chunked\r\n\r\n";

pub fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// Opens a stream of lines, of which the answer's head is read: so leaving is a FIN, not a reset.
async fn stream_of(edge: &Edge, lines: &str) -> TcpStream {
    let mut stream = connect(edge, LINES.to_owned() + lines).await;
    let mut head = Vec::new();
    let reading = async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
    };
    in_time(reading).await;
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
