//! Who may go for others that find no more of what is shared.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};

use super::link::Link;
use super::upload::Upload;

/// Those that may go for others: of all, or of one peer.
#[derive(Default)]
pub struct Spares {
    pub links: Mutex<Spare<Link>>,
    pub uploads: Mutex<Spare<Upload>>,
}

/// Found by one look at all of them, since a look takes its time and a flood asks for many.
pub struct Spare<T> {
    found: VecDeque<Weak<T>>,
    look_at: u64,
}

impl<T> Default for Spare<T> {
    fn default() -> Self {
        Self { found: VecDeque::new(), look_at: 0 }
    }
}

impl<T> Spare<T> {
    /// Milliseconds from one look to the next.
    const PAUSE: u64 = 20;
    const MOST: usize = 256;

    /// The next one that `may` go still, `now`; if there is none and it is time, of those that `look`
    /// finds, the first to go first.
    pub fn next(
        &mut self,
        now: u64,
        may: impl Fn(&Arc<T>) -> bool,
        look: impl FnOnce() -> Vec<Arc<T>>,
    ) -> Option<Arc<T>> {
        let next = self.pop(&may);
        if next.is_some() || now < self.look_at {
            return next;
        }
        self.look_at = now + Self::PAUSE;
        self.found = look().iter().take(Self::MOST).map(Arc::downgrade).collect();
        self.pop(&may)
    }

    fn pop(&mut self, may: impl Fn(&Arc<T>) -> bool) -> Option<Arc<T>> {
        while let Some(one) = self.found.pop_front() {
            if let Some(one) = one.upgrade().filter(&may) {
                return Some(one);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_questions_is_answered_by_few_looks() {
        let all: Vec<Arc<u32>> = (0..1000).map(Arc::new).collect();
        let (mut spare, mut looks) = (Spare::default(), 0);
        let mut next = |now, least| {
            let look = || {
                looks += 1;
                all.clone()
            };
            spare.next(now, |one: &Arc<u32>| **one >= least, look).map(|one| *one)
        };
        for number in 0..256 {
            assert_eq!(next(0, 0), Some(number));
        }
        // What it found has gone, or may not go any more.
        assert_eq!(next(19, 0), None);
        assert_eq!([next(20, 255), next(21, 0), next(40, 9)], [Some(255), None, Some(9)]);
        assert_eq!(looks, 3);
    }
}
