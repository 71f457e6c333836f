//! Real texts of mixed length from 32 closed-loop clients over HTTP: packed by length, in the order of
//! arrival, and the same packing in a loop without a server. And what tokenising gains from a second
//! thread. `cargo bench --bench text`

mod support;

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use onnxd::config::BatchSize;
use onnxd::error::Error;
use onnxd::rows::{Part, stack};
use onnxd::runtime::cancel::Cancel;
use onnxd::runtime::job::{Job, Outputs, Priority};
use onnxd::runtime::queue::{Bounds, Queue};
use onnxd::runtime::session::{OnnxSession, Session};
use onnxd::tasks::{Input, Parameters, Stages, Task, Text};
use support::clients::{Clients, Requests};
use support::crowd::{Crowd, Work};
use support::process::own_cpu_seconds;
use support::texts::Texts;
use support::{Bench, row};
use tokio::sync::oneshot;

const MODEL: &str = "sentiment-minilm";
const CLIENTS: usize = 32;
const ROUNDS: usize = 9;
const TURN: Duration = Duration::from_secs(1);

/// The engine without a server: callers who ask again as soon as they are answered, and sessions that
/// tokenise for them, take a batch out of the server's own queue, and run it.
struct Loop {
    queue: Queue,
    task: Box<dyn Task>,
    outputs: Arc<[String]>,
    texts: Texts,
    /// What keeps the jobs in the queue.
    callers: Mutex<Vec<Caller>>,
}

type Caller = (Arc<Job>, oneshot::Receiver<Result<Outputs, Error>>);

impl Loop {
    fn new(bench: &Bench, bounds: Bounds, texts: Texts) -> Self {
        let task = bench.task();
        let outputs = task.outputs().into();
        let engine =
            Self { queue: Queue::new(bounds), task, outputs, texts, callers: Mutex::default() };
        for _ in 0..CLIENTS {
            engine.ask();
        }
        engine
    }

    fn ask(&self) {
        let rows = encode(self.task.as_ref(), self.texts.pick());
        let (job, answer) = Job::new(rows, self.outputs.clone(), Priority::Interactive);
        self.callers.lock().unwrap().push((job.clone(), answer));
        self.queue.push(&job).unwrap();
    }

    /// One batch. Gives the texts in it.
    fn run(&self, session: &mut dyn Session) -> usize {
        let batch = self.queue.take().unwrap();
        let parts: Vec<Part<'_>> =
            batch.iter().map(|share| (&share.job.rows, share.rows.clone())).collect();
        let tensors = stack(&parts).unwrap();
        black_box(session.run(&tensors, &self.outputs, &Cancel::new(1)).unwrap());
        self.callers
            .lock()
            .unwrap()
            .retain(|(job, _)| !batch.iter().any(|share| Arc::ptr_eq(&share.job, job)));
        for _ in &batch {
            self.ask();
        }
        batch.len()
    }
}

/// A thread of the loop.
struct Core {
    engine: Arc<Loop>,
    session: OnnxSession,
}

impl Work for Core {
    fn step(&mut self, times: &mut Vec<Duration>) {
        let start = Instant::now();
        let texts = self.engine.run(&mut self.session);
        times.extend(std::iter::repeat_n(start.elapsed(), texts));
    }
}

fn encode(task: &dyn Task, text: &str) -> onnxd::rows::Rows {
    let text = Text { field: "text".into(), text: text.to_owned(), pair: None };
    task.encode(&Input::Texts(vec![text]), &Parameters::default(), &Stages::default()).unwrap()
}

/// 32 clients of a server of its own, in this process.
fn served(bench: &Bench, texts: Texts) -> Crowd {
    let (address, texts) = (bench.serve(), Arc::new(texts));
    Crowd::start(1, move || {
        let client = |_| {
            let texts = texts.clone();
            Box::new(move || texts.request()) as Requests
        };
        Clients::connect(address, (0..CLIENTS).map(client).collect())
    })
}

/// Turns of one way of serving.
#[derive(Default)]
struct Measured {
    throughputs: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    milliseconds: Vec<f64>,
}

impl Measured {
    fn add(&mut self, crowd: &Crowd) -> f64 {
        let turn = crowd.turn(TURN, || [own_cpu_seconds()]);
        self.throughputs.push(turn.throughput);
        self.p50.push(turn.percentile(0.5));
        self.p99.push(turn.percentile(0.99));
        self.milliseconds.push(turn.spent[0] * 1e3);
        turn.throughput
    }

    fn print(&self, name: &str) {
        row(&format!("{name}: texts a second"), &self.throughputs, 1);
        row(&format!("{name}: CPU ms a text, all of this process"), &self.milliseconds, 2);
    }

    fn print_latencies(&self, name: &str) {
        row(&format!("{name}: p50 ms"), &self.p50, 1);
        row(&format!("{name}: p99 ms"), &self.p99, 1);
    }
}

fn compare(name: &str, packed: &Arc<Bench>, texts: impl Fn() -> Texts) {
    let bounds = packed.bounds;
    let in_order = Bench::load(&packed.runtime, MODEL, |config| {
        let rows = NonZeroUsize::new(bounds.max_batch_size).unwrap();
        config.runtime.max_batch_size = BatchSize::Rows(rows);
        config.runtime.max_batch_tokens = NonZeroUsize::new(bounds.max_batch_tokens).unwrap();
        config.runtime.min_padding_efficiency = 0.0;
    });
    let cores = thread::available_parallelism().unwrap().get();
    let engine = Arc::new(Loop::new(packed, bounds, texts()));
    let bench = packed.clone();
    let by_hand =
        Crowd::start(cores, move || Core { session: bench.session(1), engine: engine.clone() });
    let packed = served(packed, texts());
    let in_order = served(&in_order, texts());
    let crowds = [&packed, &by_hand, &in_order];
    for crowd in crowds {
        crowd.turn(TURN, || []);
    }
    let mut measured: [Measured; 3] = Default::default();
    let (mut of_raw, mut of_in_order) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut turn = |index: usize| measured[index].add(crowds[index]);
        let (packed, raw, in_order) = (turn(0), turn(1), turn(2));
        of_raw.push(packed / raw);
        of_in_order.push(packed / in_order);
    }
    let Bounds { max_batch_size, max_batch_tokens, .. } = bounds;
    println!("\n{name}; at most {max_batch_size} texts and {max_batch_tokens} tokens in a run\n");
    println!("| | median | quartiles |\n|---|---|---|");
    let names = ["served, packed", "by hand, same packing", "served, in order of arrival"];
    for (measured, name) in measured.iter().zip(names) {
        measured.print(name);
    }
    measured[0].print_latencies(names[0]);
    measured[2].print_latencies(names[2]);
    row("served / by hand", &of_raw, 3);
    row("packed / in order of arrival", &of_in_order, 3);
}

/// Texts a second that are tokenised, a thread, by one thread and by one a core.
fn tokenising(bench: &Bench) {
    let task: Arc<dyn Task> = bench.task().into();
    let cores = thread::available_parallelism().unwrap().get();
    let start = |threads| {
        let (task, texts) = (task.clone(), Arc::new(Texts::of(1..=12)));
        Crowd::start(threads, move || {
            let (task, texts) = (task.clone(), texts.clone());
            move || {
                black_box(encode(task.as_ref(), texts.pick()));
            }
        })
    };
    let (alone, together) = (start(1), start(cores));
    let (mut one, mut each, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let pair = (
            alone.turn(TURN / 2, || []).throughput,
            together.turn(TURN / 2, || []).throughput / cores as f64,
        );
        one.push(pair.0);
        each.push(pair.1);
        ratios.push(pair.1 / pair.0);
    }
    println!("\nTokenising alone, paragraphs\n\n| | median | quartiles |\n|---|---|---|");
    row("texts a second, one thread", &one, 0);
    row(&format!("texts a second and thread, {cores} threads"), &each, 0);
    row("each of them / one alone", &ratios, 3);
}

fn main() {
    let bench = Arc::new(Bench::load(&support::runtime(), MODEL, |_| {}));
    tokenising(&bench);
    compare("Single sentences", &bench, || Texts::of(1..=1));
    compare("Paragraphs of 1 to 12 sentences", &bench, || Texts::of(1..=12));
}
