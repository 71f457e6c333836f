//! The series of one version of a model: removed when it is unloaded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};

/// The first labels of every metric of a version of a model.
const LABELS: [&str; 2] = ["model", "version"];

/// Removes the series of one version from a metric.
trait Family: Send + Sync {
    fn forget(&self, model: &str, version: &str);
}

impl<T: MetricVecBuilder> Family for MetricVec<T> {
    fn forget(&self, model: &str, version: &str) {
        forget(self, model, version);
    }
}

/// Removes the series of one version, whatever their other labels are.
pub(super) fn forget<T: MetricVecBuilder>(family: &MetricVec<T>, model: &str, version: &str) {
    for metric in family.collect().iter().flat_map(prometheus::proto::MetricFamily::get_metric) {
        let labels: HashMap<&str, &str> =
            metric.get_label().iter().map(|label| (label.name(), label.value())).collect();
        if labels.get("model") == Some(&model) && labels.get("version") == Some(&version) {
            // Somebody else may have removed it meanwhile.
            let _ = family.remove(&labels);
        }
    }
}

/// Every metric that has series of versions, and the versions that are loaded.
#[derive(Default)]
pub(super) struct Series {
    families: Mutex<Vec<Box<dyn Family>>>,
    /// How often each is loaded: while it is loaded again, twice.
    loaded: Mutex<HashMap<[String; 2], usize>>,
}

impl Series {
    /// Notes a metric, if it is one of versions.
    pub(super) fn note<T: MetricVecBuilder + 'static>(&self, family: &MetricVec<T>) {
        let labels = family.desc().into_iter().flat_map(|desc| &desc.variable_labels);
        if labels.take(LABELS.len()).eq(LABELS) {
            let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
            families.push(Box::new(family.clone()));
        }
    }

    /// Keeps the series of a version until the claim is dropped; to be made before the series are.
    pub(super) fn claim(self: &Arc<Self>, model: &str, version: &str) -> Claim {
        let of = [model.to_owned(), version.to_owned()];
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        *loaded.entry(of.clone()).or_default() += 1;
        Claim { series: self.clone(), of }
    }
}

/// A loaded version.
pub(super) struct Claim {
    series: Arc<Series>,
    of: [String; 2],
}

impl Claim {
    pub(super) fn of(&self) -> [&str; 2] {
        self.of.each_ref().map(String::as_str)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Held to the end, so that the same version is not made anew meanwhile.
        let mut loaded = self.series.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        match loaded.get_mut(&self.of) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                loaded.remove(&self.of);
                let families = self.series.families.lock();
                for family in families.unwrap_or_else(PoisonError::into_inner).iter() {
                    family.forget(&self.of[0], &self.of[1]);
                }
            }
        }
    }
}
