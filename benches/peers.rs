//! onnxd against services written by hand, as processes of their own: 32 closed-loop clients that ask
//! each of them by turns. `make peers` makes the Python that they run in, and runs this.
//!
//! A service that takes photos is measured with Pillow and with `OpenCV`. `-- text` asks with texts in the
//! place of a photo, `-- mosec` compares with `mosec_app.py` in the place of `fastapi_app.py`.

mod support;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use support::clients::{Clients, Requests};
use support::crowd::{Crowd, ratios};
use support::process::{Server, own_cpu_seconds};
use support::texts::Texts;
use support::{photo, quartiles, request, root, row};
use tempfile::TempDir;

const CLIENTS: usize = 32;
const ROUNDS: usize = 9;
const TURN: Duration = Duration::from_secs(2);

/// What is asked, and of which model.
#[derive(Clone, Copy)]
enum Load {
    Image,
    Text,
}

impl Load {
    fn model(self) -> &'static str {
        match self {
            Self::Image => "efficientnet-lite0",
            Self::Text => "sentiment-minilm",
        }
    }

    /// A peer's variants: what its name ends in, and what decodes and resizes its images.
    fn variants(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Image => &[(" + Pillow", "pillow"), (" + OpenCV", "opencv")],
            Self::Text => &[("", "pillow")],
        }
    }

    /// What each client asks.
    fn clients(self) -> Vec<Requests> {
        let texts = Arc::new(Texts::of(1..=12));
        let client = |number: usize| -> Requests {
            match self {
                Self::Image => {
                    // onnxd lets identical requests share a run. A tail after the image's end tells
                    // clients apart.
                    let mut file = photo();
                    file.push(number as u8);
                    let request = request("image/jpeg", &file);
                    Box::new(move || request.clone())
                }
                Self::Text => {
                    let texts = texts.clone();
                    Box::new(move || texts.request())
                }
            }
        };
        (0..CLIENTS).map(client).collect()
    }
}

/// A folder of models with this one alone, which the CPU serves from `file`.
fn models(model: &str, file: &str) -> TempDir {
    let models = tempfile::tempdir().unwrap();
    let folder = models.path().join(model);
    std::fs::create_dir(&folder).unwrap();
    for entry in std::fs::read_dir(root().join("models").join(model)).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "model.toml" {
            symlink(entry.path(), folder.join(entry.file_name())).unwrap();
        }
    }
    let toml = format!("default = true\n\n[variants]\ncpu = \"{file}\"\n");
    std::fs::write(folder.join("model.toml"), toml).unwrap();
    models
}

/// A Python service out of `benches/peers`.
fn peer(python: &Path, arguments: &[&str], images: &str, model: &str, file: &str) -> Server {
    Server::start(|address| {
        let mut command = Command::new(python);
        command.args(arguments).current_dir(root().join("benches/peers"));
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        command.args([if arguments[0] == "-m" { "--host" } else { "--address" }, &host]);
        command.args(["--port", &port]);
        command.env("MODEL_FOLDER", root().join("models").join(model)).env("MODEL_FILE", file);
        command.env("IMAGES", images);
        command.env("ORT_DISABLE_TELEMETRY", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        // Set for a sandbox, it would hold for a peer's numpy too.
        command.env_remove("OPENBLAS_CORETYPE");
        command
    })
}

const FASTAPI: [&str; 13] = [
    "-m",
    "uvicorn",
    "fastapi_app:app",
    "--workers",
    "2",
    "--loop",
    "uvloop",
    "--http",
    "httptools",
    "--no-access-log",
    "--log-level=warning",
    // Longer than the others' turns.
    "--timeout-keep-alive",
    "60",
];
const MOSEC: [&str; 3] = ["mosec_app.py", "--log-level", "error"];

/// A server with its clients, and what was measured of it.
struct Served {
    name: String,
    /// Its answer for one and the same input.
    label: String,
    server: Server,
    crowd: Crowd,
    throughput: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    /// CPU milliseconds an item.
    cpu: Vec<f64>,
    clients_cpu: Vec<f64>,
}

impl Served {
    /// Warmed up.
    fn new(name: String, server: Server, load: Load) -> Self {
        let address = server.address;
        let (label, score) = first_answer(&server, load);
        println!("{name}: {label} {score:.4}");
        let crowd = Crowd::start(1, move || Clients::connect(address, load.clients()));
        crowd.turn(TURN, || []);
        let [throughput, p50, p99, cpu, clients_cpu] = Default::default();
        Self { name, label, server, crowd, throughput, p50, p99, cpu, clients_cpu }
    }

    fn turn(&mut self) {
        let turn = self.crowd.turn(TURN, || [self.server.cpu_seconds(), own_cpu_seconds()]);
        self.throughput.push(turn.throughput);
        self.p50.push(turn.percentile(0.5));
        self.p99.push(turn.percentile(0.99));
        self.cpu.push(turn.spent[0] * 1e3);
        self.clients_cpu.push(turn.spent[1] * 1e3);
    }
}

/// Label and score of the first answer, once there is one.
fn first_answer(server: &Server, load: Load) -> (String, f64) {
    let request = match load {
        Load::Image => request("image/jpeg", &photo()),
        Load::Text => request("application/json", br#"{"text": "It broke after a week."}"#),
    };
    let client = server.answered(&request);
    let answer = client.answer();
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let answer: Value = serde_json::from_slice(&answer[body..]).unwrap();
    let best = &answer["result"][0];
    (best["label"].as_str().unwrap().to_owned(), best["score"].as_f64().unwrap())
}

fn main() {
    let Some(python) = std::env::var_os("PEER_PYTHON").map(PathBuf::from) else {
        println!("peers: not measured; `make peers` does it");
        return;
    };
    let asked = |word: &str| std::env::args().any(|argument| argument == word);
    let load = if asked("text") { Load::Text } else { Load::Image };
    let (peer_name, arguments) =
        if asked("mosec") { ("mosec", &MOSEC[..]) } else { ("FastAPI", &FASTAPI[..]) };
    let (model, variants) = (load.model(), load.variants());
    let mut all = Vec::new();
    for (name, file) in [("float32", "model.onnx"), ("int8", "model.int8.onnx")] {
        for (library, images) in variants {
            let peer = peer(&python, arguments, images, model, file);
            all.push(Served::new(format!("{peer_name}{library}, {name}"), peer, load));
        }
        let onnxd = Command::new(env!("CARGO_BIN_EXE_onnxd"));
        let onnxd = Server::onnxd(onnxd, models(model, file));
        all.push(Served::new(format!("onnxd, {name}"), onnxd, load));
    }
    assert!(all.iter().all(|served| served.label == all[0].label), "the answers differ");
    for _ in 0..ROUNDS {
        for served in &mut all {
            served.turn();
        }
    }
    println!("\n{model}, {CLIENTS} clients, {ROUNDS} turns of {TURN:?}; medians (quartiles)\n");
    println!("| | a second | p50 ms | p99 ms | CPU ms an item | CPU ms of the clients |");
    println!("|---|---|---|---|---|---|");
    for served in &all {
        let cell = |values: &[f64], digits: usize| {
            let [low, median, high] = quartiles(values);
            format!("{median:.digits$} ({low:.digits$} to {high:.digits$})")
        };
        println!(
            "| {} | {} | {} | {} | {} | {} |",
            served.name,
            cell(&served.throughput, 1),
            cell(&served.p50, 1),
            cell(&served.p99, 1),
            cell(&served.cpu, 2),
            cell(&served.clients_cpu, 2)
        );
    }
    println!("\n| ratios of the pairs | median | quartiles |\n|---|---|---|");
    // Of each precision the peers, and then ours.
    let (float32, int8) = all.split_at(variants.len() + 1);
    let (ours, ours_int8) = (float32.last().unwrap(), int8.last().unwrap());
    for (peer, peer_int8) in float32.iter().zip(int8).take(variants.len()) {
        for (ours, peer) in [(ours, peer), (ours_int8, peer), (ours_int8, peer_int8)] {
            let name = format!("{} / {}", ours.name, peer.name);
            row(&format!("{name}: throughput"), &ratios(&ours.throughput, &peer.throughput), 2);
            row(&format!("{name}: p99"), &ratios(&ours.p99, &peer.p99), 2);
        }
    }
}
