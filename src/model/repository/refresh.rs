//! Brings one model in line with what is on disk: loads beside, and swaps when it has loaded.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use super::ModelRepository;
use super::entry::{Entry, Routing};
use super::parked::{Held, Profile};
use super::scan::{Found, OnDisk};
use crate::config::Versions;
use crate::model::Model;
use crate::model::load::{Loader, Location};
use crate::runtime::memory;
use crate::signature::Signature;
use crate::tasks::InputKind;

/// Why something that should serve does not.
pub struct Problem {
    pub folder: PathBuf,
    pub reason: String,
}

/// How a version is loaded.
pub type Load<'a> = dyn FnMut(&Location) -> Result<Model, String> + 'a;

/// Loads a version on the caller's thread.
pub fn load(loader: &Loader, location: &Location) -> Result<Model, String> {
    let load = || {
        let model = loader.load(location)?;
        model.widen()?;
        memory::give_back();
        Ok(model)
    };
    // A defect that one model's files meet must not stop what serves the others.
    catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|_| Err("loading it panicked".to_owned()))
}

/// Why a version cannot be loaded, as clients are told it: where the folder is is not their concern.
pub fn for_clients(reason: &str, location: &Location) -> String {
    reason.replace(&format!("{}/", location.model_folder.display()), "")
}

impl ModelRepository {
    /// Loads what is new or has changed, and when all of that serves, lets go what is not wanted any
    /// more. While anything fails, what served before serves on. `again`: also what failed before
    /// and has not changed since.
    pub(super) fn refresh(&self, found: &Found, again: bool, load: &mut Load<'_>) -> Vec<Problem> {
        let mut entry = self.served().get(&found.name).map(|e| Entry::clone(e)).unwrap_or_default();
        let problem =
            |reason: &str| Problem { folder: found.folder.clone(), reason: reason.into() };
        let versions = match &found.versions {
            Ok(versions) => versions,
            Err(reason) => {
                let serves = entry.serving().next().is_some();
                if serves && entry.reason.as_ref() != Some(reason) {
                    tracing::warn!(model = found.name, "what served before serves on: {reason}");
                }
                entry.reason = Some(reason.clone());
                self.publish(&found.name, Some(entry));
                return vec![problem(reason)];
            }
        };
        let chosen = versions.choose(found.on_disk.keys().copied());
        let due: Vec<&OnDisk> = chosen
            .iter()
            .filter_map(|version| found.on_disk.get(version))
            .filter(|on_disk| entry.is_due(on_disk, again))
            .collect();
        for on_disk in &due {
            entry.versions.entry(on_disk.location.version).or_default().loading = true;
        }
        if !due.is_empty() {
            self.publish(&found.name, Some(entry.clone()));
        }
        let served = entry.default_version().map(Held::profile);
        for on_disk in due {
            let takes_over = versions.answers_by_default(on_disk.location.version, &chosen);
            let old = served.as_deref().filter(|_| takes_over);
            let loaded = load(&on_disk.location)
                .and_then(|new| old.map_or(Ok(()), |old| compatible(old, &new)).map(|()| new));
            if let (Some(room), Ok(model)) = (self.room(), &loaded) {
                room.touch(model);
            }
            entry.tried(on_disk, loaded);
        }
        let problems = entry.settle(versions, &chosen);
        self.publish(&found.name, Some(entry));
        let folder = |version: Option<u64>| {
            let on_disk = version.and_then(|version| found.on_disk.get(&version));
            on_disk.map_or(&found.folder, |on_disk| &on_disk.location.version_folder).clone()
        };
        let of = |(version, reason)| Problem { folder: folder(version), reason };
        problems.into_iter().map(of).collect()
    }
}

impl Entry {
    fn is_due(&self, on_disk: &OnDisk, again: bool) -> bool {
        let Some(version) = self.versions.get(&on_disk.location.version) else { return true };
        version.tried.as_ref() != Some(&on_disk.print) || (again && version.problem.is_some())
    }

    /// Takes over the result of a load.
    fn tried(&mut self, on_disk: &OnDisk, loaded: Result<Model, String>) {
        let Location { name, version: number, .. } = &on_disk.location;
        let version = self.versions.entry(*number).or_default();
        version.loading = false;
        version.tried = Some(on_disk.print.clone());
        match loaded {
            Ok(model) => {
                tracing::info!(model = name, version = number, "loaded");
                version.problem = None;
                version.held = Some(Held::Loaded(Arc::new(model)));
                version.location = Some(on_disk.location.clone());
            }
            Err(reason) => {
                let reason = for_clients(&reason, &on_disk.location);
                tracing::warn!(model = name, version = number, "cannot be loaded: {reason}");
                version.problem = Some(reason);
            }
        }
    }

    /// Lets go what is not chosen, and routes as `model.toml` says, if all that takes is there. What
    /// is wrong, by version.
    fn settle(
        &mut self,
        versions: &Versions,
        chosen: &BTreeSet<u64>,
    ) -> Vec<(Option<u64>, String)> {
        let mut problems: Vec<(Option<u64>, String)> = Vec::new();
        for number in chosen {
            let problem = self.versions.get(number).and_then(|version| version.problem.clone());
            problems.extend(problem.map(|problem| (Some(*number), problem)));
        }
        let missing = versions.named().find(|(_, version)| !chosen.contains(version));
        self.reason = missing.map(|(key, version)| {
            format!("model.toml: versions.{key}: version {version} is not on disk")
        });
        if chosen.is_empty() {
            self.reason.get_or_insert_with(|| "no version of it is on disk".to_owned());
        }
        problems.extend(self.reason.clone().map(|reason| (None, reason)));
        let complete = problems.is_empty();
        self.versions.retain(|number, version| {
            chosen.contains(number) || (!complete && version.held.is_some())
        });
        let all_there = versions.named().all(|(_, version)| self.held(version).is_some());
        if all_there || self.routing.versions.is_none() {
            self.route(versions);
        }
        problems
    }

    fn route(&mut self, versions: &Versions) {
        // The same routing keeps its turns.
        if self.routing.versions.as_ref() != Some(versions) {
            self.routing = Arc::new(Routing::new(versions));
        }
    }
}

/// Whether those who ask for the model without a version can go on when `new` answers them.
fn compatible(old: &Profile, new: &Model) -> Result<(), String> {
    if old.task != new.task() {
        return Err(format!(
            "its task is {}, and {} of version {}, which serves; unload that first, or \
             give the model another name",
            new.task(),
            old.task,
            old.version
        ));
    }
    // Pictures and texts are made to fit; features are the client's.
    let inputs = |signature: &Signature| {
        let rows = signature.inputs.iter().cloned();
        let unbatched = rows.map(|mut spec| {
            if let Some(axis) = spec.shape.first_mut() {
                *axis = None;
            }
            spec.to_string()
        });
        unbatched.collect::<Vec<_>>().join(", ")
    };
    let (before, after) = (inputs(&old.signature), inputs(&new.signature));
    if old.kind == InputKind::Features && before != after {
        return Err(format!(
            "its inputs are {after}, and {before} of version {}, which serves; unload that first, or \
             give the model another name",
            old.version
        ));
    }
    Ok(())
}
