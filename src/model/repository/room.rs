//! The bound on the memory of all models: those that were not asked for the longest are parked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::ModelRepository;
use super::entry::Entry;
use super::parked::{Held, Parked};
use crate::model::Model;

/// Working memory grows as models run, and what was busy becomes idle.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is told that the bound does not hold.
const TELL: Duration = Duration::from_mins(1);

/// How much all models may take.
pub(super) struct Room {
    most: u64,
    /// Counts the requests, to tell which model was asked for last.
    clock: AtomicU64,
    /// Bytes of models that are being loaded again. Held while it is chosen what is parked.
    coming: Mutex<u64>,
    /// Of loads at once.
    pub turns: Arc<Semaphore>,
    told: Mutex<Option<Instant>>,
}

/// Room for a model that is being loaded, until this is dropped.
pub(super) struct Promised<'a> {
    room: &'a Room,
    bytes: u64,
}

/// A model in memory.
struct Loaded {
    name: String,
    version: u64,
    used: u64,
    memory: u64,
}

impl Room {
    pub fn new(most: u64, loads: usize) -> Self {
        Self {
            most,
            clock: AtomicU64::new(0),
            coming: Mutex::default(),
            turns: Arc::new(Semaphore::new(loads)),
            told: Mutex::default(),
        }
    }

    /// The model is asked for.
    pub fn touch(&self, model: &Model) {
        model.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    fn coming(&self) -> MutexGuard<'_, u64> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever runs the server should know, but not by a line for each request.
    fn tell(&self, taken: u64) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= TELL) {
            *told = Some(Instant::now());
            tracing::warn!(
                "models take {taken} bytes, more than models.max_memory = {}: none of them is idle",
                self.most
            );
        }
    }
}

impl Drop for Promised<'_> {
    fn drop(&mut self) {
        *self.room.coming() -= self.bytes;
    }
}

impl ModelRepository {
    /// Unloads idle models until the others are within [`crate::config::Models::max_memory`]. Without a
    /// bound it does nothing.
    pub fn park_idle(&self) {
        if let Some(room) = self.room() {
            self.make_room(room, 0);
        }
    }

    /// Keeps to the bound for ever, if there is one.
    pub async fn keep_within(self: Arc<Self>) {
        if self.room().is_none() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(LOOK).await;
            let repository = self.clone();
            let look = tokio::task::spawn_blocking(move || repository.park_idle());
            if look.await.is_err() {
                tracing::error!("making room for models panicked");
            }
        }
    }

    /// Parks idle models until there is room for this much more, or none is left that is idle: better
    /// over the bound than a request that fails.
    pub(super) fn make_room<'a>(&self, room: &'a Room, bytes: u64) -> Promised<'a> {
        let mut coming = room.coming();
        *coming += bytes;
        let mut loaded = self.in_memory();
        let mut taken = *coming + loaded.iter().map(|model| model.memory).sum::<u64>();
        if taken > room.most {
            loaded.sort_by_key(|model| model.used);
            for model in loaded {
                if taken <= room.most {
                    break;
                }
                if self.park(&model) {
                    taken -= model.memory;
                }
            }
        }
        drop(coming);
        if taken > room.most {
            room.tell(taken);
        }
        Promised { room, bytes }
    }

    fn in_memory(&self) -> Vec<Loaded> {
        let served = self.served();
        let models = served.values().flat_map(|entry| entry.models());
        let models = models.map(|model| Loaded {
            name: model.name.clone(),
            version: model.version,
            used: model.used.load(Ordering::Relaxed),
            memory: model.memory(),
        });
        models.collect()
    }

    /// Parks a model, unless somebody has it in work.
    fn park(&self, model: &Loaded) -> bool {
        let parked = self.change(&model.name, |entry| entry.park(model.version));
        if parked {
            tracing::debug!(model = model.name, version = model.version, "unloaded to make room");
            if let Some(source) = &self.source {
                source.metrics().model_parked.with_label_values(&[&model.name]).inc();
            }
        }
        parked
    }
}

impl Entry {
    /// Of an entry that is a copy of the one that serves: each of them holds the model once, and
    /// whoever else does has a request in work.
    fn park(&mut self, number: u64) -> bool {
        const OWN: usize = 2;
        let Some(version) = self.versions.get_mut(&number) else { return false };
        let (Some(Held::Loaded(model)), Some(location)) = (&version.held, &version.location) else {
            return false;
        };
        if version.loading || Arc::strong_count(model) > OWN {
            return false;
        }
        version.held = Some(Held::Parked(Arc::new(Parked::new(model, location.clone()))));
        true
    }
}
