//! A setting in the contest, and what its trials said of it so far.

use std::time::Duration;

use super::candidates::{Candidate, Setting};
use super::staircase::Staircase;
use super::trial::{Goal, Trial};
use crate::config::Layout;
use crate::load::summary::quartiles;

/// What a setting comes to on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    pub layout: Layout,
    /// Rows.
    pub max_batch_size: usize,
    /// What loading it added to the process, in bytes; `None` where the system does not tell.
    pub memory: Option<usize>,
}

#[derive(Debug, Clone)]
pub struct Entrant {
    pub setting: Setting,
    pub loaded: Loaded,
    /// Of the last round that it was in.
    pub trials: Vec<Trial>,
    /// At rates from low to too high, to be drawn.
    pub curve: Vec<Trial>,
    goal: Goal,
    stairs: Staircase,
    /// The last round that it was in, counted from 1.
    pub round: usize,
}

/// First quartile, median and third quartile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

/// The first rate that is tried, in parts of what single runs promise.
const START: f64 = 0.5;
/// Who does not meet the objective at this part of it never will.
const FLOOR: f64 = 0.02;

impl Entrant {
    #[must_use]
    pub fn new(candidate: Candidate, loaded: Loaded, goal: Goal) -> Self {
        let Candidate { setting, bound } = candidate;
        let stairs = Staircase::new(bound * START, bound * FLOOR);
        Self { setting, loaded, trials: Vec::new(), curve: Vec::new(), goal, stairs, round: 0 }
    }

    /// Another setting that goes on from where this one is.
    #[must_use]
    pub fn variant(&self, setting: Setting, loaded: Loaded) -> Self {
        Self { setting, loaded, ..self.clone() }
    }

    /// Forgets its last round, but not where that ended.
    pub fn begin(&mut self, round: usize) {
        if !self.trials.is_empty() {
            self.stairs = self.stairs.refined();
        }
        self.trials.clear();
        self.round = round;
    }

    /// Requests a second of the next turn.
    #[must_use]
    pub fn rate(&self) -> f64 {
        match self.goal {
            Goal::Rate(_) => self.stairs.rate(),
            Goal::Latency { rate, .. } => rate,
        }
    }

    pub fn turn(&mut self, trial: Trial) {
        if let Goal::Rate(objective) = self.goal {
            self.stairs.turn(trial.meets(objective));
        }
        self.trials.push(trial);
    }

    /// How good it is: more is better. The rate that it carries, or for a given rate one over the
    /// latency in seconds, which is 0 where the rate is too much.
    #[must_use]
    pub fn merit(&self) -> Spread {
        match self.goal {
            Goal::Rate(_) => Spread::of(&self.stairs.estimates()),
            Goal::Latency { .. } => {
                let latency = |trial: &Trial| trial.tail.filter(|_| trial.steady);
                let merit = |latency: Duration| 1.0 / latency.as_secs_f64().max(1e-9);
                let merits: Vec<f64> =
                    self.trials.iter().map(|trial| latency(trial).map_or(0.0, merit)).collect();
                Spread::of(&merits)
            }
        }
    }

    /// Whether it met the goal at all in its last round.
    #[must_use]
    pub fn meets(&self) -> bool {
        match self.goal {
            Goal::Rate(_) => self.trials.iter().any(|trial| self.met(trial)),
            Goal::Latency { .. } => self.merit().median > 0.0,
        }
    }

    fn met(&self, trial: &Trial) -> bool {
        match self.goal {
            Goal::Rate(objective) => trial.meets(objective),
            Goal::Latency { .. } => trial.steady && trial.tail.is_some(),
        }
    }

    /// The rate that it is told with: the one that it carries, 0 if it met the objective at none, or
    /// the one that was asked for.
    #[must_use]
    pub fn told_rate(&self) -> f64 {
        match self.goal {
            Goal::Rate(_) => self.merit().median,
            Goal::Latency { rate, .. } => rate,
        }
    }

    /// The median trial's value at about that rate, or at the lowest that was tried, of the trials that
    /// met the goal if there are any; `None` if it had no answer to give.
    #[must_use]
    pub fn at_rate(&self, value: impl Fn(&Trial) -> Option<Duration>) -> Option<Duration> {
        let any = self.meets();
        let trials = || self.trials.iter().filter(move |trial| !any || self.met(trial));
        let lowest = trials().map(|trial| trial.load.rate).fold(f64::INFINITY, f64::min);
        let rate = Some(self.told_rate()).filter(|rate| *rate > 0.0).unwrap_or(lowest);
        let distance = |trial: &Trial| (trial.load.rate / rate).ln().abs();
        let nearest = trials().map(distance).fold(f64::INFINITY, f64::min);
        let near = trials().filter(|trial| distance(trial) <= nearest + 0.05);
        let mut values: Vec<_> = near.map(|trial| value(trial).unwrap_or(Duration::MAX)).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().filter(|value| *value < Duration::MAX)
    }
}

impl Spread {
    /// Of no values all zero.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        if values.is_empty() {
            return Self { low: 0.0, median: 0.0, high: 0.0 };
        }
        let [low, median, high] = quartiles(values);
        Self { low, median, high }
    }

    /// Better by more than what either swings: its first quartile is over the other's third, and its
    /// median over the other's by a twentieth at least.
    #[must_use]
    pub fn clearly_over(&self, other: &Self) -> bool {
        self.low > other.high && self.median > other.median * 1.05
    }
}
