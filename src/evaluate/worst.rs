//! The items that weigh most, however many there are.

/// At most so many items, those of the largest weight; of equal ones the earlier.
#[derive(Debug, Clone)]
pub struct Worst<T> {
    most: usize,
    /// In falling order of weight.
    kept: Vec<(f64, T)>,
}

impl<T> Worst<T> {
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, kept: Vec::new() }
    }

    /// `item` is made only if it is kept.
    pub fn add(&mut self, weight: f64, item: impl FnOnce() -> T) {
        let place = self.kept.partition_point(|(other, _)| *other >= weight);
        if place < self.most {
            self.kept.insert(place, (weight, item()));
            self.kept.truncate(self.most);
        }
    }

    /// In falling order of weight.
    #[must_use]
    pub fn into_items(self) -> Vec<T> {
        self.kept.into_iter().map(|(_, item)| item).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_are_kept_in_falling_order() {
        let mut worst = Worst::new(3);
        for (weight, item) in [(0.1, 'a'), (0.9, 'b'), (0.5, 'c'), (0.9, 'd'), (0.1, 'e')] {
            worst.add(weight, || item);
        }
        assert_eq!(worst.into_items(), ['b', 'd', 'c']);
    }
}
