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
use support::crowd::{Crowd, Work, by_turns, ratios};
use support::texts::Texts;
use support::{Bench, row};
use tokio::sync::oneshot;

const MODEL: &str = "sentiment-minilm";
const CLIENTS: usize = 32;
const ROUNDS: usize = 9;
const TURN: Duration = Duration::from_millis(1500);

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
    fn run(&self, session: &dyn Session) -> usize {
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
        let texts = self.engine.run(&self.session);
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
    let measured = by_turns([&packed, &by_hand, &in_order], ROUNDS, TURN);
    let Bounds { max_batch_size, max_batch_tokens, .. } = bounds;
    println!("\n{name}; at most {max_batch_size} texts and {max_batch_tokens} tokens in a run\n");
    println!("| | median | quartiles |\n|---|---|---|");
    let names = ["served, packed", "by hand, same packing", "served, in order of arrival"];
    for (measured, name) in measured.iter().zip(names) {
        row(&format!("{name}: texts a second"), &measured.throughput, 1);
        row(&format!("{name}: CPU ms a text, all of this process"), &measured.cpu, 2);
    }
    let [packed, by_hand, in_order] = &measured;
    for (measured, name) in [(packed, names[0]), (in_order, names[2])] {
        row(&format!("{name}: p50 ms"), &measured.p50, 1);
        row(&format!("{name}: p99 ms"), &measured.p99, 1);
    }
    row("served / by hand", &ratios(&packed.throughput, &by_hand.throughput), 3);
    let of_in_order = ratios(&packed.throughput, &in_order.throughput);
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
    let [one, mut each] = by_turns([&alone, &together], ROUNDS, TURN / 2);
    each.throughput.iter_mut().for_each(|all| *all /= cores as f64);
    println!("\nTokenising alone, paragraphs\n\n| | median | quartiles |\n|---|---|---|");
    row("texts a second, one thread", &one.throughput, 0);
    row(&format!("texts a second and thread, {cores} threads"), &each.throughput, 0);
    row("each of them / one alone", &ratios(&each.throughput, &one.throughput), 3);
}

fn main() {
    let bench = Arc::new(Bench::load(&support::runtime(), MODEL, |_| {}));
    tokenising(&bench);
    compare("Single sentences", &bench, || Texts::of(1..=1));
    compare("Paragraphs of 1 to 12 sentences", &bench, || Texts::of(1..=12));
}
