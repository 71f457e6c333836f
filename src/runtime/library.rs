//! Finds and loads the ONNX Runtime shared library, once a process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use ort::environment::Environment;

use super::crowd::Crowd;
use super::device;
use crate::config::Device;

/// Where `make setup` puts the library, in the checkout.
const FETCHED: &str = ".onnxruntime";
/// Where `make setup DEVICE=cuda` puts the library and those of CUDA, in the checkout.
const FETCHED_FOR_CUDA: &str = ".onnxruntime/cuda";
/// What ONNX Runtime's CUDA provider needs, each after what it needs itself. The other files of cuDNN
/// are found by the first.
const CUDA_LIBRARIES: [&str; 6] = [
    "libcudart.so.13",
    "libcublasLt.so.13",
    "libcublas.so.13",
    "libnvrtc.so.13",
    "libcurand.so.10",
    "libcudnn.so.9",
];
/// ONNX Runtime reports every session it creates to its vendor unless this stands in the environment
/// before the library is loaded.
const TELEMETRY_SWITCH: &str = "ORT_DISABLE_TELEMETRY";

/// The loaded library. Cheap to clone; every session keeps one.
#[derive(Clone)]
pub struct Runtime {
    pub(super) environment: Environment,
    /// The file it was loaded from.
    pub(super) library: PathBuf,
    /// Of ONNX Runtime, for example 1.31.
    pub version: String,
    /// The requests in work, whatever model they are for.
    pub crowd: Arc<Crowd>,
}

/// Switches ONNX Runtime's own telemetry off. Call it first thing in `main`.
pub fn disable_telemetry() {
    if std::env::var_os(TELEMETRY_SWITCH).as_deref() == Some("1".as_ref()) {
        return;
    }
    // SAFETY: `main` calls this before it starts a thread, so nobody reads the environment now.
    // Tests and benchmarks, which have threads already, get the variable from .cargo/config.toml.
    #[allow(unsafe_code)]
    unsafe {
        std::env::set_var(TELEMETRY_SWITCH, "1");
    }
}

impl Runtime {
    /// Loads the library at `path`, or the first that is found where one may lie. Where `device` may
    /// be a GPU of this machine, the build for CUDA is looked for first.
    ///
    /// # Errors
    /// No library, one that is too old or for another machine, or telemetry that is not switched
    /// off. The message says which files were looked for and how to get one.
    pub fn load(path: Option<&Path>, device: Device) -> anyhow::Result<Self> {
        if std::env::var_os(TELEMETRY_SWITCH).as_deref() != Some("1".as_ref()) {
            return Err(anyhow!("{TELEMETRY_SWITCH}=1 must be set before ONNX Runtime is loaded"));
        }
        let library = match path {
            Some(path) => check(path).map_err(|reason| not_usable(path, &reason))?,
            None => find(match device {
                Device::Cpu => false,
                Device::Auto => device::gpus().is_ok(),
                Device::Cuda(_) | Device::TensorRt(_) => true,
            })?,
        };
        let environment = ort::init_from(&library)
            .map_err(|error| not_usable(&library, &error.to_string()))?
            .with_name("onnxd")
            .with_telemetry(false)
            .build()
            .context("ONNX Runtime could not be set up")?;
        environment.set_log_level(ort::logging::LogLevel::Warning);
        tracing::debug!(library = %library.display(), build = ort::info(), "loaded ONNX Runtime");
        let minor = ort::util::probe(&library);
        let version = minor.map_or("unknown".to_owned(), |minor| format!("1.{minor}"));
        Ok(Self { environment, library, version, crowd: Arc::default() })
    }

    /// Of ONNX Runtime's source and compiler.
    #[must_use]
    pub fn build(&self) -> &'static str {
        ort::info()
    }

    /// Whether ONNX Runtime can be told how long idle threads spin, which it can from 1.26 on.
    pub(super) fn bounds_spinning(&self) -> bool {
        let minor = self.version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
        minor.is_some_and(|minor| minor >= 26)
    }

    /// Loads what the CUDA provider needs from beside ONNX Runtime's library, as far as it lies there.
    /// The provider then takes what is loaded already, so that no `LD_LIBRARY_PATH` has to be set;
    /// what does not lie there, the loader looks for where it always does.
    pub(super) fn load_cuda(&self) -> Result<(), String> {
        let folder = self.library.parent().unwrap_or(Path::new("/"));
        let present = CUDA_LIBRARIES.iter().map(|name| folder.join(name));
        for path in present.filter(|path| path.is_file()) {
            ort::util::preload_dylib(&path)
                .map_err(|error| format!("cannot load {}: {error}", path.display()))?;
        }
        Ok(())
    }
}

const HOW_TO_GET_IT: &str = "run `make setup` in the checkout to fetch ONNX Runtime, or name a \
    library with --onnxruntime FILE (or the key runtime.library)";

fn not_usable(library: &Path, reason: &str) -> anyhow::Error {
    anyhow!("cannot use ONNX Runtime library {}: {reason}\n{HOW_TO_GET_IT}", library.display())
}

/// Where the library may lie, the likeliest first.
fn candidates(for_cuda: bool) -> Vec<PathBuf> {
    let name =
        format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let mut fetched = vec![Path::new(FETCHED).join(&name)];
    if for_cuda {
        fetched.insert(0, Path::new(FETCHED_FOR_CUDA).join(&name));
    }
    let mut paths = Vec::new();
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        paths.push(PathBuf::from(path));
    }
    if let Ok(executable) = std::env::current_exe()
        && let Some(folder) = executable.parent()
    {
        paths.push(folder.join(&name));
        paths.push(folder.join("../lib").join(&name));
        // target/release/onnxd and target/release/deps/<test>
        let parents: Vec<_> = folder.ancestors().skip(1).take(3).collect();
        paths.extend(fetched.iter().flat_map(|file| parents.iter().map(move |p| p.join(file))));
    }
    paths.extend(fetched);
    paths.extend(["/usr/local/lib", "/usr/lib"].map(|folder| Path::new(folder).join(&name)));
    paths
}

fn find(for_cuda: bool) -> anyhow::Result<PathBuf> {
    let mut tried = String::new();
    for path in candidates(for_cuda) {
        match check(&path) {
            Ok(path) => return Ok(path),
            Err(reason) => tried.push_str(&format!("\n  {}: {reason}", path.display())),
        }
    }
    Err(anyhow!("no usable ONNX Runtime library was found; looked for{tried}\n{HOW_TO_GET_IT}"))
}

/// Says why the file cannot be this machine's ONNX Runtime, before the loader tries.
fn check(path: &Path) -> Result<PathBuf, String> {
    let mut header = [0_u8; 20];
    let mut file = std::fs::File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        _ => error.to_string(),
    })?;
    std::io::Read::read_exact(&mut file, &mut header)
        .map_err(|_| "not a shared library".to_owned())?;
    if cfg!(target_os = "linux") {
        if header[..4] != *b"\x7fELF" {
            return Err("not a shared library (no ELF header)".to_owned());
        }
        let machine = u16::from_le_bytes([header[18], header[19]]);
        let wanted = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
        if machine != wanted {
            return Err(format!(
                "built for {}, this machine is {}",
                match machine {
                    62 => "x86_64".to_owned(),
                    183 => "aarch64".to_owned(),
                    other => format!("another architecture (ELF machine {other})"),
                },
                std::env::consts::ARCH
            ));
        }
    }
    // An absolute path, since ort takes a relative one as relative to the executable.
    path.canonicalize().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_library_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("libonnxruntime.so");
        std::fs::write(&text, "this is not a shared library at all").unwrap();
        assert!(check(&text).unwrap_err().contains("not a shared library"));
        assert_eq!(check(&folder.path().join("missing.so")).unwrap_err(), "no such file");
    }

    #[test]
    fn the_build_for_cuda_is_looked_for_first_and_only_for_a_gpu() {
        let is_for_cuda = |path: &PathBuf| path.to_string_lossy().contains(FETCHED_FOR_CUDA);
        assert!(!candidates(false).iter().any(is_for_cuda));
        let paths = candidates(true);
        let last_for_cuda = paths.iter().take(6).rposition(is_for_cuda);
        let other =
            paths.iter().position(|p| p.parent().is_some_and(|folder| folder.ends_with(FETCHED)));
        assert!(last_for_cuda.is_some() && last_for_cuda < other, "{paths:?}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_library_of_another_architecture_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("libonnxruntime.so");
        let mut header = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
        header.extend(243_u16.to_le_bytes()); // RISC-V
        std::fs::write(&library, header).unwrap();
        assert!(check(&library).unwrap_err().contains("ELF machine 243"));
    }
}
