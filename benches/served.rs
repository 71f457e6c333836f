//! Served against raw: what the server adds to decode, resize and the session's run.
//!
//! One client thread, the bundled image model, a 640×480 JPEG. Every round measures each step once,
//! so that the machine's changes of speed meet all of them; medians and quartiles are printed.
//! Run with `make bench`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::ArrayD;
use onnxd::api::App;
use onnxd::config::{Device, Flags, ServerConfig};
use onnxd::model::load::Loader;
use onnxd::model::repository::ModelRepository;
use onnxd::runtime::compute::Compute;
use onnxd::runtime::library::Runtime;
use onnxd::runtime::provider::ExecutionProvider;
use onnxd::runtime::session::{OnnxSession, Session};
use onnxd::server;
use onnxd::tasks::image::{ImageLimits, decode, from_hugging_face};
use onnxd::tensor::Tensors;

const WARM_UP: usize = 20;
const ROUNDS: usize = 300;

/// Times of one step over all rounds.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn measure<T>(&mut self, step: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = step();
        self.0.push(start.elapsed());
        result
    }

    /// First quartile, median and third quartile in milliseconds.
    fn quartiles(&self) -> [f64; 3] {
        let mut times: Vec<f64> = self.0.iter().map(|t| t.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        [1, 2, 3].map(|quarter| times[times.len() * quarter / 4])
    }
}

fn row(name: &str, [low, median, high]: [f64; 3]) {
    println!("| {name} | {median:.3} | {low:.3} to {high:.3} |");
}

/// A prediction over a connection that stays open.
fn ask(stream: &mut TcpStream, request: &[u8], answer: &mut Vec<u8>) {
    stream.write_all(request).unwrap();
    answer.clear();
    loop {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).unwrap();
        assert!(length > 0, "the server closed the connection");
        answer.extend_from_slice(&part[..length]);
        // A body of JSON that ends, with its own end, at the end of what came.
        if answer.ends_with(b"]}") {
            break;
        }
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(answer));
}

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read(root.join("tests/fixtures/images/jpeg-640x480.jpg")).unwrap();
    let config = ServerConfig::load(None, &Flags::default()).unwrap();
    let runtime =
        Runtime::load(Some(&root.join(".onnxruntime/libonnxruntime.so")), Device::Cpu).unwrap();
    let loader = Loader {
        runtime: runtime.clone(),
        provider: ExecutionProvider::Cpu,
        compute: Arc::new(Compute::new(config.runtime.compute_threads()).unwrap()),
        config: config.runtime.clone(),
        limits: config.limits,
    };
    let models = root.join("models");
    let name = "efficientnet-lite0";
    let repository = ModelRepository::load(&models, Some(name), &loader).unwrap();
    let network = models.join(name).join(&repository.find(name, None).unwrap().file);

    // The same steps without a server: the same decoder, resize, session and thread count.
    let threads = config.runtime.intra_op_threads();
    let gpu = config.runtime.gpu();
    let mut session =
        OnnxSession::load(&runtime, &network, loader.provider, threads, &gpu).unwrap();
    let (input, output) =
        (session.signature().inputs[0].name.clone(), session.signature().outputs[0].name.clone());
    let preprocessor = std::fs::read_to_string(models.join(name).join("preprocessor_config.json"));
    let preprocessing = from_hugging_face(&preprocessor.unwrap(), None).unwrap();
    let limits = ImageLimits::default();

    let app = App {
        repository: Arc::new(repository),
        compute: loader.compute,
        server: config.server,
        limits: config.limits,
    };
    let tokio = tokio::runtime::Runtime::new().unwrap();
    let listener = tokio.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    tokio.spawn(server::run(listener, app, std::future::pending()));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let head = format!(
        "POST /predict HTTP/1.1\r\nhost: {address}\r\ncontent-type: image/jpeg\r\n\
         content-length: {}\r\n\r\n",
        file.len()
    );
    let request = [head.as_bytes(), &file].concat();
    let mut answer = Vec::new();

    let [mut decoding, mut resizing, mut running, mut sum, mut served] =
        std::array::from_fn(|_| Times::default());
    for round in 0..WARM_UP + ROUNDS {
        if round == WARM_UP {
            for times in [&mut decoding, &mut resizing, &mut running, &mut sum, &mut served] {
                times.0.clear();
            }
        }
        sum.measure(|| {
            let image = decoding.measure(|| decode(&file, &limits).unwrap());
            let tensors = resizing.measure(|| {
                let mut values = vec![0.0; 3 * 224 * 224];
                preprocessing.apply(&image, &mut values).unwrap();
                let array = ArrayD::from_shape_vec(vec![1, 3, 224, 224], values).unwrap();
                Tensors(vec![(input.clone(), array.into())])
            });
            running.measure(|| session.run(&tensors, std::slice::from_ref(&output)).unwrap())
        });
        served.measure(|| ask(&mut stream, &request, &mut answer));
    }

    println!(
        "{} on {threads} threads, {ROUNDS} rounds, 640×480 JPEG of {} KB",
        network.strip_prefix(root).unwrap_or(&network).display(),
        file.len() / 1024
    );
    println!("\n| step | median ms | quartiles |\n|---|---|---|");
    row("decode", decoding.quartiles());
    row("resize, crop, normalise", resizing.quartiles());
    row("session run", running.quartiles());
    row("these three in a row", sum.quartiles());
    row("served over HTTP", served.quartiles());
    let steps = [&decoding, &resizing, &running].map(|times| times.quartiles()[1]);
    println!(
        "\nserved / sum of the three medians: {:.3}",
        served.quartiles()[1] / steps.iter().sum::<f64>()
    );
}
