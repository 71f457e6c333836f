//! From a folder on disk to a [`Model`] that answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::manifest::Manifest;
use super::network_file::{self, Chosen, network_file};
use super::opener::{self, Opener};
use super::warm_up::{WarmedUp, by_size, one_row, warm_up};
use super::{Model, OpenWith, Parts, external_data, golden, reduced};
use crate::config::{BatchSize, Device, Limits, ModelConfig, RuntimeConfig, Versions};
use crate::metrics::{Metrics, ModelMetrics};
use crate::runtime::compute::Compute;
use crate::runtime::cost::{self, Cost};
use crate::runtime::library::Runtime;
use crate::runtime::pool::{SessionPool, Setup};
use crate::runtime::provider::ExecutionProvider;
use crate::runtime::queue::Bounds;
use crate::runtime::run;
use crate::runtime::session::{OnnxSession, Session};
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
    /// Loads the network, works out the task, warms up, and asks the golden inputs. [`Model::widen`] adds the
    /// session over all cores.
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
        let network = opener::Network { name: file.clone(), path: path.clone(), data, manifest };
        let opener = Opener::new(&self.runtime, &self.config, provider, network);
        let weights_bytes = opener.weights();
        let mut layout = self.config.layout_of(&config, provider == ExecutionProvider::Cpu);
        layout.wide = layout.wide.filter(|_| opener.shares_weights());
        let open = move |threads| opener.open(threads);
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
        let (task, first, warm) = trial.run(material, first, || open(layout.intra_op_threads))?;
        let reduction = task.reduction();
        let (rows, tokens) = self.longest_run(&config, &warm, on_gpu);
        let WarmedUp { axis, batching, because, samples } = warm;
        tracing::debug!(model = location.name, rows, tokens, ?samples, "measured");
        warn(&location.name, task.as_ref(), because.as_deref());
        let mut open: Arc<OpenWith> = Arc::new(move |threads| {
            open(threads).map(|session| reduced::reduced(Arc::new(session), reduction.clone()))
        });
        let mut sessions = vec![first; layout.instances];
        // A provider of a GPU takes one run of a session at a time, and threads inside a run are the session's:
        // runs at once would share them.
        if on_gpu || layout.intra_op_threads > 1 {
            if convolves && let Some(by_size) = by_size(&open, task.as_ref(), (axis, rows))? {
                open = by_size;
            }
            for session in sessions.iter_mut().skip(usize::from(!convolves)) {
                *session = open(layout.intra_op_threads)?;
                one_row(session.as_ref(), task.as_ref(), (axis, batching))?;
            }
        }
        let (golden, examples) = golden::check(&files, task.as_ref(), axis, sessions[0].as_ref())?;
        tracing::debug!(
            model = location.name,
            golden,
            "golden inputs are answered as they should be"
        );
        let device =
            [config.device.unwrap_or(self.config.device).to_string(), provider.to_string()];
        let metrics = self.metrics_of(location, task.as_ref(), &file, &device);
        metrics.sessions.set(layout.instances as i64);
        metrics.weights.set(weights_bytes as i64);
        metrics.intra_op_threads.set(layout.intra_op_threads as i64);
        let setup = Setup {
            name: location.name.clone(),
            axis,
            bounds: self.bounds(&config, batching, rows, tokens),
            cost: Cost::fit(&samples),
            metrics: metrics.clone(),
        };
        let pool = SessionPool::start(sessions, setup)
            .map_err(|error| format!("cannot start a session thread: {error}"))?;
        Ok(Model::new(Parts {
            name: location.name.clone(),
            version: location.version,
            file,
            provider,
            signature,
            default: config.default,
            examples,
            weights_bytes,
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

type Tried = (Box<dyn Task>, Arc<dyn Session>, WarmedUp);

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
        let session = reduced::reduced(Arc::new(session), task.reduction());
        let Self { network, most, on_gpu } = *self;
        let warm = warm_up(session.as_ref(), task.as_mut(), network, most, on_gpu)?;
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

/// Fewest and most tokens of a run that a measurement may choose on a CPU: what a quiet machine shows,
/// where models that load beside this one may blur it.
const TOKENS: [usize; 2] = [256, 1024];
