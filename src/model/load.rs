//! From a folder on disk to a [`Model`] that answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::graph_cache::GraphCache;
use super::manifest::Manifest;
use super::{Model, OpenWith, Parts, external_data, formats, golden, reduced};
use crate::config::{BatchSize, Device, Limits, ModelConfig, RuntimeConfig, Versions};
use crate::error::Error;
use crate::metrics::{Metrics, ModelMetrics};
use crate::runtime::cancel::Cancel;
use crate::runtime::compute::Compute;
use crate::runtime::cost::{self, Cost, Sample};
use crate::runtime::library::Runtime;
use crate::runtime::memory;
use crate::runtime::pool::{SessionPool, Setup};
use crate::runtime::provider::ExecutionProvider;
use crate::runtime::queue::Bounds;
use crate::runtime::run;
use crate::runtime::session::{OnnxSession, Session};
use crate::signature::BatchAxis;
use crate::tasks::{self, Cells, Column, Features, Input, InputKind, Material, ModelFiles, Task};

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
        let provider = match config.device {
            None => self.provider,
            Some(device) => self.provider_for(device, &location.name)?,
        };
        let path = formats::network_file(&location.version_folder, &files, &config, provider)?;
        let data = external_data::files(&path, &location.model_folder)?;
        manifest.require([&path].into_iter().chain(&data).map(PathBuf::as_path))?;
        let file = path.strip_prefix(&location.model_folder).unwrap_or(&path);
        let file = file.to_string_lossy().into_owned();

        let layout = self.config.layout_of(&config, provider == ExecutionProvider::Cpu);
        let kept = (provider == ExecutionProvider::Cpu && data.is_empty())
            .then(|| self.optimised(&path))
            .flatten();
        let open = {
            let open = self.opener(path.clone(), kept, provider);
            let file = file.clone();
            move |threads| open(threads).map_err(|error| format!("{file}: {error}"))
        };
        let first = open(layout.intra_op_threads)?;
        let signature = first.signature().clone();
        let mut task = tasks::build(Material {
            network: &path,
            signature: &signature,
            files: &files,
            config: &config,
            limits: &self.limits,
        })?;
        let axis = task.batch_axis();
        let reduction = task.reduction();
        let mut first = reduced::reduced(Box::new(first), reduction.clone());
        let samples = warm_up(first.as_mut(), task.as_mut(), axis)?;
        let (golden, examples) = golden::check(&files, task.as_ref(), first.as_mut())?;
        tracing::debug!(model = location.name, golden, "golden inputs are answered");
        // A longer run makes its own callers wait, and those after it.
        let (rows, tokens) = match config.max_batch_size.unwrap_or(self.config.max_batch_size) {
            BatchSize::Rows(rows) => (rows.get(), usize::MAX),
            BatchSize::Auto => {
                let units = cost::best_batch_units(&samples);
                let on_cpu = provider == ExecutionProvider::Cpu;
                let units = if on_cpu { units.clamp(TOKENS[0], TOKENS[1]) } else { units };
                (cost::best_batch_size(&samples), units)
            }
        };
        tracing::debug!(model = location.name, rows, tokens, ?samples, "measured");
        for assumption in task.assumptions() {
            tracing::warn!(model = location.name, "assumed: {assumption}");
        }

        let open: Arc<OpenWith> = Arc::new(move |threads| {
            open(threads).map(|session| reduced::reduced(Box::new(session), reduction.clone()))
        });
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
            bounds: self.bounds(&config, run::max_batch_size(axis, rows), tokens),
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
        network: PathBuf,
        kept: Option<PathBuf>,
        provider: ExecutionProvider,
    ) -> impl Fn(usize) -> Result<OnnxSession, String> + Send + Sync + 'static {
        let (runtime, gpu) = (self.runtime.clone(), self.config.gpu());
        move |threads| {
            let load = |graph| OnnxSession::load_optimised(&runtime, graph, threads);
            match kept.as_deref().map(load) {
                Some(Ok(session)) => Ok(session),
                kept => {
                    if let Some(Err(error)) = kept {
                        tracing::warn!("the network is optimised again: {error}");
                    }
                    OnnxSession::load(&runtime, &network, provider, threads, &gpu)
                }
            }
        }
    }

    /// The network as it is optimised for this machine, kept from an earlier load if it was.
    fn optimised(&self, network: &Path) -> Option<PathBuf> {
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

    fn bounds(&self, model: &ModelConfig, max_batch_size: usize, tokens: usize) -> Bounds {
        Bounds {
            max_queue_size: self.config.max_queue_size.get(),
            max_queue_bytes: self.config.max_queue_bytes,
            max_batch_size,
            max_batch_tokens: self.config.max_batch_tokens.get().min(tokens),
            min_efficiency: self.config.min_padding_efficiency,
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

/// Bytes of a network from which on its optimised graph is kept.
const WORTH_KEEPING: u64 = 1 << 20;
/// Time that measuring the cost curve may take, a model.
const MEASURING: Duration = Duration::from_millis(60);
/// Fewest and most tokens of a run that a measurement may choose on a CPU: what a quiet machine shows,
/// where models that load beside this one may blur it.
const TOKENS: [usize; 2] = [256, 1024];
/// Largest batch that is measured.
const LARGEST: usize = 32;

/// Runs the task's own sample, so that the first request is not slow and the task sees an output;
/// then measures batches of 1, 2, 4, … rows as long as they gain something.
fn warm_up(
    session: &mut dyn Session,
    task: &mut dyn Task,
    axis: BatchAxis,
) -> Result<Vec<Sample>, String> {
    let names = task.outputs();
    let mut run = |task: &dyn Task, count: usize| {
        let rows = task.warm_up(count)?;
        let start = Instant::now();
        let outputs = run::rows(session, &rows, &names, axis, &Cancel::new(1))?;
        let units = (0..count).map(|row| rows.length(row)).sum();
        Ok::<_, Error>((outputs, Sample { rows: count, units, time: start.elapsed() }))
    };
    match run(task, 1) {
        Ok((outputs, _)) => task.calibrate(&outputs)?,
        // A category that we made up may be one that the model refuses.
        Err(error) if has_text_columns(&task.sample(1)) => {
            tracing::warn!(%error, "the warm-up run failed, which made-up categories may explain");
            return Ok(Vec::new());
        }
        Err(error) if task.input_kind() == InputKind::Tensors => {
            tracing::info!(%error, "the warm-up run failed, which made-up zeros may explain");
            return Ok(Vec::new());
        }
        Err(error) => return Err(format!("the warm-up run failed: {error}")),
    }
    let start = Instant::now();
    let mut samples: Vec<Sample> = Vec::new();
    let mut count = 1;
    while count <= run::max_batch_size(axis, LARGEST) && start.elapsed() < MEASURING {
        // The faster of two, since the first of a new shape also allocates.
        let (_, first) = run(task, count).map_err(|error| error.to_string())?;
        let (_, second) = run(task, count).map_err(|error| error.to_string())?;
        let sample = if second.time < first.time { second } else { first };
        let per_row = |sample: &Sample| sample.time.as_secs_f64() / sample.rows as f64;
        let gains = samples.last().is_none_or(|last| per_row(&sample) < per_row(last) * 0.97);
        samples.push(sample);
        if !gains {
            break;
        }
        count *= 2;
    }
    Ok(samples)
}

fn has_text_columns(input: &Input) -> bool {
    match input {
        Input::Features(Features { cells: Cells::Columns { columns, .. }, .. }) => {
            columns.iter().any(|(_, column)| matches!(column, Column::Strings(_)))
        }
        _ => false,
    }
}
