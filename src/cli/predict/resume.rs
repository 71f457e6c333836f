//! What a file of answers is of, and how far it has come.
//!
//! Beside `answers.jsonl` lies `answers.jsonl.run`, which tells the model, the parameters and the inputs
//! by hashes. It is written first, and whole. A later run must be of the same; then the answers' own
//! `input`s are compared with the inputs, one by one, and what is a part of a line is cut off.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::feed::Skipped;
use crate::cli::sources::Source;
use crate::model::Model;
use crate::model::load::Location;
use crate::model::manifest::{hash_file, hexadecimal};
use crate::tasks::Parameters;

/// Bytes of an input file that are hashed, from its beginning and from its end.
const SAMPLE: u64 = 64 << 10;
/// Larger files of the model's folder are hashed only if one is the network.
const SMALL: u64 = 1 << 20;

/// What answers are of.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    model: String,
    version: u64,
    /// SHA-256 of the network and the small files beside it.
    model_files: String,
    top_k: usize,
    raw_scores: bool,
    inputs: Vec<InputFile>,
}

/// An argument, and its size and hash if it is a file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct InputFile {
    path: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    sha256_of_ends: Option<String>,
}

impl Origin {
    /// # Errors
    /// A file cannot be read.
    pub fn new(
        model: &Model,
        location: &Location,
        parameters: Parameters,
        inputs: &[PathBuf],
    ) -> anyhow::Result<Self> {
        let Parameters { top_k, raw_scores, .. } = parameters;
        Ok(Self {
            model: model.name.clone(),
            version: model.version,
            model_files: model_files(location, &model.file)?,
            top_k,
            raw_scores,
            inputs: inputs.iter().map(|path| InputFile::new(path)).collect::<Result<_, _>>()?,
        })
    }

    /// Says in what another run differs.
    fn differs(&self, other: &Self) -> Option<String> {
        let Self { model, version, model_files, top_k, raw_scores, inputs } = self;
        if (model, version) != (&other.model, &other.version) {
            let (was, is) = ((&other.model, other.version), (model, version));
            return Some(format!("of model {} {}, and this is {} {}", was.0, was.1, is.0, is.1));
        }
        if *model_files != other.model_files {
            return Some(format!("of other files of model {model}, which have changed since"));
        }
        if (top_k, raw_scores) != (&other.top_k, &other.raw_scores) {
            let (was, is) = (other.top_k, top_k);
            let raw = other.raw_scores;
            return Some(format!(
                "with --top-k {was} and raw scores {raw}, and this is with {is} and {raw_scores}"
            ));
        }
        if inputs.len() != other.inputs.len() {
            return Some(format!(
                "of {} arguments, and these are {}",
                other.inputs.len(),
                inputs.len()
            ));
        }
        let (is, was) = inputs.iter().zip(&other.inputs).find(|(is, was)| is != was)?;
        Some(match (was.path == is.path, was.bytes == is.bytes) {
            (false, _) => format!("of {}, and this is {}", was.path.display(), is.path.display()),
            (true, true) => format!("of {} with another content", is.path.display()),
            (true, false) => {
                let told = |bytes: Option<u64>| match bytes {
                    Some(bytes) => format!("{bytes} bytes"),
                    None => "no plain file".to_owned(),
                };
                let (path, was, is) = (is.path.display(), told(was.bytes), told(is.bytes));
                format!("of {path} with {was}, and now it has {is}")
            }
        })
    }
}

impl InputFile {
    fn new(path: &Path) -> anyhow::Result<Self> {
        let name = || path.display().to_string();
        let plain = path.as_os_str() != "-" && path.is_file();
        if !plain {
            return Ok(Self { path: path.to_owned(), bytes: None, sha256_of_ends: None });
        }
        let mut file = File::open(path).with_context(name)?;
        let bytes = file.metadata().with_context(name)?.len();
        let mut ends = Vec::new();
        (&file).take(SAMPLE).read_to_end(&mut ends).with_context(name)?;
        file.seek(SeekFrom::Start(bytes.saturating_sub(SAMPLE))).with_context(name)?;
        file.take(SAMPLE).read_to_end(&mut ends).with_context(name)?;
        let sha256_of_ends = Some(hexadecimal(&Sha256::digest(&ends)));
        Ok(Self { path: path.to_owned(), bytes: Some(bytes), sha256_of_ends })
    }
}

fn model_files(location: &Location, network: &str) -> anyhow::Result<String> {
    let mut files = vec![location.model_folder.join(network)];
    for folder in [&location.version_folder, &location.model_folder] {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.metadata().is_ok_and(|file| file.is_file() && file.len() <= SMALL) {
                files.push(path);
            }
        }
    }
    files.sort();
    files.dedup();
    let mut hash = Sha256::new();
    for path in files {
        hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        hash.update([0]);
        hash.update(hash_file(&path).with_context(|| path.display().to_string())?);
    }
    Ok(hexadecimal(&hash.finalize()))
}

/// Answers that are there already.
pub struct Done {
    path: PathBuf,
    /// Of whole lines.
    bytes: u64,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    input: Cow<'a, str>,
    error: Option<IgnoredAny>,
}

/// Opens the file for further answers, and tells those that it has.
///
/// # Errors
/// It is there and is not to be gone on with; it is of another run; another process writes it.
pub fn open(path: &Path, resume: bool, origin: &Origin) -> anyhow::Result<(File, Option<Done>)> {
    let name = path.display();
    let mut beside = OsString::from(path);
    beside.push(".run");
    let beside = PathBuf::from(beside);
    let begun = path.try_exists().with_context(|| name.to_string())?;
    if begun && !resume {
        bail!("{name} is there already: --resume goes on with it, or take another name");
    }
    if begun {
        let told = std::fs::read(&beside).with_context(|| {
            format!(
                "{name} cannot be gone on with, since nothing tells what it is of: {}",
                beside.display()
            )
        })?;
        let earlier: Origin = serde_json::from_slice(&told)
            .with_context(|| format!("{} is damaged", beside.display()))?;
        if let Some(differs) = origin.differs(&earlier) {
            bail!("{name} is {differs}: take another name for the answers");
        }
    } else {
        write_whole(&beside, &serde_json::to_vec(origin)?)?;
    }
    let file = OpenOptions::new().create(true).append(true).read(true).open(path);
    let file = file.with_context(|| name.to_string())?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!("{name} is being written by another process"),
        // A file system without locks.
        Err(TryLockError::Error(_)) => {}
    }
    let bytes = whole_lines(&file).with_context(|| name.to_string())?;
    file.set_len(bytes).with_context(|| name.to_string())?;
    Ok((file, (bytes > 0).then(|| Done { path: path.to_owned(), bytes })))
}

/// All of a file or nothing, also when the power fails.
fn write_whole(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let context = || path.display().to_string();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(context)?;
    file.write_all(content).and_then(|()| file.as_file().sync_all()).with_context(context)?;
    file.persist(path).with_context(context)?;
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(context)
}

/// Bytes up to the last end of a line.
fn whole_lines(mut file: &File) -> std::io::Result<u64> {
    const STEP: u64 = 64 << 10;
    let mut end = file.metadata()?.len();
    let mut buffer = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(STEP);
        file.seek(SeekFrom::Start(start))?;
        buffer.clear();
        file.take(end - start).read_to_end(&mut buffer)?;
        if let Some(at) = memchr::memrchr(b'\n', &buffer) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

impl Done {
    /// Takes the inputs that are answered off `items`, comparing each with its answer.
    ///
    /// # Errors
    /// An answer that is of another input, or is none.
    pub fn skip(self, items: &mut dyn Iterator<Item = Source>) -> anyhow::Result<Skipped> {
        let name = self.path.display();
        let file = File::open(&self.path).with_context(|| name.to_string())?;
        let mut lines = BufReader::with_capacity(256 << 10, file.take(self.bytes));
        let (mut skipped, mut line) = (Skipped::default(), Vec::new());
        loop {
            line.clear();
            if lines.read_until(b'\n', &mut line).with_context(|| name.to_string())? == 0 {
                return Ok(skipped);
            }
            let number = skipped.count + 1;
            let answer: Answer<'_> = serde_json::from_slice(&line)
                .map_err(|_| anyhow!("{name}:{number} is no answer of onnxd predict"))?;
            let Some(source) = items.next() else {
                bail!("{name} has more answers than there are inputs, which are {}", number - 1);
            };
            ensure!(
                answer.input == source.name,
                "{name}:{number} answers {}, and input {number} is {}: the inputs are not the same",
                answer.input,
                source.name
            );
            skipped.count += 1;
            skipped.failed += u64::from(answer.error.is_some());
        }
    }
}
