//! How far predicted values are from the true ones.

use fastrand::Rng;
use serde::Serialize;

/// Points that are kept for the plot.
const SAMPLE: usize = 1500;

/// Sums over the items, of which a random sample is kept.
#[derive(Debug, Clone)]
pub struct Regression {
    items: u64,
    absolute: f64,
    squares: f64,
    signed: f64,
    /// Of the true values, by Welford's method.
    mean: f64,
    deviations: f64,
    sample: Vec<[f64; 2]>,
    random: Rng,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RegressionMetrics {
    /// Mean absolute error, in the value's unit.
    pub mae: f64,
    /// Root of the mean squared error, in the value's unit.
    pub rmse: f64,
    /// Share of the values' variance that is predicted; `None` of fewer than two items.
    pub r2: Option<f64>,
    /// Mean of prediction minus value: above 0 where predictions are too high.
    pub mean_error: f64,
}

impl Default for Regression {
    fn default() -> Self {
        let random = Rng::with_seed(0);
        let [absolute, squares, signed, mean, deviations] = [0.0; 5];
        let sample = Vec::new();
        Self { items: 0, absolute, squares, signed, mean, deviations, sample, random }
    }
}

impl Regression {
    /// An item's true value and the predicted one.
    pub fn add(&mut self, value: f64, predicted: f64) {
        let error = predicted - value;
        self.items += 1;
        self.absolute += error.abs();
        self.squares += error * error;
        self.signed += error;
        let before = value - self.mean;
        self.mean += before / self.items as f64;
        self.deviations += before * (value - self.mean);
        // Each item is as likely as any other to be in the sample.
        if self.sample.len() < SAMPLE {
            self.sample.push([value, predicted]);
        } else if let Some(place) = self.sample.get_mut(self.random.u64(..self.items) as usize) {
            *place = [value, predicted];
        }
    }

    #[must_use]
    pub fn metrics(&self) -> RegressionMetrics {
        let items = self.items.max(1) as f64;
        let r2 = match (self.items, self.deviations, self.squares) {
            (0 | 1, ..) => None,
            // All values are the same: as scikit-learn has it.
            (_, 0.0, 0.0) => Some(1.0),
            (_, 0.0, _) => Some(0.0),
            (_, deviations, squares) => Some(1.0 - squares / deviations),
        };
        RegressionMetrics {
            mae: self.absolute / items,
            rmse: (self.squares / items).sqrt(),
            r2,
            mean_error: self.signed / items,
        }
    }

    /// True and predicted values of a random sample.
    #[must_use]
    pub fn sample(&self) -> &[[f64; 2]] {
        &self.sample
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_all_the_same_have_no_variance_to_predict() {
        let metrics = |pairs: &[[f64; 2]]| {
            let mut regression = Regression::default();
            for [value, predicted] in pairs {
                regression.add(*value, *predicted);
            }
            regression.metrics()
        };
        assert_eq!(metrics(&[[1.0, 2.0]]).r2, None);
        assert_eq!(metrics(&[[1.0, 1.0], [1.0, 1.0]]).r2, Some(1.0));
        assert_eq!(metrics(&[[1.0, 1.0], [1.0, 2.0]]).r2, Some(0.0));
        assert_eq!(metrics(&[[1.0, 2.0], [3.0, 2.0]]).mean_error, 0.0);
    }

    #[test]
    fn the_sample_is_bounded_and_holds_late_items_too() {
        let mut regression = Regression::default();
        for item in 0..10_000 {
            regression.add(f64::from(item), 0.0);
        }
        assert_eq!(regression.sample().len(), SAMPLE);
        assert!(regression.sample().iter().any(|[value, _]| *value > 9000.0));
    }
}
