//! Elastic parallelism against the two fixed layouts, one session over all cores and a single-threaded
//! one a core: closed-loop callers of a model in this process, the layouts by turns.
//!
//! Run with `make bench`, or for some models alone: `cargo bench --bench elastic -- image-int8 text`.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use onnxd::config::ServerConfig;
use onnxd::model::{Model, Terms};
use onnxd::runtime::library::Runtime;
use onnxd::tasks::{Image, ImageSource, Input, Parameters, Text};
use support::{Bench, photo, quartiles, root};

const CALLERS: [usize; 5] = [1, 2, 4, 8, 32];
const ROUNDS: usize = 5;
const TURN: Duration = Duration::from_millis(400);

/// What a caller asks, each a little different, since identical requests would share a run.
type Ask = fn(usize) -> Input;

fn image(caller: usize) -> Input {
    let mut file = photo();
    // After the image's end; no part of the picture.
    file.push(caller as u8);
    let source = ImageSource::File(Bytes::from(file), None);
    Input::Images(vec![Image { field: "image".into(), source }])
}

/// 128 tokens. The blanks make none.
fn text(caller: usize) -> Input {
    let text = "good ".repeat(126) + &" ".repeat(caller);
    Input::Texts(vec![Text { field: "text".into(), text, pair: None }])
}

struct Layout {
    name: &'static str,
    model: Arc<Model>,
    rates: Vec<f64>,
    latencies: Vec<f64>,
}

fn layouts(runtime: &Runtime, folder: &std::path::Path, model: &str) -> [Layout; 3] {
    let cores = std::thread::available_parallelism().unwrap().get();
    let load = |name, change: &dyn Fn(&mut ServerConfig)| {
        let bench = Bench::load_from(runtime, folder, model, change);
        let model = bench.repository.find(model, None).unwrap();
        Layout { name, model, rates: Vec::new(), latencies: Vec::new() }
    };
    [
        load("one session over all cores", &|config| {
            (config.runtime.instances, config.runtime.intra_op_threads) = (1, cores);
        }),
        load("one session a core", &|config| {
            (config.runtime.instances, config.runtime.intra_op_threads) = (cores, 1);
        }),
        load("elastic", &|_| {}),
    ]
}

/// Answers a second, and the median milliseconds of one.
fn turn(tokio: &tokio::runtime::Runtime, model: &Arc<Model>, callers: usize, ask: Ask) -> [f64; 2] {
    let stop = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let times: Vec<f64> = tokio.block_on(async {
        let callers = (0..callers).map(|caller| {
            let (model, stop, input) = (model.clone(), stop.clone(), ask(caller));
            tokio::spawn(async move {
                let mut times = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    let asked = (input.clone(), Parameters::default(), Terms::default());
                    model.predict(asked.0, asked.1, asked.2).await.unwrap();
                    times.push(start.elapsed().as_secs_f64() * 1e3);
                }
                times
            })
        });
        let callers: Vec<_> = callers.collect();
        tokio::time::sleep(TURN).await;
        stop.store(true, Ordering::Relaxed);
        let mut times = Vec::new();
        for caller in callers {
            times.extend(caller.await.unwrap());
        }
        times
    });
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    [rate, quartiles(&times)[1]]
}

fn compare(tokio: &tokio::runtime::Runtime, name: &str, mut layouts: [Layout; 3], ask: Ask) {
    println!(
        "\n{name}\n\n| callers | layout | a second | quartiles | p50 ms |\n|---|---|---|---|---|"
    );
    for callers in CALLERS {
        let mut ratios = Vec::new();
        // The first round warms up.
        for round in 0..=ROUNDS {
            for layout in &mut layouts {
                let [rate, latency] = turn(tokio, &layout.model, callers, ask);
                if round == 0 {
                    layout.rates.clear();
                    layout.latencies.clear();
                } else {
                    layout.rates.push(rate);
                    layout.latencies.push(latency);
                }
            }
        }
        let [wide, narrow, elastic] = &layouts;
        let medians = [wide, narrow].map(|layout| quartiles(&layout.rates)[1]);
        let better = if medians[0] > medians[1] { wide } else { narrow };
        for (elastic, better) in elastic.rates.iter().zip(&better.rates) {
            ratios.push(elastic / better);
        }
        for layout in &layouts {
            let [low, median, high] = quartiles(&layout.rates);
            let latency = quartiles(&layout.latencies)[1];
            println!(
                "| {callers} | {} | {median:.1} | {low:.1} to {high:.1} | {latency:.2} |",
                layout.name
            );
        }
        let [low, median, high] = quartiles(&ratios);
        println!("| {callers} | elastic / the better | {median:.3} | {low:.3} to {high:.3} | |");
    }
}

/// The image model without its `model.toml`, which would choose the int8 network.
fn fp32() -> tempfile::TempDir {
    let models = tempfile::tempdir().unwrap();
    let to = models.path().join("efficientnet-lite0");
    std::fs::create_dir(&to).unwrap();
    for file in ["model.onnx", "labels.txt", "preprocessor_config.json"] {
        let from = root().join("models/efficientnet-lite0").join(file);
        std::fs::copy(from, to.join(file)).unwrap();
    }
    models
}

fn main() {
    let runtime = support::runtime();
    let tokio = tokio::runtime::Runtime::new().unwrap();
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    println!("{ROUNDS} rounds of turns of {TURN:?}");
    let bundled = root().join("models");
    if wanted("image-int8") {
        let layouts = layouts(&runtime, &bundled, "efficientnet-lite0");
        compare(&tokio, "640×480 JPEG, efficientnet-lite0 int8", layouts, image);
    }
    if wanted("image-fp32") {
        let folder = fp32();
        let layouts = layouts(&runtime, folder.path(), "efficientnet-lite0");
        compare(&tokio, "640×480 JPEG, efficientnet-lite0 fp32", layouts, image);
    }
    if wanted("text") {
        let layouts = layouts(&runtime, &bundled, "sentiment-minilm");
        compare(&tokio, "text of 128 tokens, sentiment-minilm int8", layouts, text);
    }
}
