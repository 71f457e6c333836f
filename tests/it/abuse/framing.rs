//! Who breaks the rules of HTTP.

use super::left::chunk;
use super::*;

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
