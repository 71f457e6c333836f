//! A pool's further session over all cores, for a request that is alone in the process.
//!
//! It has no thread of its own: the session thread that took the lone row runs it there. Whoever comes
//! meanwhile finds the other session threads idle.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::Share;
use crate::runtime::crowd::Crowd;
use crate::runtime::session::Session;

/// How much of the machine a session's runs take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// The session's share of the cores.
    Narrow,
    /// All cores.
    Wide,
}

/// The wide session, and when it runs.
pub(super) struct Wide {
    session: Arc<dyn Session>,
    /// Held by a run: two would share the cores.
    turn: Mutex<()>,
    crowd: Arc<Crowd>,
}

impl Wide {
    pub fn new(session: Arc<dyn Session>, crowd: Arc<Crowd>) -> Self {
        Self { session, turn: Mutex::default(), crowd }
    }

    pub fn session(&self) -> &Arc<dyn Session> {
        &self.session
    }

    /// The session, if this batch is the only row in the process. Several rows run faster side by side
    /// in the narrow session.
    pub fn take(&self, batch: &[Share]) -> Option<(&dyn Session, MutexGuard<'_, ()>)> {
        let [only] = batch else { return None };
        if only.job.rows.count() != 1 || !self.crowd.is_lone() {
            return None;
        }
        let turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => PoisonError::into_inner(turn),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some((self.session.as_ref(), turn))
    }
}
