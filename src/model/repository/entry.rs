//! One model of the repository: its versions, and which of them answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::parked::Held;
use super::report::State;
use super::scan::Fingerprint;
use super::shadow::Shadow;
use super::split::Split;
use crate::config::{STABLE, Versions};
use crate::error::{Error, ErrorKind, excerpt, nearest};
use crate::model::Model;
use crate::model::load::Location;

/// A model by its name. Replaced as a whole when it changes.
#[derive(Clone, Default)]
pub struct Entry {
    pub versions: BTreeMap<u64, Version>,
    pub routing: Arc<Routing>,
    /// What is wrong with the model as a whole, or why none of it is loaded.
    pub reason: Option<String>,
}

/// One version.
#[derive(Clone, Default)]
pub struct Version {
    /// What serves.
    pub held: Option<Held>,
    /// Where it was loaded from; `None` if it was made otherwise, and so cannot be loaded again.
    pub location: Option<Location>,
    /// The files of the last load, whether it succeeded or not.
    pub tried: Option<Fingerprint>,
    /// Why the last load failed.
    pub problem: Option<String>,
    pub loading: bool,
}

/// Where requests go, as `model.toml` says.
#[derive(Default)]
pub struct Routing {
    /// What it was made from; `None` before the first load.
    pub versions: Option<Versions>,
    split: Split,
    shadow: Option<Shadow>,
}

impl Routing {
    pub fn new(versions: &Versions) -> Self {
        Self {
            versions: Some(versions.clone()),
            split: Split::new(&versions.split),
            shadow: versions.shadow.map(Shadow::new),
        }
    }
}

impl Routing {
    fn label(&self, label: &str) -> Option<u64> {
        self.versions.as_ref()?.labels.get(label).copied()
    }
}

impl Version {
    pub fn of(model: Arc<Model>) -> Self {
        Self { held: Some(Held::Loaded(model)), ..Self::default() }
    }

    pub fn state(&self) -> State {
        match (&self.held, self.loading) {
            (Some(Held::Loaded(_)), _) => State::Ready,
            // A request would be answered, unless the last one could not be.
            (Some(Held::Parked(_)), _) if self.problem.is_none() => State::Ready,
            (_, true) => State::Loading,
            (_, false) => State::Unavailable,
        }
    }
}

impl Entry {
    /// What serves as this version.
    pub fn held(&self, version: u64) -> Option<&Held> {
        self.versions.get(&version)?.held.as_ref()
    }

    /// The same if it is in memory.
    pub fn loaded(&self, version: u64) -> Option<&Arc<Model>> {
        self.held(version)?.loaded()
    }

    /// The versions that serve, in rising order.
    pub fn serving(&self) -> impl DoubleEndedIterator<Item = &Held> {
        self.versions.values().filter_map(|version| version.held.as_ref())
    }

    /// Those that are in memory.
    pub fn models(&self) -> impl DoubleEndedIterator<Item = &Arc<Model>> {
        self.serving().filter_map(Held::loaded)
    }

    /// A version that requests without one go to; of a split, any.
    pub fn default_version(&self) -> Option<&Held> {
        self.live().first().copied()
    }

    /// The versions that requests without one go to.
    pub fn live(&self) -> Vec<&Held> {
        let Routing { split, shadow, .. } = &*self.routing;
        let shared: Vec<_> = split.versions().filter_map(|version| self.held(version)).collect();
        if !shared.is_empty() {
            return shared;
        }
        let held = match self.routing.label(STABLE) {
            // Not another in its place: somebody chose this one.
            Some(stable) => self.held(stable),
            None => {
                let shadow = shadow.as_ref().map(Shadow::version);
                self.serving().rfind(|held| Some(held.version()) != shadow)
            }
        };
        held.into_iter().collect()
    }

    /// The version that answers the next request without one.
    pub fn next(&self, name: &str) -> Result<Held, Error> {
        let split = self.routing.split.next(|version| self.held(version).is_some());
        let held = split.and_then(|version| self.held(version));
        match held.or_else(|| self.default_version()) {
            Some(held) => Ok(held.clone()),
            None => Err(self.unavailable(name)),
        }
    }

    /// Whether what serves could answer.
    ///
    /// # Errors
    /// It is parked, and could not be loaded for the last request.
    pub fn check(&self, held: &Held) -> Result<(), Error> {
        let version = self.versions.get(&held.version());
        let stuck = version.filter(|version| version.state() != State::Ready);
        match stuck.and_then(|version| version.problem.as_deref()) {
            Some(problem) => Err(not_loaded(held.name(), problem)),
            None => Ok(()),
        }
    }

    /// The version of this number or label.
    pub fn version(&self, name: &str, version: &str) -> Result<Held, Error> {
        let number = match self.routing.label(version) {
            Some(number) => Some(number),
            None => version.parse().ok().filter(|number: &u64| number.to_string() == version),
        };
        let known = number.and_then(|number| Some((number, self.versions.get(&number)?)));
        match known {
            Some((_, Version { held: Some(held), .. })) => Ok(held.clone()),
            Some((number, other)) => {
                let reason = other.problem.as_deref().unwrap_or("it is loading");
                let detail = format!("version {number} of model `{name}` is not loaded: {reason}");
                Err(Error::new(ErrorKind::Unavailable, detail).because("not_loaded"))
            }
            None if self.serving().next().is_none() => Err(self.unavailable(name)),
            None => Err(self.unknown(name, version)),
        }
    }

    fn unknown(&self, name: &str, version: &str) -> Error {
        let numbers = self.serving().map(|held| held.version().to_string());
        let labels = self.routing.versions.iter().flat_map(|versions| versions.labels.keys());
        let known: Vec<String> = numbers.chain(labels.clone().cloned()).collect();
        let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        let expected = match known.as_slice() {
            [only] => format!("{only} (the version of `{name}` that is loaded)"),
            several => {
                format!("one of {} (versions of `{name}` and their labels)", several.join(", "))
            }
        };
        let nearest = nearest(version, labels.map(String::as_str));
        let meant = nearest.map(|label| format!(" (did you mean `{label}`?)")).unwrap_or_default();
        let got = format!("`{}`", excerpt(version));
        Error::field(ErrorKind::UnknownModel, "version", expected + &meant, got)
    }

    /// No version serves.
    pub fn unavailable(&self, name: &str) -> Error {
        let problem = self.versions.values().rev().find_map(|version| version.problem.as_deref());
        let reason = self.reason.as_deref().or(problem).unwrap_or("it is loading");
        not_loaded(name, reason)
    }

    /// The shadow that is to be given what `model` answered.
    pub fn shadow(&self, model: &Model) -> Option<(&Shadow, &Arc<Model>)> {
        let shadow = self.routing.shadow.as_ref()?;
        let of = self.loaded(shadow.version())?;
        (of.version != model.version).then_some((shadow, of))
    }
}

/// A model that is known and cannot answer.
pub fn not_loaded(name: &str, reason: &str) -> Error {
    let detail = format!("model `{name}` is not loaded: {reason}");
    Error::new(ErrorKind::Unavailable, detail).because("not_loaded")
}
