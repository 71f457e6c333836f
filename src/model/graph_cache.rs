//! Networks as ONNX Runtime's optimiser leaves them, kept on disk by their content.
//!
//! An entry is a folder with the graph, its weights, and the hashes of both. It is made aside and
//! renamed when it is complete, and its hashes are checked before each use. What does not match is
//! thrown away, and the network is optimised anew. What is served are the weights as they were checked, in
//! memory: nothing that becomes of the entry once a session is made matters.
//!
//! Folders that are made aside are locked as long as their process lives. What one that was killed left
//! behind is removed when the cache is opened next.

use std::fs::{DirBuilder, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::apart;
use super::external_data::DataFile;
use super::manifest::{self, Manifest, hash_file, hexadecimal};
use crate::onnx;
use crate::runtime::initializers::{Initializers, WEIGHTS};

/// Of the way in which entries are made: another number leaves all entries aside that were made before.
const FORMAT: &str = "1";
/// The optimised graph within an entry.
const GRAPH: &str = "model.onnx";
/// Bytes of a network from which on its weights are moved before it is optimised.
const WORTH_WRITING: u64 = 64 << 20;
/// How the names of folders begin that are made aside.
const MAKING: &str = ".making-";
/// Bytes of all entries together; above that, those go that were not used for the longest time.
const MAX_BYTES: u64 = 8 << 30;

/// An optimised graph, and its weights as they were checked.
#[derive(Clone)]
pub struct Kept {
    pub graph: PathBuf,
    pub weights: Option<Arc<Initializers>>,
}

/// What a network is made of.
#[derive(Clone, Copy)]
pub struct Files<'a> {
    pub network: &'a Path,
    pub data: &'a [DataFile],
    /// What the files were when they were checked.
    pub manifest: &'a Manifest,
}

/// A folder of optimised networks, which belongs to this user alone.
#[derive(Debug)]
pub struct GraphCache {
    folder: PathBuf,
    /// What else an optimised graph depends on, beside the network.
    machine: String,
    max_bytes: u64,
}

impl GraphCache {
    /// The cache in `folder`, which is made if it does not exist. `build` is ONNX Runtime's.
    ///
    /// # Errors
    /// The folder cannot be had, or others may write into it.
    pub fn open(folder: PathBuf, build: &str) -> Result<Self, String> {
        let told = |error: std::io::Error| format!("{}: {error}", folder.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(told)?;
        let metadata = folder.metadata().map_err(told)?;
        let own = Path::new("/proc/self").metadata().map_err(told)?.uid();
        if metadata.uid() != own || metadata.mode() & 0o022 != 0 {
            return Err(format!("{} can be written by others", folder.display()));
        }
        sweep(&folder);
        let machine = format!("{FORMAT}\n{build}\n{}\n", processor());
        Ok(Self { folder, machine, max_bytes: MAX_BYTES })
    }

    /// The optimised graph of a network with files of external data. `optimise` reads the first path and
    /// writes the second, with the weights beside it, where no sound one is kept.
    ///
    /// # Errors
    /// Those of `optimise`, and of the disk; or the network changes meanwhile.
    pub fn graph(
        &self,
        files: Files<'_>,
        optimise: impl FnOnce(&Path, &Path) -> Result<(), String>,
    ) -> Result<Kept, String> {
        let told = |error: std::io::Error| format!("{}: {error}", self.folder.display());
        let key = || self.key(files);
        let of_now = key()?;
        let entry = self.folder.join(&of_now);
        let kept = match read(&entry) {
            Ok(kept) => kept,
            Err(reason) => {
                if entry.exists() {
                    tracing::warn!("a kept graph is made anew: {reason}");
                    std::fs::remove_dir_all(&entry).map_err(told)?;
                }
                let (made, _lock) = self.aside().map_err(told)?;
                let (_aside, network) = self.apart(files)?;
                optimise(&network, &made.path().join(GRAPH))?;
                if key()? != of_now {
                    return Err(format!("{} was written to meanwhile", files.network.display()));
                }
                write_hashes(made.path()).map_err(told)?;
                let moved = std::fs::rename(made.path(), &entry);
                // Another process may have been as quick.
                let kept = read(&entry);
                let kept = kept.map_err(|reason| moved.map_err(told).err().unwrap_or(reason))?;
                self.evict(&entry);
                kept
            }
        };
        // So that it counts as used; if it does not, it goes sooner.
        let _ = File::open(entry.join(manifest::NAME))
            .and_then(|hashes| hashes.set_modified(SystemTime::now()));
        Ok(kept)
    }

    /// A network that takes little memory to read: it is written anew where that is worth it.
    fn apart(
        &self,
        Files { network, data, .. }: Files<'_>,
    ) -> Result<(Option<(TempDir, File)>, PathBuf), String> {
        let is_large = network.metadata().is_ok_and(|file| file.len() >= WORTH_WRITING);
        if !is_large || !data.is_empty() {
            return Ok((None, network.to_owned()));
        }
        let written =
            self.aside().and_then(|aside| Ok((apart::write(network, aside.0.path())?, aside)));
        let (path, aside) = written.map_err(|error| format!("{}: {error}", network.display()))?;
        Ok((Some(aside), path))
    }

    /// What is kept for these files on this machine goes by this name.
    fn key(&self, Files { network, data, manifest }: Files<'_>) -> Result<String, String> {
        let hash = |path: &Path| {
            let hash = hash_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
            match manifest.hash_of(path) {
                Some(listed) if !listed.eq_ignore_ascii_case(&hash) => {
                    Err(format!("{} is not the file that is listed", path.display()))
                }
                _ => Ok(hash),
            }
        };
        let mut all = format!("{}{}", self.machine, hash(network)?);
        for DataFile { location, path } in data {
            all.push_str(&format!("\n{} {}", hash(path)?, location.display()));
        }
        Ok(hexadecimal(&Sha256::digest(all)))
    }

    /// A folder for an entry that is made, and what says that somebody makes it.
    fn aside(&self) -> std::io::Result<(TempDir, File)> {
        // Who removes what was left behind waits until it is locked, and is waited for.
        let cache = File::open(&self.folder)?;
        // Some file systems have no locks: then nothing is removed either.
        let _ = cache.lock_shared();
        let made = tempfile::Builder::new()
            .prefix(MAKING)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&self.folder)?;
        let lock = File::open(made.path())?;
        let _ = lock.lock();
        Ok((made, lock))
    }

    /// Removes entries that were not used for the longest time, as long as all together are too large.
    fn evict(&self, newest: &Path) {
        let Ok(folder) = self.folder.read_dir() else { return };
        // What has no name of ours may be anything.
        let others = folder.filter_map(|entry| Some(entry.ok()?.path()));
        let others = others.filter(|entry| entry != newest && is_entry(entry));
        let mut others: Vec<(SystemTime, u64, PathBuf)> = others
            .map(|entry| {
                let used = entry.join(manifest::NAME).metadata().and_then(|file| file.modified());
                // Without hashes it is another process's work.
                (used.unwrap_or(SystemTime::now()), size(&entry), entry)
            })
            .collect();
        others.sort();
        let mut bytes = size(newest) + others.iter().map(|(_, bytes, _)| bytes).sum::<u64>();
        for (_, size, entry) in others {
            if bytes <= self.max_bytes {
                break;
            }
            bytes -= size;
            // Who uses it has it in memory.
            let _ = std::fs::remove_dir_all(entry);
        }
    }
}

/// Removes what processes that were killed left behind.
fn sweep(folder: &Path) {
    // While it is locked nobody begins to make one.
    let Ok(cache) = File::open(folder) else { return };
    if cache.try_lock().is_err() {
        return;
    }
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let is_made = entry.file_name().to_string_lossy().starts_with(MAKING)
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        let left =
            is_made && File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_ok());
        if left && let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::debug!("{}: {error}", entry.path().display());
        }
    }
}

/// Whether a path is named as entries are.
fn is_entry(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// An entry, if it is complete and as it was written.
fn read(entry: &Path) -> Result<Kept, String> {
    let hashes = std::fs::read_to_string(entry.join(manifest::NAME))
        .map_err(|_| format!("{} is not complete", entry.display()))?;
    let mut missing = files(entry).map_err(|error| error.to_string())?;
    missing.push(entry.join(GRAPH));
    let mut of_weights = None;
    for line in hashes.lines() {
        let Some((hash, name)) = manifest::entry(line)? else { continue };
        let path = entry.join(name);
        missing.retain(|other| *other != path);
        if name == WEIGHTS {
            of_weights = Some((path, hash));
        } else if hash_file(&path).map_err(|error| format!("{name}: {error}"))? != hash {
            return Err(format!("{name} is another file than was written"));
        }
    }
    if let Some(path) = missing.first() {
        return Err(format!("{} is not as it was written", path.display()));
    }
    let graph = entry.join(GRAPH);
    let weights = of_weights.map(|(path, hash)| weights(&graph, &path, hash)).transpose()?;
    Ok(Kept { graph, weights: weights.map(Arc::new) })
}

/// The weights of a graph, if they are as they were written.
fn weights(graph: &Path, path: &Path, hash: &str) -> Result<Initializers, String> {
    // What ONNX Runtime makes of one that cannot be read, it says when it loads it.
    let graph = onnx::read(graph).ok().and_then(|model| model.graph).unwrap_or_default();
    let weights = Initializers::read(&graph, path);
    let weights = weights.map_err(|error| format!("{}: {error}", path.display()))?;
    let mut hasher = Sha256::new();
    weights.pieces(|piece| hasher.update(piece));
    match hexadecimal(&hasher.finalize()) == hash {
        true => Ok(weights),
        false => Err(format!("{} is another file than was written", path.display())),
    }
}

/// What an entry holds beside its hashes.
fn files(entry: &Path) -> std::io::Result<Vec<PathBuf>> {
    let paths = entry.read_dir()?.map(|file| Ok(file?.path()));
    let paths: Vec<PathBuf> = paths.collect::<std::io::Result<_>>()?;
    Ok(paths.into_iter().filter(|path| !path.ends_with(manifest::NAME)).collect())
}

fn write_hashes(entry: &Path) -> std::io::Result<()> {
    let mut lines = String::new();
    for path in files(entry)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        lines.push_str(&format!("{}  {name}\n", hash_file(&path)?));
    }
    File::create_new(entry.join(manifest::NAME))?.write_all(lines.as_bytes())
}

/// Bytes of an entry's files.
fn size(entry: &Path) -> u64 {
    let files = files(entry).unwrap_or_default();
    files.iter().filter_map(|path| path.metadata().ok()).map(|file| file.len()).sum()
}

/// What the processor can do, by which the optimiser lays out weights.
fn processor() -> String {
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    // x86-64 and aarch64 call it differently; all cores are alike in it.
    let features = told.lines().find(|l| l.starts_with("flags") || l.starts_with("Features"));
    format!("{} {}", std::env::consts::ARCH, features.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Bench {
        folder: tempfile::TempDir,
        cache: GraphCache,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let cache = GraphCache::open(folder.path().join("cache"), "1.0").unwrap();
            Self { folder, cache }
        }

        fn network(&self, content: &str) -> PathBuf {
            let path = self.folder.path().join("network.onnx");
            std::fs::write(&path, content).unwrap();
            path
        }

        fn graph_of(
            &self,
            content: &str,
            optimise: impl FnOnce(&Path) -> Result<(), String>,
        ) -> Result<Kept, String> {
            let optimise = |_: &Path, to: &Path| optimise(to);
            let (network, manifest) = (self.network(content), Manifest::default());
            let files = Files { network: &network, data: &[], manifest: &manifest };
            self.cache.graph(files, optimise)
        }

        /// The graph kept for a network of this content, and whether it was made now.
        fn graph(&self, content: &str) -> (PathBuf, bool) {
            let mut made = false;
            let optimise = |to: &Path| {
                made = true;
                std::fs::write(to, format!("optimised {content}")).unwrap();
                std::fs::write(to.with_file_name("weights.bin"), "0123").unwrap();
                Ok(())
            };
            let Kept { graph, weights } = self.graph_of(content, optimise).unwrap();
            let mut bytes = Vec::new();
            weights.unwrap().pieces(|piece| bytes.extend_from_slice(piece));
            assert_eq!(bytes, b"0123");
            assert_eq!(std::fs::read_to_string(&graph).unwrap(), format!("optimised {content}"));
            (graph, made)
        }
    }

    #[test]
    fn a_graph_is_made_once_for_a_content_and_a_build() {
        let mut bench = Bench::new();
        assert!(bench.graph("a").1);
        assert!(!bench.graph("a").1);
        assert!(bench.graph("b").1);
        bench.cache.machine.push_str("another build");
        assert!(bench.graph("a").1);
    }

    #[test]
    fn what_was_damaged_or_added_is_made_anew() {
        let bench = Bench::new();
        let (graph, _) = bench.graph("a");
        for (file, content) in [
            (GRAPH, Some("foreign")),
            ("weights.bin", Some("4567")),
            ("weights.bin", None),
            ("more.bin", Some("")),
            (manifest::NAME, Some("")),
            (manifest::NAME, Some("not hashes")),
            (manifest::NAME, None),
        ] {
            let file = graph.with_file_name(file);
            match content {
                Some(content) => std::fs::write(&file, content).unwrap(),
                None => std::fs::remove_file(&file).unwrap(),
            }
            assert!(bench.graph("a").1, "{} {content:?}", file.display());
            assert!(!bench.graph("a").1);
        }
    }

    #[test]
    fn a_network_that_cannot_be_optimised_leaves_nothing() {
        let bench = Bench::new();
        let failed = bench.graph_of("a", |_| Err("no network".to_owned()));
        assert_eq!(failed.err().unwrap(), "no network");
        assert_eq!(bench.cache.folder.read_dir().unwrap().count(), 0);
    }

    #[test]
    fn the_least_used_go_when_all_are_too_large() {
        let mut bench = Bench::new();
        for (days, content) in [(1, "a"), (3, "b"), (2, "c")] {
            let (graph, _) = bench.graph(content);
            let hashes = File::open(graph.with_file_name(manifest::NAME)).unwrap();
            let used = SystemTime::now() - std::time::Duration::from_secs(days * 86400);
            hashes.set_modified(used).unwrap();
        }
        bench.cache.max_bytes = 3 * 15;
        assert!(bench.graph("d").1);
        let kept = ["a", "b", "c", "d"].map(|content| !bench.graph(content).1);
        assert_eq!(kept[..2], [true, false], "only the least used was removed");
    }

    #[test]
    fn a_folder_that_others_may_write_into_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let refused = GraphCache::open(folder.path().to_owned(), "1.0").unwrap_err();
        assert!(refused.contains("can be written by others"), "{refused}");
        let new = folder.path().join("new");
        GraphCache::open(new.clone(), "1.0").unwrap();
        assert_eq!(new.metadata().unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_is_made_stays() {
        let bench = Bench::new();
        let (graph, _) = bench.graph("a");
        let cache = &bench.cache.folder;
        let left = cache.join(format!("{MAKING}left"));
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join(GRAPH), "half").unwrap();
        let (made, lock) = bench.cache.aside().unwrap();
        let others = ["notes", ".hidden"].map(|name| cache.join(name));
        for other in &others {
            std::fs::create_dir(other).unwrap();
        }
        GraphCache::open(cache.clone(), "1.0").unwrap();
        assert!(!left.exists() && made.path().exists() && graph.exists());
        assert!(others.iter().all(|other| other.exists()), "not ours");
        // As if its process had been killed.
        drop(lock);
        GraphCache::open(cache.clone(), "1.0").unwrap();
        assert!(!made.path().exists());
    }

    #[test]
    fn only_what_is_named_as_an_entry_is_evicted() {
        let mut bench = Bench::new();
        bench.cache.max_bytes = 0;
        let other = bench.cache.folder.join("somebody's");
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("work"), "large").unwrap();
        let (first, _) = bench.graph("a");
        bench.graph("b");
        assert!(!first.exists() && other.join("work").exists());
    }
}
