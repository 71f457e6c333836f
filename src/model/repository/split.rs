//! Requests shared out over versions by weight.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Takes turns rather than chances: in every stretch of requests each version gets its share to within
/// one, so that a canary of 1 % gets its first request among the first hundred, and a test can count.
#[derive(Default)]
pub struct Split {
    shares: Mutex<Vec<Share>>,
}

#[derive(Clone, Copy)]
struct Share {
    version: u64,
    weight: i64,
    /// What it has not been given yet, in units of a request over the sum of the weights.
    owed: i64,
}

impl Split {
    pub fn new(weights: &BTreeMap<u64, u32>) -> Self {
        let share = |(version, weight): (&u64, &u32)| Share {
            version: *version,
            weight: i64::from(*weight),
            owed: 0,
        };
        let shares = weights.iter().filter(|(_, weight)| **weight > 0).map(share).collect();
        Self { shares: Mutex::new(shares) }
    }

    pub fn versions(&self) -> impl Iterator<Item = u64> + use<> {
        let shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner).clone();
        shares.into_iter().map(|share| share.version)
    }

    /// The version whose turn it is, of those that `can` answer; `None` without one.
    pub fn next(&self, can: impl Fn(u64) -> bool) -> Option<u64> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = 0;
        for share in shares.iter_mut().filter(|share| can(share.version)) {
            share.owed += share.weight;
            sum += share.weight;
        }
        let able = shares.iter_mut().filter(|share| can(share.version));
        let chosen = able.max_by_key(|share| share.owed)?;
        chosen.owed -= sum;
        Some(chosen.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stretch_of_requests_has_the_shares() {
        let split = Split::new(&BTreeMap::from([(1, 90), (2, 9), (3, 1), (4, 0)]));
        for _ in 0..3 {
            let turns: Vec<u64> = (0..100).filter_map(|_| split.next(|_| true)).collect();
            let count = |version| turns.iter().filter(|turn| **turn == version).count();
            assert_eq!([1, 2, 3, 4].map(count), [90, 9, 1, 0]);
        }
    }

    #[test]
    fn what_cannot_answer_is_passed_over() {
        let split = Split::new(&BTreeMap::from([(1, 1), (2, 1), (3, 2)]));
        let turns: Vec<u64> = (0..4).filter_map(|_| split.next(|version| version != 3)).collect();
        assert_eq!(turns.iter().filter(|turn| **turn == 1).count(), 2);
        assert!(split.next(|_| false).is_none());
        assert!(Split::default().next(|_| true).is_none());
    }
}
