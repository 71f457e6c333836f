//! McNemar's test: whether two models that were asked the same differ by more than chance.

use serde::Serialize;

/// Up to so many items that one model alone has right, the binomial distribution is taken as it is.
const EXACT_UP_TO: u64 = 25;

/// The outcome of the test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct McNemar {
    /// Items that the first model alone has right.
    pub only_first: u64,
    /// Items that the other model alone has right.
    pub only_other: u64,
    pub method: Method,
    /// The smaller of the two counts, or chi-square.
    pub statistic: f64,
    /// How likely at least such a difference is if both models were equally good.
    pub p_value: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    ExactBinomial,
    /// With the continuity correction.
    ChiSquare,
}

impl McNemar {
    /// The test on the items that only one of the models has right.
    #[must_use]
    pub fn test(only_first: u64, only_other: u64) -> Self {
        let one_sided = only_first + only_other;
        let (method, statistic, p_value) = if one_sided <= EXACT_UP_TO {
            let fewer = only_first.min(only_other);
            (Method::ExactBinomial, fewer as f64, exact(fewer, one_sided))
        } else {
            let difference = only_first.abs_diff(only_other) as f64 - 1.0;
            let statistic = difference.powi(2) / one_sided as f64;
            (Method::ChiSquare, statistic, chi_square(statistic))
        };
        Self { only_first, only_other, method, statistic, p_value }
    }
}

/// Two-sided: twice the share of all ways in which `of` tosses of a coin fall that have `fewer` heads at
/// most. `of` is [`EXACT_UP_TO`] at most, and `fewer` no more than half of it.
fn exact(fewer: u64, of: u64) -> f64 {
    let mut ways = 1;
    let mut all = ways;
    for heads in 0..fewer {
        ways = ways * (of - heads) / (heads + 1);
        all += ways;
    }
    let tosses = 2_f64.powi(of as i32);
    (2.0 * all as f64 / tosses).min(1.0)
}

/// The upper tail, at one degree of freedom, which is the square of a normal variable.
fn chi_square(statistic: f64) -> f64 {
    libm::erfc((statistic / 2.0).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_differences_are_counted_out_and_many_are_approximated() {
        let exact = |first, other| McNemar::test(first, other).p_value;
        assert_eq!(exact(0, 0), 1.0);
        assert_eq!(exact(5, 5), 1.0);
        assert_eq!(exact(0, 3), 0.25);
        assert_eq!(exact(1, 3), 0.625);
        let at_the_edge = McNemar::test(5, 20);
        assert_eq!(at_the_edge.method, Method::ExactBinomial);
        let beyond = McNemar::test(6, 20);
        assert_eq!((beyond.method, beyond.statistic), (Method::ChiSquare, 6.5));
        assert!((beyond.p_value - 0.010_787).abs() < 1e-6, "{}", beyond.p_value);
    }
}
