//! Spans as a collector gets them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use onnxd::config::Trace;
use onnxd::telemetry::Handle;
use onnxd::telemetry::trace::Tracing;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span::SpanKind, status::StatusCode};
use prost::Message;
use serde_json::json;

use crate::process::Process;
use crate::support::{Answer, BUNDLED, Server, send};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const STAGES: [&str; 5] = ["decode", "preprocess", "queue", "infer", "postprocess"];

/// Takes OTLP over HTTP and keeps it.
#[derive(Clone, Default)]
struct Collector {
    got: Arc<Mutex<Vec<(HeaderMap, ExportTraceServiceRequest)>>>,
}

impl Collector {
    /// And its base URL.
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let got = collector.got.clone();
        let take = async move |headers: HeaderMap, body: Bytes| {
            let request = ExportTraceServiceRequest::decode(body).unwrap();
            got.lock().unwrap().push((headers, request));
            ExportTraceServiceResponse::default().encode_to_vec()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/traces", post(take));
        tokio::spawn(async { axum::serve(listener, router).await });
        (collector, url)
    }

    fn spans(&self) -> Vec<Span> {
        let got = self.got.lock().unwrap();
        let resources = got.iter().flat_map(|(_, request)| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }
}

/// A server whose spans go to `endpoint`.
async fn server(endpoint: &str, sample_ratio: f64) -> (Server, Arc<Tracing>) {
    let config = Trace { otlp_endpoint: endpoint.to_owned(), sample_ratio };
    let tracing = Tracing::start(&config).unwrap().unwrap();
    let telemetry = Handle { tracer: Some(tracing.tracer()), ..Handle::default() };
    let mut app = BUNDLED.clone();
    app.telemetry = telemetry;
    (Server::start(app).await, Arc::new(tracing))
}

async fn flush(tracing: &Arc<Tracing>) -> anyhow::Result<()> {
    let tracing = tracing.clone();
    tokio::task::spawn_blocking(move || tracing.flush()).await.unwrap()
}

/// A text of its own: the same one in flight from another test would share its run.
async fn text(server: &Server, text: &str, flags: &str) -> Answer {
    let traceparent = format!("00-{TRACE}-{PARENT}-{flags}");
    let request = server.request("POST", "/predict").header("traceparent", traceparent);
    send(request.header("tracestate", "vendor=value").json(&json!({"text": text}))).await
}

fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &any_value::Value| match value {
        any_value::Value::StringValue(text) => text.clone(),
        any_value::Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let value = |kv: &KeyValue| text(kv.value.as_ref().unwrap().value.as_ref().unwrap());
    attributes.iter().map(|kv| (kv.key.clone(), value(kv))).collect()
}

fn id(bytes: &[u8]) -> String {
    let digit = |digit: u8| char::from_digit(digit.into(), 16).unwrap();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The requests' spans, without their stages.
fn requests(spans: &[Span]) -> Vec<&Span> {
    spans.iter().filter(|span| span.kind() == SpanKind::Server).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_a_span_below_its_callers_with_a_child_for_each_stage() {
    let (collector, url) = Collector::start().await;
    let (server, tracing) = server(&url, 0.0).await;
    let answer = text(&server, "all stages", "01").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    flush(&tracing).await.unwrap();

    let spans = collector.spans();
    assert_eq!(spans.len(), 6, "{spans:?}");
    assert!(spans.iter().all(|span| id(&span.trace_id) == TRACE));
    let [request] = requests(&spans)[..] else { panic!("{spans:?}") };
    assert_eq!(id(&request.parent_span_id), PARENT);
    assert_eq!(
        (request.name.as_str(), request.trace_state.as_str()),
        ("POST /predict", "vendor=value")
    );
    let told = attributes(&request.attributes);
    let request_id = answer.headers["x-request-id"].to_str().unwrap();
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/predict"),
        ("url.path", "/predict"),
        ("url.scheme", "http"),
        ("http.response.status_code", "200"),
        ("onnxd.model", "sentiment-minilm"),
        ("onnxd.model.version", "1"),
        ("onnxd.request_id", request_id),
    ] {
        assert_eq!(told.get(key).map(String::as_str), Some(value), "{key} of {told:?}");
    }

    let mut before = request.start_time_unix_nano;
    for name in STAGES {
        let stage = spans.iter().find(|span| span.name == name).unwrap();
        assert_eq!(stage.parent_span_id, request.span_id, "{name}");
        assert!(before <= stage.start_time_unix_nano, "{name} overlaps what is before it");
        assert!(stage.start_time_unix_nano <= stage.end_time_unix_nano, "{name}");
        before = stage.end_time_unix_nano;
    }
    assert!(before <= request.end_time_unix_nano);
    // The same durations as the header has.
    let timing = answer.headers["server-timing"].to_str().unwrap();
    let infer = spans.iter().find(|span| span.name == "infer").unwrap();
    let ms = (infer.end_time_unix_nano - infer.start_time_unix_nano) as f64 / 1e6;
    let (_, told) = timing.split_once("infer;dur=").unwrap();
    let told: f64 = told.split(',').next().unwrap().parse().unwrap();
    assert!((told - ms).abs() < 0.001, "{timing}: {ms}");

    let got = collector.got.lock().unwrap();
    let resource = got[0].1.resource_spans[0].resource.as_ref().unwrap();
    let resource = attributes(&resource.attributes);
    assert_eq!(resource["service.name"], "onnxd");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_and_a_failure_are_told_apart() {
    let (collector, url) = Collector::start().await;
    let (server, tracing) = server(&url, 1.0).await;
    assert_eq!(server.json("/predict/nothing", json!({"text": "secret"})).await.status, 404);
    let request = server.request("POST", "/predict").header("x-request-timeout-ms", "0");
    assert_eq!(send(request.json(&json!({"text": "secret"}))).await.status, 504);
    assert_eq!(send(server.request("BREW", "/pot?secret=1")).await.status, 404);
    flush(&tracing).await.unwrap();

    let spans = collector.spans();
    let told: Vec<_> = requests(&spans)
        .iter()
        .map(|span| {
            let status = span.status.as_ref().map_or(StatusCode::Unset, Status::code);
            (span.name.as_str(), status, attributes(&span.attributes)["error.type"].clone())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("POST /predict/{model}", StatusCode::Unset, "unknown-model".to_owned()),
            ("POST /predict", StatusCode::Error, "deadline-exceeded".to_owned()),
            ("HTTP", StatusCode::Unset, "unknown-route".to_owned()),
        ]
    );
    assert!(!format!("{spans:?}").contains("secret"), "{spans:?}");
}

#[test]
fn a_request_whose_client_leaves_is_told_as_cancelled() {
    let [serving, collecting] = [(); 2].map(|()| tokio::runtime::Runtime::new().unwrap());
    let (collector, url) = collecting.block_on(Collector::start());
    let (server, tracing) = serving.block_on(server(&url, 1.0));
    let mut client = std::net::TcpStream::connect(server.address).unwrap();
    let head = "POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 100\r\nexpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    // Comes when the handler reads the body, which never is there.
    client.read_exact(&mut [0; "HTTP/1.1 100 Continue".len()]).unwrap();
    // Drops the work, as a connection that ends does.
    drop(serving);
    tracing.flush().unwrap();
    let spans = collector.spans();
    let [request] = requests(&spans)[..] else { panic!("{spans:?}") };
    let told = attributes(&request.attributes);
    assert_eq!(told["error.type"], "cancelled");
    assert_eq!(told.get("http.response.status_code"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_caller_does_not_sample_is_not_sent() {
    let (collector, url) = Collector::start().await;
    let (server, tracing) = server(&url, 1.0).await;
    assert_eq!(text(&server, "not sampled", "00").await.status, 200);
    flush(&tracing).await.unwrap();
    assert!(collector.spans().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_traceparent_is_ignored_and_the_ratio_decides() {
    let (collector, url) = Collector::start().await;
    let (server, tracing) = server(&url, 1.0).await;
    let request = server.request("POST", "/predict");
    let request = request.header("traceparent", format!("00-{TRACE}-{PARENT}-zz"));
    assert_eq!(send(request.json(&json!({"text": "good"}))).await.status, 200);
    flush(&tracing).await.unwrap();
    let spans = collector.spans();
    let [request] = requests(&spans)[..] else { panic!("{spans:?}") };
    assert!(request.parent_span_id.is_empty() && id(&request.trace_id) != TRACE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_gone_costs_no_answer() {
    // Bound and dropped: nobody listens there.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (server, tracing) = server(&url, 1.0).await;
    assert_eq!(text(&server, "no collector", "01").await.status, 200);
    assert!(flush(&tracing).await.is_err());
    assert_eq!(text(&server, "no collector", "01").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_costs_no_answer_and_does_not_keep_the_process() {
    // Connections are taken by the kernel, and nobody reads from them.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let process =
        Process::alone(&[("ONNXD_TRACE__OTLP_ENDPOINT", &url), ("ONNXD_LOG__FILTER", "warn")]);
    for _ in 0..1000 {
        assert_eq!(process.ask("GET /nothing", "", ""), 404);
    }
    assert!(process.log().contains("the last spans were not sent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_spans_are_sent_at_the_end_and_the_environment_adds_nothing() {
    let (collector, url) = Collector::start().await;
    let process = Process::alone(&[
        ("ONNXD_TRACE__OTLP_ENDPOINT", &url),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://192.0.2.1:1"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_RESOURCE_ATTRIBUTES", "secret=secret"),
        ("OTEL_SERVICE_NAME", "secret"),
    ]);
    assert_eq!(process.ask("POST /predict/iris", "", r#"{"features": [[1, 2, 3, 4]]}"#), 200);
    let log = process.log();
    assert_eq!(collector.spans().len(), 6, "{log}");
    assert!(!log.contains("opentelemetry"), "{log}");
    assert!(!format!("{:?}", collector.got.lock().unwrap()).contains("secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_key_nothing_is_sent_whatever_the_environment_says() {
    let (collector, url) = Collector::start().await;
    let process = Process::alone(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &url),
        ("OTEL_TRACES_EXPORTER", "otlp"),
        ("OTEL_TRACES_SAMPLER", "always_on"),
    ]);
    let headers = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n");
    assert_eq!(process.ask("POST /predict/iris", &headers, r#"{"features": [[1, 2, 3, 4]]}"#), 200);
    process.log();
    assert!(collector.got.lock().unwrap().is_empty());
}
