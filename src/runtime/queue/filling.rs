//! Which of the rows that wait join the one that has waited longest.

use std::collections::VecDeque;

use super::{Bounds, Entry, Share};

/// Batches' worth of entries among which a batch looks for its rows. Further ahead there are better
/// mates, but those who wait longest would wait longer.
pub(super) const LOOK_AHEAD: usize = 4;

/// A batch under construction.
pub(super) struct Filling<'a> {
    bounds: &'a Bounds,
    limit: usize,
    shares: Vec<Share>,
    rows: usize,
    /// Tokens without padding, and the longest row.
    tokens: usize,
    longest: usize,
}

impl<'a> Filling<'a> {
    pub fn new(bounds: &'a Bounds, limit: usize) -> Self {
        Self { bounds, limit, shares: Vec::new(), rows: 0, tokens: 0, longest: 0 }
    }

    /// The first entry, if the batch is empty, and those of nearest length that fit.
    pub fn fill(&mut self, queue: &mut VecDeque<Entry>) {
        let mut taken = Vec::new();
        for index in self.order(queue) {
            if self.rows >= self.limit {
                break;
            }
            let entry = &mut queue[index];
            if self.shares.first().is_some_and(|first| !first.job.goes_with(&entry.job)) {
                continue;
            }
            let count = self.fitting(entry.length, entry.rows.len());
            if count == 0 {
                if self.in_order_of_arrival() {
                    break;
                }
                continue;
            }
            self.rows += count;
            self.tokens += count * entry.length;
            self.longest = self.longest.max(entry.length);
            let rows = entry.rows.start..entry.rows.start + count;
            entry.rows.start = rows.end;
            self.shares.push(Share { job: entry.job.clone(), rows });
            if !entry.rows.is_empty() {
                break;
            }
            taken.push(index);
        }
        taken.sort_unstable();
        for index in taken.into_iter().rev() {
            queue.remove(index);
        }
    }

    pub fn into_shares(self) -> Vec<Share> {
        self.shares
    }

    fn in_order_of_arrival(&self) -> bool {
        self.bounds.min_efficiency == 0.0
    }

    /// The entries to look at: those of nearest length to the batch's first row before others, and of
    /// the same length those that have waited longer.
    fn order(&self, queue: &VecDeque<Entry>) -> Vec<usize> {
        let ahead = self.bounds.max_batch_size.saturating_mul(LOOK_AHEAD).min(queue.len());
        let mut order: Vec<usize> = (0..ahead).collect();
        let first = self.shares.first().map(|share| share.job.rows.length(share.rows.start));
        let first = first.or_else(|| queue.front().map(|entry| entry.length));
        if let (Some(length), false) = (first, self.in_order_of_arrival()) {
            order.sort_by_key(|index| queue[*index].length.abs_diff(length));
        }
        order
    }

    /// How many of `count` rows of this length may join.
    fn fitting(&self, length: usize, count: usize) -> usize {
        let longest = self.longest.max(length).max(1);
        let by_tokens = (self.bounds.max_batch_tokens / longest).saturating_sub(self.rows);
        let room = (self.limit - self.rows).min(count);
        if self.rows == 0 {
            // The row that waited longest goes, whatever its length.
            return room.min(by_tokens.max(1));
        }
        let room = room.min(by_tokens);
        let efficient = |joining: usize| {
            let padded = (self.rows + joining) * longest;
            (self.tokens + joining * length) as f64 >= self.bounds.min_efficiency * padded as f64
        };
        if room == 0 || !efficient(room) && !efficient(1) {
            0
        } else if efficient(room) {
            room
        } else {
            1
        }
    }
}
