//! Finds and loads the ONNX Runtime shared library, once a process.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use ort::environment::Environment;

/// Where `make setup` puts the library, in the checkout.
const FETCHED: &str = ".onnxruntime";
/// ONNX Runtime reports every session it creates to its vendor unless this stands in the environment
/// before the library is loaded.
const TELEMETRY_SWITCH: &str = "ORT_DISABLE_TELEMETRY";

/// The loaded library. Cheap to clone; every session keeps one.
#[derive(Clone)]
pub struct Runtime {
    pub(super) environment: Environment,
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
    /// Loads the library at `path`, or the first that is found where one may lie.
    ///
    /// # Errors
    /// No library, one that is too old or for another machine, or telemetry that is not switched
    /// off. The message says which files were looked for and how to get one.
    pub fn load(path: Option<&Path>) -> anyhow::Result<Self> {
        if std::env::var_os(TELEMETRY_SWITCH).as_deref() != Some("1".as_ref()) {
            return Err(anyhow!("{TELEMETRY_SWITCH}=1 must be set before ONNX Runtime is loaded"));
        }
        let library = match path {
            Some(path) => check(path).map_err(|reason| not_usable(path, &reason))?,
            None => find()?,
        };
        let environment = ort::init_from(&library)
            .map_err(|error| not_usable(&library, &error.to_string()))?
            .with_name("onnxd")
            .with_telemetry(false)
            .build()
            .context("ONNX Runtime could not be set up")?;
        environment.set_log_level(ort::logging::LogLevel::Warning);
        tracing::debug!(library = %library.display(), build = ort::info(), "loaded ONNX Runtime");
        Ok(Self { environment })
    }
}

const HOW_TO_GET_IT: &str = "run `make setup` in the checkout to fetch ONNX Runtime, or name a \
    library with --onnxruntime FILE (or the key runtime.library)";

fn not_usable(library: &Path, reason: &str) -> anyhow::Error {
    anyhow!("cannot use ONNX Runtime library {}: {reason}\n{HOW_TO_GET_IT}", library.display())
}

/// Where the library may lie, the likeliest first.
fn candidates() -> Vec<PathBuf> {
    let name =
        format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let fetched = Path::new(FETCHED).join(&name);
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
        paths.extend(folder.ancestors().skip(1).take(3).map(|parent| parent.join(&fetched)));
    }
    paths.push(fetched);
    paths.extend(["/usr/local/lib", "/usr/lib"].map(|folder| Path::new(folder).join(&name)));
    paths
}

fn find() -> anyhow::Result<PathBuf> {
    let mut tried = String::new();
    for path in candidates() {
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
