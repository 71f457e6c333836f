//! How many inputs make a block: as many as are answered in a moment.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const FIRST: usize = 8;
const MOST: usize = 256;
/// A block that took less than the first gets more inputs next time, one over the second fewer.
const TIME: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(200)];
/// The same for the bytes of its answers.
const BYTES: [usize; 2] = [128 << 10, 512 << 10];

/// The number of inputs in the next block. A block's answers leave together, so it must not take long;
/// and the smaller it is, the more it costs an input.
pub struct Pace(AtomicUsize);

impl Default for Pace {
    fn default() -> Self {
        Self(AtomicUsize::new(FIRST))
    }
}

impl Pace {
    /// At least 1.
    pub fn inputs(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Learns from a block of `inputs`: how long it took and how many bytes its answers have.
    pub fn learn(&self, inputs: usize, time: Duration, bytes: usize) {
        let now = self.inputs();
        let next = if (time > TIME[1] || bytes > BYTES[1]) && inputs > now / 2 {
            (now / 2).max(1)
        } else if time < TIME[0] && bytes < BYTES[0] && inputs >= now {
            (now * 2).min(MOST)
        } else {
            return;
        };
        // Of two at once, either is right.
        self.0.store(next, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_grow_while_they_are_quick_and_shrink_when_they_are_slow_or_large() {
        let pace = Pace::default();
        pace.learn(1, Duration::ZERO, 0);
        assert_eq!(pace.inputs(), FIRST, "a block that was not full tells little");
        for _ in 0..20 {
            pace.learn(pace.inputs(), Duration::from_millis(1), 1000);
        }
        assert_eq!(pace.inputs(), MOST);
        pace.learn(MOST, Duration::from_millis(100), 1000);
        assert_eq!(pace.inputs(), MOST);
        pace.learn(MOST, Duration::from_millis(100), 1 << 20);
        assert_eq!(pace.inputs(), MOST / 2);
        for _ in 0..20 {
            pace.learn(pace.inputs(), Duration::from_secs(1), 1000);
        }
        assert_eq!(pace.inputs(), 1);
    }
}
