//! Ends a run that nobody waits for any more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

type Stop = Box<dyn Fn() + Send + Sync>;

/// Counts the callers of one run; the last to leave stops it.
pub struct Cancel {
    callers: AtomicUsize,
    stop: Mutex<Option<Stop>>,
}

impl Cancel {
    #[must_use]
    pub fn new(callers: usize) -> Self {
        Self { callers: AtomicUsize::new(callers), stop: Mutex::new(None) }
    }

    /// How the run is stopped; at once, if all callers have left already.
    pub fn on_stop(&self, stop: impl Fn() + Send + Sync + 'static) {
        let mut slot = self.slot();
        if self.is_cancelled() {
            stop();
        }
        *slot = Some(Box::new(stop));
    }

    /// One caller has left.
    pub fn leave(&self) {
        if self.callers.fetch_sub(1, Ordering::SeqCst) == 1
            && let Some(stop) = self.slot().as_ref()
        {
            stop();
        }
    }

    /// All callers have left.
    pub fn is_cancelled(&self) -> bool {
        self.callers.load(Ordering::SeqCst) == 0
    }

    fn slot(&self) -> MutexGuard<'_, Option<Stop>> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
