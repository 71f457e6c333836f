//! The files below a folder, in the order of their names, whatever their number: where a folder holds
//! many, their sorted names are in files of their own meanwhile.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error};

use crate::tasks::image::Format;

/// Names of one folder that are sorted in memory.
const RUN: usize = 100_000;

/// Files whose names end so, below one folder; hidden ones are not seen. A folder that cannot be read is an
/// error in its place.
pub struct Walk {
    extensions: &'static [&'static str],
    /// Also files without an ending that begin as an image does.
    images: bool,
    /// The folder that is being read, and those that it is in.
    folders: Vec<Folder>,
    failed: Option<Error>,
    run: usize,
}

struct Folder {
    path: PathBuf,
    entries: Entries,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    name: Vec<u8>,
    is_folder: bool,
}

/// Entries in the order of their names.
enum Entries {
    Few(std::vec::IntoIter<Entry>),
    Many(Merge),
}

impl Walk {
    pub fn new(folder: &Path, extensions: &'static [&'static str], images: bool) -> Self {
        Self::with_run(folder, extensions, images, RUN)
    }

    fn with_run(
        folder: &Path,
        extensions: &'static [&'static str],
        images: bool,
        run: usize,
    ) -> Self {
        let mut walk = Self { extensions, images, folders: Vec::new(), failed: None, run };
        walk.enter(folder.to_owned());
        walk
    }

    fn enter(&mut self, path: PathBuf) {
        match self.entries(&path).with_context(|| path.display().to_string()) {
            Ok(entries) => self.folders.push(Folder { path, entries }),
            Err(error) => self.failed = Some(error),
        }
    }

    fn entries(&self, folder: &Path) -> io::Result<Entries> {
        let mut names = Vec::new();
        let mut runs = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let (name, is_folder) = (entry.file_name(), entry.file_type()?.is_dir());
            // What systems and tools keep beside files: `.DS_Store`, `._photo.jpg`, `.git`.
            let is_hidden = name.as_encoded_bytes().starts_with(b".");
            if !is_hidden && (is_folder || self.fits(&entry.path())) {
                names.push(Entry { name: name.into_vec(), is_folder });
            }
            if names.len() == self.run {
                runs.push(Run::write(&mut names)?);
            }
        }
        if runs.is_empty() {
            names.sort_unstable();
            return Ok(Entries::Few(names.into_iter()));
        }
        runs.push(Run::write(&mut names)?);
        Merge::new(runs).map(Entries::Many)
    }

    fn fits(&self, path: &Path) -> bool {
        match path.extension() {
            None => self.images && is_image(path),
            Some(extension) => {
                let extension = extension.to_string_lossy().to_ascii_lowercase();
                self.extensions.contains(&extension.as_str())
            }
        }
    }
}

impl Iterator for Walk {
    type Item = Result<PathBuf, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(error) = self.failed.take() {
                return Some(Err(error));
            }
            let folder = self.folders.last_mut()?;
            let next = match &mut folder.entries {
                Entries::Few(entries) => Ok(entries.next()),
                Entries::Many(merge) => merge.next(),
            };
            match next {
                Ok(Some(Entry { name, is_folder })) => {
                    let path = folder.path.join(OsString::from_vec(name));
                    if !is_folder {
                        return Some(Ok(path));
                    }
                    self.enter(path);
                }
                Ok(None) => {
                    self.folders.pop();
                }
                Err(error) => {
                    let folder = self.folders.pop()?;
                    self.failed =
                        Some(Error::from(error).context(folder.path.display().to_string()));
                }
            }
        }
    }
}

fn is_image(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut start));
    read.is_ok() && Format::sniff(&start).is_some()
}

/// Sorted names in a file without a name.
struct Run(BufReader<File>);

impl Run {
    /// Empties `entries`.
    fn write(entries: &mut Vec<Entry>) -> io::Result<Self> {
        entries.sort_unstable();
        let mut out = BufWriter::new(tempfile::tempfile()?);
        for Entry { name, is_folder } in entries.drain(..) {
            out.write_all(&[u8::from(is_folder)])?;
            // No file system has names of 64 KiB.
            out.write_all(&(name.len() as u16).to_le_bytes())?;
            out.write_all(&name)?;
        }
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(Self(BufReader::new(file)))
    }

    fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut head = [0; 3];
        match self.0.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let mut name = vec![0; u16::from_le_bytes([head[1], head[2]]).into()];
        self.0.read_exact(&mut name)?;
        Ok(Some(Entry { name, is_folder: head[0] == 1 }))
    }
}

/// Several sorted runs as one.
struct Merge {
    runs: Vec<Run>,
    /// The next entry of each run that has one.
    next: BinaryHeap<Reverse<(Entry, usize)>>,
}

impl Merge {
    fn new(mut runs: Vec<Run>) -> io::Result<Self> {
        let mut next = BinaryHeap::new();
        for (index, run) in runs.iter_mut().enumerate() {
            next.extend(run.next()?.map(|entry| Reverse((entry, index))));
        }
        Ok(Self { runs, next })
    }

    fn next(&mut self) -> io::Result<Option<Entry>> {
        let Some(mut least) = self.next.peek_mut() else { return Ok(None) };
        let Reverse((entry, index)) = &mut *least;
        match self.runs[*index].next()? {
            Some(after) => Ok(Some(std::mem::replace(entry, after))),
            None => {
                let Reverse((entry, _)) = PeekMut::pop(least);
                Ok(Some(entry))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_the_order_of_their_names_however_many_fit_into_memory() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b/2.txt", "b/1.TXT", "a.txt", "c.txt", "b/x/y.txt", "a.png", "e.txt", "d.txt"]
        {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let sorted = ["a.txt", "b/1.TXT", "b/2.txt", "b/x/y.txt", "c.txt", "d.txt", "e.txt"];
        for run in [1, 2, 3, RUN] {
            let walk = Walk::with_run(folder.path(), &["txt"], false, run);
            let found: Vec<_> = walk
                .map(|path| path.unwrap().strip_prefix(folder.path()).unwrap().to_owned())
                .collect();
            assert_eq!(found, sorted.map(PathBuf::from), "{run} names in memory");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let mut walk = Walk::new(Path::new("/nonexistent"), &["txt"], false);
        assert!(walk.next().unwrap().unwrap_err().to_string().contains("/nonexistent"));
        assert!(walk.next().is_none());
    }
}
