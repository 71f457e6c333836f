//! The engine by itself: its own cost with a network that does nothing, and what packing by length
//! gains on texts of mixed length. Run with `make bench`.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ndarray::{Array2, ArrayD};
use onnxd::error::Error;
use onnxd::metrics::Metrics;
use onnxd::rows::{Lengths, Rows};
use onnxd::runtime::cancel::Cancel;
use onnxd::runtime::cost::Cost;
use onnxd::runtime::job::Priority;
use onnxd::runtime::pool::{SessionPool, Setup};
use onnxd::runtime::queue::Bounds;
use onnxd::runtime::session::{OnnxSession, Session};
use onnxd::signature::BatchAxis;
use onnxd::tensor::{Tensor, Tensors};
use support::{Bench, row};

const ROUNDS: usize = 9;

/// Gives back what it gets.
struct NoOp;

impl Session for NoOp {
    fn run(&self, inputs: &Tensors, _: &[String], _: &Cancel) -> Result<Tensors, Error> {
        Ok(inputs.clone())
    }
}

/// A real session that counts tokens, with and without padding.
struct Counting {
    session: OnnxSession,
    tokens: Arc<AtomicUsize>,
    padded: Arc<AtomicUsize>,
}

impl Session for Counting {
    fn run(&self, inputs: &Tensors, outputs: &[String], cancel: &Cancel) -> Result<Tensors, Error> {
        if let Some(Tensor::I64(mask)) = inputs.get("attention_mask") {
            self.padded.fetch_add(mask.len(), Ordering::Relaxed);
            self.tokens.fetch_add(usize::try_from(mask.sum()).unwrap(), Ordering::Relaxed);
        }
        self.session.run(inputs, outputs, cancel)
    }
}

fn bounds(max_batch_size: usize, min_efficiency: f64) -> Bounds {
    Bounds {
        max_queue_size: 100_000,
        max_queue_bytes: 1 << 30,
        max_batch_size,
        max_batch_tokens: 16_384,
        min_efficiency,
        max_queue_delay: Duration::ZERO,
    }
}

fn pool(sessions: Vec<Arc<dyn Session>>, bounds: Bounds) -> Arc<SessionPool> {
    let metrics = Arc::new(Metrics::default().model("bench", "1", &[]));
    let (name, axis, cost) = ("bench".to_owned(), BatchAxis::Dynamic, Cost::fit(&[]));
    let setup = Setup { name, axis, bounds, cost, metrics };
    Arc::new(SessionPool::start(sessions, setup).unwrap())
}

fn features() -> Rows {
    Rows::alike(Tensors(vec![("x".into(), ArrayD::<f32>::zeros(vec![1, 4]).into())]))
}

/// Rows a second of many callers, and the median time of a lone one in microseconds.
fn no_op(tokio: &tokio::runtime::Runtime) {
    const CALLERS: usize = 256;
    const ROWS: usize = 200_000;
    let pool = pool(vec![Arc::new(NoOp)], bounds(64, 0.9));
    let (mut throughputs, mut latencies) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        tokio.block_on(async {
            let callers = (0..CALLERS).map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    let names: Arc<[String]> = Arc::new([]);
                    for _ in 0..ROWS / CALLERS {
                        pool.infer(features(), &names, Priority::Interactive).await.unwrap();
                    }
                })
            });
            for caller in callers.collect::<Vec<_>>() {
                caller.await.unwrap();
            }
        });
        throughputs.push((ROWS / CALLERS * CALLERS) as f64 / start.elapsed().as_secs_f64());
        tokio.block_on(async {
            let names: Arc<[String]> = Arc::new([]);
            for _ in 0..2000 {
                let start = Instant::now();
                pool.infer(features(), &names, Priority::Interactive).await.unwrap();
                latencies.push(start.elapsed().as_secs_f64() * 1e6);
            }
        });
    }
    println!("\nA network that does nothing\n\n| | median | quartiles |\n|---|---|---|");
    row(&format!("rows a second, {CALLERS} callers"), &throughputs, 0);
    row("microseconds, one caller", &latencies, 1);
}

/// A text of this many tokens, as the tokenizer would give it.
fn text(tokens: usize) -> Rows {
    let ids = Array2::from_elem((1, tokens), 2204_i64).into_dyn();
    let mask = Array2::from_elem((1, tokens), 1_i64).into_dyn();
    let tensors =
        Tensors(vec![("input_ids".into(), ids.into()), ("attention_mask".into(), mask.into())]);
    let lengths = Lengths { of_rows: vec![tokens], padding: vec![0, 0], left: false };
    Rows::sequences(tensors, lengths)
}

/// 32 callers, every other text long, packed against the order of arrival.
fn mixed_lengths(tokio: &tokio::runtime::Runtime) {
    const CALLERS: usize = 32;
    const TEXTS: usize = 6;
    let bench = Bench::load(&support::runtime(), "sentiment-minilm", |_| {});
    let cores = std::thread::available_parallelism().unwrap().get();
    let start = |min_efficiency| {
        let (tokens, padded) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let session = bench.session(1);
        let session: Arc<dyn Session> =
            Arc::new(Counting { session, tokens: tokens.clone(), padded: padded.clone() });
        (pool(vec![session; cores], bounds(8, min_efficiency)), tokens, padded)
    };
    let names: Arc<[String]> = Arc::new(["logits".to_owned()]);
    let (packed, in_order) = (start(0.9), start(0.0));
    let turn = |(pool, _, _): &(Arc<SessionPool>, _, _)| {
        let start = Instant::now();
        tokio.block_on(async {
            let callers = (0..CALLERS).map(|caller| {
                let (pool, names) = (pool.clone(), names.clone());
                tokio::spawn(async move {
                    for index in 0..TEXTS {
                        let tokens = if (caller + index) % 2 == 0 { 16 } else { 256 };
                        pool.infer(text(tokens), &names, Priority::Interactive).await.unwrap();
                    }
                })
            });
            for caller in callers.collect::<Vec<_>>() {
                caller.await.unwrap();
            }
        });
        (CALLERS * TEXTS) as f64 / start.elapsed().as_secs_f64()
    };
    turn(&packed);
    turn(&in_order);
    for (_, tokens, padded) in [&packed, &in_order] {
        tokens.store(0, Ordering::Relaxed);
        padded.store(0, Ordering::Relaxed);
    }
    let (mut by_length, mut by_arrival, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let pair = (turn(&packed), turn(&in_order));
        by_length.push(pair.0);
        by_arrival.push(pair.1);
        ratios.push(pair.0 / pair.1);
    }
    println!("\nTexts of 16 and 256 tokens\n\n| | median | quartiles |\n|---|---|---|");
    row("texts a second, packed by length", &by_length, 1);
    row("texts a second, in order of arrival", &by_arrival, 1);
    row("packed / in order", &ratios, 3);
    for (name, (_, tokens, padded)) in [("packed", &packed), ("in order", &in_order)] {
        let efficiency =
            tokens.load(Ordering::Relaxed) as f64 / padded.load(Ordering::Relaxed) as f64;
        println!("\npadding efficiency, {name}: {efficiency:.3}");
    }
}

fn main() {
    let tokio = tokio::runtime::Runtime::new().unwrap();
    no_op(&tokio);
    mixed_lengths(&tokio);
}
