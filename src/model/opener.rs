//! Opens the sessions of a network: of its optimised graph where that is kept, else of its own files.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::external_data::DataFile;
use super::graph_cache::{Files, GraphCache, Kept};
use super::manifest::Manifest;
use super::{formats, weights};
use crate::config::{GpuOptions, RuntimeConfig};
use crate::runtime::initializers::Initializers;
use crate::runtime::library::Runtime;
use crate::runtime::provider::ExecutionProvider;
use crate::runtime::session::{OnnxSession, Weights};

/// Bytes of a network from which on its optimised graph is kept.
const WORTH_KEEPING: u64 = 1 << 20;
/// Most bytes of a network that are in memory twice, for runs over all cores.
const WORTH_A_COPY: u64 = 64 << 20;

/// A network's files, as they were checked.
pub(super) struct Network {
    /// Within the model's folder, for people.
    pub name: String,
    pub path: PathBuf,
    pub data: Vec<DataFile>,
    pub manifest: Manifest,
}

/// Makes sessions of a network.
pub(super) struct Opener {
    runtime: Runtime,
    gpu: GpuOptions,
    provider: ExecutionProvider,
    network: Network,
    kept: Option<Kept>,
    /// External data, once a session needs it.
    data: OnceLock<Vec<Weights>>,
    bytes: u64,
}

impl Opener {
    /// Optimises the network where that is to be kept, which may take a while.
    pub fn new(
        runtime: &Runtime,
        config: &RuntimeConfig,
        provider: ExecutionProvider,
        network: Network,
    ) -> Self {
        let paths = network.data.iter().map(|file| &file.path).chain([&network.path]);
        let bytes = paths.filter_map(|path| path.metadata().ok()).map(|file| file.len()).sum();
        let is_kept = provider == ExecutionProvider::Cpu
            && bytes >= WORTH_KEEPING
            && !formats::is_ort(&network.path);
        let kept = if is_kept { optimised(runtime, config, &network) } else { None };
        let (runtime, gpu) = (runtime.clone(), config.gpu());
        Self { runtime, gpu, provider, network, kept, data: OnceLock::new(), bytes }
    }

    /// A session with so many threads in a run.
    ///
    /// # Errors
    /// The network or its data cannot be loaded; names the file.
    pub fn open(&self, threads: usize) -> Result<OnnxSession, String> {
        if let Some(Kept { graph, weights }) = &self.kept {
            match OnnxSession::load_optimised(&self.runtime, graph, weights.as_ref(), threads) {
                Ok(session) => return Ok(session),
                Err(error) => tracing::warn!("the network is optimised again: {error}"),
            }
        }
        let Network { name, path, .. } = &self.network;
        let data = self.data()?;
        OnnxSession::load_with(&self.runtime, path, data, self.provider, threads, &self.gpu)
            .map_err(|error| format!("{name}: {error}"))
    }

    /// What the weights take in memory, in bytes: what is kept of them, else what the files have.
    pub fn weights(&self) -> u64 {
        let kept = self.kept.as_ref().and_then(|kept| kept.weights.as_ref());
        kept.map_or(self.bytes, |weights| weights.len() as u64)
    }

    /// Whether a further session on the CPU takes little memory.
    pub fn shares_weights(&self) -> bool {
        let kept = self.kept.as_ref().and_then(|kept| kept.weights.as_ref());
        // Trees, for example, are no weights: each session has its own.
        let of_all = |weights: &Arc<Initializers>| 2 * weights.len() as u64 >= self.bytes;
        self.bytes <= WORTH_A_COPY || kept.is_some_and(|w| w.are_shared() && of_all(w))
    }

    /// External data as it was checked, in memory. A GPU has its own copy once a session is loaded.
    fn data(&self) -> Result<&[Weights], String> {
        if self.provider != ExecutionProvider::Cpu {
            return Ok(&[]);
        }
        if let Some(data) = self.data.get() {
            return Ok(data);
        }
        let data = self.network.read_data()?;
        Ok(self.data.get_or_init(|| data))
    }
}

impl Network {
    /// External data as it was checked.
    fn read_data(&self) -> Result<Vec<Weights>, String> {
        let read = |DataFile { location, path }: &DataFile| {
            let bytes = weights::read(path, self.manifest.hash_of(path))?;
            Ok(Weights { location: location.clone(), bytes })
        };
        let read: Result<Vec<_>, String> = self.data.iter().map(read).collect();
        // Nothing is taken of an empty file, and ONNX Runtime has no name for one in memory.
        Ok(read?.into_iter().filter(|weights| !weights.bytes.is_empty()).collect())
    }
}

/// The network as it is optimised for this machine, kept from an earlier load if it was.
fn optimised(runtime: &Runtime, config: &RuntimeConfig, network: &Network) -> Option<Kept> {
    let Network { name, path, data, manifest } = network;
    // A folder that is read-only is no trouble.
    let cache = GraphCache::open(config.graph_cache()?, runtime.build())
        .inspect_err(|reason| tracing::debug!("no optimised graph is kept: {reason}"))
        .ok()?;
    let files = Files { network: path, data, manifest };
    // Read and not mapped, since others may write into the model's folder meanwhile.
    let optimise =
        |from: &Path, to: &Path| OnnxSession::optimise(runtime, from, &network.read_data()?, to);
    let told = |reason: &String| tracing::info!("no optimised graph of {name} is kept: {reason}");
    cache.graph(files, optimise).inspect_err(told).ok()
}
