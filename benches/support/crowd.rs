//! Threads that work in turns.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::process::own_cpu_seconds;

/// Threads that work while their turn lasts.
pub struct Crowd(Arc<Shared>);

struct Shared {
    active: AtomicBool,
    measured: AtomicBool,
    gate: Barrier,
    times: Mutex<Vec<Duration>>,
}

/// What a thread of a crowd does.
pub trait Work {
    /// Gets on with it, and adds how long each item took that was done.
    fn step(&mut self, times: &mut Vec<Duration>);

    /// The turn is over: whatever is still in work comes to its end.
    fn rest(&mut self) {}
}

/// One item at a call.
impl<F: FnMut()> Work for F {
    fn step(&mut self, times: &mut Vec<Duration>) {
        let start = Instant::now();
        self();
        times.push(start.elapsed());
    }
}

/// What was measured in a crowd's turn.
pub struct Turn<const METERS: usize> {
    /// Items a second.
    pub throughput: f64,
    /// What each meter has run on by, an item.
    pub spent: [f64; METERS],
    /// How long each item took, in rising order.
    times: Vec<Duration>,
}

impl Crowd {
    /// `worker` makes each thread's work.
    pub fn start<W: Work>(size: usize, worker: impl Fn() -> W + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            active: AtomicBool::new(false),
            measured: AtomicBool::new(false),
            gate: Barrier::new(size + 1),
            times: Mutex::default(),
        });
        let worker = Arc::new(worker);
        for _ in 0..size {
            let (shared, worker) = (shared.clone(), worker.clone());
            thread::spawn(move || shared.work(worker()));
        }
        Self(shared)
    }

    /// Measures for this long, out of a longer turn: what comes before all are in work, and after some
    /// have stopped, is another load. Counts what ends in this time.
    pub fn turn<const METERS: usize>(
        &self,
        length: Duration,
        meters: impl Fn() -> [f64; METERS],
    ) -> Turn<METERS> {
        let Shared { active, measured, gate, times } = &*self.0;
        active.store(true, Ordering::Relaxed);
        gate.wait();
        thread::sleep(length / 4);
        let (start, before) = (Instant::now(), meters());
        measured.store(true, Ordering::Relaxed);
        thread::sleep(length);
        measured.store(false, Ordering::Relaxed);
        let (seconds, after) = (start.elapsed().as_secs_f64(), meters());
        active.store(false, Ordering::Relaxed);
        gate.wait();
        let mut times = std::mem::take(&mut *times.lock().unwrap());
        times.sort_unstable();
        let items = times.len() as f64;
        let spent = std::array::from_fn(|meter| (after[meter] - before[meter]) / items);
        Turn { throughput: items / seconds, spent, times }
    }
}

/// What was measured of a crowd, a value a turn.
#[derive(Default)]
pub struct Measured {
    /// Items a second.
    pub throughput: Vec<f64>,
    /// Milliseconds.
    pub p50: Vec<f64>,
    pub p99: Vec<f64>,
    /// Milliseconds of all of this process's threads an item.
    pub cpu: Vec<f64>,
}

/// Crowds that take turns, in this order. A first round warms up.
pub fn by_turns<const CROWDS: usize>(
    crowds: [&Crowd; CROWDS],
    rounds: usize,
    length: Duration,
) -> [Measured; CROWDS] {
    let mut all = std::array::from_fn(|_| Measured::default());
    for crowd in crowds {
        crowd.turn(length, || []);
    }
    for _ in 0..rounds {
        for (crowd, measured) in crowds.iter().zip(&mut all) {
            let turn = crowd.turn(length, || [own_cpu_seconds()]);
            measured.throughput.push(turn.throughput);
            measured.p50.push(turn.percentile(0.5));
            measured.p99.push(turn.percentile(0.99));
            measured.cpu.push(turn.spent[0] * 1e3);
        }
    }
    all
}

/// Of each turn.
pub fn ratios(of: &[f64], over: &[f64]) -> Vec<f64> {
    of.iter().zip(over).map(|(of, over)| of / over).collect()
}

impl Shared {
    fn work(&self, mut work: impl Work) {
        loop {
            self.gate.wait();
            let (mut own, mut unmeasured) = (Vec::new(), Vec::new());
            while self.active.load(Ordering::Relaxed) {
                work.step(&mut unmeasured);
                if self.measured.load(Ordering::Relaxed) {
                    own.append(&mut unmeasured);
                }
                unmeasured.clear();
            }
            work.rest();
            self.times.lock().unwrap().append(&mut own);
            self.gate.wait();
        }
    }
}

impl<const METERS: usize> Turn<METERS> {
    /// Milliseconds; `part` of the items took no longer.
    pub fn percentile(&self, part: f64) -> f64 {
        let rank = (self.times.len() as f64 * part).ceil() as usize;
        self.times[rank.saturating_sub(1)].as_secs_f64() * 1e3
    }
}
