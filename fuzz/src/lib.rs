//! What the targets share: the data port's router over small models, in this process and without a socket.
//!
//! Bodies go the way of every request: limits, content types, parsers, models, answers. So a target needs no
//! door of its own into the server, and what it finds a client can do. A panic anywhere ends the target, also
//! one that the server would catch; so does an answer of 500.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use onnxd::api::health::Health;
use onnxd::api::scrape::Scrape;
use onnxd::api::{self, App};
use onnxd::config::{Device, Flags, ServerConfig};
use onnxd::model::load::Loader;
use onnxd::model::repository::ModelRepository;
use onnxd::runtime::compute::Compute;
use onnxd::runtime::library::Runtime;
use onnxd::runtime::provider::ExecutionProvider;
use onnxd::telemetry::Handle;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tower::ServiceExt;

/// Models of each kind, the quickest that there are: their names and folders below the repository's root.
const MODELS: [(&str, &str); 4] = [
    ("iris", "models/iris"),
    ("named", "tests/fixtures/models/named-columns"),
    ("text", "tests/fixtures/models/optimum-bert"),
    ("image", "tests/fixtures/models/optimum-resnet"),
];

/// The repository's root.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The data port with its models.
pub struct Port {
    router: Router,
    tokio: tokio::runtime::Runtime,
    _models: TempDir,
}

impl Port {
    /// The one of this process.
    pub fn get() -> &'static Self {
        static PORT: OnceLock<Port> = OnceLock::new();
        PORT.get_or_init(Self::new)
    }

    fn new() -> Self {
        let models = tempfile::tempdir().unwrap();
        for (name, folder) in MODELS {
            symlink(root().join(folder), models.path().join(name)).unwrap();
        }
        let mut config = ServerConfig::load(None, &Flags::default()).unwrap();
        config.runtime.graph_cache = Path::new("").into();
        config.runtime.elastic = false;
        config.runtime.instances = 1;
        let library = root().join(".onnxruntime/libonnxruntime.so");
        let runtime = Runtime::load(Some(&library), Device::Cpu).expect("run `make setup`");
        let loader = Loader {
            runtime,
            provider: ExecutionProvider::Cpu,
            compute: Arc::new(Compute::new(1).unwrap()),
            config: config.runtime.clone(),
            limits: config.limits,
            metrics: Arc::default(),
        };
        let repository = Arc::new(ModelRepository::load(models.path(), None, &loader).unwrap());
        let app = App::new(&config, loader.compute, loader.metrics, Handle::default());
        app.set_repository(repository);
        let health = Health::new(app.clone());
        let scrape = Scrape::new(app.clone(), health.clone());
        let router = api::router(app, health, scrape, None);
        let tokio = Builder::new_current_thread().enable_time().build().unwrap();
        Self { router, tokio, _models: models }
    }

    /// Asks, and reads the whole answer.
    ///
    /// # Panics
    /// The answer is a 500: what a client sends must not be able to do that.
    pub fn ask(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> StatusCode {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_vec())).unwrap();
        self.tokio.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let status = response.status();
            // A body that breaks off was a stream's, and its reason is in its last line.
            let _ = response.into_body().collect().await;
            assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR);
            status
        })
    }
}

/// The first byte chooses one of several, the rest is the body.
#[must_use]
pub fn choose<'a, T: Copy>(of: &[T], data: &'a [u8]) -> Option<(T, &'a [u8])> {
    let (first, rest) = data.split_first()?;
    Some((of[usize::from(*first) % of.len()], rest))
}
