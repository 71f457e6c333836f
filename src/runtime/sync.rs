//! The locks of the queue: the standard library's, or those of the model checker.

#[cfg(feature = "model-check")]
pub use shuttle::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(feature = "model-check"))]
pub use std::sync::{Condvar, Mutex, MutexGuard};
