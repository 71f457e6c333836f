//! What a start is still busy with, told every few seconds.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(5);

/// Models that load. It tells until it is dropped.
pub(super) struct Progress {
    loads: Arc<Loads>,
    /// Ends the thread that tells.
    _end: Sender<()>,
}

struct Loads {
    all: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    done: usize,
    /// Since when, by name.
    loading: BTreeMap<String, Instant>,
}

/// A model that loads, until this is dropped.
pub(super) struct Loading<'a> {
    loads: &'a Loads,
    name: String,
}

impl Progress {
    pub fn new(all: usize) -> Self {
        let loads = Arc::new(Loads { all, state: Mutex::default() });
        let ((end, ended), told) = (mpsc::channel(), loads.clone());
        let tell = move || {
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                tracing::info!("{}", told.line());
            }
        };
        // Without a thread for it the start is told nothing of.
        let _ = thread::Builder::new().name("progress".into()).spawn(tell);
        Self { loads, _end: end }
    }

    pub fn begin(&self, name: &str) -> Loading<'_> {
        self.loads.state().loading.insert(name.to_owned(), Instant::now());
        Loading { loads: &self.loads, name: name.to_owned() }
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        let mut state = self.loads.state();
        state.loading.remove(&self.name);
        state.done += 1;
    }
}

impl Loads {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self) -> String {
        let state = self.state();
        let loading = state
            .loading
            .iter()
            .map(|(name, since)| format!("{name} for {:.0} s", since.elapsed().as_secs_f64()));
        let loading: Vec<String> = loading.collect();
        format!("loading: {} of {} done; {}", state.done, self.all, loading.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_loads_and_what_is_done_is_told() {
        let progress = Progress::new(3);
        drop(progress.begin("first"));
        let _second = progress.begin("second");
        assert_eq!(progress.loads.line(), "loading: 1 of 3 done; second for 0 s");
    }
}
