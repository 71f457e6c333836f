//! From a folder on disk to a [`Model`] that answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::external_data::DataFile;
use super::graph_cache::{GraphCache, Kept};
use super::manifest::Manifest;
use super::network_file::{self, Chosen, network_file};
use super::warm_up::{WarmedUp, by_size, warm_up};
use super::{Model, OpenWith, Parts, external_data, formats, golden, reduced, weights};
use crate::config::{BatchSize, Device, Limits, ModelConfig, RuntimeConfig, Versions};
use crate::metrics::{Metrics, ModelMetrics};
use crate::runtime::compute::Compute;
use crate::runtime::cost::{self, Cost};
use crate::runtime::library::Runtime;
use crate::runtime::memory;
use crate::runtime::pool::{SessionPool, Setup};
use crate::runtime::provider::ExecutionProvider;
use crate::runtime::queue::Bounds;
use crate::runtime::run;
use crate::runtime::session::{OnnxSession, Session, Weights};
use crate::signature::Batching;
use crate::tasks::graph::{Graph, Operators};
use crate::tasks::{self, InputKind, Material, ModelFiles, Task, Unserved};

/// What every model is loaded with.
pub struct Loader {
    pub runtime: Runtime,
    /// Runs every model whose `model.toml` names no device.
    pub provider: ExecutionProvider,
    pub compute: Arc<Compute>,
    pub config: RuntimeConfig,
    pub limits: Limits,
    pub metrics: Arc<Metrics>,
}

/// What of a model's folder runs, and where.
struct Network {
    provider: ExecutionProvider,
    path: PathBuf,
    /// On a GPU, and it may have convolutions: what a file in ORT's format has is not known.
    convolves: bool,
}

/// One version of a model on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub name: String,
    pub version: u64,
    /// `models/<name>`
    pub model_folder: PathBuf,
    /// `models/<name>/<version>`, or the model's folder where there are no versions.
    pub version_folder: PathBuf,
}

impl Location {
    /// The files of the version, and those of the model that stand for them.
    #[must_use]
    pub fn files(&self) -> ModelFiles {
        ModelFiles::new(&self.version_folder, &self.model_folder)
    }
}

impl Loader {
    /// Loads the first session, works out the task, warms up, and asks the golden inputs. [`Self::grow`] adds the others.
    ///
    /// # Errors
    /// One sentence that says what is wrong with the folder, or what is missing in it.
    pub fn load(&self, location: &Location) -> Result<Model, String> {
        self.load_with(location, |_| ())
    }

    /// The same with `change` made to what `model.toml` says.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with(
        &self,
        location: &Location,
        change: impl Fn(&mut ModelConfig),
    ) -> Result<Model, String> {
        let start = Instant::now();
        let loaded = self.load_uncounted(location, change);
        let [ok, failed] = ["ok", "failed"]
            .map(|outcome| self.metrics.model_loads.with_label_values(&[&location.name, outcome]));
        let counter = if loaded.is_ok() { ok } else { failed };
        counter.inc();
        if let Ok(model) = &loaded {
            model.metrics.load_seconds.set(start.elapsed().as_secs_f64());
            model.report();
        }
        loaded
    }

    fn load_uncounted(
        &self,
        location: &Location,
        change: impl Fn(&mut ModelConfig),
    ) -> Result<Model, String> {
        let files = location.files();
        let manifest = Manifest::verify(&location.version_folder, &location.model_folder)?;
        let mut config = match files.read("model.toml")? {
            Some(text) => ModelConfig::parse(&text)?,
            None => ModelConfig::default(),
        };
        change(&mut config);
        let of_version = location.version_folder != location.model_folder
            && location.version_folder.join("model.toml").is_file();
        if of_version && config.versions != Versions::default() {
            return Err("model.toml: [versions] belongs into the model's folder".to_owned());
        }
        let Network { provider, path, convolves } = self.network(location, &files, &config)?;
        network_file::check(&path)?;
        let data = external_data::files(&path, &location.model_folder)?;
        let needed = [&path].into_iter().chain(data.iter().map(|file| &file.path));
        manifest.require(needed.map(PathBuf::as_path))?;
        let file = path.strip_prefix(&location.model_folder).unwrap_or(&path);
        let file = file.to_string_lossy().into_owned();

        let layout = self.config.layout_of(&config, provider == ExecutionProvider::Cpu);
        let on_cpu = provider == ExecutionProvider::Cpu;
        let kept = (on_cpu && data.is_empty()).then(|| self.optimised(&path)).flatten();
        // A GPU has its own copy once the session is loaded.
        let own = if on_cpu { in_memory(&data, &manifest)? } else { Vec::new() };
        let open = {
            let open = self.opener((path.clone(), own), kept, provider);
            let file = file.clone();
            move |threads| open(threads).map_err(|error| format!("{file}: {error}"))
        };
        let first = open(layout.intra_op_threads)?;
        let signature = first.signature().clone();
        let graph = Graph::read(&path);
        let material = Material {
            graph: graph.as_ref(),
            signature: &signature,
            files: &files,
            config: &config,
            limits: &self.limits,
        };
        let on_gpu = provider.gpu().is_some();
        let trial = Trial { network: &path, most: self.most_rows(&config), on_gpu };
        let (task, mut first, warm) =
            trial.run(material, first, || open(layout.intra_op_threads))?;
        let reduction = task.reduction();
        let (rows, tokens) = self.longest_run(&config, &warm, on_gpu);
        let WarmedUp { axis, batching, because, samples } = warm;
        tracing::debug!(model = location.name, rows, tokens, ?samples, "measured");
        warn(&location.name, task.as_ref(), because.as_deref());
        let mut open: Arc<OpenWith> = Arc::new(move |threads| {
            open(threads).map(|session| reduced::reduced(Box::new(session), reduction.clone()))
        });
        if convolves && let Some(by_size) = by_size(&open, task.as_ref(), (axis, rows))? {
            open = by_size;
            first = open(layout.intra_op_threads)?;
        }
        let (golden, examples) = golden::check(&files, task.as_ref(), axis, first.as_mut())?;
        tracing::debug!(
            model = location.name,
            golden,
            "golden inputs are answered as they should be"
        );
        let device =
            [config.device.unwrap_or(self.config.device).to_string(), provider.to_string()];
        let metrics = self.metrics_of(location, task.as_ref(), &file, &device);
        metrics.sessions.set(layout.instances as i64);
        metrics.intra_op_threads.set(layout.intra_op_threads as i64);
        let setup = Setup {
            name: location.name.clone(),
            open: {
                let open = open.clone();
                Box::new(move || open(layout.intra_op_threads))
            },
            axis,
            bounds: self.bounds(&config, batching, rows, tokens),
            cost: Cost::fit(&samples),
            metrics: metrics.clone(),
        };
        let pool = SessionPool::start(vec![first], setup)
            .map_err(|error| format!("cannot start a session thread: {error}"))?;
        Ok(Model::new(Parts {
            name: location.name.clone(),
            version: location.version,
            file,
            provider,
            signature,
            default: config.default,
            examples,
            task,
            pool,
            compute: self.compute.clone(),
            queue_objective: self.config.queue_objective,
            limits: self.limits,
            metrics,
            layout,
            crowd: self.runtime.crowd.clone(),
            open,
            axis,
            batching,
            because,
        }))
    }

    /// The metrics of a version, which tell what it is and on which device it was asked for and runs.
    fn metrics_of(
        &self,
        location: &Location,
        task: &dyn Task,
        file: &str,
        [asked, runs]: &[String; 2],
    ) -> Arc<ModelMetrics> {
        let version = location.version.to_string();
        let metrics = self.metrics.model(&location.name, &version, task.labels());
        let labels = [location.name.as_str(), &version];
        self.metrics.describe(labels, task.name(), file, [asked, runs]);
        Arc::new(metrics)
    }

    /// Opens sessions of a network with so many threads: of its optimised graph, if one is `kept` and
    /// can still be had.
    fn opener(
        &self,
        (network, weights): (PathBuf, Vec<Weights>),
        kept: Option<Kept>,
        provider: ExecutionProvider,
    ) -> impl Fn(usize) -> Result<OnnxSession, String> + Send + Sync + 'static {
        let (runtime, gpu) = (self.runtime.clone(), self.config.gpu());
        move |threads| {
            let load = |Kept { graph, weights }: &Kept| {
                OnnxSession::load_optimised(&runtime, graph, weights, threads)
            };
            match kept.as_ref().map(load) {
                Some(Ok(session)) => Ok(session),
                kept => {
                    if let Some(Err(error)) = kept {
                        tracing::warn!("the network is optimised again: {error}");
                    }
                    OnnxSession::load_with(&runtime, &network, &weights, provider, threads, &gpu)
                }
            }
        }
    }

    /// The network as it is optimised for this machine, kept from an earlier load if it was.
    fn optimised(&self, network: &Path) -> Option<Kept> {
        let is_large = network.metadata().is_ok_and(|file| file.len() >= WORTH_KEEPING);
        if !is_large || formats::is_ort(network) {
            return None;
        }
        let cache = GraphCache::open(self.config.graph_cache()?, self.runtime.build());
        let optimise = |to: &Path| OnnxSession::optimise(&self.runtime, network, to);
        let graph = cache.and_then(|cache| cache.graph(network, optimise));
        // A folder that is read-only is no trouble, and a bad network is told when it is loaded.
        graph.inspect_err(|reason| tracing::debug!("no optimised graph is kept: {reason}")).ok()
    }

    /// Where the model runs, and what of it.
    fn network(
        &self,
        location: &Location,
        files: &ModelFiles,
        config: &ModelConfig,
    ) -> Result<Network, String> {
        let choose = |provider| network_file(&location.version_folder, files, config, provider);
        let provider = match config.device {
            None => self.provider,
            Some(device) => self.provider_for(device, &location.name)?,
        };
        let chosen = choose(provider)?;
        let network = |provider, Chosen { path, by, has_others }, convolves| {
            if has_others {
                tracing::info!(model = location.name, file = %path.display(), "network: {by}");
            }
            Network { provider, path, convolves }
        };
        if provider.gpu().is_none() {
            return Ok(network(provider, chosen, false));
        }
        let operators = Operators::of(&chosen.path);
        if let Some(reason) = off_gpu(provider, config, operators) {
            tracing::info!(model = location.name, "runs on the CPU: {reason}");
            let provider = ExecutionProvider::Cpu;
            return Ok(network(provider, choose(provider)?, false));
        }
        let convolves = operators.is_none_or(|operators| operators.convolves);
        Ok(network(provider, chosen, convolves))
    }

    /// Most rows and most tokens of a run. A longer one makes its own callers wait, and those after it.
    fn longest_run(
        &self,
        config: &ModelConfig,
        WarmedUp { axis, batching, samples, .. }: &WarmedUp,
        on_gpu: bool,
    ) -> (usize, usize) {
        let (rows, tokens) = match self.batch_size(config) {
            BatchSize::Rows(rows) => (rows.get(), usize::MAX),
            BatchSize::Auto => {
                let units = cost::best_batch_units(samples);
                let units = if on_gpu { units } else { units.clamp(TOKENS[0], TOKENS[1]) };
                (cost::best_batch_size(samples), units)
            }
        };
        match batching {
            Batching::Alone => (1, tokens),
            _ => (run::max_batch_size(*axis, rows), tokens),
        }
    }

    /// Most rows of a run that the configuration allows.
    fn most_rows(&self, config: &ModelConfig) -> usize {
        match self.batch_size(config) {
            BatchSize::Rows(rows) => rows.get(),
            BatchSize::Auto => usize::MAX,
        }
    }

    fn batch_size(&self, config: &ModelConfig) -> BatchSize {
        config.max_batch_size.unwrap_or(self.config.max_batch_size)
    }

    fn bounds(
        &self,
        model: &ModelConfig,
        batching: Batching,
        max_batch_size: usize,
        tokens: usize,
    ) -> Bounds {
        Bounds {
            max_queue_size: self.config.max_queue_size.get(),
            max_queue_bytes: self.config.max_queue_bytes,
            max_batch_size,
            max_batch_tokens: self.config.max_batch_tokens.get().min(tokens),
            min_efficiency: match batching {
                // Without any padding there are rows of one length only.
                Batching::OwnLength => 1.0,
                _ => self.config.min_padding_efficiency,
            },
            max_queue_delay: model.max_queue_delay.unwrap_or(self.config.max_queue_delay),
        }
    }

    /// Adds the sessions after the first, each warmed up, and tells what one costs. For one model at a
    /// time, since only the process's memory as a whole can be measured.
    ///
    /// # Errors
    /// The model's file or a thread cannot be had.
    pub fn grow(&self, model: &Model) -> Result<(), String> {
        let before = memory::resident();
        let further = model.layout.instances.saturating_sub(1);
        for _ in 0..further {
            model.add_session()?;
        }
        let narrow = memory::resident();
        model.add_wide_session()?;
        if let (Some(before), Some(after), 1..) = (before, narrow, further) {
            tracing::info!(
                model = model.name,
                sessions = model.layout.instances,
                mib_each = (after.saturating_sub(before) / further) >> 20,
                "memory of each further session"
            );
        }
        if let (Some(narrow), Some(after), Some(_)) =
            (narrow, memory::resident(), model.layout.wide)
        {
            let mib = after.saturating_sub(narrow) >> 20;
            tracing::debug!(model = model.name, mib, "memory of the session over all cores");
        }
        Ok(())
    }

    fn provider_for(&self, device: Device, model: &str) -> Result<ExecutionProvider, String> {
        let (provider, why_cpu) =
            ExecutionProvider::choose(device, &self.runtime, &self.config.gpu())
                .map_err(|reason| format!("model.toml: {reason}"))?;
        if let Some(reason) = why_cpu {
            tracing::info!(model, "device auto is the CPU: {reason}");
        }
        Ok(provider)
    }
}

/// External data as it was checked, in memory.
fn in_memory(data: &[DataFile], manifest: &Manifest) -> Result<Vec<Weights>, String> {
    let read = |DataFile { location, path }: &DataFile| {
        let bytes = weights::read(path, manifest.hash_of(path))?;
        Ok(Weights { location: location.clone(), bytes })
    };
    let read: Result<Vec<_>, String> = data.iter().map(read).collect();
    // Nothing is taken of an empty file, and ONNX Runtime has no name for one in memory.
    Ok(read?.into_iter().filter(|weights| !weights.bytes.is_empty()).collect())
}

/// Says what was assumed, and why rows do not share runs.
fn warn(model: &str, task: &dyn Task, because: Option<&str>) {
    for assumption in task.assumptions() {
        tracing::warn!(model, "assumed: {assumption}");
    }
    if let Some(because) = because {
        tracing::warn!(model, "{because}");
    }
}

/// The first runs of a network as a model of a task.
struct Trial<'a> {
    network: &'a Path,
    most: usize,
    on_gpu: bool,
}

type Tried = (Box<dyn Task>, Box<dyn Session>, WarmedUp);

impl Trial<'_> {
    /// The task, a session that is warm, and what its runs show. A network that fails as a model of the task
    /// that was inferred is one of tensors, in a session that `open` gives.
    fn run(
        &self,
        material: Material<'_>,
        first: OnnxSession,
        open: impl Fn() -> Result<OnnxSession, String>,
    ) -> Result<Tried, String> {
        let task = tasks::build(material)?;
        let is_inferred = material.config.task.is_none() && task.input_kind() != InputKind::Tensors;
        match self.of(task, first) {
            Ok(tried) => Ok(tried),
            Err(Unserved::Unfit(why)) if is_inferred => {
                let tensors = tasks::as_tensors(material, &why)?;
                self.of(tensors, open()?).map_err(Unserved::into_reason)
            }
            Err(why) => Err(why.into_reason()),
        }
    }

    fn of(&self, mut task: Box<dyn Task>, session: OnnxSession) -> Result<Tried, Unserved> {
        let mut session = reduced::reduced(Box::new(session), task.reduction());
        let Self { network, most, on_gpu } = *self;
        let warm = warm_up(session.as_mut(), task.as_mut(), network, most, on_gpu)?;
        Ok((task, session, warm))
    }
}

/// Why a network runs on the CPU though the process has this GPU.
#[must_use]
pub fn off_gpu(
    provider: ExecutionProvider,
    config: &ModelConfig,
    operators: Option<Operators>,
) -> Option<String> {
    let classical = operators.is_some_and(|operators| operators.classical);
    let is_off = provider.gpu().is_some() && config.device.is_none() && classical;
    is_off.then(|| format!("{provider} has no operators of classical models"))
}

/// Bytes of a network from which on its optimised graph is kept.
const WORTH_KEEPING: u64 = 1 << 20;
/// Fewest and most tokens of a run that a measurement may choose on a CPU: what a quiet machine shows,
/// where models that load beside this one may blur it.
const TOKENS: [usize; 2] = [256, 1024];
