//! Bars that a model must clear: `accuracy=0.76`.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A metric and a number.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    pub metric: String,
    pub value: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    AtLeast,
    AtMost,
}

/// A bar and whether it is cleared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    pub metric: String,
    pub bound: Bound,
    pub bar: f64,
    /// `None` where the metric does not exist for these scores; the bar is then missed.
    pub value: Option<f64>,
    pub met: bool,
}

impl FromStr for Bar {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected for example accuracy=0.76, got `{text}`");
        let (metric, value) = text.split_once('=').ok_or_else(expected)?;
        let value: f64 = value.trim().parse().map_err(|_| expected())?;
        let metric = metric.trim();
        if metric.is_empty() || !value.is_finite() {
            return Err(expected());
        }
        Ok(Self { metric: metric.to_owned(), value })
    }
}

impl Verdict {
    #[must_use]
    pub fn of(bar: &Bar, bound: Bound, value: Option<f64>) -> Self {
        let met = value.is_some_and(|value| match bound {
            Bound::AtLeast => value >= bar.value,
            Bound::AtMost => value <= bar.value,
        });
        Self { metric: bar.metric.clone(), bound, bar: bar.value, value, met }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { metric, bar, .. } = self;
        let bound = match self.bound {
            Bound::AtLeast => "at least",
            Bound::AtMost => "at most",
        };
        match self.value {
            Some(value) => write!(f, "{metric} is {value:.6}, which should be {bound} {bar}"),
            None => write!(f, "{metric} should be {bound} {bar}, and these scores have none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_a_name_and_a_finite_number() {
        let bar = Bar { metric: "accuracy".to_owned(), value: 0.76 };
        assert_eq!("accuracy=0.76".parse(), Ok(bar));
        for text in ["accuracy", "accuracy=", "=1", "ece<0.1", "ece=NaN"] {
            assert!(text.parse::<Bar>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_bar_is_met_by_the_very_number_and_missed_by_none() {
        let bar: Bar = "accuracy=0.772".parse().unwrap();
        let met = |bound, value| Verdict::of(&bar, bound, value).met;
        assert!(met(Bound::AtLeast, Some(1544.0 / 2000.0)));
        assert!(!met(Bound::AtLeast, Some(1543.0 / 2000.0)));
        assert!(met(Bound::AtMost, Some(0.772)) && !met(Bound::AtMost, Some(0.773)));
        assert!(!met(Bound::AtMost, None));
    }
}
