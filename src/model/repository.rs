//! All models of a server: found on disk, loaded, looked up by name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};

use super::Model;
use super::formats::holds_model;
use super::load::{Loader, Location};
use crate::error::{Error, ErrorKind, excerpt, one_of};
use crate::metrics::Metrics;
use crate::runtime::device;
use crate::tasks::InputKind;

/// Loaded models by name; of each the latest version on disk.
pub struct ModelRepository {
    models: BTreeMap<String, Arc<Model>>,
}

impl ModelRepository {
    /// Loads every model folder in `path`, or only the one called `only`.
    ///
    /// # Errors
    /// No folder, no models, or models that cannot be loaded: all of them are named.
    pub fn load(path: &Path, only: Option<&str>, loader: &Loader) -> anyhow::Result<Self> {
        let mut locations = scan(path)?;
        if let Some(name) = only {
            let names: Vec<String> = locations.iter().map(|l| l.name.clone()).collect();
            locations.retain(|location| location.name == name);
            if locations.is_empty() {
                let known = one_of(name, names.iter().map(String::as_str));
                return Err(anyhow!("no model `{name}` in {}: expected {known}", path.display()));
            }
        }
        if locations.is_empty() {
            return Err(anyhow!(
                "no models in {}: put a folder with a model.onnx there, {}/NAME/model.onnx",
                path.display(),
                path.display()
            ));
        }
        let loaded = loader.compute.map(&locations, |location| loader.load(location));
        let mut models = BTreeMap::new();
        let mut failures = String::new();
        for (location, result) in locations.iter().zip(loaded) {
            match result.and_then(|model| loader.grow(&model).map(|()| model)) {
                Ok(model) => {
                    models.insert(model.name.clone(), Arc::new(model));
                }
                Err(reason) => failures.push_str(&format!(
                    "\n  {} ({}): {reason}",
                    location.name,
                    location.version_folder.display()
                )),
            }
        }
        if failures.is_empty() {
            Ok(Self { models })
        } else {
            Err(anyhow!("these models cannot be served:{failures}"))
        }
    }

    /// Models that are loaded already.
    #[must_use]
    pub fn of(models: impl IntoIterator<Item = Model>) -> Self {
        let by_name = |model: Model| (model.name.clone(), Arc::new(model));
        Self { models: models.into_iter().map(by_name).collect() }
    }

    /// Sets the gauges of every model and of the GPUs that run one.
    pub fn report(&self, metrics: &Metrics) {
        self.iter().for_each(|model| model.report());
        let gpus: BTreeSet<u16> = self.iter().filter_map(|model| model.provider.gpu()).collect();
        for number in gpus {
            let Some((used, total)) = device::memory(number) else { continue };
            let name = format!("cuda:{number}");
            for (kind, bytes) in [("used", used), ("total", total)] {
                metrics.device_memory.with_label_values(&[&name, kind]).set(bytes as i64);
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.models.values()
    }

    /// The model of this name and, if one is given, this version.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownModel`], with what there is.
    pub fn find(&self, name: &str, version: Option<&str>) -> Result<&Arc<Model>, Error> {
        let Some(model) = self.models.get(name) else {
            return Err(Error::field(
                ErrorKind::UnknownModel,
                "model",
                one_of(name, self.models.keys().map(String::as_str)),
                format!("`{}`", excerpt(name)),
            ));
        };
        match version {
            Some(version) if version != model.version.to_string() => Err(Error::field(
                ErrorKind::UnknownModel,
                "version",
                format!("`{}` (the version of `{name}` that is loaded)", model.version),
                format!("`{}`", excerpt(version)),
            )),
            _ => Ok(model),
        }
    }

    /// The model that answers this kind of input when none is named: the only one that takes it,
    /// or the one whose `model.toml` says `default = true`.
    ///
    /// # Errors
    /// No model takes it, or several do.
    pub fn find_by_kind(&self, kind: InputKind) -> Result<&Arc<Model>, Error> {
        let takers: Vec<_> = self.iter().filter(|model| model.input_kind() == kind).collect();
        let defaults: Vec<_> = takers.iter().copied().filter(|model| model.default).collect();
        let names = |models: &[&Arc<Model>]| {
            models.iter().map(|model| format!("`{}`", model.name)).collect::<Vec<_>>().join(", ")
        };
        match (takers.as_slice(), defaults.as_slice()) {
            ([only], _) | (_, [only]) => Ok(only),
            ([], _) => {
                let all: Vec<_> = self.iter().collect();
                let expected = format!("an input that a model here takes ({})", names(&all));
                Err(Error::invalid(kind.field(), expected, format!("`{}`", kind.field())))
            }
            (several, _) => Err(Error::invalid(
                "model",
                format!("the name of one of the models that take this input: {}", names(several)),
                "no name",
            )),
        }
    }
}

/// The folders in `path` that hold a model, with the latest version of each.
fn scan(path: &Path) -> anyhow::Result<Vec<Location>> {
    let entries = std::fs::read_dir(path)
        .with_context(|| format!("the models folder {} cannot be read", path.display()))?;
    let mut locations = Vec::new();
    for entry in entries {
        let folder = entry?.path();
        let Some(name) = folder.file_name().and_then(|name| name.to_str()) else { continue };
        if !folder.is_dir() || name.starts_with('.') {
            continue;
        }
        let versions = std::fs::read_dir(&folder)?
            .filter_map(Result::ok)
            .filter(|entry| holds_model(&entry.path()))
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok());
        let (version, version_folder) = match versions.max() {
            Some(version) => (version, folder.join(version.to_string())),
            None if holds_model(&folder) || folder.join("model.toml").is_file() => {
                (1, folder.clone())
            }
            None => {
                tracing::debug!(folder = %folder.display(), "holds no model of any known format");
                continue;
            }
        };
        if !is_valid_name(name) {
            return Err(anyhow!(
                "{}: a model's name is 1 to 64 of the characters A-Z a-z 0-9 . _ -",
                folder.display()
            ));
        }
        let name = name.to_owned();
        locations.push(Location { name, version, model_folder: folder, version_folder });
    }
    locations.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(locations)
}

fn is_valid_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}
