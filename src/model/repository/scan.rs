//! What lies in the models folder.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use walkdir::WalkDir;

use crate::config::{ModelConfig, Versions};
use crate::error::one_of;
use crate::model::formats::holds_model;
use crate::model::load::Location;

/// A model's folder as one scan found it. Two scans that are equal found the same files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub name: String,
    pub folder: PathBuf,
    /// What `model.toml` says of versions, or what is wrong with it.
    pub versions: Result<Versions, String>,
    pub on_disk: BTreeMap<u64, OnDisk>,
}

/// One version on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnDisk {
    pub location: Location,
    pub print: Fingerprint,
}

/// Of every file that a version is made of: whatever changes when it is written or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    files: Vec<Stamp>,
    /// The model's `model.toml` without `[versions]`, which does not change what is loaded.
    config: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stamp {
    /// Length, inode, and the time of the last change in seconds and nanoseconds.
    File(PathBuf, u64, u64, [i64; 2]),
    Unreadable(String),
}

impl Found {
    /// The versions to serve.
    pub fn chosen(&self) -> impl Iterator<Item = &Location> {
        let on_disk = self.on_disk.keys().copied();
        let chosen = self.versions.as_ref().map(|versions| versions.choose(on_disk));
        let chosen = chosen.into_iter().flatten();
        chosen.filter_map(|version| Some(&self.on_disk.get(&version)?.location))
    }
}

/// The folders in `path` that hold a model, in the order of their names.
///
/// # Errors
/// `path` cannot be read.
pub fn scan(path: &Path) -> anyhow::Result<Vec<Found>> {
    let entries = std::fs::read_dir(path)
        .with_context(|| format!("the models folder {} cannot be read", path.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let folder = entry?.path();
        let Some(name) = folder.file_name().and_then(|name| name.to_str()) else { continue };
        if !folder.is_dir() || name.starts_with('.') {
            continue;
        }
        let versions = version_folders(&folder);
        if versions.is_empty() {
            tracing::debug!(folder = %folder.display(), "holds no model of any known format");
            continue;
        }
        found.push(model(name, &folder, versions));
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The folder of this name in `path`.
///
/// # Errors
/// `path` cannot be read, or there is no such model in it.
pub fn find(path: &Path, name: &str) -> anyhow::Result<Found> {
    let mut found = scan(path)?;
    let known = one_of(name, found.iter().map(|found| found.name.as_str()));
    let at = found.iter().position(|found| found.name == name);
    let at =
        at.with_context(|| format!("no model `{name}` in {}: expected {known}", path.display()))?;
    Ok(found.swap_remove(at))
}

/// The versions in a model's folder; none if it is not one.
fn version_folders(folder: &Path) -> BTreeMap<u64, PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let numbered: BTreeMap<u64, PathBuf> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let version: u64 = name.to_str()?.parse().ok()?;
            // Not `+1` or `01`, of which there could be several.
            (name.to_str()? == version.to_string()).then(|| (version, entry.path()))
        })
        .filter(|(_, path)| path.is_dir())
        .collect();
    let holds_own = holds_model(folder);
    if numbered.values().any(|path| holds_model(path)) || (!holds_own && !numbered.is_empty()) {
        return numbered;
    }
    if holds_own || folder.join("model.toml").is_file() {
        return BTreeMap::from([(1, folder.to_owned())]);
    }
    BTreeMap::new()
}

fn model(name: &str, folder: &Path, version_folders: BTreeMap<u64, PathBuf>) -> Found {
    let text = match std::fs::read_to_string(folder.join("model.toml")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        other => other.map_err(|error| format!("model.toml: {error}")),
    };
    let versions = if is_valid_name(name) {
        text.as_deref()
            .map_err(Clone::clone)
            .and_then(|text| Ok(ModelConfig::parse(text)?.versions))
    } else {
        Err("a model's name is 1 to 64 of the characters A-Z a-z 0-9 . _ -".to_owned())
    };
    let config = without_versions(text.as_deref().unwrap_or_default());
    let model_toml = folder.join("model.toml");
    let shared = stamps(folder, |path| {
        path != model_toml && version_folders.values().all(|folder| folder != path)
    });
    let on_disk = version_folders.iter().map(|(version, version_folder)| {
        let mut files = shared.clone();
        if version_folder != folder {
            files.extend(stamps(version_folder, |_| true));
        }
        let location = Location {
            name: name.to_owned(),
            version: *version,
            model_folder: folder.to_owned(),
            version_folder: version_folder.clone(),
        };
        (*version, OnDisk { location, print: Fingerprint { files, config: config.clone() } })
    });
    let on_disk = on_disk.collect();
    Found { name: name.to_owned(), folder: folder.to_owned(), versions, on_disk }
}

/// The files below `folder` that `counts` lets through.
fn stamps(folder: &Path, counts: impl Fn(&Path) -> bool) -> Vec<Stamp> {
    let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    let walk = walk.filter_entry(|entry| entry.depth() == 0 || counts(entry.path()));
    let stamp = |entry: walkdir::Result<walkdir::DirEntry>| match entry
        .and_then(|entry| Ok((entry.metadata()?, entry.into_path())))
    {
        Ok((data, path)) if data.is_file() => {
            let changed = [data.ctime(), data.ctime_nsec()];
            Some(Stamp::File(path, data.len(), data.ino(), changed))
        }
        Ok(_) => None,
        Err(error) => Some(Stamp::Unreadable(error.to_string())),
    };
    walk.filter_map(stamp).collect()
}

fn without_versions(text: &str) -> String {
    match text.parse::<toml::Table>() {
        Ok(mut table) => {
            table.remove("versions");
            table.to_string()
        }
        Err(_) => text.to_owned(),
    }
}

fn is_valid_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}
