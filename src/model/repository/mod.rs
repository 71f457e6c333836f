//! All models of a server: found on disk, loaded, looked up by name and version.
//!
//! `scan` says what is on disk, `refresh` brings one model in line with it, `control` says when, and
//! `entry` which version answers. Lookups read a snapshot, which a change replaces as a whole; what a
//! request has looked up lives until it ends.

mod control;
mod entry;
mod passed;
mod progress;
mod refresh;
mod report;
mod rest;
mod scan;
mod shadow;
mod split;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::anyhow;

use super::Model;
use super::load::Location;
use crate::error::{Error, ErrorKind, excerpt, one_of};
use crate::tasks::{Input, InputKind, Parameters};
use control::Source;
use entry::{Entry, Version};
use report::Leaving;
use shadow::Mirrored;

pub use control::When;
pub use report::{IndexEntry, State};

/// The newest version of this model that would be served.
///
/// # Errors
/// There is no such model in `path`, or no version of it to serve.
pub fn locate(path: &Path, name: &str) -> anyhow::Result<Location> {
    let found = scan::find(path, name)?;
    let newest = found.chosen().max_by_key(|location| location.version).cloned();
    newest.ok_or_else(|| match found.versions {
        Err(reason) => anyhow!("{name} ({}): {reason}", found.folder.display()),
        Ok(_) => anyhow!("no version of model `{name}` is to be served"),
    })
}

/// This version of this model, whether it would be served or not.
///
/// # Errors
/// There is no such model in `path`, or no such version of it.
pub fn locate_version(path: &Path, name: &str, version: u64) -> anyhow::Result<Location> {
    let found = scan::find(path, name)?;
    let on_disk = found.on_disk.get(&version).map(|on_disk| on_disk.location.clone());
    on_disk.ok_or_else(|| {
        let known: Vec<String> = found.on_disk.keys().map(u64::to_string).collect();
        anyhow!("model `{name}` has no version {version}: there is {}", known.join(", "))
    })
}

/// The models of a process, by name.
pub struct ModelRepository {
    served: RwLock<Arc<Served>>,
    leaving: Mutex<Vec<Leaving>>,
    /// Where they come from; `None` if they do not change.
    source: Option<Source>,
}

type Served = BTreeMap<String, Arc<Entry>>;

impl ModelRepository {
    /// Models that are loaded already, and that do not change.
    #[must_use]
    pub fn of(models: impl IntoIterator<Item = Model>) -> Self {
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for model in models {
            let entry = entries.entry(model.name.clone()).or_default();
            entry.versions.insert(model.version, Version::of(Arc::new(model)));
        }
        let repository = Self::empty(None);
        for (name, entry) in entries {
            repository.publish(&name, Some(entry));
        }
        repository
    }

    fn empty(source: Option<Source>) -> Self {
        Self { served: RwLock::default(), leaving: Mutex::default(), source }
    }

    /// What is served at this moment.
    fn served(&self) -> Arc<Served> {
        self.served.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts an entry in the place of the one of this name, or takes it away. For one caller at a time.
    fn publish(&self, name: &str, entry: Option<Entry>) {
        let before = self.served();
        let mut after = (*before).clone();
        let old = after.remove(name);
        if let Some(entry) = entry {
            after.insert(name.to_owned(), Arc::new(entry));
        }
        let new = after.get(name).cloned();
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(after);
        let goes = |model: &&Arc<Model>| {
            let other = new.as_ref().and_then(|entry| entry.loaded(model.version));
            !other.is_some_and(|other| Arc::ptr_eq(other, model))
        };
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.extend(old.iter().flat_map(|old| old.models()).filter(goes).map(Leaving::from));
    }

    /// Every version of every model that is loaded.
    pub fn iter(&self) -> impl Iterator<Item = Arc<Model>> + use<> {
        let served = self.served();
        let models: Vec<_> = served.values().flat_map(|entry| entry.models()).cloned().collect();
        models.into_iter()
    }

    /// The versions of this model that are loaded, in rising order.
    #[must_use]
    pub fn versions(&self, name: &str) -> Vec<u64> {
        let served = self.served();
        let entry = served.get(name);
        entry.iter().flat_map(|entry| entry.models()).map(|model| model.version).collect()
    }

    /// The model of this name: the version of this number or label, or without one the version whose
    /// turn it is.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownModel`], with what there is; [`ErrorKind::Unavailable`] if it is known and
    /// not loaded, with the reason.
    pub fn find(&self, name: &str, version: Option<&str>) -> Result<Arc<Model>, Error> {
        let served = self.served();
        let Some(entry) = served.get(name) else { return Err(unknown(&served, name)) };
        match version {
            Some(version) => entry.version(name, version),
            None => entry.next(name),
        }
    }

    /// The model that answers this kind of input when none is named: the only one that takes it,
    /// or the one whose `model.toml` says `default = true`.
    ///
    /// # Errors
    /// No model takes it, or several do.
    pub fn find_by_kind(&self, kind: InputKind) -> Result<Arc<Model>, Error> {
        let served = self.served();
        let (entry, model) = taker(&loaded(&served), kind)?;
        entry.next(&model.name)
    }

    /// A version of every model that requests without one go to, by name, and whether it answers its kind
    /// of input when no model is named.
    #[must_use]
    pub fn defaults(&self) -> Vec<(Arc<Model>, bool)> {
        let served = self.served();
        let loaded = loaded(&served);
        let is_taker = |model: &Arc<Model>| {
            taker(&loaded, model.input_kind()).is_ok_and(|(_, other)| Arc::ptr_eq(model, other))
        };
        loaded.iter().map(|(_, model)| ((*model).clone(), is_taker(model))).collect()
    }

    /// The version that is given copies of what this one answers.
    #[must_use]
    pub fn shadow_of(&self, model: &Model) -> Option<Arc<Model>> {
        let served = self.served();
        let (_, shadow) = served.get(&model.name)?.shadow(model)?;
        Some(shadow.clone())
    }

    /// A copy of a request that names no version for the shadow of the model that answers it, if it
    /// has one with room.
    #[must_use]
    pub fn mirror(&self, model: &Model, input: &Input, with: Parameters) -> Option<Mirrored> {
        let served = self.served();
        let (shadow, of) = served.get(&model.name)?.shadow(model)?;
        shadow.copy(of, input, with)
    }
}

/// Models of which a version answers requests without one.
fn loaded(served: &Served) -> Vec<(&Entry, &Arc<Model>)> {
    served.values().filter_map(|entry| Some((&**entry, entry.default_model()?))).collect()
}

/// The one that answers this kind of input when none is named.
fn taker<'a>(
    loaded: &[(&'a Entry, &'a Arc<Model>)],
    kind: InputKind,
) -> Result<(&'a Entry, &'a Arc<Model>), Error> {
    let names = |models: &[(&Entry, &Arc<Model>)]| {
        let names = models.iter().map(|(_, model)| format!("`{}`", model.name));
        names.collect::<Vec<_>>().join(", ")
    };
    let takers: Vec<_> =
        loaded.iter().copied().filter(|(_, model)| model.input_kind() == kind).collect();
    let defaults: Vec<_> = takers.iter().copied().filter(|(_, model)| model.default).collect();
    match (takers.as_slice(), defaults.as_slice()) {
        ([only], _) | (_, [only]) => Ok(*only),
        ([], _) => {
            let expected = format!("an input that a model here takes ({})", names(loaded));
            Err(Error::invalid(kind.field(), expected, format!("`{}`", kind.field())))
        }
        (several, _) => Err(Error::invalid(
            "model",
            format!("the name of one of the models that take this input: {}", names(several)),
            "no name",
        )),
    }
}

fn unknown(served: &Served, name: &str) -> Error {
    let known: Vec<&str> = served
        .iter()
        .filter(|(_, entry)| entry.models().next().is_some())
        .map(|(name, _)| name.as_str())
        .collect();
    let expected = one_of(name, known.iter().copied());
    Error::field(ErrorKind::UnknownModel, "model", expected, format!("`{}`", excerpt(name)))
}
