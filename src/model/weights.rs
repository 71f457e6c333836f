//! Weights in files of their own, read into memory.
//!
//! ONNX Runtime would map such a file. Whoever truncates a mapped file ends the process (SIGBUS), and whoever
//! writes into it changes answers. A copy in memory is what was checked, for as long as it is used; all
//! sessions of a model share it. What it costs: docs/performance.md.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::manifest::hexadecimal;

/// All of a file, and its SHA-256 where `hash` says what that should be.
///
/// # Errors
/// It cannot be read, changes while it is, or is another.
pub fn read(path: &Path, hash: Option<&str>) -> Result<Arc<[u8]>, String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut file = File::open(path).map_err(told)?;
    let length = file.metadata().map_err(told)?.len();
    let length = usize::try_from(length).map_err(|_| format!("{}: too large", path.display()))?;
    // In its place at once, so that it is never in memory twice.
    let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, length).collect();
    if let Some(bytes) = Arc::get_mut(&mut bytes) {
        file.read_exact(bytes).map_err(told)?;
    }
    match hash {
        Some(hash) if !hash.eq_ignore_ascii_case(&hexadecimal(&Sha256::digest(&bytes))) => {
            Err(format!("{} is not the file that is listed", path.display()))
        }
        _ => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_whole_and_by_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.bin");
        assert!(read(&path, None).unwrap_err().contains("weights.bin"));
        std::fs::write(&path, "0123").unwrap();
        let hash = "1be2e452b46d7a0d9656bbb1f768e8248eba1b75baed65f5d99eafa948899a6a";
        assert_eq!(&*read(&path, Some(hash)).unwrap(), b"0123");
        std::fs::write(&path, "0124").unwrap();
        assert!(read(&path, Some(hash)).unwrap_err().contains("is not the file"));
        std::fs::write(&path, "").unwrap();
        assert!(read(&path, None).unwrap().is_empty());
    }
}
