//! What counting costs: the time of all that is counted for one request, beside the time that the
//! server takes for one of the smallest there is. `cargo bench --bench metrics`

mod support;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use onnxd::metrics::{Metrics, Outcome};
use support::{Bench, Client, row};

const ROUNDS: usize = 9;
const TURN: Duration = Duration::from_secs(1);
const CLIENTS: usize = 4;

/// What `api/account.rs`, `model/mod.rs` and `runtime/pool.rs` count for one request of one row.
/// Nanoseconds.
fn counting(metrics: &Metrics) -> f64 {
    const TIMES: u32 = 20_000;
    let labels: Vec<Arc<str>> = ["setosa", "versicolor", "virginica"].map(Into::into).to_vec();
    let model = metrics.model("iris", "1", &labels);
    let start = Instant::now();
    for time in 0..TIMES {
        let seconds = f64::from(black_box(time)) * 1e-6;
        model.in_flight.inc();
        for stage in
            [&model.decode, &model.preprocess, &model.queue, &model.infer, &model.postprocess]
        {
            stage.observe(seconds);
        }
        model.batch_size.observe(1.0);
        model.predicted(&labels[0], Some(0.9));
        model.in_flight.dec();
        metrics.http_responses.with_label_values(&["/predict/{model}", "200"]).inc();
        let served = ["iris", "1", "tabular-classification", "predict"];
        metrics.request(served, Outcome::Ok, Some(Duration::from_secs_f64(seconds)));
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES)
}

fn main() {
    let bench = Bench::load(&support::runtime(), "iris", |_| {});
    let address = bench.serve();
    let body = br#"{"features": [[5.1, 3.5, 1.4, 0.2]]}"#;
    let request = support::request("application/json", body);
    let cores = thread::available_parallelism().unwrap().get() as f64;
    let served = || {
        let (start, answered) = (Instant::now(), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let mut client = Client::connect(address);
                    while start.elapsed() < TURN {
                        assert_eq!(client.ask(&request), 200);
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        // Of all cores, the client's part included.
        start.elapsed().as_secs_f64() * cores * 1e9 / answered.into_inner() as f64
    };
    let metrics = Metrics::default();
    served();
    let (mut counted, mut whole, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let pair = (counting(&metrics), served());
        counted.push(pair.0);
        whole.push(pair.1);
        parts.push(pair.0 / pair.1 * 100.0);
    }
    println!("\n| | median | quartiles |\n|---|---|---|");
    row("counting one request, ns", &counted, 0);
    row("serving one row of iris, all cores, ns", &whole, 0);
    row("counting / serving, %", &parts, 2);
}
