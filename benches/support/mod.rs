//! What the benchmarks share: a loaded model, the same steps by hand, a client, and figures.

// Each benchmark uses its part.
#![allow(dead_code)]

pub mod clients;
pub mod crowd;
pub mod process;
pub mod texts;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ndarray::ArrayD;
use onnxd::api::App;
use onnxd::config::{Device, Flags, ModelConfig, ServerConfig};
use onnxd::model::load::Loader;
use onnxd::model::repository::ModelRepository;
use onnxd::runtime::cancel::Cancel;
use onnxd::runtime::compute::Compute;
use onnxd::runtime::library::Runtime;
use onnxd::runtime::provider::ExecutionProvider;
use onnxd::runtime::queue::Bounds;
use onnxd::runtime::session::{OnnxSession, Session};
use onnxd::server;
use onnxd::tasks::graph::Graph;
use onnxd::tasks::image::{DecodedImage, ImageLimits, Preprocessing, decode, from_hugging_face};
use onnxd::tasks::{self, Material, ModelFiles, Task};
use onnxd::telemetry::Handle;
use onnxd::tensor::Tensors;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// ONNX Runtime, the default configuration, and one bundled model loaded by it.
pub struct Bench {
    pub runtime: Runtime,
    pub config: ServerConfig,
    pub app: App,
    pub repository: Arc<ModelRepository>,
    /// The file that the CPU serves.
    pub network: PathBuf,
    pub folder: PathBuf,
    /// Of the model's queue and batches.
    pub bounds: Bounds,
}

impl Bench {
    pub fn load(runtime: &Runtime, model: &str, change: impl FnOnce(&mut ServerConfig)) -> Self {
        Self::load_from(runtime, &root().join("models"), model, change)
    }

    /// The same from another folder of models.
    pub fn load_from(
        runtime: &Runtime,
        models: &Path,
        model: &str,
        change: impl FnOnce(&mut ServerConfig),
    ) -> Self {
        let mut config = ServerConfig::load(None, &Flags::default()).unwrap();
        change(&mut config);
        let loader = Loader {
            runtime: runtime.clone(),
            provider: ExecutionProvider::Cpu,
            compute: Arc::new(Compute::new(config.runtime.compute_threads()).unwrap()),
            config: config.runtime.clone(),
            limits: config.limits,
            metrics: Arc::default(),
        };
        let repository = Arc::new(ModelRepository::load(models, Some(model), &loader).unwrap());
        let folder = models.join(model);
        let served = repository.find(model, None).unwrap();
        let (network, bounds) = (folder.join(&served.file), served.bounds());
        let app = App::new(&config, loader.compute, loader.metrics, Handle::default());
        app.set_repository(repository.clone());
        Self { runtime: runtime.clone(), config, app, repository, network, folder, bounds }
    }

    /// A session of the served file, with this many threads.
    pub fn session(&self, threads: usize) -> OnnxSession {
        self.session_of(&self.network, threads)
    }

    /// A session of another file.
    pub fn session_of(&self, network: &Path, threads: usize) -> OnnxSession {
        let gpu = self.config.runtime.gpu();
        OnnxSession::load(&self.runtime, network, ExecutionProvider::Cpu, threads, &gpu).unwrap()
    }

    /// The served model's task, made anew.
    pub fn task(&self) -> Box<dyn Task> {
        let (files, session) = (ModelFiles::new(&self.folder, &self.folder), self.session(1));
        let text = files.read("model.toml").unwrap().unwrap_or_default();
        tasks::build(Material {
            graph: Graph::read(&self.network).as_ref(),
            signature: session.signature(),
            files: &files,
            config: &ModelConfig::parse(&text).unwrap(),
            limits: &self.config.limits,
        })
        .unwrap()
    }

    pub fn serve(&self) -> SocketAddr {
        serve(self.app.clone())
    }
}

/// Serves on a port of its own, on threads of its own.
pub fn serve(app: App) -> SocketAddr {
    let (sender, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let cores = std::thread::available_parallelism().unwrap().get();
        let tokio = server::threads::start(cores).unwrap();
        tokio.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            server::run(listener, app, std::future::pending()).await.unwrap();
        });
    });
    address.recv().unwrap()
}

pub fn runtime() -> Runtime {
    Runtime::load(Some(&root().join(".onnxruntime/libonnxruntime.so")), Device::Cpu)
        .expect("run `make setup`")
}

/// The 640×480 photo.
pub fn photo() -> Vec<u8> {
    std::fs::read(root().join("tests/fixtures/images/jpeg-640x480.jpg")).unwrap()
}

/// What the server does for an image, by hand: the same decoder, filter and session.
pub struct ImageSteps {
    pub session: OnnxSession,
    pub preprocessing: Preprocessing,
    input: String,
    output: String,
}

impl ImageSteps {
    pub fn new(bench: &Bench, threads: usize) -> Self {
        Self::of(bench.session(threads), &bench.folder)
    }

    /// `folder` is the model's.
    pub fn of(session: OnnxSession, folder: &Path) -> Self {
        let json = std::fs::read_to_string(folder.join("preprocessor_config.json")).unwrap();
        Self {
            preprocessing: from_hugging_face(&json, None).unwrap(),
            input: session.signature().inputs[0].name.clone(),
            output: session.signature().outputs[0].name.clone(),
            session,
        }
    }

    pub fn decode(&self, file: &[u8]) -> DecodedImage {
        let reduction = |width, height| self.preprocessing.reduction(width, height);
        decode(file, &ImageLimits::default(), reduction).unwrap()
    }

    pub fn resize(&self, image: &DecodedImage) -> Tensors {
        let mut values = vec![0.0; 3 * 224 * 224];
        self.preprocessing.apply(image, &mut values).unwrap();
        let array = ArrayD::from_shape_vec(vec![1, 3, 224, 224], values).unwrap();
        Tensors(vec![(self.input.clone(), array.into())])
    }

    pub fn run(&mut self, tensors: &Tensors) -> Tensors {
        let output = std::slice::from_ref(&self.output);
        self.session.run(tensors, output, &Cancel::new(1)).unwrap()
    }

    pub fn all(&mut self, file: &[u8]) -> Tensors {
        let tensors = self.resize(&self.decode(file));
        self.run(&tensors)
    }
}

/// A connection that stays open.
pub struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, answer: Vec::new() }
    }

    /// The last answer, as it came.
    pub fn answer(&self) -> &[u8] {
        &self.answer
    }

    /// Asks and gives the status.
    pub fn ask(&mut self, request: &[u8]) -> u16 {
        self.stream.write_all(request).unwrap();
        self.answer.clear();
        loop {
            let mut part = [0; 4096];
            let length = self.stream.read(&mut part).unwrap();
            assert!(length > 0, "the server closed the connection");
            self.answer.extend_from_slice(&part[..length]);
            if is_complete(&self.answer) {
                break;
            }
        }
        status(&self.answer)
    }
}

/// Whether this is an answer with all of its body.
fn is_complete(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&answer[..end]);
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.and_then(|length| length.parse::<usize>().ok());
    length.is_some_and(|length| answer.len() >= end + 4 + length)
}

fn status(answer: &[u8]) -> u16 {
    String::from_utf8_lossy(&answer[9..12]).parse().unwrap()
}

/// A `POST /predict` as it goes over the wire.
pub fn request(content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// First quartile, median and third quartile.
pub fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() * quarter / 4).min(values.len() - 1)])
}

pub fn milliseconds(times: &[Duration]) -> Vec<f64> {
    times.iter().map(|time| time.as_secs_f64() * 1e3).collect()
}

/// A row of a Markdown table: name, median, quartiles.
pub fn row(name: &str, values: &[f64], digits: usize) {
    let [low, median, high] = quartiles(values);
    println!("| {name} | {median:.digits$} | {low:.digits$} to {high:.digits$} |");
}
