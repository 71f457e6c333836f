//! What a collector sees.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::{Edge, app, default_config, root};

/// The bundled iris model with counts of its own.
async fn iris() -> Edge {
    Edge::counting(app(&default_config(), &root().join("models"), Some("iris")).unwrap()).await
}

impl Edge {
    /// Every series by its name and labels.
    async fn series(&self) -> BTreeMap<String, f64> {
        let Value::String(text) = self.admin("/metrics").await.body else { panic!("no text") };
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        series.collect()
    }

    async fn ask(&self, path: &str, body: &Value) -> u16 {
        self.request("POST", path).json(body).send().await.unwrap().status().as_u16()
    }
}

const GOOD: [f64; 4] = [5.1, 3.5, 1.4, 0.2];

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_counted_once_by_how_it_ended() {
    let edge = iris().await;
    for _ in 0..3 {
        assert_eq!(edge.ask("/predict/iris", &json!({"features": [GOOD, GOOD]})).await, 200);
    }
    assert_eq!(edge.ask("/predict/iris", &json!({"features": [[1]]})).await, 422);
    assert_eq!(edge.ask("/predict/nobody", &json!({"features": [GOOD]})).await, 404);
    assert_eq!(edge.ask("/nowhere", &json!({})).await, 404);

    let series = edge.series().await;
    let value = |name: &str| series.get(name).copied().unwrap_or_default();
    let labels = r#"model="iris",outcome="ok",protocol="predict",task="tabular-classification""#;
    assert_eq!(value(&format!(r#"onnxd_requests_total{{{labels},version="1"}}"#)), 3.0);
    let sum = |prefix: &str| -> f64 {
        series.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, value)| value).sum()
    };
    assert_eq!(sum("onnxd_requests_total"), 5.0, "a path of no route is no request to a model");
    assert_eq!(sum("onnxd_http_responses_total"), 6.0);
    assert_eq!(value(r#"onnxd_http_responses_total{code="404",route="(none)"}"#), 1.0);
    assert_eq!(value(r#"onnxd_refusals_total{reason="unknown_model"}"#), 1.0);
    assert_eq!(value(r#"onnxd_refusals_total{reason="invalid_input"}"#), 1.0);
    assert_eq!(sum("onnxd_request_duration_seconds_count"), 3.0);
    for stage in ["decode", "preprocess", "queue", "infer", "postprocess"] {
        let name = "onnxd_stage_duration_seconds_count";
        let name = format!(r#"{name}{{model="iris",stage="{stage}",version="1"}}"#);
        assert_eq!(value(&name), 3.0, "{name}");
    }
    let predicted = r#"onnxd_predictions_total{label="setosa",model="iris",version="1"}"#;
    assert_eq!(value(predicted), 6.0, "one for each row");
    assert_eq!(sum("onnxd_batch_size_sum"), 6.0);
    assert_eq!(sum("onnxd_in_flight") + sum("onnxd_queue_depth") + sum("onnxd_saturation"), 0.0);
    assert!(value(r#"onnxd_sessions{model="iris",version="1"}"#) >= 1.0);
    assert_eq!(value(r#"onnxd_model_ready{model="iris",version="1"}"#), 1.0);
    let memory =
        |kind| format!(r#"onnxd_model_memory_bytes{{kind="{kind}",model="iris",version="1"}}"#);
    let network = root().join("models/iris/model.onnx").metadata().unwrap().len();
    assert_eq!(value(&memory("weights")), network as f64);
    assert!(value(&memory("working")) < 1e8);
    let device = r#"onnxd_device_info{asked="auto",model="iris",runs="cpu",version="1"}"#;
    assert_eq!(value(device), 1.0);
    assert!(value("process_resident_memory_bytes") > 1e6);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_make_up_adds_no_series() {
    let edge = iris().await;
    edge.ask("/predict/iris", &json!({"features": [GOOD]})).await;
    edge.ask("/nowhere", &json!({})).await;
    for path in ["/predict/nobody", "/predict/iris/versions/100"] {
        edge.ask(path, &json!({"features": [GOOD]})).await;
    }
    let before: BTreeSet<String> = edge.series().await.into_keys().collect();
    let client = reqwest::Client::new();
    for number in 0..10_000 {
        let path = match number % 3 {
            0 => format!("/scan/{number}"),
            1 => format!("/predict/model-{number}"),
            _ => format!("/predict/iris/versions/{number}00"),
        };
        let url = format!("http://{}{path}", edge.data);
        let answer = client.post(url).json(&json!({"features": [GOOD]})).send().await.unwrap();
        assert_eq!(answer.status(), 404);
    }
    let after: BTreeSet<String> = edge.series().await.into_keys().collect();
    assert_eq!(after.symmetric_difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
}
