//! `p99<50ms`: how many of the requests must be answered in which time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// A latency that a percentile of the requests must stay under.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// Of the requests that were sent, in percent: over 0 and under 100.
    pub percentile: f64,
    pub bound: Duration,
}

impl FromStr for Objective {
    type Err = String;

    /// # Errors
    /// One sentence that says what is wrong, and an example.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{what}: expected for example p99<50ms");
        let (percentile, limit) =
            text.split_once('<').ok_or_else(|| wrong(&format!("no `<` in `{text}`")))?;
        let (percentile, limit) = (percentile.trim(), limit.trim());
        let number = percentile.strip_prefix(['p', 'P']).filter(|digits| {
            // `f64` would also read signs, exponents and words.
            digits.chars().all(|c| c.is_ascii_digit() || c == '.')
        });
        let number = number.and_then(|digits| digits.parse::<f64>().ok());
        let Some(number) = number.filter(|number| *number > 0.0 && *number < 100.0) else {
            return Err(wrong(&format!("`{percentile}` is no percentile over 0 and under 100")));
        };
        let limit = humantime::parse_duration(limit)
            .map_err(|error| wrong(&format!("`{limit}` is no duration ({error})")))?;
        if limit.is_zero() {
            return Err(wrong("a latency is longer than 0"));
        }
        Ok(Self { percentile: number, bound: limit })
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}<{}", self.percentile, humantime::format_duration(self.bound))
    }
}

impl Serialize for Objective {
    /// As it is written on the command line.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_and_a_duration_are_read_and_written() {
        for (text, percentile, microseconds) in [
            ("p99<50ms", 99.0, 50_000),
            ("p50<1s", 50.0, 1_000_000),
            ("p99.9 < 2500us", 99.9, 2500),
            ("P90<1s 500ms", 90.0, 1_500_000),
        ] {
            let objective: Objective = text.parse().unwrap();
            let bound = Duration::from_micros(microseconds);
            assert_eq!(objective, Objective { percentile, bound }, "{text}");
            assert_eq!(objective.to_string().parse(), Ok(objective), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_an_example() {
        for (text, said) in [
            ("50ms", "no `<` in `50ms`"),
            ("99<50ms", "`99` is no percentile"),
            ("p0<50ms", "`p0` is no percentile"),
            ("p100<50ms", "`p100` is no percentile"),
            ("pinf<50ms", "`pinf` is no percentile"),
            ("p99<50", "`50` is no duration"),
            ("p99<", "`` is no duration"),
            ("p99<0s", "longer than 0"),
            ("p99<=50ms", "`=50ms` is no duration"),
        ] {
            let error = text.parse::<Objective>().unwrap_err();
            assert!(error.contains(said) && error.contains("p99<50ms"), "{text}: {error}");
        }
    }
}
