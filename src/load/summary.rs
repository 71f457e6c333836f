//! Figures of what was measured: percentiles of times, quartiles of ratios.

use std::time::Duration;

use serde::Serialize;

/// A distribution of times, in milliseconds; all zero if there were none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Summary {
    pub count: usize,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

impl Summary {
    /// Exact percentiles by nearest rank: `p90` is the least time that nine tenths do not exceed.
    #[must_use]
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<f64> = times.into_iter().map(milliseconds).collect();
        times.sort_by(f64::total_cmp);
        let Some(max) = times.last().copied() else { return Self::default() };
        Self {
            count: times.len(),
            mean: times.iter().sum::<f64>() / times.len() as f64,
            p50: rank(&times, 0.50),
            p90: rank(&times, 0.90),
            p99: rank(&times, 0.99),
            max,
        }
    }
}

/// First quartile, median and third quartile; NaN for no values.
#[must_use]
pub fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    [0.25, 0.5, 0.75].map(|part| rank(&values, part))
}

/// The median; NaN for no values.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    quartiles(values)[1]
}

#[must_use]
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The value that this part (0 to 1) of the sorted values does not exceed.
fn rank(sorted: &[f64], part: f64) -> f64 {
    let index = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(index.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank_whatever_the_order() {
        let summary = Summary::of((1..=200).rev().map(Duration::from_millis));
        assert_eq!(summary.count, 200);
        assert_eq!((summary.p50, summary.p90, summary.p99), (100.0, 180.0, 198.0));
        assert_eq!((summary.mean, summary.max), (100.5, 200.0));
        let one = Summary::of([Duration::from_micros(1500)]);
        assert_eq!((one.p50, one.p99, one.max), (1.5, 1.5, 1.5));
    }

    #[test]
    fn nothing_has_no_times() {
        assert_eq!(Summary::of([]), Summary::default());
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn quartiles_of_few_values() {
        assert_eq!(quartiles(&[4.0, 1.0, 3.0, 2.0]), [1.0, 2.0, 3.0]);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    }
}
