//! What scores are, and what becomes of them.

use super::super::graph::Ending;
use super::math::{largest, sigmoid, smallest, softmax};

/// What the scores of a classifier are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Of one class of many: softmax is applied.
    Logits,
    /// Of each class by itself: sigmoid is applied.
    LogitsOfEach,
    LogProbabilities,
    /// Of one class of many, as the network gives them.
    Probabilities,
    /// Of each class by itself, as the network gives them.
    ProbabilityOfEach,
    Margins,
    /// The nearest class is the best.
    Distances,
    /// Numbers of no known meaning, as the network gives them.
    Scores,
    /// Runs of the network decide.
    Open,
}

impl Scale {
    /// By the last operators of the network; logits where these are linear.
    #[must_use]
    pub fn of(ending: Ending) -> Self {
        match ending {
            Ending::Probabilities => Self::Probabilities,
            Ending::LogProbabilities => Self::LogProbabilities,
            Ending::EachProbability | Ending::Complement => Self::ProbabilityOfEach,
            Ending::Margins => Self::Margins,
            Ending::Distances => Self::Distances,
            Ending::Linear => Self::Logits,
            Ending::Rescaled => Self::Scores,
            Ending::Normalized | Ending::Unknown => Self::Open,
        }
    }

    /// By the scores of several runs, a row each; `None` if they look like no probabilities.
    #[must_use]
    pub fn by_runs(rows: &[&[f64]]) -> Option<Self> {
        let within = |row: &&[f64]| row.iter().all(|score| (0.0..=1.0).contains(score));
        let sums_to_one = |row: &&[f64]| (row.iter().sum::<f64>() - 1.0).abs() < 1e-3;
        // A made-up row may be one for which the network has no answer.
        let mut rows =
            rows.iter().copied().filter(|row| row.iter().all(|score| !score.is_nan())).peekable();
        rows.peek()?;
        let rows: Vec<_> = rows.collect();
        match rows.iter().all(within) {
            true if rows.iter().all(sums_to_one) => Some(Self::Probabilities),
            true => Some(Self::ProbabilityOfEach),
            false => None,
        }
    }

    /// Whether every class has a probability of its own.
    #[must_use]
    pub fn is_of_each(self) -> bool {
        matches!(self, Self::LogitsOfEach | Self::ProbabilityOfEach)
    }

    #[must_use]
    pub fn is_probability(self) -> bool {
        self.is_of_each() || matches!(self, Self::Probabilities)
    }

    /// A row's scores as they are answered.
    #[must_use]
    pub fn apply(self, scores: &[f64]) -> Vec<f64> {
        match self {
            Self::Logits | Self::Open => softmax(scores),
            Self::LogitsOfEach => scores.iter().map(|score| sigmoid(*score)).collect(),
            Self::LogProbabilities => scores.iter().map(|score| score.exp()).collect(),
            _ => scores.to_vec(),
        }
    }

    /// The `k` best classes, best first.
    #[must_use]
    pub fn best(self, scores: &[f64], k: usize) -> Vec<usize> {
        if self == Self::Distances { smallest(scores, k) } else { largest(scores, k) }
    }

    #[must_use]
    pub fn described(self) -> &'static str {
        match self {
            Self::Logits => "logits: softmax is applied",
            Self::LogitsOfEach => "logits of each label: sigmoid is applied",
            Self::LogProbabilities => "logarithms of probabilities: exp is applied",
            Self::Probabilities => "probabilities, as the network gives them",
            Self::ProbabilityOfEach => "probabilities of each label, as the network gives them",
            Self::Margins => "margins (a decision function), as the network gives them",
            Self::Distances => "distances, as the network gives them, the nearest first",
            Self::Scores => "scores, as the network gives them",
            Self::Open => "logits or probabilities",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_runs_tell_probabilities_and_what_has_no_answer_is_passed_over() {
        let nan = [f64::NAN; 2];
        assert_eq!(Scale::by_runs(&[&[0.2, 0.8], &nan, &[1.0, 0.0]]), Some(Scale::Probabilities));
        assert_eq!(Scale::by_runs(&[&[0.2, 0.8], &[0.9, 0.9]]), Some(Scale::ProbabilityOfEach));
        assert_eq!(Scale::by_runs(&[&[0.2, 0.8], &[-0.1, 0.9]]), None);
        assert_eq!(Scale::by_runs(&[&nan]), None);
    }
}
