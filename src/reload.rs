//! A value that is read from files, and read again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use sha2::{Digest, Sha256};
use tokio::time::MissedTickBehavior;

type Parse<T> = dyn Fn(&[Vec<u8>]) -> anyhow::Result<T> + Send + Sync;

/// The latest good value of some files.
pub struct Reloading<T> {
    files: Vec<PathBuf>,
    parse: Box<Parse<T>>,
    current: RwLock<Arc<T>>,
    /// Digest of the content that was looked at last, good or bad.
    seen: Mutex<Option<[u8; 32]>>,
}

impl<T: Send + Sync + 'static> Reloading<T> {
    /// Reads the files; `parse` gets their contents in order.
    ///
    /// # Errors
    /// A file cannot be read, or `parse` fails.
    pub fn new(
        files: &[&Path],
        parse: impl Fn(&[Vec<u8>]) -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let files: Vec<PathBuf> = files.iter().map(|file| file.to_path_buf()).collect();
        let contents = read(&files)?;
        let value = parse(&contents).with_context(|| names(&files))?;
        Ok(Self {
            files,
            parse: Box::new(parse),
            current: RwLock::new(Arc::new(value)),
            seen: Mutex::new(Some(digest(&contents))),
        })
    }

    #[must_use]
    pub fn current(&self) -> Arc<T> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the files every `interval`, for ever. What is bad is told once in the log.
    pub async fn watch(self: Arc<Self>, interval: Duration) {
        let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let this = self.clone();
            let _ = tokio::task::spawn_blocking(move || this.refresh()).await;
        }
    }

    fn refresh(&self) {
        let contents = read(&self.files);
        let digest = contents.as_ref().ok().map(|contents| digest(contents));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == digest {
            return;
        }
        *seen = digest;
        let parsed = contents
            .and_then(|contents| (self.parse)(&contents).with_context(|| names(&self.files)));
        match parsed {
            Ok(value) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
                tracing::info!("{} changed and is in use", names(&self.files));
            }
            Err(error) => tracing::error!("kept the old content: {error:#}"),
        }
    }
}

fn read(files: &[PathBuf]) -> anyhow::Result<Vec<Vec<u8>>> {
    files
        .iter()
        .map(|file| std::fs::read(file).with_context(|| file.display().to_string()))
        .collect()
}

fn digest(contents: &[Vec<u8>]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for content in contents {
        digest.update((content.len() as u64).to_le_bytes());
        digest.update(content);
    }
    digest.finalize().into()
}

fn names(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_new_file_keeps_the_old_value() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("number");
        std::fs::write(&file, "1").unwrap();
        let parse = |contents: &[Vec<u8>]| Ok(std::str::from_utf8(&contents[0])?.parse::<u32>()?);
        let number = Reloading::new(&[&file], parse).unwrap();
        for (content, wanted) in [(Some("2"), 2), (Some("two"), 2), (None, 2), (Some("3"), 3)] {
            match content {
                Some(content) => std::fs::write(&file, content).unwrap(),
                None => std::fs::remove_file(&file).unwrap(),
            }
            number.refresh();
            assert_eq!(*number.current(), wanted);
        }
        std::fs::write(&file, "").unwrap();
        assert!(Reloading::new(&[&file], parse).is_err());
    }
}
