//! How long a request that was taken on may wait before it is begun. What nobody has begun by then is
//! refused, since those who come after it would be late as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};

/// The bound of one model, which is lower while it is asked for more than it can do.
#[derive(Debug)]
pub struct Patience {
    usual: Duration,
    base: Instant,
    /// Nanoseconds; counts until the other, which are nanoseconds after `base`.
    tight: AtomicU64,
    until: AtomicU64,
}

/// When a request was taken on, and how long it may wait.
#[derive(Debug, Clone)]
pub struct Due {
    pub since: Instant,
    /// That many times as long as others.
    pub times: u32,
    pub patience: Arc<Patience>,
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Patience {
    #[must_use]
    pub fn new(usual: Duration, now: Instant) -> Self {
        Self { usual, base: now, tight: AtomicU64::new(0), until: AtomicU64::new(0) }
    }

    /// Nothing waits longer than `bound` up to this moment. Not lasting, so that what waits when the
    /// crowd has gone is served.
    pub fn tighten(&self, bound: Duration, until: Instant) {
        self.tight.store(nanoseconds(bound), Ordering::Relaxed);
        self.until.store(nanoseconds(until.duration_since(self.base)), Ordering::Relaxed);
    }

    #[must_use]
    pub fn bound(&self, now: Instant) -> Duration {
        match nanoseconds(now.duration_since(self.base)) < self.until.load(Ordering::Relaxed) {
            true => Duration::from_nanos(self.tight.load(Ordering::Relaxed)).min(self.usual),
            false => self.usual,
        }
    }
}

impl Due {
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.since) > self.patience.bound(now) * self.times
    }

    /// What is told to a request of which this is over.
    #[must_use]
    pub fn refusal(&self) -> Error {
        let waited = self.since.elapsed();
        let detail = format!(
            "more work came than can be done, and this request was not begun within {} ms; try again \
             later",
            waited.as_millis()
        );
        Error::new(ErrorKind::Overloaded, detail).because("overload").retry_after(waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tighter_bound_counts_for_a_time() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let patience = Arc::new(Patience::new(ms(1000), start));
        patience.tighten(ms(50), start + ms(300));
        let due = Due { since: start, times: 1, patience: patience.clone() };
        assert!(!due.is_over(start + ms(50)) && due.is_over(start + ms(51)));
        assert!(!due.is_over(start + ms(300)), "the crowd has gone");
        assert!(due.is_over(start + ms(1001)));
        patience.tighten(ms(5000), start + ms(900));
        assert_eq!(patience.bound(start), ms(1000), "never longer than usual");
    }
}
