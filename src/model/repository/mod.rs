//! All models of a server: found on disk, loaded, looked up by name and version.
//!
//! `scan` says what is on disk, `refresh` brings one model in line with it, `control` says when, and
//! `entry` which version answers. Where memory is bounded, `room` parks what was not asked for the longest,
//! `resume` loads it again, and `lookup` is for those who cannot wait for that at once. Lookups read a
//! snapshot, which a change replaces as a whole; what a request has looked up lives until it ends.

mod control;
mod entry;
mod lookup;
mod parked;
mod passed;
mod progress;
mod refresh;
mod report;
mod rest;
mod resume;
mod room;
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
use parked::Held;
use report::Leaving;
use room::Room;
use shadow::Mirrored;

pub use control::When;
pub use lookup::Lookup;
pub use parked::Profile;
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
    /// Held while an entry is put in the place of another.
    changing: Mutex<()>,
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
        let (changing, leaving) = (Mutex::default(), Mutex::default());
        Self { served: RwLock::default(), changing, leaving, source }
    }

    /// What is served at this moment.
    fn served(&self) -> Arc<Served> {
        self.served.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How much they may take, if that is bounded.
    fn room(&self) -> Option<&Room> {
        self.source.as_ref()?.room()
    }

    /// Puts an entry in the place of the one of this name, or takes it away.
    fn publish(&self, name: &str, entry: Option<Entry>) {
        let new = entry.map(Arc::new);
        let changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.replace(name, new.clone());
        drop(changing);
        let goes = |model: &&Arc<Model>| {
            let other = new.as_ref().and_then(|entry| entry.loaded(model.version));
            !other.is_some_and(|other| Arc::ptr_eq(other, model))
        };
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.retain(Leaving::is_there);
        leaving.extend(old.iter().flat_map(|old| old.models()).filter(goes).map(Leaving::from));
    }

    /// Changes a copy of the entry of this name, which takes its place if `change` says so.
    fn change(&self, name: &str, change: impl FnOnce(&mut Entry) -> bool) -> bool {
        let changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut entry) = self.served().get(name).map(|entry| Entry::clone(entry)) else {
            return false;
        };
        if !change(&mut entry) {
            return false;
        }
        let old = self.replace(name, Some(Arc::new(entry)));
        // A model that goes with it takes its time, in which nobody need wait.
        drop(changing);
        drop(old);
        true
    }

    /// For the holder of `changing`. What was there before.
    fn replace(&self, name: &str, entry: Option<Arc<Entry>>) -> Option<Arc<Entry>> {
        let mut after = (*self.served()).clone();
        let old = match entry {
            Some(entry) => after.insert(name.to_owned(), entry),
            None => after.remove(name),
        };
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(after);
        old
    }

    /// Every version of every model that is in memory.
    pub fn iter(&self) -> impl Iterator<Item = Arc<Model>> + use<> {
        let served = self.served();
        let models: Vec<_> = served.values().flat_map(|entry| entry.models()).cloned().collect();
        models.into_iter()
    }

    /// What is told of every version of every model that serves, in memory or not.
    #[must_use]
    pub fn profiles(&self) -> Vec<Arc<Profile>> {
        self.served().values().flat_map(|entry| entry.serving()).map(Held::profile).collect()
    }

    /// What is told of this version, if it serves.
    #[must_use]
    pub fn profile(&self, name: &str, version: u64) -> Option<Arc<Profile>> {
        Some(self.served().get(name)?.held(version)?.profile())
    }

    /// The names of the models that serve.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let served = self.served();
        let serving = served.iter().filter(|(_, entry)| entry.serving().next().is_some());
        serving.map(|(name, _)| name.clone()).collect()
    }

    /// The versions of this model that serve, in rising order.
    #[must_use]
    pub fn versions(&self, name: &str) -> Vec<u64> {
        let served = self.served();
        let entry = served.get(name);
        entry.iter().flat_map(|entry| entry.serving()).map(Held::version).collect()
    }

    /// The model of this name: the version of this number or label, or without one the version whose
    /// turn it is. For who cannot wait: [`Self::find_loaded`] also loads what is unloaded to make room.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownModel`], with what there is; [`ErrorKind::Unavailable`] if it is known and
    /// not loaded, with the reason.
    pub fn find(&self, name: &str, version: Option<&str>) -> Result<Arc<Model>, Error> {
        self.look_up(name, version)?.at_once()
    }

    fn look_up(&self, name: &str, version: Option<&str>) -> Result<Held, Error> {
        let served = self.served();
        Ok(self.touched(of_name(&served, name, version)?.1))
    }

    /// Whether a request for this model would be answered: its name and version.
    ///
    /// # Errors
    /// As [`Self::find`], but for models that are unloaded to make room.
    pub fn ready(&self, name: &str, version: Option<&str>) -> Result<(String, u64), Error> {
        let served = self.served();
        let (entry, held) = of_name(&served, name, version)?;
        entry.check(&held)?;
        Ok((held.name().to_owned(), held.version()))
    }

    /// Notes that somebody asks for it.
    fn touched(&self, held: Held) -> Held {
        if let (Some(room), Held::Loaded(model)) = (self.room(), &held) {
            room.touch(model);
        }
        held
    }

    /// The model that answers this kind of input when none is named: the only one that takes it,
    /// or the one whose `model.toml` says `default = true`.
    ///
    /// # Errors
    /// No model takes it, or several do.
    pub fn find_by_kind(&self, kind: InputKind) -> Result<Arc<Model>, Error> {
        self.look_up_kind(kind)?.at_once()
    }

    fn look_up_kind(&self, kind: InputKind) -> Result<Held, Error> {
        let served = self.served();
        let (entry, held) = taker(&live(&served), kind)?;
        Ok(self.touched(entry.next(held.name())?))
    }

    /// A version of every model that requests without one go to, by name, and whether it answers its kind
    /// of input when no model is named.
    #[must_use]
    pub fn defaults(&self) -> Vec<(Arc<Profile>, bool)> {
        let served = self.served();
        let live = live(&served);
        let is_taker = |held: &Held| {
            taker(&live, held.kind()).is_ok_and(|(_, other)| std::ptr::eq(held, other))
        };
        live.iter().map(|(_, held)| (held.profile(), is_taker(held))).collect()
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
        if let Some(room) = self.room() {
            room.touch(of);
        }
        shadow.copy(of, input, with)
    }
}

/// Models of which a version answers requests without one.
fn live(served: &Served) -> Vec<(&Entry, &Held)> {
    served.values().filter_map(|entry| Some((&**entry, entry.default_version()?))).collect()
}

/// What serves as the model of this name, and whose version it is.
fn of_name<'a>(
    served: &'a Served,
    name: &str,
    version: Option<&str>,
) -> Result<(&'a Entry, Held), Error> {
    let Some(entry) = served.get(name) else { return Err(unknown(served, name)) };
    let held = match version {
        Some(version) => entry.version(name, version),
        None => entry.next(name),
    };
    Ok((entry, held?))
}

/// The one that answers this kind of input when none is named.
fn taker<'a>(
    live: &[(&'a Entry, &'a Held)],
    kind: InputKind,
) -> Result<(&'a Entry, &'a Held), Error> {
    let names = |models: &[(&Entry, &Held)]| {
        let names = models.iter().map(|(_, held)| format!("`{}`", held.name()));
        names.collect::<Vec<_>>().join(", ")
    };
    let takers: Vec<_> = live.iter().copied().filter(|(_, held)| held.kind() == kind).collect();
    let defaults: Vec<_> = takers.iter().copied().filter(|(_, held)| held.is_default()).collect();
    match (takers.as_slice(), defaults.as_slice()) {
        ([only], _) | (_, [only]) => Ok(*only),
        ([], _) => {
            let expected = format!("an input that a model here takes ({})", names(live));
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
        .filter(|(_, entry)| entry.serving().next().is_some())
        .map(|(name, _)| name.as_str())
        .collect();
    let expected = one_of(name, known.iter().copied());
    Error::field(ErrorKind::UnknownModel, "model", expected, format!("`{}`", excerpt(name)))
}
