//! `SHA256SUMS`: what a model's files should be, as `sha256sum` writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::impostor::{self, Expected, unreadable};

/// The file's name, in the version's folder, the model's, or both.
pub const NAME: &str = "SHA256SUMS";

/// The files that a model's manifests list, all of them checked.
#[derive(Debug, Default)]
pub struct Manifest {
    /// With their SHA-256. None where the model has no manifest.
    listed: Option<BTreeMap<PathBuf, String>>,
}

impl Manifest {
    /// Reads the manifests, if there are any, and checks every file that they list.
    ///
    /// # Errors
    /// The first file that is missing or has another hash, or the line that is not one of
    /// `sha256sum`.
    pub fn verify(version_folder: &Path, model_folder: &Path) -> Result<Self, String> {
        let mut manifest = Self::default();
        let folders = BTreeSet::from([version_folder, model_folder]);
        for folder in folders {
            let text = match std::fs::read_to_string(folder.join(NAME)) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(format!("{NAME}: {error}")),
            };
            let listed = manifest.listed.get_or_insert_default();
            for (number, line) in (1..).zip(text.lines()) {
                let Some((hash, name)) =
                    entry(line).map_err(|reason| format!("{NAME}, line {number}: {reason}"))?
                else {
                    continue;
                };
                let path = folder.join(name);
                if of_another_version(name, &path, version_folder, model_folder) {
                    continue;
                }
                let found = hash_file(&path)
                    .map_err(|error| format!("{NAME}: {name} {}", unreadable(&path, &error)))?;
                if !found.eq_ignore_ascii_case(hash) {
                    if let Some(told) = impostor::told(&path, Expected::Text) {
                        return Err(format!("{NAME}: {name} {told}"));
                    }
                    return Err(format!(
                        "{NAME}: {name} is not the file that is listed: expected sha256 {hash}, \
                         got {found}"
                    ));
                }
                listed.insert(path, found);
            }
        }
        Ok(manifest)
    }

    /// The SHA-256 of a file that is listed.
    #[must_use]
    pub fn hash_of(&self, file: &Path) -> Option<&str> {
        self.listed.as_ref()?.get(file).map(String::as_str)
    }

    /// Asks that each of these files is listed, if the model has a manifest.
    ///
    /// # Errors
    /// Names the first that is not.
    pub fn require<'a>(&self, files: impl IntoIterator<Item = &'a Path>) -> Result<(), String> {
        let Some(listed) = &self.listed else { return Ok(()) };
        match files.into_iter().find(|file| !listed.contains_key(*file)) {
            None => Ok(()),
            Some(file) => {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                Err(format!("{NAME} does not list {name}, which the model is loaded from"))
            }
        }
    }
}

/// Hash and name of a line; none for an empty line and a comment.
pub(super) fn entry(line: &str) -> Result<Option<(&str, &str)>, String> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    // After the hash a space, then a space for text or an asterisk for binary.
    let split =
        line.split_once(' ').and_then(|(hash, rest)| Some((hash, rest.strip_prefix([' ', '*'])?)));
    let (hash, name) = match split {
        Some((hash, name))
            if hash.len() == 64
                && hash.bytes().all(|b| b.is_ascii_hexdigit())
                && !name.is_empty() =>
        {
            (hash, name)
        }
        _ => return Err("expected a line as `sha256sum` writes it: HASH  FILE".to_owned()),
    };
    let plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if !Path::new(name).components().all(plain) {
        return Err(format!("{name} is outside the folder"));
    }
    // `sha256sum * > SHA256SUMS` lists the manifest itself, as it was before.
    Ok((Path::new(name).file_name() != Some(NAME.as_ref())).then_some((hash, name)))
}

/// The model's manifest may list all of its versions. Those that are not loaded may be gone.
fn of_another_version(name: &str, path: &Path, version_folder: &Path, model_folder: &Path) -> bool {
    let mut parts = Path::new(name).components().filter(|part| *part != Component::CurDir);
    let first = parts.next().and_then(|part| part.as_os_str().to_str());
    version_folder != model_folder
        && !path.starts_with(version_folder)
        && parts.next().is_some()
        && first.is_some_and(|first| first.parse::<u64>().is_ok())
}

/// SHA-256 of a file in hexadecimal digits.
pub fn hash_file(path: &Path) -> std::io::Result<String> {
    // Opening anything else, such as a pipe, may wait for ever.
    if !path.metadata()?.is_file() {
        return Err(std::io::Error::other("not a file"));
    }
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok(hexadecimal(&hasher.finalize()))
}

/// Two digits a byte.
pub fn hexadecimal(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}
