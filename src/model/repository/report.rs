//! What the repository tells of itself: the index, readiness, and gauges.

use std::collections::BTreeSet;
use std::sync::{PoisonError, Weak};

use serde::Serialize;
use utoipa::ToSchema;

use super::ModelRepository;
use crate::metrics::Metrics;
use crate::model::Model;
use crate::runtime::device;

/// How a version stands, in the words of Triton's extension of the Open Inference Protocol for model
/// repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    Unknown,
    Ready,
    Unavailable,
    Loading,
    /// Replaced or unloaded, and still answering what it had taken on.
    Unloading,
}

impl State {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Ready => "READY",
            Self::Unavailable => "UNAVAILABLE",
            Self::Loading => "LOADING",
            Self::Unloading => "UNLOADING",
        }
    }
}

/// One version, or a model of which no version was ever loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IndexEntry {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub version: Option<String>,
    pub state: State,
    /// Why it is not as it should be; of a version that is ready, why it was not replaced.
    pub reason: String,
}

/// A version that is not served any more.
pub(super) struct Leaving {
    name: String,
    version: u64,
    model: Weak<Model>,
}

impl Leaving {
    /// Somebody has it in work.
    pub fn is_there(&self) -> bool {
        self.model.strong_count() > 0
    }
}

impl From<&std::sync::Arc<Model>> for Leaving {
    fn from(model: &std::sync::Arc<Model>) -> Self {
        let weak = std::sync::Arc::downgrade(model);
        Self { name: model.name.clone(), version: model.version, model: weak }
    }
}

impl ModelRepository {
    /// Every version of every model, by name and number.
    #[must_use]
    pub fn index(&self) -> Vec<IndexEntry> {
        let served = self.served();
        let mut index = Vec::new();
        for (name, entry) in &*served {
            let of = |version: Option<u64>, state, problem: Option<&String>| {
                let reasons: Vec<&str> =
                    entry.reason.iter().chain(problem).map(String::as_str).collect();
                let version = version.map(|version| version.to_string());
                IndexEntry { name: name.clone(), version, state, reason: reasons.join("; ") }
            };
            if entry.versions.is_empty() {
                index.push(of(None, State::Unavailable, None));
            }
            for (number, version) in &entry.versions {
                index.push(of(Some(*number), version.state(), version.problem.as_ref()));
            }
        }
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.retain(Leaving::is_there);
        index.extend(leaving.iter().map(|leaving| IndexEntry {
            name: leaving.name.clone(),
            version: Some(leaving.version.to_string()),
            state: State::Unloading,
            reason: String::new(),
        }));
        index
    }

    /// The models that serve and cannot answer: no version that requests without one go to is there.
    #[must_use]
    pub fn not_live(&self) -> Vec<String> {
        let served = self.served();
        let dead = served
            .iter()
            .filter(|(_, entry)| entry.serving().next().is_some() && entry.live().is_empty());
        dead.map(|(name, _)| name.clone()).collect()
    }

    /// Sets the gauges of every model and of the GPUs that run one.
    pub fn report(&self, metrics: &Metrics) {
        // Not held one by one, which would look like requests in work.
        let served = self.served();
        let models: Vec<_> = served.values().flat_map(|entry| entry.models()).collect();
        for model in &models {
            model.report();
        }
        let serving: usize = served.values().map(|entry| entry.serving().count()).sum();
        let parked = serving - models.len();
        for (state, count) in [("loaded", models.len()), ("parked", parked)] {
            metrics.models.with_label_values(&[state]).set(count as i64);
        }
        let gpus: BTreeSet<u16> = models.iter().filter_map(|model| model.provider.gpu()).collect();
        for number in gpus {
            let Some((used, total)) = device::memory(number) else { continue };
            let name = format!("cuda:{number}");
            for (kind, bytes) in [("used", used), ("total", total)] {
                metrics.device_memory.with_label_values(&[&name, kind]).set(bytes as i64);
            }
        }
    }
}
