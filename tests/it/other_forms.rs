//! The V1 protocol and Hugging Face's form of requests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Server, assert_same, image, send};

const PHOTO: &str = "jpeg-coffee.jpg";

#[tokio::test(flavor = "multi_thread")]
async fn v1_instances_are_the_networks_inputs_row_by_row() {
    let server = Server::bundled().await;
    let rows = json!([[5.1, 3.5, 1.4, 0.2], [6.2, 2.8, 4.8, 1.8]]);
    let answer = server.json("/v1/models/iris:predict", json!({"instances": rows})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let predictions = answer.body["predictions"].as_array().unwrap();
    let labels: Vec<&Value> = predictions.iter().map(|row| &row["label"]).collect();
    assert_eq!(labels, [&json!(0), &json!(2)]);
    assert_eq!(predictions[0]["probabilities"].as_array().unwrap().len(), 3);

    let named = json!({"instances": [{"features": rows[0]}, {"features": rows[1]}]});
    let named = server.json("/v1/models/iris:predict", named).await.body;
    assert_same(&named, &answer.body);

    let columns = json!({"signature_name": "serving_default", "inputs": {"features": rows}});
    let columns = server.json("/v1/models/iris/versions/1:predict", columns).await;
    assert_eq!(columns.body["outputs"]["label"], json!([0, 2]));
    let bare = server.json("/v1/models/iris:predict", json!({"inputs": rows})).await;
    assert_same(&bare.body, &columns.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn v1_images_and_texts_are_answered_as_by_predict() {
    let server = Server::bundled().await;
    let file = json!({"b64": STANDARD.encode(image(PHOTO))});
    let predict = server.post("/predict/efficientnet-lite0", "image/jpeg", image(PHOTO)).await;
    for instances in [json!([file]), json!([{"image": file}]), json!([file["b64"]])] {
        let path = "/v1/models/efficientnet-lite0:predict";
        let answer = server.json(path, json!({"instances": instances})).await;
        assert_same(&answer.body["predictions"], &predict.body["result"]);
    }
    let texts = json!(["A wonderful film.", "What a waste of time."]);
    let predict = server.json("/predict/sentiment-minilm", json!({"text": texts})).await;
    let answer =
        server.json("/v1/models/sentiment-minilm:predict", json!({"instances": texts})).await;
    assert_same(&answer.body["predictions"], &predict.body["result"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn v1_tells_what_is_served() {
    let server = Server::bundled().await;
    let get = async |path: &str| send(server.request("GET", path)).await;
    assert!(get("/v1/models").await.body["models"].as_array().unwrap().contains(&json!("iris")));
    let status = get("/v1/models/iris").await.body;
    assert_eq!((&status["name"], &status["ready"]), (&json!("iris"), &json!(true)));
    assert_eq!(status["model_version_status"][0]["state"], "AVAILABLE");
    assert_eq!(get("/v1/models/irs").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn v1_refusals_name_what_is_wrong() {
    let server = Server::bundled().await;
    let cases = [
        ("/v1/models/iris", json!({"instances": [[1, 2, 3, 4]]})),
        ("/v1/models/irs:predict", json!({"instances": [[1, 2, 3, 4]]})),
        ("/v1/models/iris/versions/9:predict", json!({"instances": [[1, 2, 3, 4]]})),
        ("/v1/models/iris:predict", json!({})),
        ("/v1/models/iris:predict", json!({"instances": []})),
        ("/v1/models/iris:predict", json!({"instances": [[1, 2, 3]]})),
        ("/v1/models/iris:predict", json!({"instances": [[1, 2], [3]]})),
        ("/v1/models/iris:predict", json!({"instances": [[1, 2, "3", 4]]})),
        ("/v1/models/iris:predict", json!({"instances": [{"a": 1}]})),
        ("/v1/models/iris:predict", json!({"instances": [{"features": [1, 2, 3, 4]}, {}]})),
        ("/v1/models/sentiment-minilm:predict", json!({"instances": [[1, 2]]})),
        ("/v1/models/efficientnet-lite0:predict", json!({"instances": [{"b46": "a"}]})),
    ];
    let mut seen = Vec::new();
    for (path, body) in cases {
        let answer = server.json(path, body.clone()).await;
        assert!((400..500).contains(&answer.status), "{path} {body}: {}", answer.body);
        seen.push(json!({"path": path, "sent": body, "status": answer.status,
            "said": answer.body["error"]}));
    }
    insta::assert_json_snapshot!(seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn hugging_face_clients_get_lists_of_classes() {
    let server = Server::bundled().await;
    let path = "/models/sentiment-minilm";
    let one = server.json(path, json!({"inputs": "A wonderful film."})).await;
    assert_eq!(one.status, 200, "{}", one.body);
    let classes = one.body[0].as_array().unwrap();
    assert_eq!((classes.len(), &classes[0]["label"]), (3, &json!("positive")));
    let predict =
        server.json("/predict/sentiment-minilm", json!({"text": "A wonderful film."})).await;
    assert_eq!(classes[0]["score"], predict.result()[0]["score"]);

    let body = json!({"inputs": ["A wonderful film.", "What a waste of time."],
        "parameters": {"top_k": 1, "function_to_apply": null, "truncation": true}});
    let many = server.json(path, body).await;
    assert_eq!(many.body[1], json!([{"label": "negative", "score": many.body[1][0]["score"]}]));

    let photo = server.post("/models/efficientnet-lite0", "image/jpeg", image(PHOTO)).await;
    assert_eq!(photo.body[0]["label"], "espresso");
    // The only model of its kind needs no name.
    assert_same(&server.post("/", "image/jpeg", image(PHOTO)).await.body, &photo.body);

    let answer =
        server.json(path, json!({"inputs": "a", "parameters": {"function_to_apply": "tanh"}}));
    let answer = answer.await;
    assert_eq!(
        (answer.status, &answer.body["field"]),
        (422, &json!("parameters.function_to_apply"))
    );
    assert_eq!(server.json("/models/iris", json!({"inputs": [[1]]})).await.status, 422);
}
