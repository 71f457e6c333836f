//! How far stopping has come, and what is still in work.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;

/// Shared by the connections of one port.
#[derive(Default)]
pub struct Drain {
    /// Answers ask clients to go.
    pub draining: CancellationToken,
    /// No new connection, no further request on those there are.
    pub stopping: CancellationToken,
    /// Whatever is left ends now.
    pub aborting: CancellationToken,
    in_work: AtomicUsize,
    answered: AtomicU64,
}

/// What became of the requests after the signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Answered after the signal.
    pub answered: u64,
    /// Still in work when the grace period was over.
    pub aborted: usize,
    /// Connections that were still open then.
    pub connections: usize,
}

impl Drain {
    /// A request is in work.
    pub fn begins(&self) {
        self.in_work.fetch_add(1, Ordering::Relaxed);
    }

    /// A request is not in work any more, answered or not.
    pub fn ends(&self) {
        self.in_work.fetch_sub(1, Ordering::Relaxed);
    }

    /// A request is answered. Only those after the signal are counted.
    pub fn answers(&self) {
        if self.draining.is_cancelled() {
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn outcome(&self, connections: usize) -> Drained {
        Drained {
            answered: self.answered.load(Ordering::Relaxed),
            aborted: self.in_work.load(Ordering::Relaxed),
            connections,
        }
    }
}
