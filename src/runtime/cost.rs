//! What a run costs, and what is done before it: measured or estimated first, corrected by everything that
//! was done since.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Each run moves the correction by this part of what it differs.
const LEARNING: f64 = 0.05;
/// Values after which a mean is no guess any more.
const FEW: u32 = 20;

/// One measured run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    pub rows: usize,
    /// Tokens, padding included; for rows that are all alike, the rows.
    pub units: usize,
    pub time: Duration,
}

/// Time against units: a fixed part a run and a part a unit.
pub struct Cost {
    fixed: f64,
    per_unit: f64,
    /// Observed over predicted time.
    correction: Average,
    units_per_row: Average,
}

/// A mean that follows lasting changes: each value moves it by `LEARNING` of the difference.
pub struct Average {
    mean: AtomicU64,
    /// Values so far, as long as they are few.
    seen: AtomicU32,
}

impl Average {
    /// With a measured value.
    #[must_use]
    pub fn new(start: f64) -> Self {
        Self { mean: AtomicU64::new(start.to_bits()), seen: AtomicU32::new(FEW) }
    }

    /// With a guess, which counts as one of the first values.
    #[must_use]
    pub fn guessed(start: f64) -> Self {
        Self { seen: AtomicU32::new(1), ..Self::new(start) }
    }

    pub fn add(&self, value: f64) {
        let seen = self.seen.load(Ordering::Relaxed);
        if seen < FEW {
            self.seen.store(seen + 1, Ordering::Relaxed);
        }
        let weight = LEARNING.max(1.0 / f64::from(seen + 1));
        let mean = self.get() * (1.0 - weight) + value * weight;
        // Of two at the same moment one may be lost, which a mean can bear.
        self.mean.store(mean.to_bits(), Ordering::Relaxed);
    }

    pub fn get(&self) -> f64 {
        f64::from_bits(self.mean.load(Ordering::Relaxed))
    }
}

/// What is usual among positive values that may differ by orders of magnitude: their geometric mean, so that
/// a few large ones among many small ones do not count for more than they are. 0 as long as none is known.
pub struct Usual(Average);

impl Default for Usual {
    fn default() -> Self {
        Self(Average { seen: AtomicU32::new(0), ..Average::new(0.0) })
    }
}

impl Usual {
    pub fn add(&self, value: f64) {
        if value > 0.0 {
            self.0.add(value.ln());
        }
    }

    pub fn get(&self) -> f64 {
        if self.0.seen.load(Ordering::Relaxed) == 0 { 0.0 } else { self.0.get().exp() }
    }
}

/// What pieces of decoding and tokenising take of a thread: an estimate by what can be seen of them
/// beforehand, corrected by what the pieces of its kind took so far.
pub struct PieceCost(Vec<Average>);

impl PieceCost {
    #[must_use]
    pub fn new(kinds: usize) -> Self {
        Self(std::iter::repeat_with(|| Average::guessed(1.0)).take(kinds).collect())
    }

    #[must_use]
    pub fn predict(&self, kind: usize, estimate: Duration) -> Duration {
        let correction = self.0.get(kind).map_or(1.0, Average::get);
        Duration::try_from_secs_f64(estimate.as_secs_f64() * correction).unwrap_or(estimate)
    }

    /// Learns from a piece.
    pub fn observe(&self, kind: usize, estimate: Duration, took: Duration) {
        if let Some(correction) = self.0.get(kind).filter(|_| !estimate.is_zero()) {
            let ratio = took.as_secs_f64() / estimate.as_secs_f64();
            correction.add(ratio.clamp(0.01, 100.0));
        }
    }
}

impl Cost {
    /// The line through the smallest and the largest sample; of nothing, a cost of nothing.
    #[must_use]
    pub fn fit(samples: &[Sample]) -> Self {
        let seconds = |sample: &Sample| sample.time.as_secs_f64();
        let (fixed, per_unit) = match samples {
            [] => (0.0, 0.0),
            [only] => (0.0, seconds(only) / only.units.max(1) as f64),
            [first, .., last] => {
                let units = last.units.saturating_sub(first.units).max(1) as f64;
                let per_unit = ((seconds(last) - seconds(first)) / units).max(0.0);
                let fixed = (seconds(first) - per_unit * first.units as f64).max(0.0);
                (fixed, per_unit)
            }
        };
        let units_per_row =
            samples.last().map_or(1.0, |last| last.units as f64 / last.rows.max(1) as f64);
        let (correction, units_per_row) = (Average::new(1.0), Average::new(units_per_row));
        Self { fixed, per_unit, correction, units_per_row }
    }

    /// The time that these runs take, with this many units in all, one after the other.
    #[must_use]
    pub fn predict(&self, runs: usize, units: usize) -> Duration {
        let seconds = self.fixed * runs as f64 + self.per_unit * units as f64;
        Duration::from_secs_f64(seconds * self.correction.get())
    }

    /// Units of a usual row.
    pub fn units_per_row(&self) -> f64 {
        self.units_per_row.get()
    }

    /// Learns from a run.
    pub fn observe(&self, rows: usize, units: usize, time: Duration) {
        self.units_per_row.add(units as f64 / rows.max(1) as f64);
        let predicted = self.fixed + self.per_unit * units as f64;
        if predicted > 0.0 {
            // One slow run is chance; only a lasting change is to count.
            let ratio = (time.as_secs_f64() / predicted).clamp(0.1, 10.0);
            self.correction.add(ratio);
        }
    }
}

/// The part of a run's time by which it may be worse than the best.
const NEAR: f64 = 0.05;

/// The smallest number of rows that is as good as any: its time a row is within a twentieth of the
/// best. 1 if nothing was measured.
#[must_use]
pub fn best_batch_size(samples: &[Sample]) -> usize {
    let per_row = |sample: &Sample| sample.time.as_secs_f64() / sample.rows.max(1) as f64;
    let best = samples.iter().map(per_row).fold(f64::INFINITY, f64::min);
    samples
        .iter()
        .find(|sample| per_row(sample) <= best * (1.0 + NEAR))
        .map_or(1, |sample| sample.rows)
}

/// The smallest number of units that is as good as any, by the line through the samples: with it, the
/// fixed part of a run, which costs more than was measured once the sizes change from run to run, is
/// a fortieth of the rest. Never less than what [`best_batch_size`] measured.
#[must_use]
pub fn best_batch_units(samples: &[Sample]) -> usize {
    let Cost { fixed, per_unit, .. } = Cost::fit(samples);
    let by_line = if per_unit > 0.0 { 2.0 * fixed / per_unit / NEAR } else { f64::INFINITY };
    let row = samples.last().map_or(1, |last| last.units.div_ceil(last.rows.max(1)));
    (by_line as usize).max(best_batch_size(samples) * row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rows: usize, milliseconds: u64) -> Sample {
        Sample { rows, units: rows, time: Duration::from_millis(milliseconds) }
    }

    #[test]
    fn a_model_that_gains_nothing_from_batches_gets_none() {
        let line = [sample(1, 10), sample(2, 20), sample(4, 40), sample(8, 82)];
        assert_eq!(best_batch_size(&line), 1);
        let gains = [sample(1, 10), sample(2, 12), sample(4, 16), sample(8, 32)];
        assert_eq!(best_batch_size(&gains), 4);
        assert_eq!(best_batch_size(&[]), 1);
    }

    #[test]
    fn a_run_has_as_many_tokens_as_the_model_gains_from() {
        let sample = |rows, microseconds| Sample {
            rows,
            units: rows * 30,
            time: Duration::from_micros(microseconds),
        };
        // 1.5 ms a run and 50 µs a token.
        let texts = [sample(1, 3_000), sample(2, 4_500), sample(4, 7_500), sample(8, 13_500)];
        let units = best_batch_units(&texts);
        assert!((1190..=1210).contains(&units), "{units}");
        // A line that was measured as if a run were free says nothing against the batch that was
        // measured.
        assert_eq!(best_batch_units(&[sample(1, 3_000), sample(2, 6_000)]), 30);
        assert_eq!(best_batch_units(&[sample(1, 3_000), sample(2, 3_000)]), usize::MAX);
    }

    #[test]
    fn the_line_predicts_and_learns() {
        let cost = Cost::fit(&[sample(1, 12), sample(3, 16)]);
        assert_eq!(cost.predict(2, 5), Duration::from_millis(30));
        for _ in 0..500 {
            cost.observe(5, 5, Duration::from_millis(40));
        }
        let learnt = cost.predict(1, 5).as_millis();
        assert!((39..=41).contains(&learnt), "{learnt}");
    }

    #[test]
    fn the_usual_is_what_most_are() {
        let usual = Usual::default();
        usual.add(0.0);
        assert_eq!(usual.get(), 0.0);
        usual.add(0.005);
        assert!((usual.get() - 0.005).abs() < 1e-9, "the first is all that is known");
        for _ in 0..10 {
            usual.add(6.4);
            (0..20).for_each(|_| usual.add(0.005));
        }
        assert!(usual.get() < 0.01, "{}", usual.get());
    }

    #[test]
    fn an_estimate_is_corrected_by_its_kind_and_soon() {
        let (ms, cost) = (Duration::from_millis, PieceCost::new(2));
        assert_eq!(cost.predict(0, ms(10)), ms(10));
        for _ in 0..30 {
            cost.observe(0, ms(10), ms(40));
        }
        let learnt = cost.predict(0, ms(20)).as_millis();
        assert!((75..=80).contains(&learnt), "{learnt}");
        assert_eq!(cost.predict(1, ms(10)), ms(10), "another kind");
        assert_eq!(cost.predict(9, ms(10)), ms(10));
    }
}
