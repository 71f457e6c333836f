//! Served against raw: what the server adds to decode, resize and the session's run.
//!
//! One client thread, the bundled image model, a 640×480 JPEG. Every round measures each step once,
//! so that the machine's changes of speed meet all of them; medians and quartiles are printed.
//! Run with `make bench`.

mod support;

use std::time::{Duration, Instant};

use support::{Bench, Client, ImageSteps, milliseconds, photo, quartiles, request, root, row};

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

    fn median(&self) -> f64 {
        quartiles(&milliseconds(&self.0))[1]
    }
}

fn main() {
    let bench = Bench::load(&support::runtime(), "efficientnet-lite0", |_| {});
    let threads = bench.config.runtime.layout(true).intra_op_threads;
    let mut steps = ImageSteps::new(&bench, threads);
    let mut client = Client::connect(bench.serve());
    let file = photo();
    let request = request("image/jpeg", &file);

    let [mut decoding, mut resizing, mut running, mut sum, mut served] =
        std::array::from_fn(|_| Times::default());
    for round in 0..WARM_UP + ROUNDS {
        if round == WARM_UP {
            for times in [&mut decoding, &mut resizing, &mut running, &mut sum, &mut served] {
                times.0.clear();
            }
        }
        sum.measure(|| {
            let image = decoding.measure(|| steps.decode(&file));
            let tensors = resizing.measure(|| steps.resize(&image));
            running.measure(|| steps.run(&tensors))
        });
        assert_eq!(served.measure(|| client.ask(&request)), 200);
    }

    let network = bench.network.strip_prefix(root()).unwrap_or(&bench.network).display();
    println!(
        "{network}, {threads} threads a run, {ROUNDS} rounds, JPEG of {} KB",
        file.len() / 1024
    );
    println!("\n| step | median ms | quartiles |\n|---|---|---|");
    row("decode", &milliseconds(&decoding.0), 3);
    row("resize, crop, normalise", &milliseconds(&resizing.0), 3);
    row("session run", &milliseconds(&running.0), 3);
    row("these three in a row", &milliseconds(&sum.0), 3);
    row("served over HTTP", &milliseconds(&served.0), 3);
    let three: f64 = [&decoding, &resizing, &running].iter().map(|times| times.median()).sum();
    println!("\nserved / sum of the three medians: {:.3}", served.median() / three);
}
