//! Counts of one version of a model as the Open Inference Protocol's statistics extension tells them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often something happened, and how long it took in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    pub count: u64,
    pub time: Duration,
}

impl Spent {
    fn add(&mut self, time: Duration) {
        self.count += 1;
        self.time += time;
    }
}

/// All counts at one moment. Times are of requests, but for `batches`, which are of runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Milliseconds since 1970; 0 before the first.
    pub last_inference: u64,
    /// Rows that were answered.
    pub inferences: u64,
    pub success: Spent,
    pub fail: Spent,
    pub queue: Spent,
    /// Everything before the queue: decoding, resizing, tokenising.
    pub input: Spent,
    pub infer: Spent,
    /// Post-processing.
    pub output: Spent,
    /// Runs by the number of rows in them.
    pub batches: BTreeMap<usize, Spent>,
}

impl Counts {
    /// Runs of a session.
    #[must_use]
    pub fn executions(&self) -> u64 {
        self.batches.values().map(|batch| batch.count).sum()
    }
}

/// Where one answered request's time went.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    pub rows: usize,
    pub queue: Duration,
    pub input: Duration,
    pub infer: Duration,
    pub output: Duration,
}

#[derive(Debug, Default)]
pub struct Statistics(Mutex<Counts>);

impl Statistics {
    pub fn answered(&self, request: Answered) {
        let Answered { rows, queue, input, infer, output } = request;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut counts = self.counts();
        counts.last_inference = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        counts.inferences += rows as u64;
        counts.success.add(queue + input + infer + output);
        counts.queue.add(queue);
        counts.input.add(input);
        counts.infer.add(infer);
        counts.output.add(output);
    }

    pub fn failed(&self, time: Duration) {
        self.counts().fail.add(time);
    }

    /// A session ran a batch of this many rows.
    pub fn ran(&self, rows: usize, time: Duration) {
        self.counts().batches.entry(rows).or_default().add(time);
    }

    #[must_use]
    pub fn snapshot(&self) -> Counts {
        self.counts().clone()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
