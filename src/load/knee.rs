//! The knee: the highest rate at which a server still meets an objective.

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
