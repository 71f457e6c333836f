//! One turn of a setting under load, and what came of it.

use std::time::Duration;

use crate::load::objective::Objective;

/// What a trial asks of a setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Requests a second, in an open loop.
    pub rate: f64,
    pub length: Duration,
    /// Trials of the same seed have the same pattern of arrivals.
    pub seed: u64,
}

/// What came of it. Latencies are from the instant at which a request should have been sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    pub load: Load,
    pub requests: usize,
    /// `None` if that many were not answered; the same below.
    pub p50: Option<Duration>,
    pub p99: Option<Duration>,
    /// The goal's percentile.
    pub tail: Option<Duration>,
    /// The queue did not grow: what a setting cannot carry shows there before it shows in a generous
    /// objective.
    pub steady: bool,
}

/// What the search is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// The highest rate under an objective.
    Rate(Objective),
    /// The lowest latency at this rate a second, at this percentile.
    Latency { rate: f64, percentile: f64 },
}

/// What a backlog may be at the end of a trial, in parts of its length; with more the queue grows.
const BACKLOG: f64 = 0.05;

impl Trial {
    /// From the latencies of the answered requests, how many others were `missed` (refused, failed or
    /// not answered while anybody waited), and the time from the last arrival to the last answer.
    #[must_use]
    pub fn of(
        load: Load,
        goal: Goal,
        mut latencies: Vec<Duration>,
        missed: usize,
        drain: Duration,
    ) -> Self {
        latencies.sort_unstable();
        let requests = latencies.len() + missed;
        let percentile = |percent: f64| {
            let rank = (requests as f64 * percent / 100.0).ceil() as usize;
            latencies.get(rank.max(1) - 1).copied()
        };
        let least = latencies.first().copied().unwrap_or_default();
        Self {
            load,
            requests,
            p50: percentile(50.0),
            p99: percentile(99.0),
            tail: percentile(goal.percentile()),
            steady: drain <= load.length.mul_f64(BACKLOG) + 3 * least,
        }
    }

    #[must_use]
    pub fn meets(&self, objective: Objective) -> bool {
        self.steady && self.tail.is_some_and(|tail| tail < objective.bound)
    }
}

impl Goal {
    /// The longest that a request may take, where there is such a limit.
    #[must_use]
    pub fn limit(self) -> Option<Duration> {
        match self {
            Self::Rate(objective) => Some(objective.bound),
            Self::Latency { .. } => None,
        }
    }

    #[must_use]
    pub fn percentile(self) -> f64 {
        match self {
            Self::Rate(Objective { percentile, .. }) | Self::Latency { percentile, .. } => {
                percentile
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn trial(milliseconds: &[u32], missed: usize, drain: Duration) -> (Trial, Objective) {
        let load = Load { rate: 100.0, length: 1000 * MS, seed: 0 };
        let objective = "p90<9ms".parse().unwrap();
        let latencies = milliseconds.iter().map(|ms| *ms * MS).collect();
        (Trial::of(load, Goal::Rate(objective), latencies, missed, drain), objective)
    }

    #[test]
    fn requests_without_an_answer_are_the_slowest() {
        let (full, _) = trial(&[5, 1, 2, 4, 3, 6, 7, 8, 9, 10], 0, MS);
        assert_eq!((full.p50, full.p99), (Some(5 * MS), Some(10 * MS)));
        let (missed, _) = trial(&[1, 2, 3, 4, 5, 6, 7, 8, 9], 1, MS);
        assert_eq!((missed.tail, missed.p99, missed.requests), (Some(9 * MS), None, 10));
        assert_eq!(trial(&[], 0, MS).0.p50, None);
    }

    #[test]
    fn an_objective_is_met_below_its_limit_and_while_the_queue_does_not_grow() {
        let meets = |milliseconds: &[u32], missed, drain| {
            let (trial, objective) = trial(milliseconds, missed, drain);
            trial.meets(objective)
        };
        assert!(meets(&[1, 2, 3, 4, 5, 6, 7, 8, 8, 20], 0, MS));
        assert!(!meets(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 20], 0, MS));
        assert!(!meets(&[1, 2, 3, 4, 5, 6, 7, 8, 8, 20], 0, 100 * MS));
        assert!(!meets(&[], 3, MS));
    }
}
