//! More models than memory is to hold: those that were not asked for the longest are unloaded, and loaded
//! again for who asks.

use std::collections::BTreeSet;
use std::sync::Arc;

use onnxd::api::grpc::proto::{ModelInferRequest, ModelReadyRequest, ModelReadyResponse};
use onnxd::model::repository::When;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::grpc::{Client, iris};
use crate::repository::{GOOD, Live, Models};
use crate::support::{Answer, Folder, in_time, post, send};

const COPIES: usize = 200;

fn name(number: usize) -> String {
    format!("m{number:03}")
}

/// So many copies of iris, each with labels of its own.
fn copies(count: usize) -> Folder {
    let models = Folder::new();
    (0..count).map(name).for_each(|name| {
        models.iris(&name, &name);
    });
    models
}

impl Live {
    /// So many copies with room for a quarter of them. The room is measured.
    async fn with_a_quarter(count: usize) -> (Self, u64) {
        let one = Live::start(copies(1), "").await;
        let most = one.memory() * count as u64 / 4;
        assert!(most > 0);
        (Live::start(copies(count), &format!("max_memory = {most}")).await, most)
    }

    /// With room for none: a model is in memory as long as it has requests in work.
    async fn without_room(models: Folder) -> Self {
        let live = Live::start(models, "max_memory = 1").await;
        assert_eq!(live.loaded(), BTreeSet::new());
        live
    }

    /// What all models in memory take.
    fn memory(&self) -> u64 {
        self.repository.iter().map(|model| model.memory()).sum()
    }

    /// The models in memory.
    fn loaded(&self) -> BTreeSet<String> {
        self.repository.iter().map(|model| model.name.clone()).collect()
    }

    /// Waits until all that is idle is unloaded: a server may hold a model for a moment after its answer.
    async fn comes_within(&self, most: u64) {
        in_time(async {
            while self.memory() > most {
                self.repository.park_idle();
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    async fn get(&self, path: &str) -> Answer {
        self.edge.get(self.edge.data, path).await
    }

    /// Asks this model by one protocol or another; the label that is answered.
    async fn label(&self, client: &reqwest::Client, number: usize) -> String {
        let (name, data) = (name(number), self.edge.data);
        let ask =
            |path: String, body: Value| client.post(format!("http://{data}{path}")).json(&body);
        let outputs = json!([{"name": "probabilities", "parameters": {"classification": 1}}]);
        let input = json!({"name": "features", "datatype": "FP32", "shape": [1, 4], "data": GOOD});
        match number % 3 {
            0 => {
                let answer =
                    send(ask(format!("/predict/{name}"), json!({"features": [GOOD]}))).await;
                answer.result()[0]["label"].as_str().unwrap().to_owned()
            }
            1 => {
                let body = json!({"model": name, "features": [GOOD]});
                let answer = send(ask("/predict".to_owned(), body)).await;
                answer.result()[0]["label"].as_str().unwrap().to_owned()
            }
            _ => {
                let body = json!({"inputs": [input], "outputs": outputs});
                let answer = send(ask(format!("/v2/models/{name}/infer"), body)).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                let class = answer.body["outputs"][0]["data"][0].as_str().unwrap();
                class.rsplit(':').next().unwrap().to_owned()
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_many_models_answer_within_a_quarter_of_their_memory() {
    let (live, most) = Live::with_a_quarter(COPIES).await;
    let live = Arc::new(live);
    assert!(live.memory() <= most, "{} of {most} after the start", live.memory());
    let mut order: Vec<usize> = (0..COPIES).chain(0..COPIES).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut order);
    let clients = order.chunks(order.len() / 8).map(|numbers| {
        let (live, numbers) = (live.clone(), numbers.to_vec());
        tokio::spawn(async move {
            let client = reqwest::Client::new();
            for number in numbers {
                let label = live.label(&client, number).await;
                assert_eq!(label, format!("{}-setosa", name(number)));
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        in_time(client).await.unwrap();
    }
    live.comes_within(most).await;
    let loaded = live.loaded().len();
    assert!((1..=COPIES / 4).contains(&loaded), "{loaded}");
    let parked = COPIES - loaded;
    live.edge.counts(r#"models{state="loaded"}"#, loaded as u64).await;
    live.edge.counts(r#"models{state="parked"}"#, parked as u64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_model_is_ready_and_told_of_without_being_loaded() {
    let (live, _) = Live::with_a_quarter(8).await;
    let before = live.loaded();
    let parked = (0..8).map(name).find(|name| !before.contains(name)).unwrap();
    let listed = live.get("/v2/models").await;
    assert_eq!(listed.body["models"].as_array().unwrap().len(), 8, "{}", listed.body);
    assert!(live.index().await.iter().all(|line| line.ends_with(" 1 READY: ")));
    assert_eq!(live.get(&format!("/v2/models/{parked}/ready")).await.status, 200);
    let status = live.get(&format!("/v1/models/{parked}")).await;
    assert_eq!((status.status, &status.body["ready"]), (200, &json!(true)), "{}", status.body);
    assert_eq!(live.edge.admin("/health/ready").await.status, 200);
    let mut client = Client::connect(live.edge.data).await;
    let question = ModelReadyRequest { name: parked.clone(), ..Default::default() };
    let ready: ModelReadyResponse = client.ask("ModelReady", question).await.unwrap();
    assert!(ready.ready);
    let page = live.get("/playground/models").await;
    assert_eq!(page.body["models"].as_array().unwrap().len(), 8, "{}", page.body);
    let unknown = live.predict("/predict/m00").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(live.loaded(), before, "none of it loads a model");

    let metadata = live.get(&format!("/v2/models/{parked}")).await;
    assert_eq!((metadata.status, &metadata.body["name"]), (200, &json!(parked)));
    assert!(live.loaded().contains(&parked), "what only the model knows does");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_for_a_parked_model_load_it_once() {
    let live = Arc::new(Live::without_room(copies(1)).await);
    let clients = (0..32).map(|_| {
        let live = live.clone();
        tokio::spawn(async move { live.answer("/predict/m000").await })
    });
    for client in clients.collect::<Vec<_>>() {
        assert_eq!(in_time(client).await.unwrap(), ["1", "m000-setosa"]);
    }
    live.edge.counts(r#"model_resumed_total{model="m000"}"#, 1).await;
    live.comes_within(0).await;
    live.edge.counts(r#"model_parked_total{model="m000"}"#, 2).await;
    let ready = r#"model_ready{model="m000",version="1"}"#;
    live.edge.counts(ready, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_that_was_not_asked_for_the_longest_goes_first() {
    let (live, most) = Live::with_a_quarter(12).await;
    for number in [0, 1, 2, 0, 3] {
        live.comes_within(most).await;
        live.answer(&format!("/predict/{}", name(number))).await;
        live.comes_within(most).await;
    }
    assert_eq!(live.loaded(), [0, 2, 3].map(name).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_and_grpc_may_name_any_model() {
    let (live, most) = Live::with_a_quarter(20).await;
    let lines: String = (0..20)
        .map(|number| json!({"model": name(number), "features": [GOOD]}).to_string() + "\n")
        .collect();
    let request = live.edge.request("POST", "/predict");
    let request = request.header("content-type", "application/x-ndjson").body(lines);
    let text = request.send().await.unwrap().text().await.unwrap();
    let labels: Vec<String> = text
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["result"][0]["label"].as_str().unwrap_or_else(|| panic!("{line}")).to_owned()
        })
        .collect();
    let expected: Vec<String> = (0..20).map(|number| name(number) + "-setosa").collect();
    assert_eq!(labels, expected);

    let mut client = Client::connect(live.edge.data).await;
    for number in 0..20 {
        let question = ModelInferRequest { model_name: name(number), ..iris() };
        assert_eq!(client.infer(question).await.unwrap().model_name, name(number));
    }
    live.comes_within(most).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_cannot_be_loaded_again_says_why_and_others_serve() {
    let live = Live::without_room(copies(2)).await;
    let network = live.models.path().join("m000/model.onnx");
    let away = live.models.path().join("away");
    std::fs::rename(&network, &away).unwrap();
    for path in ["/predict/m000", "/predict/m000/versions/1"] {
        let refused = live.predict(path).await;
        assert_eq!(refused.status, 503, "{}", refused.body);
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.starts_with("model `m000` is not loaded: no model.onnx"), "{detail}");
    }
    assert_eq!(live.get("/v2/models/m000/ready").await.status, 503);
    let index = live.index().await;
    assert!(index[0].starts_with("m000 1 UNAVAILABLE: no model.onnx"), "{index:?}");
    assert_eq!(live.answer("/predict/m001").await, ["1", "m001-setosa"]);

    std::fs::rename(&away, &network).unwrap();
    assert_eq!(live.answer("/predict/m000").await, ["1", "m000-setosa"]);
    assert_eq!(live.get("/v2/models/m000/ready").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_in_work_stays_and_the_bound_gives_way() {
    let models = copies(1);
    models
        .iris("slow", "slow")
        .write("slow/model.toml", "max_queue_delay = \"1h\"\nmax_batch_size = 32\n");
    let live = Live::without_room(models).await;
    let body = json!({"features": [GOOD]}).to_string();
    let mut waiting = TcpStream::connect(live.edge.data).await.unwrap();
    waiting.write_all(post("/predict/slow", &body).as_bytes()).await.unwrap();
    live.edge.counts(r#"in_flight{model="slow",version="1"}"#, 1).await;
    assert_eq!(live.answer("/predict/m000").await, ["1", "m000-setosa"]);
    let most = live.repository.find("slow", None).unwrap().memory();
    live.comes_within(most).await;
    assert_eq!(live.loaded(), ["slow".to_owned()].into());
    drop(waiting);
    live.comes_within(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_no_longer_than_its_deadline_and_the_load_goes_on() {
    let live = Live::without_room(copies(1)).await;
    let request = live.edge.request("POST", "/predict/m000").header("x-request-timeout-ms", "0");
    let late = send(request.json(&json!({"features": [GOOD]}))).await;
    assert_eq!(late.status, 504, "{}", late.body);
    live.edge.counts(r#"model_resumed_total{model="m000"}"#, 1).await;
    assert_eq!(live.loaded(), [name(0)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_parked_one_by_one_and_follow_the_folder() {
    let models = Folder::new();
    models.iris("iris/1", "one").iris("iris/2", "two");
    models.write("iris/model.toml", "[versions]\nsplit = { 1 = 1, 2 = 1 }\n");
    let live = Live::without_room(models).await;
    let mut answered = BTreeSet::new();
    for _ in 0..4 {
        answered.insert(live.answer("/predict/iris").await.concat());
        live.comes_within(0).await;
    }
    assert_eq!(answered, ["1one-setosa".to_owned(), "2two-setosa".to_owned()].into());

    // What is parked and unchanged stays so; what is new is loaded once, and what is gone goes.
    live.models.iris("iris/3", "three");
    live.models.write("iris/model.toml", "").remove("iris/1");
    live.rescan(When::Now).await;
    live.comes_within(0).await;
    assert_eq!(live.repository.versions("iris"), [3]);
    assert_eq!(live.answer("/predict/iris").await, ["3", "three-setosa"]);
    live.models.iris("iris/3", "changed");
    live.rescan(When::Now).await;
    assert_eq!(live.answer("/predict/iris").await, ["3", "changed-setosa"]);
    assert_eq!(live.predict("/predict/iris/versions/2").await.status, 404);
}
