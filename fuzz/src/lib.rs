//! What the targets share: the data port's router over small models, in this process and without a socket.
//!
//! Bodies go the way of every request: limits, content types, parsers, models, answers. So a target needs no
//! door of its own into the server, and what it finds a client can do. A panic anywhere ends the target, also
//! one that the server would catch; so does an answer of 500.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, request};
use http_body_util::BodyExt;
use onnxd::api::admin::Admin;
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

/// As few threads as there can be, and nothing kept on disk.
const SETTINGS: &str = "[runtime]\ninstances = 1\nelastic = false\ngraph_cache = \"\"\n";

/// The repository's root.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The data port with its models.
pub struct Port {
    router: Router,
    admin: Router,
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
        let settings = models.path().join("onnxd.toml");
        fs::write(&settings, SETTINGS).unwrap();
        let config = ServerConfig::load(Some(&settings), &Flags::default()).unwrap();
        fs::remove_file(settings).unwrap();
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
        let admin = Admin::new(app.clone(), health.clone(), scrape.clone());
        let admin = api::admin::router(admin, None);
        let router = api::router(app, health, scrape, None);
        let tokio = Builder::new_current_thread().enable_time().build().unwrap();
        Self { router, admin, tokio, _models: models }
    }

    /// Asks the data port by `POST`, and reads the whole answer.
    ///
    /// # Panics
    /// The answer is a 500: what a client sends must not be able to do that.
    pub fn ask(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(&self.router, request.body(Body::from(body.to_vec())).unwrap());
    }

    /// The same with a head of any kind. One that cannot be made is not sent.
    ///
    /// # Panics
    /// As [`Self::ask`].
    pub fn ask_as(&self, request: request::Builder) {
        let body = Body::from(r#"{"features": [[5.1, 3.5, 1.4, 0.2]]}"#);
        if let Ok(request) = request.body(body) {
            self.send(&self.router, request);
        }
    }

    /// Asks the admin port by `POST`.
    ///
    /// # Panics
    /// As [`Self::ask`].
    pub fn ask_admin(&self, path: &str, body: &[u8]) {
        self.send(&self.admin, Request::post(path).body(Body::from(body.to_vec())).unwrap());
    }

    fn send(&self, router: &Router, request: Request<Body>) {
        self.tokio.block_on(async {
            let response = router.clone().oneshot(request).await.unwrap();
            let status = response.status();
            // A body that breaks off was a stream's, and its reason is in its last line.
            let _ = response.into_body().collect().await;
            assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR);
        });
    }
}

/// The first byte chooses one of several, the rest is the body.
#[must_use]
pub fn choose<'a, T: Copy>(of: &[T], data: &'a [u8]) -> Option<(T, &'a [u8])> {
    let (first, rest) = data.split_first()?;
    Some((of[usize::from(*first) % of.len()], rest))
}
