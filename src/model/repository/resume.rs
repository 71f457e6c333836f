//! Models that were unloaded to make room are loaded again for those who ask for them.

use std::sync::Arc;

use futures_util::FutureExt;

use super::ModelRepository;
use super::control::Source;
use super::entry::{Entry, not_loaded};
use super::parked::{Held, Loading, Parked, Profile};
use super::refresh::{for_clients, load};
use super::room::Room;
use crate::error::Error;
use crate::model::Model;

impl ModelRepository {
    /// As [`Self::find`], once the model is loaded.
    ///
    /// # Errors
    /// As [`Self::find`]; [`crate::error::ErrorKind::Unavailable`] if it cannot be loaded again.
    pub async fn find_loaded(
        self: &Arc<Self>,
        name: &str,
        version: Option<&str>,
    ) -> Result<Arc<Model>, Error> {
        let held = self.look_up(name, version)?;
        self.resume(held).await
    }

    /// The model, once it is loaded. However many ask for it, it is loaded once.
    pub(super) async fn resume(self: &Arc<Self>, held: Held) -> Result<Arc<Model>, Error> {
        match held {
            Held::Loaded(model) => Ok(model),
            Held::Parked(parked) => parked.load(|| self.begin(parked.clone())).await,
        }
    }

    fn begin(self: &Arc<Self>, parked: Arc<Parked>) -> Loading {
        let repository = self.clone();
        // A task of its own: what has begun is finished though its callers leave, else those who ask
        // again would begin it anew.
        let load = tokio::spawn(async move {
            let loaded = repository.in_turn(parked.clone()).await;
            parked.landed();
            loaded
        });
        let loaded = async move { load.await.unwrap_or_else(|error| Err(Error::internal(error))) };
        loaded.boxed().shared()
    }

    async fn in_turn(self: Arc<Self>, parked: Arc<Parked>) -> Result<Arc<Model>, Error> {
        let turns = self.room().map(|room| room.turns.clone());
        let turns = turns.ok_or_else(|| Error::internal("a model is parked without a bound"))?;
        let turn = turns.acquire_owned().await.map_err(Error::internal)?;
        let load = move || {
            // Until the load ends, whoever waits for it.
            let _turn = turn;
            let (Some(source), Some(room)) = (&self.source, self.room()) else {
                return Err(Error::internal("a model is parked without a bound"));
            };
            self.load_parked(source, room, &parked)
        };
        tokio::task::spawn_blocking(load).await.map_err(Error::internal)?
    }

    fn load_parked(
        &self,
        source: &Source,
        room: &Room,
        parked: &Parked,
    ) -> Result<Arc<Model>, Error> {
        let Profile { name, version, .. } = &*parked.profile;
        // A reload of the folder may have come before.
        let before = self.served().get(name).and_then(|entry| entry.loaded(*version)).cloned();
        if let Some(model) = before {
            return Ok(model);
        }
        let promised = self.make_room(room, parked.memory);
        match load(source.loader(), &parked.location) {
            Ok(model) => {
                let model = Arc::new(model);
                room.touch(&model);
                self.change(name, |entry| entry.resumed(&model));
                drop(promised);
                // It may take more than it did before.
                self.make_room(room, 0);
                source.metrics().model_resumed.with_label_values(&[name]).inc();
                tracing::debug!(model = name, version, "loaded again");
                Ok(model)
            }
            Err(reason) => {
                let reason = for_clients(&reason, &parked.location);
                if self.change(name, |entry| entry.cannot_resume(*version, &reason)) {
                    tracing::warn!(model = name, version, "cannot be loaded again: {reason}");
                }
                Err(not_loaded(name, &reason))
            }
        }
    }
}

impl Entry {
    /// Takes a model over that was parked, unless the version was replaced or unloaded meanwhile.
    fn resumed(&mut self, model: &Arc<Model>) -> bool {
        let version = self.versions.get_mut(&model.version);
        let version = version.filter(|version| matches!(version.held, Some(Held::Parked(_))));
        let Some(version) = version else { return false };
        version.held = Some(Held::Loaded(model.clone()));
        version.problem = None;
        true
    }

    /// Notes why a parked version cannot be loaded, and whether that is new.
    fn cannot_resume(&mut self, number: u64, reason: &str) -> bool {
        let version = self.versions.get_mut(&number);
        let version = version.filter(|version| matches!(version.held, Some(Held::Parked(_))));
        let Some(version) = version else { return false };
        let is_new = version.problem.as_deref() != Some(reason);
        version.problem = Some(reason.to_owned());
        is_new
    }
}
