//! A server on a port of its own, and a client for it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use onnxd::api::App;
use onnxd::config::{Device, Flags, ServerConfig};
use onnxd::model::load::Loader;
use onnxd::model::repository::ModelRepository;
use onnxd::runtime::compute::Compute;
use onnxd::runtime::library::Runtime;
use onnxd::runtime::provider::ExecutionProvider;
use onnxd::server::{self, Drained, Listeners};
use onnxd::telemetry::Handle;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn image(name: &str) -> Vec<u8> {
    let path = root().join("tests/fixtures/images").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn default_config() -> ServerConfig {
    ServerConfig::load(None, &Flags::default()).unwrap()
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let library = root().join(".onnxruntime/libonnxruntime.so");
    Runtime::load(Some(&library), Device::Cpu).expect("run `make setup` first")
});

pub fn loader(config: &ServerConfig) -> Loader {
    Loader {
        runtime: RUNTIME.clone(),
        provider: ExecutionProvider::Cpu,
        compute: Arc::new(Compute::new(2).unwrap()),
        config: config.runtime.clone(),
        limits: config.limits,
        metrics: Arc::default(),
    }
}

/// The bundled models under the default configuration, loaded once.
pub static BUNDLED: LazyLock<App> =
    LazyLock::new(|| app(&default_config(), &root().join("models"), None).unwrap());

/// Loads a models folder, or one model of it.
pub fn app(config: &ServerConfig, models: &Path, only: Option<&str>) -> anyhow::Result<App> {
    let loader = loader(config);
    let repository = Arc::new(ModelRepository::load(models, only, &loader)?);
    let app = App::new(config, loader.compute, loader.metrics, Handle::default());
    app.set_repository(repository);
    Ok(app)
}

/// One of the fixture folders alone. The error is what the start would say.
pub fn fixture(name: &str) -> anyhow::Result<App> {
    app(&default_config(), &root().join("tests/fixtures/models"), Some(name))
}

/// A models folder that the test writes itself; removed when dropped.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Copies a fixture's or a bundled model's file.
    pub fn copy(&self, from: impl Into<PathBuf>, to: &str) -> &Self {
        self.write(to, std::fs::read(root().join(from.into())).unwrap())
    }

    pub fn load(&self) -> anyhow::Result<App> {
        app(&default_config(), self.path(), None)
    }
}

/// A running server. Stops when dropped, with the test's async runtime.
pub struct Server {
    pub address: SocketAddr,
    client: reqwest::Client,
}

/// Status, content type, headers that matter, and the body as JSON.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Server {
    pub async fn bundled() -> Self {
        Self::start(BUNDLED.clone()).await
    }

    pub async fn start(app: App) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(server::run(listener, app, std::future::pending()));
        Self { address, client: reqwest::Client::new() }
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().unwrap();
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub async fn json(&self, path: &str, body: Value) -> Answer {
        send(self.request("POST", path).json(&body)).await
    }

    pub async fn post(&self, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        let request = self.request("POST", path).header("content-type", content_type);
        send(request.body(body.into())).await
    }
}

pub async fn send(request: reqwest::RequestBuilder) -> Answer {
    receive(request).await.unwrap()
}

async fn receive(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let content_type = headers.get("content-type").map_or("", |v| v.to_str().unwrap()).to_owned();
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer { status, content_type, headers, body })
}

impl Answer {
    /// The entries of `result`.
    #[track_caller]
    pub fn result(&self) -> &[Value] {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body["result"].as_array().unwrap()
    }
}

/// The binary itself.
pub fn onnxd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onnxd"));
    command.current_dir(root()).args(arguments).env_remove("ORT_DISABLE_TELEMETRY");
    command
}

/// A time limit that tests wait out.
pub const MILLISECONDS_50: Duration = Duration::from_millis(50);

/// A body for `/predict/iris`.
pub const IRIS: &str = r#"{"features": [[5.1, 3.5, 1.4, 0.2]]}"#;

/// A request of JSON as it goes over the wire.
pub fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A configuration file.
pub fn config(file: &str) -> ServerConfig {
    let folder = Folder::new();
    folder.write("onnxd.toml", file);
    let path = folder.path().join("onnxd.toml");
    ServerConfig::load(Some(&path), &Flags::default()).unwrap()
}

/// Iris under a configuration file, and a model `slow` whose rows wait in the queue for an hour, so that
/// they surely are in work.
pub fn with_slow(file: &str) -> (Folder, App) {
    let folder = Folder::new();
    folder
        .copy("models/iris/model.onnx", "iris/model.onnx")
        .copy("models/iris/model.onnx", "slow/model.onnx")
        .write("slow/model.toml", "max_queue_delay = \"1h\"\nmax_batch_size = 32\n");
    let app = app(&config(file), folder.path(), None).unwrap();
    (folder, app)
}

/// The bundled models under a configuration file.
pub fn app_with(file: &str) -> App {
    let config = config(file);
    let app = App::new(&config, BUNDLED.compute.clone(), Arc::default(), Handle::default());
    app.set_repository(BUNDLED.repository().unwrap().clone());
    app
}

/// A running server with both ports, that can be told to stop.
pub struct Edge {
    pub data: SocketAddr,
    pub admin: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Drained>,
}

impl Edge {
    pub async fn start(mut app: App) -> Self {
        // Its own counts, beside other tests that use the same models.
        app.metrics = Arc::default();
        Self::counting(app).await
    }

    /// With the counts that its models have.
    pub async fn counting(app: App) -> Self {
        let bind = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (data, admin) = (bind().await, bind().await);
        let (data_address, admin_address) =
            (data.local_addr().unwrap(), admin.local_addr().unwrap());
        let server = server::Server::new(Listeners { data, admin: Some(admin) }, app).unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self { data: data_address, admin: admin_address, stop: Some(stop), running }
    }

    /// As a signal does.
    pub fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub async fn drained(self) -> Drained {
        self.running.await.unwrap()
    }

    /// On a connection of its own.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", self.data);
        reqwest::Client::new().request(method.parse().unwrap(), url)
    }

    /// A request in work, the `number`th, on the model `slow` of [`with_slow`].
    pub async fn in_work(&self, number: u64) -> TcpStream {
        let mut stream = TcpStream::connect(self.data).await.unwrap();
        stream.write_all(post("/predict/slow", IRIS).as_bytes()).await.unwrap();
        self.counts("requests_in_work", number).await;
        stream
    }

    /// To the admin port.
    pub fn admin_request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", self.admin);
        reqwest::Client::new().request(method.parse().unwrap(), url)
    }

    /// Asks iris; an error is a connection that gave no answer.
    pub async fn predict(&self, headers: &reqwest::header::HeaderMap) -> reqwest::Result<Answer> {
        let request = self.request("POST", "/predict/iris").headers(headers.clone());
        let request = request.header("content-type", "application/json").body(IRIS);
        receive(request).await
    }

    pub async fn get(&self, address: SocketAddr, path: &str) -> Answer {
        send(reqwest::Client::new().get(format!("http://{address}{path}"))).await
    }

    pub async fn admin(&self, path: &str) -> Answer {
        self.get(self.admin, path).await
    }

    /// Waits until a metric has this value.
    pub async fn counts(&self, name: &str, value: u64) {
        let line = format!("onnxd_{name} {value}");
        let has_it = async || {
            let answer = self.admin("/metrics").await;
            let Value::String(text) = answer.body else { panic!("no text: {}", answer.body) };
            text.lines().any(|other| other == line)
        };
        in_time(async { while !has_it().await {} }).await;
    }
}

/// Ends the test if what it waits for does not come.
pub async fn in_time<T>(waiting: impl Future<Output = T>) -> T {
    const LONGEST: Duration = Duration::from_mins(2);
    tokio::time::timeout(LONGEST, waiting).await.expect("what is waited for does not come")
}

/// Panics unless these are the same but for the last digits of fractions: they depend on how many rows
/// share a run, and tests that run side by side share some.
#[track_caller]
pub fn assert_same(left: &serde_json::Value, right: &serde_json::Value) {
    assert!(are_same(left, right), "{left}\nis not the same as\n{right}");
}

fn are_same(left: &serde_json::Value, right: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (left, right) {
        (Value::Number(left), Value::Number(right)) if left.is_f64() && right.is_f64() => {
            let difference = left.as_f64().zip(right.as_f64()).map(|(left, right)| left - right);
            difference.is_some_and(|difference| difference.abs() < 1e-5)
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| are_same(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            let same = |(name, value)| right.get(name).is_some_and(|other| are_same(value, other));
            left.len() == right.len() && left.iter().all(same)
        }
        _ => left == right,
    }
}
