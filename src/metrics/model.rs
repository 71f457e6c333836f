//! The metrics of one version of a model.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge};

use super::Metrics;
use super::series::Claim;
use crate::statistics::Statistics;

/// Class names of one model that have a series of their own; the rest are [`OTHER`].
const MAX_LABELS: usize = 1000;
/// Not a name that a class could have by accident.
const OTHER: &str = "(other)";
/// The metrics of one version of a model, looked up once.
pub struct ModelMetrics {
    pub decode: Histogram,
    pub preprocess: Histogram,
    pub queue: Histogram,
    pub infer: Histogram,
    pub postprocess: Histogram,
    pub batch_size: Histogram,
    pub batch_tokens: Histogram,
    pub padding_efficiency: Histogram,
    pub queue_depth: IntGauge,
    pub queue_bytes: IntGauge,
    pub in_flight: IntGauge,
    pub sessions: IntGauge,
    pub intra_op_threads: IntGauge,
    pub saturation: Gauge,
    /// Rows of callers that left before their run, and during it.
    pub cancelled_in_queue: IntCounter,
    pub cancelled_in_run: IntCounter,
    pub coalesced: IntCounter,
    pub batch_splits: IntCounter,
    pub wide_runs: IntCounter,
    pub load_seconds: Gauge,
    pub ready: IntGauge,
    /// Bytes.
    pub weights: IntGauge,
    pub working_memory: IntGauge,
    pub score: Histogram,
    predictions: Classes,
    pub statistics: Statistics,
    shadow: IntCounterVec,
    claim: Claim,
}

/// How a shadow's answer compares with the one that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    Agrees,
    Differs,
    /// The shadow gave no answer.
    Failed,
    /// The shadow had too much to do already.
    Dropped,
}

impl Agreement {
    fn word(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Differs => "differs",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

impl Metrics {
    /// The metrics of one version of a model. Its classes, where they are known, choose which have a
    /// series of their own, so that it does not depend on which come first.
    #[must_use]
    pub fn model(&self, name: &str, version: &str, classes: &[Arc<str>]) -> ModelMetrics {
        // First, so that what follows is not removed with a version of this name that just leaves.
        let claim = self.series.claim(name, version);
        let labels = [name, version];
        let stage = |stage: &str| self.stages.with_label_values(&[name, version, stage]);
        let cancelled = |stage: &str| self.cancellations.with_label_values(&[name, version, stage]);
        ModelMetrics {
            decode: stage("decode"),
            preprocess: stage("preprocess"),
            queue: stage("queue"),
            infer: stage("infer"),
            postprocess: stage("postprocess"),
            batch_size: self.batch_size.with_label_values(&labels),
            batch_tokens: self.batch_tokens.with_label_values(&labels),
            padding_efficiency: self.padding_efficiency.with_label_values(&labels),
            queue_depth: self.queue_depth.with_label_values(&labels),
            queue_bytes: self.queue_bytes.with_label_values(&labels),
            in_flight: self.in_flight.with_label_values(&labels),
            sessions: self.sessions.with_label_values(&labels),
            intra_op_threads: self.intra_op_threads.with_label_values(&labels),
            saturation: self.saturation.with_label_values(&labels),
            cancelled_in_queue: cancelled("queue"),
            cancelled_in_run: cancelled("run"),
            coalesced: self.coalesced.with_label_values(&labels),
            batch_splits: self.batch_splits.with_label_values(&labels),
            wide_runs: self.wide_runs.with_label_values(&labels),
            load_seconds: self.model_load_seconds.with_label_values(&labels),
            ready: self.model_ready.with_label_values(&labels),
            weights: self.memory.with_label_values(&[name, version, "weights"]),
            working_memory: self.memory.with_label_values(&[name, version, "working"]),
            score: self.prediction_score.with_label_values(&labels),
            predictions: Classes {
                family: self.predictions.clone(),
                model: name.to_owned(),
                version: version.to_owned(),
                named: classes.iter().take(MAX_LABELS).cloned().collect(),
                known: RwLock::default(),
            },
            statistics: Statistics::default(),
            shadow: self.shadow.clone(),
            claim,
        }
    }
}

impl ModelMetrics {
    /// A session ran a batch of this many rows.
    pub fn ran(&self, rows: usize, time: Duration) {
        self.batch_size.observe(rows as f64);
        self.statistics.ran(rows, time);
    }

    /// One item was given this class, and this score if the model gives one.
    pub fn predicted(&self, label: &Arc<str>, score: Option<f64>) {
        self.predictions.count(label);
        if let Some(score) = score {
            self.score.observe(score);
        }
    }

    /// This version as a shadow was compared with the live one.
    pub fn compared(&self, agreement: Agreement) {
        let [model, version] = self.claim.of();
        self.shadow.with_label_values(&[model, version, agreement.word()]).inc();
    }
}

/// Counts predicted classes, with a series of its own for a bounded number of them.
struct Classes {
    family: IntCounterVec,
    model: String,
    version: String,
    /// Those that have a series of their own; empty if the model does not tell its classes.
    named: HashSet<Arc<str>>,
    known: RwLock<HashMap<Arc<str>, IntCounter, ahash::RandomState>>,
}

impl Classes {
    fn count(&self, label: &Arc<str>) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = known.get(label) {
            return counter.inc();
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let has_series = match self.named.is_empty() {
            true => known.len() < MAX_LABELS,
            false => self.named.contains(label),
        };
        let label = if has_series { label.clone() } else { OTHER.into() };
        let series = [self.model.as_str(), self.version.as_str(), &*label];
        known.entry(label.clone()).or_insert_with(|| self.family.with_label_values(&series)).inc();
    }
}
