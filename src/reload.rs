//! A value that is read from files, and read again when they change.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use sha2::{Digest, Sha256};
use tokio::time::MissedTickBehavior;

type Parse<T> = dyn Fn(&[Vec<u8>]) -> anyhow::Result<T> + Send + Sync;

/// The latest good value of some files.
pub struct Reloading<T> {
    files: Vec<PathBuf>,
    parse: Box<Parse<T>>,
    current: RwLock<Arc<T>>,
    seen: Mutex<Seen>,
}

/// What the looks so far have found; `None`: the files cannot be read.
struct Seen {
    /// What was taken or refused last.
    settled: Option<Look>,
    /// The last look.
    last: Option<Look>,
}

/// A look at the files: their content, and when each was written.
type Look = ([u8; 32], Vec<SystemTime>);

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
        let (look, contents) = look(&files)?;
        let value = parse(&contents).with_context(|| names(&files))?;
        let look = Some(look);
        Ok(Self {
            files,
            parse: Box::new(parse),
            current: RwLock::new(Arc::new(value)),
            seen: Mutex::new(Seen { settled: look.clone(), last: look }),
        })
    }

    #[must_use]
    pub fn current(&self) -> Arc<T> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the files every `interval`, for ever. A change counts once two looks in a row have found the
    /// same, so that a file that is still being written is not read. What is bad is told once in the log.
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
        let (look, contents) = match look(&self.files) {
            Ok((look, contents)) => (Some(look), Ok(contents)),
            Err(error) => (None, Err(error)),
        };
        let seen = &mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = seen.last != look;
        seen.last = look;
        let content = |look: &Option<Look>| look.as_ref().map(|(digest, _)| *digest);
        if changes || content(&seen.last) == content(&seen.settled) {
            return;
        }
        seen.settled.clone_from(&seen.last);
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

/// What is found now, and the contents in order. A file that is written meanwhile is an error.
fn look(files: &[PathBuf]) -> anyhow::Result<(Look, Vec<Vec<u8>>)> {
    let (mut contents, mut written) = (Vec::new(), Vec::new());
    for file in files {
        let read = || {
            let mut opened = File::open(file)?;
            let before = opened.metadata()?;
            let mut content = Vec::new();
            opened.read_to_end(&mut content)?;
            let after = opened.metadata()?;
            let still = before.modified()? == after.modified()?
                && before.len() == after.len()
                && after.len() == content.len() as u64;
            still
                .then_some((content, after.modified()?))
                .ok_or_else(|| io::Error::other("it is being written"))
        };
        let (content, modified) = read().with_context(|| file.display().to_string())?;
        contents.push(content);
        written.push(modified);
    }
    Ok(((digest(&contents), written), contents))
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
    use std::io::Write as _;

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
            number.refresh();
            assert_eq!(*number.current(), wanted);
        }
        std::fs::write(&file, "").unwrap();
        assert!(Reloading::new(&[&file], parse).is_err());
    }

    #[test]
    fn a_file_that_is_still_being_written_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("list");
        std::fs::write(&file, "old").unwrap();
        let text = |contents: &[Vec<u8>]| Ok(String::from_utf8(contents[0].clone())?);
        let list = Reloading::new(&[&file], text).unwrap();
        // In place, a line at a time, each of which would be a good file.
        let mut writing = File::create(&file).unwrap();
        for line in ["new\n", "more\n", "and more\n"] {
            list.refresh();
            assert_eq!(*list.current(), "old");
            writing.write_all(line.as_bytes()).unwrap();
        }
        drop(writing);
        list.refresh();
        assert_eq!(*list.current(), "old", "it may go on");
        list.refresh();
        assert_eq!(*list.current(), "new\nmore\nand more\n");
        // Written again as it was.
        let again = SystemTime::now() + Duration::from_mins(1);
        File::options().append(true).open(&file).unwrap().set_modified(again).unwrap();
        list.refresh();
        list.refresh();
        assert_eq!(*list.current(), "new\nmore\nand more\n");
    }
}
