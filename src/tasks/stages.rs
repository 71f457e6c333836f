//! How long the parts of pre-processing took, for `Server-Timing`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Collects the time that decoding takes; items decoded side by side add up.
#[derive(Debug, Default)]
pub struct Stages {
    decode: AtomicU64,
}

impl Stages {
    /// Runs `work` and counts its time as decoding.
    pub fn decoding<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        let spent = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.decode.fetch_add(spent, Ordering::Relaxed);
        result
    }

    #[must_use]
    pub fn decode(&self) -> Duration {
        Duration::from_nanos(self.decode.load(Ordering::Relaxed))
    }
}
