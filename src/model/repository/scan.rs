//! What lies in the models folder.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use walkdir::WalkDir;

use super::passed::{self, Passed};
use crate::config::{ModelConfig, Versions};
use crate::error::one_of;
use crate::impostor;
use crate::model::load::Location;
use crate::model::network_file::Contents;
use crate::tasks::read_text;

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

/// What a models folder holds.
pub struct Scan {
    /// Its models, in the order of their names.
    pub found: Vec<Found>,
    /// What in it is none, or no version of one.
    pub passed: Vec<Passed>,
}

/// Looks at every folder in `path`.
///
/// # Errors
/// `path` cannot be read.
pub fn scan(path: &Path) -> anyhow::Result<Scan> {
    let entries = std::fs::read_dir(path).map_err(|error| {
        anyhow!("the models folder {} {}", path.display(), impostor::unreadable(path, &error))
    })?;
    let mut scan = Scan { found: Vec::new(), passed: Vec::new() };
    for entry in entries {
        let entry = entry?.path();
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if !entry.is_dir() {
            scan.passed.extend(passed::file(&entry, path));
            continue;
        }
        match folders(&entry, &mut scan.passed) {
            Folders::Versions(versions) => scan.found.push(model(&name, &entry, versions)),
            Folders::None(passed) => scan.passed.push(passed),
            Folders::Unreadable(reason) => scan.found.push(Found {
                name,
                folder: entry,
                versions: Err(reason),
                on_disk: BTreeMap::new(),
            }),
        }
    }
    scan.found.sort_by(|a, b| a.name.cmp(&b.name));
    scan.passed.sort();
    Ok(scan)
}

/// The folder of this name in `path`.
///
/// # Errors
/// `path` cannot be read, or there is no such model in it.
pub fn find(path: &Path, name: &str) -> anyhow::Result<Found> {
    let Scan { mut found, passed } = scan(path)?;
    if let Some(at) = found.iter().position(|found| found.name == name) {
        return Ok(found.swap_remove(at));
    }
    if let Some(passed) = passed.iter().find(|passed| passed.path == path.join(name)) {
        return Err(anyhow!("{} is no model: {}", passed.path.display(), passed.reason));
    }
    let known = match found.is_empty() {
        true => "a model, and there is none".to_owned(),
        false => one_of(name, found.iter().map(|found| found.name.as_str())),
    };
    Err(anyhow!("no model `{name}` in {}: expected {known}", path.display()))
}

/// What a folder of the models folder is.
enum Folders {
    /// A model: the folders of its versions.
    Versions(BTreeMap<u64, PathBuf>),
    None(Passed),
    Unreadable(String),
}

fn folders(folder: &Path, passed: &mut Vec<Passed>) -> Folders {
    let own = match Contents::of(folder) {
        // A file system's own folder, which nobody else may read.
        Contents::Unreadable(reason) if folder.ends_with("lost+found") => {
            return Folders::None(Passed::new(folder, reason, false));
        }
        Contents::Unreadable(reason) => return Folders::Unreadable(format!("the folder {reason}")),
        Contents::Parts(_) if names_variants(folder) => Contents::Model,
        own => own,
    };
    let (mut numbered, mut misnamed) = (BTreeMap::new(), Vec::new());
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    for path in entries.map(|entry| entry.path()).filter(|path| path.is_dir()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match name.parse::<u64>() {
            // Not `+1` or `01`, of which there could be several.
            Ok(version) if version.to_string() == name => {
                numbered.insert(version, path);
            }
            _ if passed::is_like_a_version(&name) => misnamed.extend(passed::version(&path)),
            _ => {}
        }
    }
    let of_numbered: Vec<Contents> = numbered.values().map(|path| Contents::of(path)).collect();
    let are_parts = |contents: &Contents| matches!(contents, Contents::Parts(_));
    if let Some(Contents::Parts(told)) = of_numbered.iter().find(|contents| are_parts(contents))
        && of_numbered.iter().all(are_parts)
        && own != Contents::Model
    {
        return Folders::None(Passed::new(folder, told.clone(), true));
    }
    let is_model = of_numbered.contains(&Contents::Model);
    if is_model || (own == Contents::Nothing && !numbered.is_empty()) {
        passed.extend(misnamed);
        return Folders::Versions(numbered);
    }
    match own {
        Contents::Parts(told) => Folders::None(Passed::new(folder, told, true)),
        Contents::Nothing if !folder.join("model.toml").is_file() => {
            Folders::None(passed::folder(folder, misnamed))
        }
        _ => {
            passed.extend(misnamed);
            Folders::Versions(BTreeMap::from([(1, folder.to_owned())]))
        }
    }
}

/// Whether the model's own `model.toml` names a network.
fn names_variants(folder: &Path) -> bool {
    let text = read_text(&folder.join("model.toml"));
    text.is_ok_and(|text| ModelConfig::parse(&text).is_ok_and(|config| !config.variants.is_empty()))
}

fn model(name: &str, folder: &Path, version_folders: BTreeMap<u64, PathBuf>) -> Found {
    let text = match folder.join("model.toml") {
        path if path.exists() => read_text(&path).map_err(|reason| format!("model.toml {reason}")),
        _ => Ok(String::new()),
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
