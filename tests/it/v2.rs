//! The Open Inference Protocol over HTTP.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::network::{FP32, INT64, Network};
use crate::support::{Answer, Edge, Folder, Server, assert_same, fixture, image, send, with_slow};

const PHOTO: &str = "jpeg-coffee.jpg";
const IRIS: &str = "/v2/models/iris/infer";

fn iris(rows: Value, shape: [usize; 2]) -> Value {
    json!({"inputs": [{"name": "features", "shape": shape, "datatype": "FP32", "data": rows}]})
}

/// A body of JSON and tensors, with the header that tells them apart.
async fn binary(server: &Server, path: &str, json: &Value, tensors: &[u8]) -> reqwest::Response {
    let json = json.to_string();
    let request = server
        .request("POST", path)
        .header("content-type", "application/octet-stream")
        .header("inference-header-content-length", json.len());
    request.body([json.as_bytes(), tensors].concat()).send().await.unwrap()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The data of the output of this name.
#[track_caller]
fn output<'a>(answer: &'a Answer, name: &str) -> &'a Value {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let outputs = answer.body["outputs"].as_array().unwrap();
    let output = outputs.iter().find(|output| output["name"] == name);
    &output.unwrap_or_else(|| panic!("no {name}: {}", answer.body))["data"]
}

#[tokio::test(flavor = "multi_thread")]
async fn nested_flat_and_binary_inputs_have_the_same_answer() {
    let server = Server::bundled().await;
    let nested = json!([[5.1, 3.5, 1.4, 0.2], [6.2, 2.8, 4.8, 1.8]]);
    let nested = server.json(IRIS, iris(nested, [2, 4])).await;
    assert_eq!(*output(&nested, "label"), json!([0, 2]));
    assert_eq!(nested.body["outputs"][1]["shape"], json!([2, 3]));
    let flat = json!([5.1, 3.5, 1.4, 0.2, 6.2, 2.8, 4.8, 1.8]);
    assert_same(&server.json(IRIS, iris(flat, [2, 4])).await.body, &nested.body);

    let described = json!({"id": "seven", "inputs": [{"name": "features", "shape": [2, 4],
        "datatype": "FP32", "parameters": {"binary_data_size": 32}}],
        "outputs": [{"name": "label", "parameters": {"binary_data": true}}, {"name": "probabilities"}]});
    let bytes = floats(&[5.1, 3.5, 1.4, 0.2, 6.2, 2.8, 4.8, 1.8]);
    let response = binary(&server, IRIS, &described, &bytes).await;
    let length = response.headers()["inference-header-content-length"].to_str().unwrap();
    let length: usize = length.parse().unwrap();
    let body = response.bytes().await.unwrap();
    let json: Value = serde_json::from_slice(&body[..length]).unwrap();
    assert_eq!(json["id"], "seven");
    assert_eq!(json["outputs"][0]["parameters"]["binary_data_size"], 16);
    assert_same(&json["outputs"][1]["data"], output(&nested, "probabilities"));
    let labels = [0_i64, 2].map(i64::to_le_bytes).concat();
    assert_eq!(body[length..], labels);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_nothing_but_the_input_has_binary_outputs() {
    let server = Server::bundled().await;
    let send = async |path: &str, body: Vec<u8>| {
        let request = server.request("POST", path).header("inference-header-content-length", 0);
        let response = request.body(body).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.bytes().await.unwrap()
    };
    let row = send(IRIS, floats(&[5.1, 3.5, 1.4, 0.2])).await;
    assert!(
        row.starts_with(b"{\"model_name\":\"iris\"") && row[..row.len() - 12].ends_with(&[0; 8])
    );
    let photo = send("/v2/models/efficientnet-lite0/infer", image(PHOTO)).await;
    assert!(photo[..photo.len() - 4].ends_with(b"\x08\0\0\0espresso"));

    // As many bytes as a row has, but meant as JSON.
    let request = server.request("POST", IRIS).header("inference-header-content-length", 0);
    let request = request.header("content-type", "application/json").body(r#"{"inputs": null}"#);
    let answer = crate::support::send(request).await;
    assert_eq!(
        (answer.status, &answer.body["field"]),
        (422, &json!("inference-header-content-length"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn images_and_texts_by_bytes_are_answered_as_by_predict() {
    let server = Server::bundled().await;
    let predict = server.post("/predict/efficientnet-lite0", "image/jpeg", image(PHOTO)).await;
    let path = "/v2/models/efficientnet-lite0/infer";
    let described = json!({"inputs": [{"name": "image", "shape": [1, 1], "datatype": "BYTES",
        "parameters": {"binary_data_size": image(PHOTO).len() + 4}}]});
    let file =
        [&u32::try_from(image(PHOTO).len()).unwrap().to_le_bytes()[..], &image(PHOTO)].concat();
    let response = binary(&server, path, &described, &file).await;
    let by_file: Value = response.json().await.unwrap();
    let base64 = json!({"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES",
        "data": [STANDARD.encode(image(PHOTO))]}]});
    let by_base64 = server.json(path, base64).await;
    assert_eq!(by_base64.body, by_file);
    assert_eq!(output(&by_base64, "label")[0], predict.result()[0]["label"]);
    assert_eq!(output(&by_base64, "score")[0], predict.result()[0]["score"]);

    let texts = json!(["A wonderful film.", "What a waste of time."]);
    let predict = server.json("/predict/sentiment-minilm", json!({"text": texts})).await;
    let by_bytes = json!({"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": texts}],
        "outputs": [{"name": "score"}, {"name": "label", "parameters": {"classification": 2}}]});
    let by_bytes = server.json("/v2/models/sentiment-minilm/infer", by_bytes).await;
    let best = output(&by_bytes, "label");
    for (row, expected) in predict.result().iter().enumerate() {
        assert_eq!(output(&by_bytes, "score")[row], expected["score"]);
        let label = format!(":{}", expected["label"].as_str().unwrap());
        assert!(best[2 * row].as_str().unwrap().ends_with(&label), "{best}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn classification_names_the_best_of_an_output() {
    let server = Server::bundled().await;
    let mut body = iris(json!([6.2, 2.8, 4.8, 1.8]), [1, 4]);
    body["outputs"] = json!([{"name": "probabilities", "parameters": {"classification": 2}}]);
    let answer = server.json(IRIS, body).await;
    let best: Vec<&str> = output(&answer, "probabilities")
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(best[0].ends_with(":2:virginica") && best[1].ends_with(":1:versicolor"), "{best:?}");
    assert_eq!(answer.body["outputs"][0]["shape"], json!([1, 2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_other_shapes_side_by_side_have_their_own_answers() {
    let server = Server::bundled().await;
    let ask = async |length: usize| {
        let tensor = |name, values: Vec<usize>| json!({"name": name, "shape": [1, length], "datatype": "INT64", "data": values});
        let ids = (0..length).map(|index| 1000 + index).collect();
        let body = json!({"inputs": [tensor("input_ids", ids), tensor("attention_mask", vec![1; length])]});
        let answer = server.json("/v2/models/sentiment-minilm/infer", body).await;
        output(&answer, "logits").clone()
    };
    let alone = [ask(4).await, ask(9).await, ask(17).await];
    let together = (0..24).map(|index| ask([4, 9, 17][index % 3]));
    let together = futures_util::future::join_all(together).await;
    for (index, answer) in together.iter().enumerate() {
        for (got, expected) in
            answer.as_array().unwrap().iter().zip(alone[index % 3].as_array().unwrap())
        {
            let (got, expected) = (got.as_f64().unwrap(), expected.as_f64().unwrap());
            assert!((got - expected).abs() < 1e-3, "{got} {expected}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_told_by_tensor_and_the_next_is_answered() {
    let server = Server::bundled().await;
    let input = |input: Value| json!({"inputs": [input]});
    let good = json!([5.1, 3.5, 1.4, 0.2]);
    let with = |outputs: Value| {
        let mut body = iris(json!([5.1, 3.5, 1.4, 0.2]), [1, 4]);
        body["outputs"] = outputs;
        body
    };
    let cases = [
        json!([]),
        json!({"inputs": []}),
        json!({"inputs": [{"name": "features", "shape": [-1, 4], "datatype": "FP32", "data": [1]}]}),
        input(json!({"name": "feature", "shape": [1, 4], "datatype": "FP32", "data": good})),
        input(json!({"name": "features", "shape": [1, 4], "datatype": "FP16", "data": good})),
        input(json!({"name": "features", "shape": [1, 4], "datatype": "FLOAT", "data": good})),
        input(json!({"name": "features", "shape": [4], "datatype": "FP32", "data": good})),
        input(
            json!({"name": "features", "shape": [1, 5], "datatype": "FP32", "data": [1, 2, 3, 4, 5]}),
        ),
        input(json!({"name": "features", "shape": [2, 4], "datatype": "FP32", "data": good})),
        input(
            json!({"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, "3", 4]}),
        ),
        input(json!({"name": "features", "shape": [1, 4], "datatype": "FP32"})),
        input(json!({"name": "features", "shape": [1, 4], "datatype": "FP32",
            "parameters": {"binary_data_size": 16}})),
        input(json!({"name": "features", "shape": [1, 4], "datatype": "FP32",
            "parameters": {"shared_memory_region": "a"}})),
        with(json!([{"name": "labels"}])),
        with(json!([{"name": "label"}, {"name": "label"}])),
        with(json!([{"name": "label", "parameters": {"classification": "two"}}])),
    ];
    let mut seen = Vec::new();
    for case in cases {
        let answer = server.json(IRIS, case.clone()).await;
        assert!((400..500).contains(&answer.status), "{case}: {}", answer.body);
        seen.push(json!({"sent": case, "status": answer.status, "said": answer.body["error"]}));
    }
    for length in ["nine", "999"] {
        let request =
            server.request("POST", IRIS).header("inference-header-content-length", length);
        let answer = send(request.body("{}")).await;
        seen.push(json!({"sent": length, "status": answer.status, "said": answer.body["error"]}));
    }
    let described = json!({"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32",
        "parameters": {"binary_data_size": 16}}]});
    let answer = binary(&server, IRIS, &described, &[0; 17]).await;
    let (status, body) = (answer.status().as_u16(), answer.json::<Value>().await.unwrap());
    seen.push(json!({"sent": "a byte more", "status": status, "said": body["error"]}));
    insta::assert_json_snapshot!(seen);
    let answer = server.json(IRIS, iris(good, [1, 4])).await;
    assert_eq!(*output(&answer, "label"), json!([0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_network_itself_refuses_is_the_clients_fault() {
    let server = Server::bundled().await;
    let tensor = |name: &str, value: i64| json!({"name": name, "shape": [1, 1], "datatype": "INT64", "data": [value]});
    let body = |id| json!({"inputs": [tensor("input_ids", id), tensor("attention_mask", 1)]});
    let path = "/v2/models/sentiment-minilm/infer";
    let answer = server.json(path, body(1_000_000_000)).await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    let said = answer.body["error"].as_str().unwrap();
    assert!(said.contains("cannot be run on these inputs"), "{said}");
    assert_eq!(server.json(path, body(1000)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_more_tokens_than_the_model_has_room_for_are_refused_by_name() {
    let server = Server::bundled().await;
    let ask = async |tokens: usize| {
        let input = |name| json!({"name": name, "shape": [1, tokens], "datatype": "INT64", "data": vec![5; tokens]});
        let body = json!({"inputs": [input("input_ids"), input("attention_mask")]});
        server.json("/v2/models/sentiment-minilm/infer", body).await
    };
    assert_eq!(ask(512).await.status, 200);
    for tokens in [513, 20_000] {
        let refused = ask(tokens).await;
        assert_eq!(refused.status, 422, "{tokens} tokens");
        let problem = refused.body["error"].to_string();
        for part in ["input_ids", "at most 512 tokens a row", &tokens.to_string()] {
            assert!(problem.contains(part), "{problem}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_refuses_made_up_numbers_is_served() {
    // Where the axes are made up, they are often twice the same, which it refuses.
    let network = Network::default()
        .input("x", FP32, &[Some(3), Some(4)])
        .input("axes", INT64, &[Some(2)])
        .node("Unsqueeze", &["x", "axes"], "y")
        .output("y", FP32, &[None; 4]);
    let folder = Folder::new();
    folder.write("m/model.onnx", network.bytes());
    let server = Server::start(folder.load().unwrap_or_else(|error| panic!("{error:#}"))).await;
    let ask = async |axes: [i64; 2]| {
        let x = json!({"name": "x", "shape": [3, 4], "datatype": "FP32", "data": vec![1; 12]});
        let axes = json!({"name": "axes", "shape": [2], "datatype": "INT64", "data": axes});
        server.json("/v2/models/m/infer", json!({"inputs": [x, axes]})).await
    };
    let answer = ask([0, 3]).await;
    assert_eq!(answer.body["outputs"][0]["shape"], json!([1, 3, 4, 1]), "{}", answer.body);
    assert_eq!(ask([1, 1]).await.status, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_a_task_is_served_by_its_tensors_alone() {
    let server = Server::start(fixture("two-inputs-unknown").unwrap()).await;
    let metadata = send(server.request("GET", "/v2/models/two-inputs-unknown")).await;
    assert_eq!(metadata.body["properties"]["task"], "tensors");
    let inputs: Vec<Value> = metadata.body["inputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|input| {
            let shape: Vec<i64> = input["shape"]
                .as_array()
                .unwrap()
                .iter()
                .map(|axis| axis.as_i64().unwrap().max(1))
                .collect();
            let count = usize::try_from(shape.iter().product::<i64>()).unwrap();
            json!({"name": input["name"], "datatype": input["datatype"], "shape": shape,
            "data": vec![1; count]})
        })
        .collect();
    let answer =
        server.json("/v2/models/two-inputs-unknown/infer", json!({"inputs": inputs})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = server.json("/predict/two-inputs-unknown", json!({"inputs": [[1]]})).await;
    assert_eq!(answer.status, 422);
    assert!(answer.body["error"].as_str().unwrap().contains("/v2"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_and_configuration_say_what_to_send() {
    let server = Server::bundled().await;
    let get = async |path: &str| send(server.request("GET", path)).await;
    let mut seen = Vec::new();
    for path in [
        "/v2",
        "/v2/models",
        "/v2/models/iris",
        "/v2/models/iris/versions/1/ready",
        "/v2/models/iris/config",
        "/v2/health/live",
        "/v2/health/ready",
    ] {
        let answer = get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        seen.push(json!({path: answer.body}));
    }
    insta::assert_json_snapshot!(seen, {
        "[0][\"/v2\"].version" => "[version]",
        "[4][\"/v2/models/iris/config\"].instance_group" => "[instances]",
        "[4][\"/v2/models/iris/config\"].max_batch_size" => "[rows]",
    });
    for unknown in ["/v2/models/irs", "/v2/models/iris/versions/9/ready", "/v2/models/irs/stats"] {
        assert_eq!(get(unknown).await.status, 404, "{unknown}");
    }
    let answer = server.json("/v2/models/iris", json!({})).await;
    assert_eq!((answer.status, &answer.body["expected"]), (405, &json!("GET")));
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_count_rows_runs_and_failures() {
    let server = Server::start(fixture("bare-features").unwrap()).await;
    let metadata = send(server.request("GET", "/v2/models/bare-features")).await;
    let input = &metadata.body["inputs"][0];
    let columns = usize::try_from(input["shape"][1].as_i64().unwrap()).unwrap();
    let body = |name: &Value| {
        json!({"inputs": [{"name": name, "shape": [3, columns],
        "datatype": input["datatype"], "data": vec![1; 3 * columns]}]})
    };
    let path = "/v2/models/bare-features/infer";
    assert_eq!(server.json(path, body(&input["name"])).await.status, 200);
    assert_eq!(server.json(path, body(&json!("nothing"))).await.status, 422);
    let stats = send(server.request("GET", "/v2/models/bare-features/stats")).await;
    let stats = &stats.body["model_stats"][0];
    assert_eq!(stats["inference_count"], 3);
    assert_eq!(stats["inference_stats"]["success"]["count"], 1);
    assert_eq!(stats["inference_stats"]["fail"]["count"], 1);
    assert!(stats["inference_stats"]["compute_infer"]["ns"].as_u64().unwrap() > 0);
    let runs: u64 = stats["batch_stats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|batch| {
            batch["batch_size"].as_u64().unwrap()
                * batch["compute_infer"]["count"].as_u64().unwrap()
        })
        .sum();
    assert_eq!(runs, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_in_the_parameters_is_kept() {
    let server = Server::start(fixture("endless").unwrap()).await;
    let metadata = send(server.request("GET", "/v2/models/endless")).await;
    let inputs: Vec<Value> = metadata.body["inputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|input| {
            let shape: Vec<i64> = input["shape"]
                .as_array()
                .unwrap()
                .iter()
                .map(|axis| axis.as_i64().unwrap().max(1))
                .collect();
            let count = usize::try_from(shape.iter().product::<i64>()).unwrap();
            json!({"name": input["name"], "datatype": input["datatype"], "shape": shape,
            "data": vec![1e9; count]})
        })
        .collect();
    let body = json!({"inputs": inputs, "parameters": {"timeout": 50_000, "priority": 2}});
    let answer = server.json("/v2/models/endless/infer", body).await;
    assert_eq!(answer.status, 504, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_answered_where_requests_are_refused_and_metrics_name_the_protocol() {
    let (_folder, app) = with_slow("server.max_concurrent_requests = 1\n");
    let edge = Edge::counting(app).await;
    let body = iris(json!([5.1, 3.5, 1.4, 0.2]), [1, 4]);
    let answer = send(edge.request("POST", IRIS).json(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let labels = "model=\"iris\",outcome=\"ok\",protocol=\"v2\",task=\"tabular-classification\",version=\"1\"";
    edge.counts(&format!("requests_total{{{labels}}}"), 1).await;

    let _held = edge.in_work(1).await;
    assert_eq!(send(edge.request("GET", "/v2/models/iris")).await.status, 429);
    for path in ["/v2/health/live", "/v2/health/ready"] {
        assert_eq!(edge.get(edge.data, path).await.status, 200);
    }
}
