//! Looks for the rate at which an objective is just met, by turns that only say yes or no.
//!
//! A turn that met the objective raises the rate, two in a row that did not lower it; each change of
//! direction makes the steps smaller. One disturbed turn is so asked again, and two of them move the
//! result by a step and not by a half of the range, as they would a bisection.

/// Smallest step between rates.
const FINEST: f64 = 1.04;
/// First step of a search that begins anywhere.
const COARSE: f64 = 1.6;
/// First step of one that goes on from where another has ended.
const FINE: f64 = 1.25;

#[derive(Debug, Clone, PartialEq)]
pub struct Staircase {
    /// Of the next turn, requests a second.
    rate: f64,
    /// The rate is never lower: who cannot do that much cannot meet the objective.
    floor: f64,
    step: f64,
    met: Option<bool>,
    /// The rate that was asked before.
    before: f64,
    /// The last turn did not meet it, and is asked again.
    doubt: bool,
    /// The middles between one rate and the next, since the first change of direction.
    swings: Vec<f64>,
}

impl Staircase {
    #[must_use]
    pub fn new(rate: f64, floor: f64) -> Self {
        Self {
            rate,
            floor,
            step: COARSE,
            met: None,
            before: rate,
            doubt: false,
            swings: Vec::new(),
        }
    }

    /// Goes on about the rate that was found, with fresh eyes and small steps.
    #[must_use]
    pub fn refined(&self) -> Self {
        let (rate, step) = match self.estimates().as_slice() {
            // Still on its way down.
            [rate] if *rate == 0.0 => (self.rate, COARSE),
            rates => (rates[rates.len() / 2], FINE),
        };
        Self { step, ..Self::new(rate, self.floor) }
    }

    #[must_use]
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// The turn at [`Self::rate`] met the objective or not.
    pub fn turn(&mut self, met: bool) {
        let has_met = self.met == Some(true) || !self.swings.is_empty();
        self.doubt = has_met && !met && !self.doubt;
        if self.doubt {
            return;
        }
        let turned = self.met.is_some_and(|last| last != met);
        if turned {
            self.step = self.step.sqrt().max(FINEST);
        }
        if turned || !self.swings.is_empty() {
            self.swings.push((self.before * self.rate).sqrt());
        }
        self.before = self.rate;
        self.met = Some(met);
        self.rate =
            if met { self.rate * self.step } else { (self.rate / self.step).max(self.floor) };
    }

    /// What the turns say, in rising order; never empty. 0 if none has met it yet.
    #[must_use]
    pub fn estimates(&self) -> Vec<f64> {
        let mut estimates = self.swings.clone();
        if estimates.is_empty() {
            estimates.push(if self.met == Some(true) { self.before } else { 0.0 });
        }
        estimates.sort_by(f64::total_cmp);
        estimates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(stairs: &Staircase) -> f64 {
        stairs.estimates()[stairs.estimates().len() / 2]
    }

    fn climb(stairs: &mut Staircase, turns: usize, met: impl Fn(usize, f64) -> bool) {
        for turn in 0..turns {
            let rate = stairs.rate();
            stairs.turn(met(turn, rate));
        }
    }

    #[test]
    fn it_finds_the_rate_from_below_and_from_above() {
        for start in [3.0, 100.0, 900.0] {
            let mut stairs = Staircase::new(start, 1.0);
            climb(&mut stairs, 24, |_, rate| rate <= 100.0);
            let mut stairs = stairs.refined();
            climb(&mut stairs, 12, |_, rate| rate <= 100.0);
            assert!((found(&stairs) / 100.0 - 1.0).abs() < 0.06, "{start}: {stairs:?}");
        }
    }

    #[test]
    fn disturbed_turns_do_not_move_it() {
        for disturbed in 0..12 {
            let mut stairs = Staircase::new(80.0, 1.0);
            climb(&mut stairs, 20, |turn, rate| turn % 12 != disturbed && rate <= 100.0);
            let found = found(&stairs);
            assert!((found / 100.0 - 1.0).abs() < 0.1, "{disturbed}: {found}");
        }
    }

    #[test]
    fn what_never_meets_it_carries_nothing_and_ends_at_the_floor() {
        let mut stairs = Staircase::new(80.0, 10.0);
        climb(&mut stairs, 30, |_, _| false);
        assert_eq!((stairs.estimates(), stairs.rate()), (vec![0.0], 10.0));
        assert_eq!(stairs.refined().rate(), 10.0);
    }
}
