//! The edge of the server: what a connection may do, who may ask, and what each port answers.

use std::io::Read;
use std::sync::Arc;

use onnxd::api::App;
use onnxd::telemetry::Handle;
use reqwest::header::HeaderMap;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::{
    BUNDLED, Edge, Folder, IRIS, MILLISECONDS_50, app_with, default_config, in_time, loader, post,
    with_slow,
};

// printf %s first | sha256sum
const FIRST: &str = "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e";
// printf %s second | sha256sum
const SECOND: &str = "16367aacb67a4a017c8da8ab95682ccb390863780f7114dda0a0e0c55644c7c4";

/// A request for iris as it goes over the wire.
fn iris() -> String {
    post("/predict/iris", IRIS)
}

/// The bundled models, with another configuration.
fn bundled(change: impl FnOnce(&mut App)) -> App {
    let mut app = BUNDLED.clone();
    change(&mut app);
    app
}

/// What comes back until the server closes.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is as good as a close.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_closed() {
    let edge = Edge::start(bundled(|app| app.server.first_byte_timeout = MILLISECONDS_50)).await;
    let mut stream = TcpStream::connect(edge.data).await.unwrap();
    assert_eq!(until_closed(&mut stream).await, "");
    edge.counts("connections_closed_total{reason=\"first_byte_timeout\"}", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_end_is_closed() {
    let edge = Edge::start(bundled(|app| app.server.header_timeout = MILLISECONDS_50)).await;
    for part in ["P", "POST /predict HTTP/1.1\r\nhost: local", "PRI * HTTP/2.0\r\n"] {
        let mut stream = TcpStream::connect(edge.data).await.unwrap();
        stream.write_all(part.as_bytes()).await.unwrap();
        assert_eq!(until_closed(&mut stream).await, "", "{part}");
    }
    // The second one on a connection as well.
    let mut stream = TcpStream::connect(edge.data).await.unwrap();
    stream.write_all(iris().as_bytes()).await.unwrap();
    stream.readable().await.unwrap();
    stream.write_all(b"POST /predict").await.unwrap();
    let answer = until_closed(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    edge.counts("connections_closed_total{reason=\"header_timeout\"}", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed() {
    let edge = Edge::start(bundled(|app| app.server.keep_alive_timeout = MILLISECONDS_50)).await;
    let mut stream = TcpStream::connect(edge.data).await.unwrap();
    stream.write_all(iris().as_bytes()).await.unwrap();
    let answer = until_closed(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    edge.counts("connections_closed_total{reason=\"keep_alive_timeout\"}", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_is_408_and_closes() {
    let slow_rate = bundled(|app| {
        app.server.min_body_rate = 1_000_000;
        app.server.body_rate_window = MILLISECONDS_50;
    });
    let late = bundled(|app| app.server.body_timeout = MILLISECONDS_50);
    for app in [slow_rate, late] {
        let edge = Edge::start(app).await;
        let mut stream = TcpStream::connect(edge.data).await.unwrap();
        let whole = iris();
        stream.write_all(&whole.as_bytes()[..whole.len() - 1]).await.unwrap();
        let answer = until_closed(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(answer.contains("urn:onnxd:error:body-timeout"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_reaches_a_client_that_is_still_sending() {
    let edge = Edge::start(bundled(|app| app.server.max_body_size = 1000)).await;
    let mut stream = TcpStream::connect(edge.data).await.unwrap();
    let head = "POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\n\
                content-length: 8000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; 8_000_000]).await.unwrap();
    let answer = until_closed(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_is_closed_and_the_admin_port_answers() {
    let (_folder, app) = with_slow("server.max_connections = 1\n");
    let edge = Edge::start(app).await;
    let first = edge.in_work(1).await;
    let mut second = TcpStream::connect(edge.data).await.unwrap();
    assert_eq!(until_closed(&mut second).await, "");
    edge.counts("connections_closed_total{reason=\"max_connections\"}", 1).await;
    assert_eq!(edge.admin("/health/live").await.status, 200);
    // The place is free again, once the server has seen the end.
    drop(first);
    in_time(async { while edge.predict(&HeaderMap::new()).await.is_err() {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_bounded() {
    let edge = Edge::start(BUNDLED.clone()).await;
    let long = format!("x: {}\r\n", "y".repeat(40_000));
    let many = "x: y\r\n".repeat(101);
    for headers in [long, many] {
        let mut stream = TcpStream::connect(edge.data).await.unwrap();
        let head = format!("GET /predict HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = until_closed(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_by_prior_knowledge() {
    let edge = Edge::start(BUNDLED.clone()).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    for _ in 0..2 {
        let request = client.post(format!("http://{}/predict/iris", edge.data)).body(IRIS);
        let answer = request.header("content-type", "application/json").send().await.unwrap();
        assert_eq!(
            (answer.status(), answer.version()),
            (200.try_into().unwrap(), reqwest::Version::HTTP_2)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_port_answers_its_own_paths_only() {
    let edge = Edge::start(BUNDLED.clone()).await;
    for path in ["/health/live", "/health/ready", "/health/startup", "/metrics"] {
        assert_eq!(edge.admin(path).await.status, 200, "{path}");
        let answer = edge.get(edge.data, path).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
        assert_eq!(answer.content_type, "application/problem+json");
    }
    for path in ["/", "/predict", "/predict/iris", "/health"] {
        let answer = edge.admin(path).await;
        assert_eq!(
            (answer.status, answer.content_type.as_str()),
            (404, "application/problem+json")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn until_the_models_are_loaded_requests_are_told_to_try_again() {
    let config = default_config();
    let app = App::new(&config, loader(&config).compute, Arc::default(), Handle::default());
    let edge = Edge::start(app.clone()).await;
    let answer = edge.predict(&HeaderMap::new()).await.unwrap();
    assert_eq!((answer.status, &answer.body["type"]), (503, &json!("urn:onnxd:error:unavailable")));
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(edge.admin("/health/live").await.status, 200);
    assert_eq!(edge.admin("/health/startup").await.status, 503);
    let ready = edge.admin("/health/ready").await;
    assert_eq!((ready.status, &ready.body["reason"]), (503, &json!("loading")));

    app.set_repository(BUNDLED.repository().unwrap().clone());
    assert_eq!(edge.admin("/health/startup").await.status, 200);
    assert_eq!(edge.admin("/health/ready").await.body, json!({"ready": true}));
    assert_eq!(edge.predict(&HeaderMap::new()).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closed_its_half_is_answered() {
    let edge = Edge::start(BUNDLED.clone()).await;
    let photo = crate::support::image("jpeg-12mp.jpg");
    let head = format!(
        "POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/jpeg\r\n\
         content-length: {}\r\n\r\n",
        photo.len()
    );
    let photo = [head.as_bytes(), &photo].concat();
    for request in [iris().into_bytes(), photo] {
        let mut stream = TcpStream::connect(edge.data).await.unwrap();
        stream.write_all(&request).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = until_closed(&mut stream).await;
        // The second answer takes long enough that the server asks whether anybody is there.
        assert!(answer.contains("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("]}"), "{answer}");
    }
    // Without its whole body there is nothing to answer.
    let mut stream = TcpStream::connect(edge.data).await.unwrap();
    let whole = iris();
    stream.write_all(&whole.as_bytes()[..whole.len() - 5]).await.unwrap();
    stream.shutdown().await.unwrap();
    assert!(!until_closed(&mut stream).await.contains("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn api_keys_are_asked_for_and_read_again() {
    let folder = Folder::new();
    folder.write("keys", format!("# keys\nci: {FIRST}\n"));
    let file = folder.path().join("keys");
    let keys = format!("api_keys_file = {file:?}\nreload_interval = \"10ms\"\n");
    let edge = Edge::start(app_with(&format!("[server]\n{keys}"))).await;
    let ask = async |name: &'static str, value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        edge.predict(&headers).await.unwrap()
    };
    let refused = ask("x-other", "first").await;
    assert_eq!(
        (refused.status, &refused.body["type"]),
        (401, &json!("urn:onnxd:error:unauthorized"))
    );
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
    assert_eq!(refused.content_type, "application/problem+json");
    assert_eq!(ask("authorization", "Bearer first").await.status, 200);
    assert_eq!(ask("x-api-key", "first").await.status, 200);
    assert_eq!(ask("authorization", "Bearer second").await.status, 401);
    assert_eq!(ask("authorization", "Basic first").await.status, 401);
    assert_eq!(edge.admin("/health/ready").await.status, 200);

    // Before the body: here none comes.
    let mut stream = TcpStream::connect(edge.data).await.unwrap();
    let head = "POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\n\
                content-length: 1000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 401");

    folder.write("keys", "not a hash\n");
    folder.write("keys", format!("{SECOND}\n"));
    in_time(async { while ask("x-api-key", "second").await.status == 401 {} }).await;
    assert_eq!(ask("x-api-key", "first").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_of_the_data_port_need_no_key_where_that_is_configured() {
    let folder = Folder::new();
    folder.write("keys", format!("{FIRST}\n"));
    let file = folder.path().join("keys");
    for (public, status) in [(false, 401), (true, 200)] {
        let keys = format!("[server]\napi_keys_file = {file:?}\npublic_health = {public}\n");
        let edge = Edge::start(app_with(&keys)).await;
        for path in ["/v2/health/live", "/v2/health/ready"] {
            assert_eq!(edge.get(edge.data, path).await.status, status, "{path} {public}");
        }
        let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
        let url = format!("http://{}/grpc.health.v1.Health/Check", edge.data);
        let check = client.post(url).header("content-type", "application/grpc");
        let check = check.body(vec![0; 5]).send().await.unwrap();
        let code = check.headers().get("grpc-status").map(|code| code.to_str().unwrap());
        // Told before the answer if it is an error: 16 is UNAUTHENTICATED.
        assert_eq!(code, if public { None } else { Some("16") });
        // Nothing else is public.
        for path in ["/v2", "/v2/models", "/v2/models/iris", "/v2/models/iris/ready"] {
            assert_eq!(edge.get(edge.data, path).await.status, 401, "{path} {public}");
        }
        assert_eq!(edge.predict(&HeaderMap::new()).await.unwrap().status, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_may_ask_from_the_named_origins_only() {
    let page = "https://app.example.com";
    let ask = async |edge: &Edge, method: &str, origin: &str| {
        let request = edge.request(method, "/predict/iris").header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        let request = request.header("access-control-request-headers", "content-type");
        let answer = crate::support::send(request.body("{}")).await;
        let allowed = answer.headers.get("access-control-allow-origin");
        (answer.status, allowed.map(|value| value.to_str().unwrap().to_owned()))
    };
    let off = Edge::start(BUNDLED.clone()).await;
    assert_eq!(ask(&off, "OPTIONS", page).await, (405, None));

    let on = Edge::start(bundled(|app| app.server.cors_allowed_origins = vec![page.to_owned()]));
    let on = on.await;
    assert_eq!(ask(&on, "OPTIONS", page).await, (200, Some(page.to_owned())));
    assert_eq!(ask(&on, "OPTIONS", "https://other.example.com").await, (200, None));
    // Errors can be read as well.
    assert_eq!(ask(&on, "POST", page).await, (415, Some(page.to_owned())));
    assert_eq!(ask(&on, "POST", "https://other.example.com").await, (415, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_are_compressed_for_those_who_take_it() {
    let edge = Edge::start(BUNDLED.clone()).await;
    let ask = async |accept: &str, rows: usize| {
        let body = json!({"features": vec![[5.1, 3.5, 1.4, 0.2]; rows]});
        let request = edge.request("POST", "/predict/iris").header("accept-encoding", accept);
        let answer = request.json(&body).send().await.unwrap();
        let encoding = answer.headers().get("content-encoding").cloned();
        (encoding.map(|e| e.to_str().unwrap().to_owned()), answer.bytes().await.unwrap())
    };
    let (encoding, packed) = ask("gzip", 100).await;
    assert_eq!(encoding.as_deref(), Some("gzip"));
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(packed.as_ref()).read_to_string(&mut unpacked).unwrap();
    let answer: serde_json::Value = serde_json::from_str(&unpacked).unwrap();
    assert_eq!(answer["result"].as_array().unwrap().len(), 100);
    assert_eq!(ask("identity", 100).await.0, None);
    assert_eq!(ask("gzip", 1).await.0, None);
}

/// A certificate for `localhost` that signs itself, with its key, as PEM; and itself.
fn certificate() -> (String, String, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem(), made.cert.der().clone())
}

/// Shakes hands, trusting this certificate only.
async fn tls(
    edge: &Edge,
    trusted: &CertificateDer<'static>,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(edge.data).await?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect("localhost".try_into().unwrap(), stream).await
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_a_certificate_that_is_read_again() {
    let folder = Folder::new();
    let (certificate_1, key_1, trusted_1) = certificate();
    folder.write("cert.pem", certificate_1).write("key.pem", key_1);
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    let app = app_with(&format!(
        "[server]\nreload_interval = \"10ms\"\nfirst_byte_timeout = \"1s\"\n\
         [tls]\ncertificate = {cert:?}\nkey = {key:?}\n"
    ));
    let edge = Edge::start(app).await;

    let mut stream = tls(&edge, &trusted_1, b"http/1.1").await.unwrap();
    let request = iris().replacen("\r\n", "\r\nconnection: close\r\n", 1);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let stream = tls(&edge, &trusted_1, b"h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    drop(stream);

    // Neither silence nor plain HTTP is a handshake.
    let mut silent = TcpStream::connect(edge.data).await.unwrap();
    assert_eq!(until_closed(&mut silent).await, "");
    edge.counts("connections_closed_total{reason=\"first_byte_timeout\"}", 1).await;
    let mut plain = TcpStream::connect(edge.data).await.unwrap();
    plain.write_all(iris().as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    edge.counts("connections_closed_total{reason=\"tls_handshake\"}", 1).await;

    let (certificate_2, key_2, trusted_2) = certificate();
    // For a moment the two do not belong together: the old pair stays in use.
    folder.write("cert.pem", certificate_2);
    tls(&edge, &trusted_1, b"h2").await.unwrap();
    folder.write("key.pem", key_2);
    in_time(async { while tls(&edge, &trusted_2, b"h2").await.is_err() {} }).await;
    assert!(tls(&edge, &trusted_1, b"h2").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_much_together_are_refused() {
    let (_folder, app) = with_slow("[server]\nmax_body_size = 100\nmax_bodies_size = 100\n");
    let edge = Edge::start(app).await;
    let mut first = TcpStream::connect(edge.data).await.unwrap();
    first.write_all(post("/predict/slow", &format!("{IRIS:80}")).as_bytes()).await.unwrap();
    edge.counts("body_bytes", 80).await;
    let refused = edge.predict(&HeaderMap::new()).await.unwrap();
    assert_eq!((refused.status, &refused.body["title"]), (429, &json!("Overloaded")));
    edge.counts("refusals_total{reason=\"body_budget\"}", 1).await;
    drop(first);
    in_time(async { while edge.predict(&HeaderMap::new()).await.unwrap().status == 429 {} }).await;
}
