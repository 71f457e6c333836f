//! What a row is answered does not depend on the rows beside it, whatever the network does.

use serde_json::{Value, json};

use crate::support::{Folder, Server};

/// A model of one of the networks, and what is said of its runs.
async fn serve(network: &str, settings: &str) -> (Server, Value) {
    let folder = Folder::new();
    let fixtures = "tests/fixtures/neighbours";
    folder.copy(format!("{fixtures}/{network}.onnx"), "m/model.onnx");
    folder.copy(format!("{fixtures}/tokenizer.json"), "m/tokenizer.json");
    folder.write("m/model.toml", settings);
    let server = Server::start(folder.load().unwrap_or_else(|e| panic!("{network}: {e:#}"))).await;
    let metadata = server.request("GET", "/v2/models/m").send().await.unwrap();
    let metadata: Value = metadata.json().await.unwrap();
    (server, metadata["properties"]["rows_of_a_run"].clone())
}

/// All numbers of an answer, in order.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Number(number) => vec![number.as_f64().unwrap()],
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        Value::Object(fields) => fields.values().flat_map(numbers).collect(),
        _ => Vec::new(),
    }
}

/// Asks items together and each by itself, and compares.
async fn compare(network: &str, server: &Server, field: &str, items: &[Value]) {
    let asked = server.json("/predict/m", json!({ field: items })).await;
    assert_eq!(asked.status, 200, "{network}: {}", asked.body);
    let together = asked.body["result"].as_array().unwrap().clone();
    assert_eq!(together.len(), items.len(), "{network}");
    for (item, together) in items.iter().zip(&together) {
        let alone = server.json("/predict/m", json!({ field: [item] })).await.body;
        let (alone, together) = (numbers(&alone["result"]), numbers(together));
        assert!(!alone.is_empty() && alone.len() == together.len(), "{network}");
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-4 * a.abs().max(1.0);
        assert!(alone.iter().zip(&together).all(near), "{network}: {alone:?} and {together:?}");
    }
}

#[tokio::test]
async fn rows_of_features_are_answered_as_by_themselves() {
    let rows = [
        json!([1, 2, 3, 4]),
        json!([-3, 0.5, 9, 1]),
        json!([40, -20, 0, 7]),
        json!([0.1, 0.2, -0.1, 0]),
        json!([5, 5, 5, 5]),
    ];
    for (network, runs) in [
        ("linear", Value::Null),
        ("static-int8", Value::Null),
        ("reshape-one-row", json!("one row")),
        ("reshape-mixes", json!("one row")),
        ("softmax-over-rows", json!("one row")),
        ("fixed-softmax", json!("one row")),
        ("batch-norm-training", json!("one row")),
        ("sums-of-earlier-rows", json!("one row")),
        ("sums-of-later-rows", json!("one row")),
        ("rows-as-steps", json!("one row")),
        ("top-of-rows", json!("one row")),
        ("columns-out", json!("one row")),
        ("dynamic-int8", json!("one row")),
        ("own-dynamic-int8", json!("one row")),
    ] {
        let (server, said) = serve(network, "scores = \"values\"").await;
        assert_eq!(said, runs, "{network}");
        compare(network, &server, "features", &rows).await;
    }
}

#[tokio::test]
async fn texts_are_answered_as_by_themselves() {
    let texts = [
        json!("the good day"),
        json!("never"),
        json!("I love the great house in the water and not a terrible day of bad water"),
        json!("a terrible day"),
        json!("not bad"),
    ];
    for (network, runs) in [
        ("mean", Value::Null),
        ("last-token", json!("rows of one length")),
        ("mean-with-padding", json!("rows of one length")),
        ("mean-less-all", json!("one row")),
    ] {
        let settings = "task = \"text-classification\"\nscores = \"values\"";
        let (server, said) = serve(network, settings).await;
        assert_eq!(said, runs, "{network}");
        compare(network, &server, "text", &texts).await;
    }
    for (network, runs) in
        [("token-scores", Value::Null), ("token-scores-of-all", json!("rows of one length"))]
    {
        let settings = "task = \"token-classification\"\nlabels = [\"A\", \"B\", \"C\"]";
        let (server, said) = serve(network, settings).await;
        assert_eq!(said, runs, "{network}");
        compare(network, &server, "text", &texts).await;
    }
}

#[tokio::test]
async fn one_row_a_run_is_kept_from_the_first_run_on() {
    // Two rows at once fail, which is nobody's matter where they are never asked.
    let settings = "scores = \"values\"\nmax_batch_size = 1";
    let (server, _) = serve("reshape-one-row", settings).await;
    let rows = [json!([1, 2, 3, 4]), json!([5, 6, 7, 8])];
    compare("reshape-one-row", &server, "features", &rows).await;
}

#[tokio::test]
async fn tensors_of_several_rows_are_answered_as_by_themselves() {
    let settings = "task = \"tensors\"\nmax_batch_size = 8";
    for (network, runs) in [("linear", Value::Null), ("softmax-over-rows", json!("one row"))] {
        let (server, said) = serve(network, settings).await;
        assert_eq!(said, runs, "{network}");
        let ask = |rows: Vec<f64>| {
            let shape = [rows.len() / 4, 4];
            let x = json!({"name": "x", "datatype": "FP32", "shape": shape, "data": rows});
            server.json("/v2/models/m/infer", json!({ "inputs": [x] }))
        };
        let rows = [vec![1.0, 2.0, 3.0, 4.0], vec![9.0, -8.0, 7.0, 6.0]];
        let together = numbers(&ask(rows.concat()).await.body["outputs"][0]["data"]);
        for (row, together) in rows.into_iter().zip(together.chunks(3)) {
            assert_eq!(numbers(&ask(row).await.body["outputs"][0]["data"]), together, "{network}");
        }
    }
}
