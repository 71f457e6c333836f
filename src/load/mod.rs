//! Load on a server over HTTP, and what comes of it. Knows nothing of models or of the command line.

mod client;
pub mod closed;
pub mod cpu;
pub mod knee;
pub mod objective;
pub mod open;
pub mod payload;
pub mod summary;
pub mod target;
pub mod turn;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A panic of another task is no reason to lose what was measured.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
