//! What one turn of load brought.

use std::time::Duration;

/// Answers that ended within the turn's time, and how.
#[derive(Debug, Clone, Default)]
pub struct Turn {
    pub time: Duration,
    /// From the moment at which a request was sent, or should have been, to the end of its answer.
    pub answered: Vec<Duration>,
    /// Open loop alone: requests that were given up, with the time until then.
    pub given_up: Vec<Duration>,
    /// Other statuses than 200, and connections that broke.
    pub failed: usize,
    /// One of the failures, in words.
    pub failure: Option<String>,
    /// Open loop alone: how much later than it should have a request was sent.
    pub late: Vec<Duration>,
    /// Of the server, if its process is known.
    pub server_cpu: Option<Duration>,
    /// Of this process.
    pub own_cpu: Duration,
}

impl Turn {
    /// Requests that came into the turn's time.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.answered.len() + self.given_up.len() + self.failed
    }

    /// Answers within this time.
    #[must_use]
    pub fn within(&self, bound: Duration) -> usize {
        self.answered.iter().filter(|took| **took < bound).count()
    }

    /// Answers a second.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        self.answered.len() as f64 / self.time.as_secs_f64()
    }
}
