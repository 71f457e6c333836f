//! Scores to probabilities, and the best of them.

/// Indices in the order of `rank`, the first `k`; of equal ones the smaller index first.
fn first(
    count: usize,
    k: usize,
    falling: impl Fn(&usize, &usize) -> std::cmp::Ordering,
) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    if k > 0 && k < order.len() {
        order.select_nth_unstable_by(k - 1, &falling);
    }
    order.truncate(k);
    order.sort_unstable_by(falling);
    order
}

/// Indices of the `k` largest scores, largest first; of equal ones the smaller index first.
pub fn largest(scores: &[f64], k: usize) -> Vec<usize> {
    first(scores.len(), k, |a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)))
}

/// Indices of the `k` smallest scores, smallest first; of equal ones the smaller index first.
pub fn smallest(scores: &[f64], k: usize) -> Vec<usize> {
    first(scores.len(), k, |a, b| scores[*a].total_cmp(&scores[*b]).then(a.cmp(b)))
}

/// Stable for any logits of which one is finite: the largest is subtracted first.
pub fn softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// Stable for any logit: only falling exponentials are taken.
pub fn sigmoid(logit: f64) -> f64 {
    let power = (-logit.abs()).exp();
    if logit >= 0.0 { 1.0 / (1.0 + power) } else { power / (1.0 + power) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_and_sigmoid_are_stable_for_any_logits() {
        assert_eq!(softmax(&[-1e300, 1e300]), vec![0.0, 1.0]);
        assert_eq!(softmax(&[f64::MAX, f64::MIN]), vec![1.0, 0.0]);
        assert_eq!(softmax(&[-900.0, -900.0]), vec![0.5, 0.5]);
        assert_eq!(softmax(&[f64::NEG_INFINITY, 3.0]), vec![0.0, 1.0], "a class that is masked");
        assert_eq!((sigmoid(1e30), sigmoid(-1e30), sigmoid(0.0)), (1.0, 0.0, 0.5));
        assert_eq!(sigmoid(f64::NEG_INFINITY), 0.0);
    }

    #[test]
    fn the_best_come_first_and_ties_keep_their_order() {
        assert_eq!(largest(&[0.1, 0.7, 0.1, 0.7], 3), vec![1, 3, 0]);
        assert_eq!(largest(&[0.1, 0.7], 9), vec![1, 0]);
        assert_eq!(smallest(&[3.0, 0.1, 5.0], 2), vec![1, 0]);
    }
}
