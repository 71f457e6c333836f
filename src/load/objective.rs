//! An objective for latency, and the search for the highest rate that meets it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use humantime_serde::re::humantime::parse_duration;

use super::turn::Turn;

/// That a part of all requests is answered within a time: `p99<50ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Objective {
    /// Of a hundred requests.
    pub percent: u8,
    pub bound: Duration,
}

impl Objective {
    /// Whether these turns together meet it. A request that failed or was given up took too long.
    #[must_use]
    pub fn is_met<'a>(&self, turns: impl IntoIterator<Item = &'a Turn>) -> bool {
        let (mut within, mut asked) = (0, 0);
        for turn in turns {
            within += turn.within(self.bound);
            asked += turn.asked();
        }
        asked > 0 && within * 100 >= asked * usize::from(self.percent)
    }
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (percent, bound) = text.split_once('<')?;
            let percent = percent.trim().strip_prefix('p')?.parse().ok()?;
            let bound = parse_duration(bound.trim()).ok()?;
            ((1..=99).contains(&percent) && !bound.is_zero()).then_some(Self { percent, bound })
        };
        parse().ok_or_else(|| "expected p1 to p99, < and a time, such as p99<50ms".to_owned())
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}<{:?}", self.percent, self.bound)
    }
}

/// Finds the knee: the highest rate that meets an objective. Halves what lies between the highest rate
/// that is known to meet it and the lowest that is not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Search {
    met: f64,
    missed: f64,
}

/// Where the search ends: ends that are this near to each other.
const NEAR: f64 = 1.04;

impl Search {
    /// From rates that were tried, and whether they met the objective. Where all of them did, `beyond`
    /// counts as one that does not, or what is a quarter above the highest.
    #[must_use]
    pub fn between(tried: &[(f64, bool)], beyond: f64) -> Self {
        let missed = tried.iter().filter(|(_, met)| !met).map(|(rate, _)| *rate);
        let missed = missed.fold(f64::INFINITY, f64::min);
        // A rate that met it by luck, above one that did not, is no proof.
        let met = tried.iter().filter(|(rate, met)| *met && *rate < missed).map(|(rate, _)| *rate);
        let met = met.fold(0.0, f64::max);
        Self { met, missed: if missed.is_finite() { missed } else { beyond.max(met * 1.25) } }
    }

    /// The rate to be tried next; `None` if the knee is known well enough.
    #[must_use]
    pub fn candidate(&self) -> Option<f64> {
        (self.met * NEAR < self.missed).then_some(f64::midpoint(self.met, self.missed))
    }

    /// Learns whether a rate met the objective.
    pub fn tell(&mut self, rate: f64, met: bool) {
        if met {
            self.met = rate;
        } else {
            self.missed = rate;
        }
    }

    /// The highest rate that met the objective; `None` if none did.
    #[must_use]
    pub fn knee(&self) -> Option<f64> {
        (self.met > 0.0).then_some(self.met)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_are_read_and_told() {
        let objective: Objective = "p99<50ms".parse().unwrap();
        assert_eq!(objective, Objective { percent: 99, bound: Duration::from_millis(50) });
        assert_eq!("p50 < 1s".parse::<Objective>().unwrap().to_string(), "p50<1s");
        for text in ["", "50ms", "p99", "p100<1s", "p0<1s", "p99<0s", "p99<50", "p99>50ms"] {
            assert!(text.parse::<Objective>().unwrap_err().contains("p99<50ms"), "{text}");
        }
    }

    #[test]
    fn what_failed_or_was_given_up_took_too_long() {
        let objective = Objective { percent: 90, bound: Duration::from_millis(10) };
        let mut turn = Turn { answered: vec![Duration::from_millis(1); 9], ..Turn::default() };
        assert!(objective.is_met([&turn]));
        turn.failed = 1;
        assert!(objective.is_met([&turn]));
        turn.given_up.push(Duration::from_millis(1));
        assert!(!objective.is_met([&turn]));
        assert!(!objective.is_met([&Turn::default()]));
    }

    #[test]
    fn the_knee_of_a_curve_is_found() {
        // Latency of a server that carries 300 a second; the objective is 50 ms.
        let met = |rate: f64| rate < 300.0 && 5.0 / (1.0 - rate / 300.0) < 50.0;
        for tried in [&[60.0, 120.0, 180.0, 240.0, 300.0][..], &[30.0, 100.0], &[290.0, 400.0]] {
            let tried: Vec<_> = tried.iter().map(|rate| (*rate, met(*rate))).collect();
            let mut search = Search::between(&tried, 375.0);
            let mut steps = 0;
            while let Some(rate) = search.candidate() {
                search.tell(rate, met(rate));
                steps += 1;
            }
            let knee = search.knee().unwrap();
            assert!((259.0..=270.0).contains(&knee) && steps < 10, "{knee} after {steps}");
        }
        assert_eq!(Search::between(&[(10.0, true), (20.0, false), (30.0, true)], 0.0).met, 10.0);
    }
}
