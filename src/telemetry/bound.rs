//! A bound on the lines that clients can cause: those of failed requests, by kind, and of panics. What is
//! left out is counted, and told once a second.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

const SECOND: Duration = Duration::from_secs(1);
/// In the place of a kind, for panics.
const PANICKED: &str = "panicked";
/// The kind that is our fault.
const INTERNAL: &str = "internal";

/// Lines of each kind, as long as the process runs.
#[derive(Clone)]
pub struct Bound {
    /// Lines of a kind in a second.
    most: u32,
    kinds: Arc<Mutex<BTreeMap<String, Count>>>,
}

/// Of one kind.
struct Count {
    /// When the second began that goes on, and the lines in it.
    began: Instant,
    written: u32,
    left_out: u64,
}

impl Bound {
    /// 0: none.
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self { most, kinds: Arc::default() }
    }

    /// Whether there is a line for it.
    fn takes(&self, kind: &str, now: Instant) -> bool {
        let mut kinds = self.kinds();
        if !kinds.contains_key(kind) {
            // A closed set, so that there are few.
            kinds.insert(kind.to_owned(), Count { began: now, written: 0, left_out: 0 });
        }
        let Some(count) = kinds.get_mut(kind) else { return true };
        if now.duration_since(count.began) >= SECOND {
            (count.began, count.written) = (now, 0);
        }
        if count.written < self.most {
            count.written += 1;
            return true;
        }
        count.left_out += 1;
        false
    }

    /// Lines that were left out since this was last asked.
    fn left_out(&self) -> Vec<(String, u64)> {
        let mut kinds = self.kinds();
        let taken = kinds
            .iter_mut()
            .map(|(kind, count)| (kind.clone(), std::mem::take(&mut count.left_out)));
        taken.filter(|(_, count)| *count > 0).collect()
    }

    /// Logs what was left out since this was last done.
    pub fn tell(&self) {
        for (kind, count) in self.left_out() {
            match kind.as_str() {
                INTERNAL | PANICKED => {
                    tracing::error!(kind, count, "more failures, which have no line of their own");
                }
                _ => tracing::info!(kind, count, "more refusals, which have no line of their own"),
            }
        }
    }

    fn kinds(&self) -> MutexGuard<'_, BTreeMap<String, Count>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The kind of a request that failed.
#[derive(Default)]
struct Kind(String);

impl Visit for Kind {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "kind" {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

impl<S: Subscriber> Layer<S> for Bound {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let fields = event.metadata().fields();
        let has = |name| fields.field(name).is_some();
        if self.most == 0 {
            return true;
        }
        if has("request_id") && has("kind") {
            let mut kind = Kind::default();
            event.record(&mut kind);
            self.takes(&kind.0, Instant::now())
        } else {
            // The hook's, which tells where.
            !has("location") || self.takes(PANICKED, Instant::now())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_lines_a_second_and_the_rest_is_counted() {
        let (bound, start) = (Bound::new(3), Instant::now());
        let lines = |kind, count, at| (0..count).filter(|_| bound.takes(kind, at)).count();
        assert_eq!(lines("unknown-route", 100, start), 3);
        assert_eq!(lines("internal", 2, start), 2, "another kind");
        assert_eq!(bound.left_out(), [("unknown-route".to_owned(), 97)]);
        assert!(bound.left_out().is_empty());
        assert_eq!(lines("unknown-route", 4, start + SECOND), 3);
        assert_eq!(bound.left_out(), [("unknown-route".to_owned(), 1)]);
    }
}
