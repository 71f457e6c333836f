//! Versions, and models that come, change and go while the server runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use onnxd::api::App;
use onnxd::config::{Flags, ServerConfig};
use onnxd::model::repository::{ModelRepository, When};
use onnxd::telemetry::Handle;
use serde_json::{Value, json};

use crate::process::Process;
use crate::support::{Answer, Edge, Folder, loader, root, send};

/// A server over a folder that the test changes.
pub struct Live {
    pub edge: Edge,
    pub repository: Arc<ModelRepository>,
    pub models: Folder,
}

/// Names and contents.
type Files<'a> = &'a [(&'a str, &'a [u8])];

pub const GOOD: [f64; 4] = [5.1, 3.5, 1.4, 0.2];
const GOLDEN: &str = r#"[{"features": [5.1, 3.5, 1.4, 0.2], "label": "setosa", "score": 0.9787}]"#;

/// Lines of `[models]`, and of other sections after it.
fn config(models: &Folder, lines: &str) -> ServerConfig {
    let folder = Folder::new();
    folder.write("onnxd.toml", format!("[models]\n{lines}\n"));
    let flags = Flags { models: Some(models.path().to_owned()), ..Flags::default() };
    ServerConfig::load(Some(&folder.path().join("onnxd.toml")), &flags).unwrap()
}

fn open(models: &Folder, lines: &str) -> anyhow::Result<(App, Arc<ModelRepository>)> {
    let config = config(models, lines);
    let loader = loader(&config);
    let app = App::new(&config, loader.compute.clone(), loader.metrics.clone(), Handle::default());
    let repository = Arc::new(ModelRepository::open(config.models, loader)?);
    app.set_repository(repository.clone());
    Ok((app, repository))
}

impl Live {
    pub async fn start(models: Folder, lines: &str) -> Self {
        let (app, repository) = open(&models, lines).unwrap();
        Self { edge: Edge::counting(app).await, repository, models }
    }

    pub async fn rescan(&self, when: When) {
        let repository = self.repository.clone();
        tokio::task::spawn_blocking(move || repository.rescan(when)).await.unwrap();
    }

    pub async fn predict(&self, path: &str) -> Answer {
        let body = json!({"features": [GOOD]});
        send(self.edge.request("POST", path).json(&body)).await
    }

    /// Version and label of an answer.
    pub async fn answer(&self, path: &str) -> [String; 2] {
        let answer = self.predict(path).await;
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        [word(&answer.body["version"]), word(&answer.result()[0]["label"])]
    }

    async fn control(&self, path: &str, body: &str) -> Answer {
        send(self.edge.admin_request("POST", path).body(body.to_owned())).await
    }

    /// Every version as `name version STATE: reason`.
    pub async fn index(&self) -> Vec<String> {
        let index = self.control("/v2/repository/index", "").await;
        assert_eq!(index.status, 200, "{}", index.body);
        let line = |entry: &Value| {
            let word = |field: &str| entry[field].as_str().unwrap_or("-").to_owned();
            let [name, version, state, reason] = ["name", "version", "state", "reason"].map(word);
            format!("{name} {version} {state}: {reason}")
        };
        index.body.as_array().unwrap().iter().map(line).collect()
    }

    /// Waits until the index is this.
    async fn stands(&self, expected: &[&str]) {
        while self.index().await != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn metrics(&self) -> String {
        let Value::String(text) = self.edge.admin("/metrics").await.body else { panic!("no text") };
        text
    }
}

pub trait Models {
    /// Iris, whose classes are called `WORD-setosa` and so on; without a word, as they are.
    fn iris(&self, folder: &str, word: &str) -> &Self;
    fn remove(&self, path: &str) -> &Self;
}

impl Models for Folder {
    fn iris(&self, folder: &str, word: &str) -> &Self {
        let prefix = if word.is_empty() { String::new() } else { format!("{word}-") };
        let labels = ["setosa", "versicolor", "virginica"].map(|name| format!("{prefix}{name}\n"));
        self.write(&format!("{folder}/labels.txt"), labels.concat());
        self.copy("models/iris/model.onnx", &format!("{folder}/model.onnx"))
    }

    fn remove(&self, path: &str) -> &Self {
        std::fs::remove_dir_all(self.path().join(path)).unwrap();
        self
    }
}

fn two_versions() -> Folder {
    let models = Folder::new();
    models.iris("iris/1", "one").iris("iris/2", "two");
    models
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_swapped_under_load_without_a_failed_request() {
    let models = Folder::new();
    models.iris("iris/1", "v1");
    let live = Arc::new(Live::start(models, "").await);
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let client = |_| {
        let (live, stop, asked) = (live.clone(), stop.clone(), asked.clone());
        tokio::spawn(async move {
            let (client, url) =
                (reqwest::Client::new(), format!("http://{}/predict/iris", live.edge.data));
            let mut last = 0;
            while !stop.load(Ordering::Relaxed) {
                let answer = send(client.post(&url).json(&json!({"features": [GOOD]}))).await;
                let label = answer.result()[0]["label"].as_str().unwrap().to_owned();
                let version = answer.body["version"].as_str().unwrap();
                assert_eq!(label, format!("v{version}-setosa"), "of one version as a whole");
                let version: usize = version.parse().unwrap();
                assert!(version >= last, "no answer of a version that was replaced");
                last = version;
                asked.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let clients: Vec<_> = (0..4).map(client).collect();
    for version in 2..=21 {
        let before = asked.load(Ordering::Relaxed);
        live.models.iris(&format!("iris/{version}"), &format!("v{version}"));
        live.rescan(When::Now).await;
        assert_eq!(live.answer("/predict/iris").await[0], version.to_string());
        while asked.load(Ordering::Relaxed) < before + 4 {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    live.stands(&["iris 21 READY: "]).await;
    while live.metrics().await.contains(r#"version="20""#) {
        tokio::task::yield_now().await;
    }
    assert!(live.metrics().await.contains(r#"version="21""#));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_and_the_labels_say_what_is_served() {
    let models = two_versions();
    models.iris("iris/3", "three");
    let live = Live::start(models, "").await;
    assert_eq!(live.answer("/predict/iris").await, ["3", "three-setosa"]);
    assert_eq!(live.predict("/predict/iris/versions/1").await.status, 404, "on disk, not served");

    live.models.write(
        "iris/model.toml",
        "[versions]\npolicy = { latest = 2 }\nlabels = { stable = 1, canary = 3 }\n",
    );
    live.rescan(When::Now).await;
    assert_eq!(live.repository.versions("iris"), [1, 2, 3]);
    assert_eq!(live.answer("/predict/iris").await, ["1", "one-setosa"]);
    assert_eq!(live.answer("/predict/iris/versions/canary").await, ["3", "three-setosa"]);
    assert_eq!(live.answer("/predict/iris/versions/2").await, ["2", "two-setosa"]);
    let metadata = live.edge.get(live.edge.data, "/v2/models/iris/versions/canary").await;
    assert_eq!((metadata.status, &metadata.body["name"]), (200, &json!("iris")));
    let unknown = live.predict("/predict/iris/versions/canari").await;
    assert_eq!(unknown.status, 404);
    let detail = unknown.body["detail"].as_str().unwrap();
    assert!(detail.contains("did you mean `canary`?"), "{detail}");

    live.models.write("iris/model.toml", "[versions]\npolicy = { specific = [2] }\n");
    live.rescan(When::Now).await;
    live.stands(&["iris 2 READY: "]).await;
    assert_eq!(live.answer("/predict/iris").await, ["2", "two-setosa"]);

    // A label of a version that is not there does not take effect, and nothing else is lost.
    live.models.write("iris/model.toml", "[versions]\nlabels = { stable = 7 }\n");
    live.rescan(When::Now).await;
    assert_eq!(live.answer("/predict/iris").await[0], "3");
    let index = live.index().await;
    assert!(index[0].contains("versions.labels.stable: version 7 is not on disk"), "{index:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_gives_each_version_its_share() {
    let models = two_versions();
    models.write("iris/model.toml", "[versions]\nsplit = { 1 = 3, 2 = 1 }\n");
    let live = Live::start(models, "").await;
    let mut answers = [0, 0];
    for _ in 0..20 {
        let [version, label] = live.answer("/predict/iris").await;
        assert_eq!(label.starts_with("one"), version == "1");
        answers[usize::from(version == "2")] += 1;
    }
    assert_eq!(answers, [15, 5]);
    for _ in 0..3 {
        assert_eq!(live.answer("/predict/iris/versions/2").await[0], "2", "asked for by number");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_is_compared_and_never_answers() {
    let models = two_versions();
    models.write("iris/model.toml", "[versions]\nshadow = 2\n");
    let live = Live::start(models, "").await;
    let outcome = |word| format!(r#"shadow_total{{model="iris",outcome="{word}",version="2"}}"#);
    assert_eq!(live.answer("/predict/iris").await, ["1", "one-setosa"]);
    live.edge.counts(&outcome("differs"), 1).await;
    assert_eq!(live.answer("/predict/iris/versions/1").await[0], "1", "names its version: no copy");

    live.models.iris("iris/2", "one");
    live.rescan(When::Now).await;
    for number in 1..=3 {
        assert_eq!(live.answer("/predict/iris").await, ["1", "one-setosa"]);
        live.edge.counts(&outcome("agrees"), number).await;
    }
    live.edge.counts(&outcome("differs"), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_new_version_is_refused_with_its_reason_and_the_old_one_serves() {
    let models = Folder::new();
    models.iris("iris/1", "").write("iris/golden.json", GOLDEN);
    let live = Live::start(models, "").await;
    let network = std::fs::read(root().join("models/iris/model.onnx")).unwrap();
    let mut flipped = network.clone();
    // In a weight: only the golden input tells.
    flipped[276] ^= 0x40;
    let cases: [(&str, Files<'_>, &str); 12] = [
        ("no network", &[("readme.txt", b"later")], "no model.onnx"),
        ("an empty file", &[("model.onnx", b"")], "model.onnx"),
        ("cut off", &[("model.onnx", &network[..network.len() / 2])], "model.onnx"),
        ("a flipped bit", &[("model.onnx", &flipped)], "golden.json: [0]"),
        ("no ONNX", &[("model.onnx", b"PK\x03\x04 a zip file")], "model.onnx"),
        ("a wrong answer", &[("labels.txt", b"a\nb\nc\n")], "golden.json: [0]"),
        ("broken golden inputs", &[("golden.json", b"[{")], "golden.json"),
        ("a broken model.toml", &[("model.toml", b"task =")], "model.toml"),
        ("an unknown key", &[("model.toml", b"tsak = \"x\"")], "tsak"),
        ("a wrong number of labels", &[("labels.txt", b"setosa\nversicolor\n")], "labels"),
        ("another device", &[("model.toml", b"device = \"cuda:7\"")], "model.toml"),
        ("versions in a version", &[("model.toml", b"[versions]\nshadow = 1")], "[versions]"),
    ];
    for (name, files, reason) in cases {
        if name != "no network" {
            live.models.iris("iris/2", "");
        }
        for (file, content) in files {
            live.models.write(&format!("iris/2/{file}"), content);
        }
        live.rescan(When::Now).await;
        let index = live.index().await;
        assert_eq!(index[0], "iris 1 READY: ", "{name}");
        assert!(index[1].starts_with("iris 2 UNAVAILABLE: "), "{name}: {index:?}");
        assert!(index[1].contains(reason) && !index[1].ends_with(": "), "{name}: {index:?}");
        assert_eq!(live.answer("/predict/iris").await, ["1", "setosa"], "{name}");
        let named = live.predict("/predict/iris/versions/2").await;
        assert_eq!(named.status, 503, "{name}");
        assert_eq!(live.edge.admin("/health/ready").await.status, 200, "{name}");
        live.models.remove("iris/2");
    }
    // And one that is whole.
    live.models.iris("iris/2", "");
    live.rescan(When::Now).await;
    live.stands(&["iris 2 READY: "]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_that_takes_something_else_is_refused() {
    let models = Folder::new();
    models.iris("iris/1", "one");
    let live = Live::start(models, "").await;
    for (network, reason) in [
        ("models/sentiment-tfidf/model.onnx", "its task is text-classification"),
        ("tests/fixtures/models/bare-classifier/model.onnx", "its inputs are"),
    ] {
        live.models.copy(network, "iris/2/model.onnx");
        live.rescan(When::Now).await;
        let index = live.index().await;
        assert!(index[1].contains(reason), "{index:?}");
        assert_eq!(live.answer("/predict/iris").await, ["1", "one-setosa"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_without_its_tokenizer_is_refused() {
    let models = Folder::new();
    for file in ["model.onnx", "config.json", "tokenizer.json", "tokenizer_config.json"] {
        let from = format!("tests/fixtures/models/optimum-bert/{file}");
        models.copy(&from, &format!("bert/1/{file}"));
        if file != "tokenizer.json" {
            models.copy(&from, &format!("bert/2/{file}"));
        }
    }
    models.write("bert/model.toml", "[versions]\npolicy = { specific = [1] }\n");
    let live = Live::start(models, "").await;
    std::fs::remove_file(live.models.path().join("bert/model.toml")).unwrap();
    live.rescan(When::Now).await;
    let index = live.index().await;
    assert_eq!(index[0], "bert 1 READY: ");
    // By itself it is served as tensors, which is no successor of a model of texts.
    assert!(index[1].contains("its task is tensors"), "{index:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_change_in_their_place_are_loaded_beside_what_serves() {
    let models = Folder::new();
    models.iris("iris", "one");
    let live = Live::start(models, "").await;
    live.models.iris("iris", "two");
    live.rescan(When::Now).await;
    assert_eq!(live.answer("/predict/iris").await, ["1", "two-setosa"]);
    live.stands(&["iris 1 READY: "]).await;
    let ready = r#"onnxd_model_ready{model="iris",version="1"} 1"#;
    assert!(live.metrics().await.contains(ready), "the series are those of the new one");

    live.models.write("iris/model.onnx", "no network");
    live.rescan(When::Now).await;
    assert_eq!(live.answer("/predict/iris").await, ["1", "two-setosa"]);
    let index = live.index().await;
    assert!(index[0].starts_with("iris 1 READY: model.onnx "), "{index:?}");

    live.models.iris("iris", "three").write("iris/model.toml", "[versions]\nlabels = 3\n");
    live.rescan(When::Now).await;
    assert_eq!(live.answer("/predict/iris").await, ["1", "two-setosa"]);
    let index = live.index().await;
    assert!(index[0].contains("model.toml"), "{index:?}");

    std::fs::remove_file(live.models.path().join("iris/model.toml")).unwrap();
    live.rescan(When::Now).await;
    assert_eq!(live.answer("/predict/iris").await, ["1", "three-setosa"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_control_a_model_that_fails_stops_the_start() {
    let models = Folder::new();
    models.iris("iris", "").write("broken/model.onnx", "nothing");
    let error = open(&models, "").err().unwrap().to_string();
    assert!(error.contains("broken") && !error.contains("iris"), "{error}");
    for control in ["poll", "explicit\"\nload = [\"*\"]#"] {
        let (_, repository) = open(&models, &format!("control = \"{control}\"")).unwrap();
        let broken = repository.find("broken", None).err().unwrap();
        assert!(broken.detail.starts_with("model `broken` is not loaded: model.onnx"), "{broken}");
        assert_eq!(repository.versions("iris"), [1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_left_alone_until_two_scans_find_the_same() {
    let models = Folder::new();
    models.iris("iris/1", "one");
    let live = Live::start(models, "control = \"poll\"\npoll_interval = \"1h\"").await;
    let network = std::fs::read(root().join("models/iris/model.onnx")).unwrap();
    // One that would load, and that is still being written.
    live.models.iris("iris/2", "two").write("iris/2/model.onnx.data", &network[..10]);
    live.rescan(When::Settled).await;
    live.models.write("iris/2/model.onnx.data", &network[..20]);
    live.rescan(When::Settled).await;
    assert_eq!(live.index().await, ["iris 1 READY: "]);
    live.rescan(When::Settled).await;
    assert_eq!(live.answer("/predict/iris").await, ["2", "two-setosa"]);

    // A folder that is exchanged may be away for a moment.
    std::fs::rename(live.models.path().join("iris"), live.models.path().join(".iris")).unwrap();
    live.rescan(When::Settled).await;
    assert_eq!(live.answer("/predict/iris").await, ["2", "two-setosa"]);
    live.rescan(When::Settled).await;
    assert_eq!(live.predict("/predict/iris").await.status, 404);
    live.stands(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polled_folder_is_followed() {
    let models = Folder::new();
    models.iris("iris/1", "one");
    let live = Live::start(models, "control = \"poll\"\npoll_interval = \"10ms\"").await;
    let watch = tokio::spawn(live.repository.clone().watch());
    live.models.iris("iris/2", "two").iris("other", "other");
    live.stands(&["iris 2 READY: ", "other 1 READY: "]).await;
    live.models.remove("iris/2");
    live.stands(&["iris 1 READY: ", "other 1 READY: "]).await;
    live.models.remove("other");
    live.stands(&["iris 1 READY: "]).await;
    for action in ["load", "unload"] {
        let path = format!("/v2/repository/models/iris/{action}");
        let refused = live.control(&path, "").await;
        assert_eq!(refused.status, 422);
        assert!(refused.body["error"].as_str().unwrap().contains("here it is \"poll\""));
    }
    watch.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_loaded_and_unloaded_by_request() {
    let models = two_versions();
    models.iris("other", "other").write("broken/model.onnx", "nothing");
    let lines = "control = \"explicit\"\nload = [\"iris\"]";
    let live = Live::start(models, lines).await;
    let not_asked = "it was not asked for";
    let broken = format!("broken - UNAVAILABLE: {not_asked}");
    let other = format!("other - UNAVAILABLE: {not_asked}");
    assert_eq!(live.index().await, [broken.as_str(), "iris 2 READY: ", &other]);
    let ready = live.control("/v2/repository/index", r#"{"ready": true}"#).await;
    assert_eq!(ready.body.as_array().unwrap().len(), 1);
    let unloaded = live.predict("/predict/other").await;
    assert_eq!(unloaded.status, 503);
    let detail = unloaded.body["detail"].as_str().unwrap();
    assert_eq!(detail, format!("model `other` is not loaded: {not_asked}"));

    let loaded = live.control("/v2/repository/models/other/load", "").await;
    assert_eq!((loaded.status, &loaded.body), (200, &json!("")));
    assert_eq!(live.answer("/predict/other").await, ["1", "other-setosa"]);

    let body = r#"{"parameters": {"unload_dependents": false}}"#;
    let unloaded = live.control("/v2/repository/models/iris/unload", body).await;
    assert_eq!((unloaded.status, &unloaded.body), (200, &json!("")));
    live.stands(&[&broken, "iris - UNAVAILABLE: it was unloaded", "other 1 READY: "]).await;
    assert_eq!(live.predict("/predict/iris").await.status, 503);
    assert_eq!(live.edge.admin("/health/ready").await.status, 200);
    while live.metrics().await.contains(r#"model="iris",version="#) {
        tokio::task::yield_now().await;
    }
    // What is not asked for does not come by a SIGHUP.
    live.rescan(When::Now).await;
    assert_eq!(live.predict("/predict/iris").await.status, 503);

    let failed = live.control("/v2/repository/models/broken/load", "").await;
    assert_eq!(failed.status, 422);
    let said = failed.body["error"].as_str().unwrap();
    assert!(said.starts_with("model `broken` cannot be loaded: model.onnx"), "{said}");
    for name in ["nobody", "..", "%2e%2e", "%2e%2e%2fmodels%2firis", ".", "%2e", "iris%2f1"] {
        for action in ["load", "unload"] {
            let path = format!("/v2/repository/models/{name}/{action}");
            assert_eq!(live.control(&path, "").await.status, 404, "{path}");
        }
    }
    for parameter in ["config", "file:1/model.onnx"] {
        let body = json!({"parameters": {parameter: "e30="}}).to_string();
        let refused = live.control("/v2/repository/models/iris/load", &body).await;
        assert_eq!(refused.status, 422);
        let field = format!("parameters.{parameter}");
        assert_eq!(refused.body["field"], field);
    }
    assert_eq!(live.control("/v2/repository/index", "{").await.status, 400);
    for path in ["index", "models/iris/load", "models/iris/unload"] {
        let path = format!("/v2/repository/{path}");
        let on_data = send(live.edge.request("POST", &path)).await;
        assert_eq!(on_data.status, 404, "not on the data port");
        assert_eq!(live.edge.admin(&path).await.status, 405);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn control_asks_for_a_key_where_there_are_keys() {
    let models = two_versions();
    // printf %s secret | sha256sum
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let keys = Folder::new();
    keys.write("keys", hash);
    let file = keys.path().join("keys");
    let lines = format!("[server]\napi_keys_file = {:?}", file.to_str().unwrap());
    let live = Live::start(models, &lines).await;
    assert_eq!(live.control("/v2/repository/index", "").await.status, 401);
    let request = live.edge.admin_request("POST", "/v2/repository/index");
    assert_eq!(send(request.header("x-api-key", "secret")).await.status, 200);
    assert_eq!(live.edge.admin("/health/ready").await.status, 200, "probes bring none");
}

#[test]
fn a_hangup_looks_at_the_folder_again() {
    let models = Folder::new();
    models.iris("iris/1", "one");
    let mut process = Process::start(models.path().to_str().unwrap(), &[]);
    models.iris("iris/2", "two");
    process.signal("HUP");
    let body = json!({"features": [GOOD]}).to_string();
    while process.ask("POST /predict/iris/versions/2", "", &body) != 200 {
        std::thread::yield_now();
    }
    assert!(process.stop().success());
}
