//! Whether a model is right as often as it says.

use serde::Serialize;

/// Bins of equal width between 0 and 1.
pub const BINS: usize = 15;

/// Items by the probability of their prediction.
#[derive(Debug, Clone, Default)]
pub struct Calibration {
    bins: [Counts; BINS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    items: u64,
    right: u64,
    confidence: f64,
}

/// The items whose probability is above `from` and not above `to`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    pub from: f64,
    pub to: f64,
    pub items: u64,
    /// Mean probability; 0 without items.
    pub confidence: f64,
    /// Share of the items whose prediction is right; 0 without items.
    pub accuracy: f64,
}

impl Calibration {
    /// An item whose prediction has this probability, 0 to 1.
    pub fn add(&mut self, confidence: f64, right: bool) {
        let bin = (confidence * BINS as f64).ceil() as usize;
        let counts = &mut self.bins[bin.clamp(1, BINS) - 1];
        counts.items += 1;
        counts.right += u64::from(right);
        counts.confidence += confidence;
    }

    #[must_use]
    pub fn bins(&self) -> Vec<Bin> {
        let edge = |index: usize| index as f64 / BINS as f64;
        let bin = |(index, counts): (usize, &Counts)| {
            let items = counts.items.max(1) as f64;
            Bin {
                from: edge(index),
                to: edge(index + 1),
                items: counts.items,
                confidence: counts.confidence / items,
                accuracy: counts.right as f64 / items,
            }
        };
        self.bins.iter().enumerate().map(bin).collect()
    }

    /// Expected calibration error: by how much probability and accuracy differ, over all items.
    #[must_use]
    pub fn expected_error(&self) -> f64 {
        let items: u64 = self.bins.iter().map(|bin| bin.items).sum();
        let gap = |bin: &Bin| bin.items as f64 * (bin.accuracy - bin.confidence).abs();
        self.bins().iter().map(gap).sum::<f64>() / items.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_holds_its_upper_edge_and_not_its_lower() {
        let mut calibration = Calibration::default();
        for confidence in [0.0, 1.0 / 15.0, 0.2, 0.2001, 1.0] {
            calibration.add(confidence, true);
        }
        let items: Vec<u64> = calibration.bins().iter().map(|bin| bin.items).collect();
        assert_eq!(items, [2, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn the_error_is_the_mean_gap_between_what_is_said_and_what_is_so() {
        let mut calibration = Calibration::default();
        for right in [true, true, true, false] {
            calibration.add(0.95, right);
        }
        assert!((calibration.expected_error() - 0.2).abs() < 1e-12);
        calibration.add(0.55, true);
        assert!((calibration.expected_error() - (0.8 + 0.45) / 5.0).abs() < 1e-12);
        assert_eq!(Calibration::default().expected_error(), 0.0);
    }
}
