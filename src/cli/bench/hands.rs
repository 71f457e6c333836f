//! The same work by hand: in loops on all cores, and one item after the other on one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, anyhow};

use super::inputs::Item;
use crate::load::cpu::Meter;
use crate::load::turn::Turn;
use crate::model::{ByHand, Model};

/// Threads with a session each.
pub struct Hands {
    workers: Vec<Worker>,
}

/// A thread of its own, on which a task's parallel iterators stay.
struct Worker {
    thread: rayon::ThreadPool,
    hands: ByHand,
    next: usize,
}

/// What is done in a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loop {
    /// The session's run, on rows that were made before.
    Run,
    /// Decoding and pre-processing.
    Encode,
    All,
}

/// The steps of one turn, each as if it were all there is.
#[derive(Default)]
pub struct Steps {
    pub decode: Turn,
    pub preprocess: Turn,
    pub run: Turn,
    /// All of them in a row.
    pub all: Turn,
}

impl Hands {
    /// # Errors
    /// The model's file or a thread cannot be had.
    pub fn new(model: &Arc<Model>, workers: usize, threads: usize) -> anyhow::Result<Self> {
        let worker = || {
            let thread = rayon::ThreadPoolBuilder::new().num_threads(1).build();
            Ok(Worker {
                thread: thread.context("cannot start a thread")?,
                hands: ByHand::open(model, threads).map_err(Error::msg)?,
                next: 0,
            })
        };
        Ok(Self { workers: (0..workers).map(|_| worker()).collect::<anyhow::Result<_>>()? })
    }

    pub fn first(&self) -> Option<&ByHand> {
        self.workers.first().map(|worker| &worker.hands)
    }

    /// One turn of a loop on all threads.
    ///
    /// # Errors
    /// An item that the model does not take, a run that fails.
    pub fn turn(&mut self, items: &[Item], what: Loop, time: Duration) -> anyhow::Result<Steps> {
        let meter = Meter::start(None);
        let threads = self.workers.len();
        let done = std::thread::scope(|scope| {
            let running: Vec<_> = self
                .workers
                .iter_mut()
                .map(|worker| scope.spawn(move || worker.work(items, what, time)))
                .collect();
            running
                .into_iter()
                .map(|running| running.join().map_err(|_| anyhow!("a loop by hand panicked"))?)
                .collect::<anyhow::Result<Vec<_>>>()
        })?;
        let (_, own_cpu) = meter.stop();
        let mut steps = Steps::default();
        for times in done {
            steps.decode.answered.extend(times.decode);
            steps.preprocess.answered.extend(times.preprocess);
            steps.run.answered.extend(times.run);
            steps.all.answered.extend(times.all);
        }
        for turn in [&mut steps.decode, &mut steps.preprocess, &mut steps.run, &mut steps.all] {
            turn.time = turn.answered.iter().sum::<Duration>() / threads as u32;
        }
        steps.all.own_cpu = own_cpu;
        Ok(steps)
    }
}

#[derive(Default)]
struct Times {
    decode: Vec<Duration>,
    preprocess: Vec<Duration>,
    run: Vec<Duration>,
    all: Vec<Duration>,
}

impl Worker {
    fn work(&mut self, items: &[Item], what: Loop, time: Duration) -> anyhow::Result<Times> {
        let Self { thread, hands, next } = self;
        thread.install(|| {
            let (start, mut times) = (Instant::now(), Times::default());
            while start.elapsed() < time {
                *next = (*next + 1) % items.len();
                let item = &items[*next];
                let began = Instant::now();
                let encoded = match &item.input {
                    Some(input) if what != Loop::Run => Some(hands.encode(input)?),
                    _ => None,
                };
                if let Some(encoded) = &encoded {
                    times.decode.push(encoded.decode);
                    times.preprocess.push(encoded.preprocess);
                }
                if what != Loop::Encode {
                    let rows = encoded.as_ref().map_or(&item.rows, |encoded| &encoded.rows);
                    let before = Instant::now();
                    std::hint::black_box(hands.run(rows)?);
                    times.run.push(before.elapsed());
                }
                drop(encoded);
                times.all.push(began.elapsed());
            }
            Ok(times)
        })
    }
}
