//! Whether this process is alive, has started, and may be sent requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use utoipa::ToSchema;

use super::App;

/// What the probes ask.
pub struct Health {
    app: App,
    draining: AtomicBool,
}

/// The answer to `/health/ready`.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Readiness {
    pub ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<&'static str>,
    /// The models that are not ready.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
}

/// The answer to `/health/live`.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Liveness {
    pub live: bool,
    /// Models of which a session has been in one run for longer than anybody waits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stuck: Vec<String>,
}

/// The answer to `/health/startup`.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Startup {
    pub started: bool,
}

impl Health {
    #[must_use]
    pub fn new(app: App) -> Arc<Self> {
        Arc::new(Self { app, draining: AtomicBool::new(false) })
    }

    /// The server was told to stop.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// The models are loaded.
    #[must_use]
    pub fn started(&self) -> bool {
        self.app.repository().is_ok()
    }

    /// Alive, unless a session is stuck: a run that outlasts every deadline, and that did not end when
    /// its callers left, is not load but a defect that only a restart mends.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        let limit = self.app.server.stuck_timeout;
        let models = self.app.repository().into_iter().flat_map(|repository| repository.iter());
        let stuck: Vec<String> = models
            .filter(|model| model.longest_run().is_some_and(|run| run > limit))
            .map(|model| model.name.clone())
            .collect();
        Liveness { live: stuck.is_empty(), stuck }
    }

    /// Ready: started, not draining, and every model that is loaded can answer.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let not = |reason, models| Readiness { ready: false, reason: Some(reason), models };
        if self.draining() {
            return not("draining", Vec::new());
        }
        let Ok(repository) = self.app.repository() else {
            return not("loading", Vec::new());
        };
        let dead = repository.not_live();
        if dead.is_empty() {
            Readiness { ready: true, reason: None, models: dead }
        } else {
            not("no version to answer", dead)
        }
    }
}
