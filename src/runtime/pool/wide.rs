//! A pool's further session over all cores, for a request that is alone in the process.
//!
//! It has no thread of its own: the session thread that took the lone row runs it there. Whoever comes
//! meanwhile finds the other session threads idle.

use std::sync::{Arc, Mutex, MutexGuard};

use super::{Open, Share};
use crate::metrics::ModelMetrics;
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
    /// `None` after a panic, until it is opened again.
    session: Mutex<Option<Box<dyn Session>>>,
    open: Box<Open>,
    crowd: Arc<Crowd>,
}

impl Wide {
    pub fn new(session: Box<dyn Session>, open: Box<Open>, crowd: Arc<Crowd>) -> Self {
        Self { session: Mutex::new(Some(session)), open, crowd }
    }

    /// The session, if this batch is the only row in the process. Several rows run faster side by side
    /// in sessions of their own.
    pub fn take(
        &self,
        batch: &[Share],
        metrics: &ModelMetrics,
    ) -> Option<MutexGuard<'_, Option<Box<dyn Session>>>> {
        let [only] = batch else { return None };
        if only.job.rows.count() != 1 || !self.crowd.is_lone() {
            return None;
        }
        let mut session = self.session.try_lock().ok()?;
        if session.is_none() {
            match (self.open)() {
                Ok(new) => *session = Some(new),
                Err(reason) => {
                    tracing::error!("the session over all cores cannot be replaced: {reason}");
                    return None;
                }
            }
            metrics.session_restarts.inc();
        }
        Some(session)
    }
}
