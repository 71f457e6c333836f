//! Whether a request is the only one in the process, so that it may have every core.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Requests in a row that must have found nobody else before one counts as alone. Two clients that ask
/// by turns each find the other in work now and then, which resets it.
const CALM: usize = 2;

/// The requests in work in the whole process, of all models, from before their input is decoded on.
#[derive(Debug)]
pub struct Crowd {
    in_work: AtomicUsize,
    /// Requests in a row that found nobody else when they came.
    calm: AtomicUsize,
}

impl Default for Crowd {
    fn default() -> Self {
        // The first request of a process is alone until another comes.
        Self { in_work: AtomicUsize::new(0), calm: AtomicUsize::new(CALM) }
    }
}

/// A request in work, as long as it lives.
#[derive(Debug)]
pub struct Member(Arc<Crowd>);

impl Crowd {
    /// Counts a request.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Member {
        if self.in_work.fetch_add(1, Ordering::Relaxed) == 0 {
            // Two that come at once may both count here; the next one puts it right.
            let calm = self.calm.load(Ordering::Relaxed);
            self.calm.store(calm.saturating_add(1), Ordering::Relaxed);
        } else {
            self.calm.store(0, Ordering::Relaxed);
        }
        Member(self.clone())
    }

    /// Whether one request is in work, and for some time there has never been another beside it.
    #[must_use]
    pub fn is_lone(&self) -> bool {
        self.in_work.load(Ordering::Relaxed) == 1 && self.calm.load(Ordering::Relaxed) > CALM
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.in_work.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_alone_until_another_comes_and_again_once_it_is_calm() {
        let crowd = Arc::new(Crowd::default());
        assert!(!crowd.is_lone(), "nobody is there");
        let first = crowd.enter();
        assert!(crowd.is_lone(), "the first of the process");
        let second = crowd.enter();
        assert!(!crowd.is_lone());
        drop(first);
        assert!(!crowd.is_lone(), "two by turns are a crowd");
        drop(second);
        for _ in 0..CALM {
            let _again = crowd.enter();
            assert!(!crowd.is_lone());
        }
        let _calm = crowd.enter();
        assert!(crowd.is_lone());
    }
}
