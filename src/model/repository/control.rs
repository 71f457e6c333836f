//! When models are loaded and unloaded: at the start, as the folder changes, or when somebody says so.
//!
//! One change is made at a time, on the thread of whoever asks for it, which may not be an async one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::anyhow;

use super::ModelRepository;
use super::entry::Entry;
use super::passed::{self, Passed};
use super::progress::Progress;
use super::refresh::{Problem, load};
use super::room::Room;
use super::scan::{Found, Scan, find, scan};
use crate::config::{Control, Models};
use crate::error::{Error, ErrorKind, excerpt, one_of};
use crate::metrics::Metrics;
use crate::model::Model;
use crate::model::load::Loader;
use crate::runtime::memory;

/// Where the models come from.
pub(super) struct Source {
    config: Models,
    loader: Loader,
    /// Held for as long as a change takes.
    work: Mutex<Work>,
    room: Option<Room>,
}

/// What one change leaves for the next.
#[derive(Default)]
struct Work {
    /// Models to serve with [`Control::Explicit`].
    wanted: BTreeSet<String>,
    /// What the last scan found, by name.
    seen: BTreeMap<String, Found>,
    /// What it passed over.
    passed: Vec<Passed>,
}

/// When a change on disk counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At once: somebody says that it is complete.
    Now,
    /// Once two scans have found the same, since files may still be on their way.
    Settled,
}

impl ModelRepository {
    /// Loads every model folder in `path`, or only the one called `only`. The models do not change
    /// after that.
    ///
    /// # Errors
    /// No folder, no models, or models that cannot be loaded: all of them are named.
    pub fn load(path: &Path, only: Option<&str>, loader: &Loader) -> anyhow::Result<Self> {
        let Scan { found, passed } = match only {
            Some(name) => Scan { found: vec![find(path, name)?], passed: Vec::new() },
            None => scan(path)?,
        };
        let repository = Self::empty(None);
        passed.iter().for_each(Passed::log);
        repository.fill(path, &found, &passed, loader)?;
        Ok(repository)
    }

    /// Loads the models of the start, and can load others later as [`Models::control`] says.
    ///
    /// # Errors
    /// The folder cannot be read. With [`Control::None`] also as [`Self::load`].
    pub fn open(config: Models, loader: Loader) -> anyhow::Result<Self> {
        let Scan { mut found, passed } = scan(&config.path)?;
        passed.iter().for_each(Passed::log);
        let wanted: BTreeSet<String> = found
            .iter()
            .map(|found| found.name.clone())
            .filter(|name| config.load.iter().any(|load| load == "*" || load == name))
            .collect();
        let seen = by_name(&found);
        let (control, path) = (config.control, config.path.clone());
        let missing = config.load.iter().find(|name| *name != "*" && !seen.contains_key(*name));
        if let Some(name) = missing {
            tracing::warn!("models.load: no model `{name}` in {}", path.display());
        }
        let work = Mutex::new(Work { wanted: wanted.clone(), seen, passed: passed.clone() });
        let room = config.max_memory().map(|most| Room::new(most, loader.config.cores()));
        let repository = Self::empty(Some(Source { config, loader, work, room }));
        let Some(Source { loader, .. }) = &repository.source else { return Ok(repository) };
        if control == Control::Explicit {
            for found in found.extract_if(.., |found| !wanted.contains(&found.name)) {
                repository.publish(&found.name, Some(not_loaded("it was not asked for")));
            }
        }
        match repository.fill(&path, &found, &passed, loader) {
            Err(error) if control == Control::None => Err(error),
            // Each is in the log and in the index.
            _ => Ok(repository),
        }
    }

    /// The first load: all models side by side, and then their sessions over all cores in turn. Where memory
    /// is bounded, a few at a time, so that those before can make room.
    fn fill(
        &self,
        path: &Path,
        found: &[Found],
        passed: &[Passed],
        loader: &Loader,
    ) -> anyhow::Result<()> {
        if found.is_empty() {
            return Err(anyhow!(
                "no models in {}: put a folder with a model.onnx there, {}/NAME/model.onnx{}",
                path.display(),
                path.display(),
                passed::lines(passed)
            ));
        }
        let progress = Progress::new(found.iter().flat_map(Found::chosen).count());
        let at_once = if self.room().is_some() { loader.config.cores() } else { found.len() };
        let mut failures = String::new();
        for found in found.chunks(at_once) {
            failures.push_str(&self.fill_some(found, loader, &progress));
            self.park_idle();
        }
        match failures.as_str() {
            "" => Ok(()),
            failures => Err(anyhow!("these models cannot be served:{failures}")),
        }
    }

    /// Loads these side by side. A line for each that failed.
    fn fill_some(&self, found: &[Found], loader: &Loader, progress: &Progress) -> String {
        let locations: Vec<_> = found.iter().flat_map(Found::chosen).collect();
        let first = loader.compute.map(&locations, |location| {
            let _loading = progress.begin(&location.name);
            loader.load(location)
        });
        let mut first: Vec<(_, Option<Result<Model, String>>)> =
            locations.into_iter().zip(first.into_iter().map(Some)).collect();
        let mut failures = String::new();
        for found in found {
            let problems = self.refresh(found, false, &mut |location| {
                let of = first.iter_mut().find(|(other, _)| *other == location);
                let first = of.and_then(|(_, first)| first.take());
                let model = first.unwrap_or_else(|| loader.load(location))?;
                model.widen()?;
                Ok(model)
            });
            for Problem { folder, reason } in problems {
                failures.push_str(&format!("\n  {} ({}): {reason}", found.name, folder.display()));
            }
        }
        memory::give_back();
        failures
    }

    /// Looks at the folder and follows what has changed. Blocks while models load.
    pub fn rescan(&self, when: When) {
        let Some(source) = &self.source else { return };
        let mut work = source.work();
        let found = match scan(&source.config.path) {
            Ok(Scan { found, passed }) => {
                passed.iter().filter(|passed| !work.passed.contains(passed)).for_each(Passed::log);
                work.passed = passed;
                by_name(&found)
            }
            // A folder that is away for a moment is no reason to unload everything.
            Err(error) => return tracing::error!("what is loaded serves on: {error:#}"),
        };
        let before = std::mem::replace(&mut work.seen, found.clone());
        let counts = |name: &str| when == When::Now || before.get(name) == found.get(name);
        let gone: Vec<String> = self.served().keys().cloned().collect();
        for name in gone.iter().filter(|name| !found.contains_key(*name) && counts(name)) {
            tracing::info!(model = name, "unloaded: its folder is gone");
            self.publish(name, None);
        }
        for (name, found) in found.iter().filter(|(name, _)| counts(name)) {
            if source.config.control != Control::Explicit || work.wanted.contains(name) {
                source.refresh(self, found, when == When::Now);
            } else if !self.served().contains_key(name) {
                self.publish(name, Some(not_loaded("it was not asked for")));
            }
        }
    }

    /// Loads a model, or what has changed of it, and waits until it serves. Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownModel`]; [`ErrorKind::InvalidInput`] if it cannot be loaded, with the
    /// reason, or if [`Models::control`] does not leave that to the caller.
    pub fn load_model(&self, name: &str) -> Result<(), Error> {
        let source = self.explicit()?;
        let mut work = source.work();
        let found = scan(&source.config.path);
        let found = by_name(&found.map_err(|error| refused(format!("{error:#}")))?.found);
        let Some(model) = found.get(name) else {
            let expected = one_of(name, found.keys().map(String::as_str));
            let got = format!("`{}`", excerpt(name));
            return Err(Error::field(ErrorKind::UnknownModel, "model", expected, got));
        };
        work.wanted.insert(name.to_owned());
        let problems = source.refresh(self, model, true);
        work.seen = found;
        if problems.is_empty() {
            return Ok(());
        }
        let reasons: Vec<_> = problems.into_iter().map(|problem| problem.reason).collect();
        Err(refused(format!("model `{name}` cannot be loaded: {}", reasons.join("; "))))
    }

    /// Lets a model go. What it has taken on is answered still.
    ///
    /// # Errors
    /// As [`Self::load_model`].
    pub fn unload_model(&self, name: &str) -> Result<(), Error> {
        let source = self.explicit()?;
        let mut work = source.work();
        let served = self.served();
        if !served.contains_key(name) {
            let expected = one_of(name, served.keys().map(String::as_str));
            let got = format!("`{}`", excerpt(name));
            return Err(Error::field(ErrorKind::UnknownModel, "model", expected, got));
        }
        work.wanted.remove(name);
        self.publish(name, Some(not_loaded("it was unloaded")));
        tracing::info!(model = name, "unloaded");
        Ok(())
    }

    fn explicit(&self) -> Result<&Source, Error> {
        let control = self.source.as_ref().map_or(Control::None, |source| source.config.control);
        match &self.source {
            Some(source) if control == Control::Explicit => Ok(source),
            _ => Err(refused(format!(
                "models are loaded and unloaded by request only with models.control = \
                 \"explicit\"; here it is \"{}\"",
                control.word()
            ))),
        }
    }

    /// Follows the folder for ever, if it is to be polled.
    pub async fn watch(self: Arc<Self>) {
        let polled = self.source.as_ref().map(|source| &source.config);
        let Some(config) = polled.filter(|config| config.control == Control::Poll) else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(config.poll_interval).await;
            let repository = self.clone();
            let scan = tokio::task::spawn_blocking(move || repository.rescan(When::Settled));
            if scan.await.is_err() {
                tracing::error!("looking at the models folder panicked");
            }
        }
    }
}

impl Source {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refresh(&self, of: &ModelRepository, found: &Found, again: bool) -> Vec<Problem> {
        let problems = of.refresh(found, again, &mut |location| load(&self.loader, location));
        of.park_idle();
        problems
    }

    pub(super) fn loader(&self) -> &Loader {
        &self.loader
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.loader.metrics
    }

    pub(super) fn room(&self) -> Option<&Room> {
        self.room.as_ref()
    }
}

fn by_name(found: &[Found]) -> BTreeMap<String, Found> {
    found.iter().map(|found| (found.name.clone(), found.clone())).collect()
}

fn not_loaded(reason: &str) -> Entry {
    Entry { reason: Some(reason.to_owned()), ..Entry::default() }
}

fn refused(detail: String) -> Error {
    Error::new(ErrorKind::InvalidInput, detail)
}
