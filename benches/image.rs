//! What an image costs: processor time of decoding, pre-processing and the network, in one thread,
//! against the same loop with a full-size decode and against Pillow, numpy and onnxruntime.
//!
//! Every round does each variant once. The other loop is `benches/peers/pillow_loop.py`, run by the
//! Python that `PEER_PYTHON` names (pillow, numpy and onnxruntime of ONNX Runtime's version);
//! without it there are our own rows only. `cargo bench --bench image [ROUNDS]`

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use libjpeg_turbo_rs::{Encoder, PixelFormat, Subsampling};
use onnxd::tasks::image::{ImageLimits, decode};
use onnxd::tensor::Tensor;
use rustix::time::{ClockId, clock_gettime};
use support::{Bench, ImageSteps, photo, quartiles, root};

const WARM_UP: usize = 2;
const ROUNDS: usize = 15;

/// Processor time of this thread so far, in milliseconds.
fn spent() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// Pillow, numpy and onnxruntime in a process of their own.
struct Peer {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start(python: &str, network: &Path) -> Self {
        let mut child = Command::new(python)
            .arg(root().join("benches/peers/pillow_loop.py"))
            .arg(network)
            .env_remove("OPENBLAS_CORETYPE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("PEER_PYTHON");
        let questions = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut peer = Self { child, questions, answers };
        assert_eq!(peer.line(), "ready");
        peer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Milliseconds and the best class.
    fn ask(&mut self, mode: &str, path: &Path) -> (f64, usize) {
        writeln!(self.questions, "{mode} {}", path.display()).unwrap();
        let line = self.line();
        let (time, class) = line.split_once(' ').expect("an answer");
        (time.parse().unwrap(), class.parse().unwrap())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A benchmark that ends otherwise leaves no process behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A photo, and where it lies for the other process.
struct Photo {
    name: &'static str,
    path: PathBuf,
    file: Vec<u8>,
}

/// 12 megapixels with a camera's density of detail: the small photo, mirrored over and over.
fn mosaic() -> (usize, usize, Vec<u8>) {
    let small = decode(&photo(), &ImageLimits::default(), |_, _| 1.0).unwrap().pixels;
    let fold = |at: u32, size: u32| {
        let at = at % (size * 2);
        if at < size { at } else { size * 2 - 1 - at }
    };
    let large = image::RgbImage::from_fn(4000, 3000, |x, y| {
        *small.get_pixel(fold(x, small.width()), fold(y, small.height()))
    });
    (4000, 3000, large.into_raw())
}

fn photos(folder: &Path) -> Vec<Photo> {
    let (width, height, pixels) = mosaic();
    let encode = |progressive| {
        let encoder = Encoder::new(&pixels, width, height, PixelFormat::Rgb);
        let encoder = encoder.quality(90).subsampling(Subsampling::S420);
        encoder.progressive(progressive).encode().unwrap()
    };
    let fixtures = root().join("tests/fixtures/images");
    let fixture = |name: &str| std::fs::read(fixtures.join(name)).unwrap();
    [
        ("640×480", photo()),
        ("12 MP, smooth", fixture("jpeg-12mp.jpg")),
        ("12 MP, smooth, progressive", fixture("jpeg-12mp-progressive.jpg")),
        ("12 MP, detailed", encode(false)),
        ("12 MP, detailed, progressive", encode(true)),
    ]
    .into_iter()
    .enumerate()
    .map(|(index, (name, file))| {
        let path = folder.join(format!("{index}.jpg"));
        std::fs::write(&path, &file).unwrap();
        Photo { name, path, file }
    })
    .collect()
}

fn best(scores: &Tensor) -> usize {
    let Tensor::F32(scores) = scores else { panic!("scores are floats") };
    scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0
}

fn main() {
    let rounds = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(ROUNDS);
    let bench = Bench::load(&support::runtime(), "efficientnet-lite0", |_| {});
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path());
    println!("Processor time in ms, median of {rounds} rounds (quartiles); one thread.");
    for network in ["model.onnx", "model.int8.onnx"] {
        compare(&bench, network, &photos, rounds);
    }
}

fn compare(bench: &Bench, network: &str, photos: &[Photo], rounds: usize) {
    let path = bench.folder.join(network);
    let mut ours = ImageSteps::of(bench.session_of(&path, 1), &bench.folder);
    let mut exact = ImageSteps::of(bench.session_of(&path, 1), &bench.folder);
    exact.preprocessing.exact = true;
    let mut peer = std::env::var("PEER_PYTHON").ok().map(|python| Peer::start(&python, &path));
    println!("\n{network}\n");
    println!(
        "| photo | ours | full-size decode | Pillow | Pillow, draft | ours / full | ours / Pillow | ours / draft |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for photo in photos {
        let mut times: [Vec<f64>; 4] = Default::default();
        let mut classes = [0; 4];
        for round in 0..WARM_UP + rounds {
            let mut note = |index: usize, (time, class): (f64, usize)| {
                classes[index] = class;
                if round >= WARM_UP {
                    times[index].push(time);
                }
            };
            for (index, steps) in [&mut ours, &mut exact].into_iter().enumerate() {
                // Once for nothing, since the variant before left other things in the caches.
                steps.all(&photo.file);
                let start = spent();
                let scores = steps.all(&photo.file);
                note(index, (spent() - start, best(&scores.0[0].1)));
            }
            if let Some(peer) = &mut peer {
                for (index, mode) in [(2, "full"), (3, "draft")] {
                    peer.ask(mode, &photo.path);
                    note(index, peer.ask(mode, &photo.path));
                }
            }
        }
        let classes = &classes[..if peer.is_some() { 4 } else { 2 }];
        if classes.iter().any(|class| class != &classes[0]) {
            println!("{}: best classes {classes:?}", photo.name);
        }
        let cell = |times: &Vec<f64>| match times.as_slice() {
            [] => String::from("–"),
            times => {
                let [low, median, high] = quartiles(times);
                format!("{median:.2} ({low:.2} to {high:.2})")
            }
        };
        let ratio = |other: &Vec<f64>| match other.as_slice() {
            [] => String::from("–"),
            other => format!("{:.3}", quartiles(&times[0])[1] / quartiles(other)[1]),
        };
        let [ours, exact, pillow, draft] = &times;
        let cells = [ours, exact, pillow, draft].map(cell).join(" | ");
        let ratios = [exact, pillow, draft].map(ratio).join(" | ");
        println!("| {}, {} KB | {cells} | {ratios} |", photo.name, photo.file.len() / 1024);
    }
}
