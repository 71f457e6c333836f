//! The results of a request's pieces, in order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::error::Error;

/// The results of a request's pieces.
pub(super) struct Gathered<T> {
    /// A piece failed: the others are not begun.
    failed: AtomicBool,
    state: Mutex<State<T>>,
}

struct State<T> {
    results: Vec<Option<Result<T, Error>>>,
    /// Pieces that are not over.
    open: usize,
    reply: Option<oneshot::Sender<Result<Vec<T>, Error>>>,
}

impl<T> Gathered<T> {
    pub fn of(pieces: usize) -> (Self, oneshot::Receiver<Result<Vec<T>, Error>>) {
        let (reply, answer) = oneshot::channel();
        let results = std::iter::repeat_with(|| None).take(pieces).collect();
        let state = Mutex::new(State { results, open: pieces, reply: Some(reply) });
        (Self { failed: AtomicBool::new(false), state }, answer)
    }

    /// Does a piece if it is still wanted; the last one sends the answer.
    pub fn add(&self, index: usize, work: impl FnOnce() -> Result<T, Error>) {
        let wanted = !self.failed.load(Ordering::Relaxed)
            && self.lock().reply.as_ref().is_some_and(|reply| !reply.is_closed());
        let result = wanted.then(work);
        if matches!(result, Some(Err(_))) {
            self.failed.store(true, Ordering::Relaxed);
        }
        let mut state = self.lock();
        state.results[index] = result;
        state.open -= 1;
        if state.open > 0 {
            return;
        }
        let (results, reply) = (std::mem::take(&mut state.results), state.reply.take());
        drop(state);
        if let Some(reply) = reply {
            // They are taken in order, so that before the first failure none is missing.
            let _ = reply.send(results.into_iter().flatten().collect());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
