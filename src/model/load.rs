//! From a folder on disk to a [`Model`] that answers.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::Model;
use crate::config::{Device, Limits, ModelConfig, RuntimeConfig};
use crate::error::one_of;
use crate::runtime::compute::Compute;
use crate::runtime::library::Runtime;
use crate::runtime::pool::{Batching, SessionPool, run_in_batches};
use crate::runtime::provider::ExecutionProvider;
use crate::runtime::session::{OnnxSession, Session};
use crate::tasks::{self, Cells, Column, Features, Input, Material, ModelFiles, Parameters, Task};

/// What every model is loaded with.
pub struct Loader {
    pub runtime: Runtime,
    /// Runs every model whose `model.toml` names no device.
    pub provider: ExecutionProvider,
    pub compute: Arc<Compute>,
    pub config: RuntimeConfig,
    pub limits: Limits,
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

impl Loader {
    /// Loads the sessions, works out the task, and warms up with one run.
    ///
    /// # Errors
    /// One sentence that says what is wrong with the folder, or what is missing in it.
    pub fn load(&self, location: &Location) -> Result<Model, String> {
        let files = ModelFiles::new(&location.version_folder, &location.model_folder);
        let config = match files.read("model.toml")? {
            Some(text) => ModelConfig::parse(&text)?,
            None => ModelConfig::default(),
        };
        let gpu = self.config.gpu();
        let provider = match config.device {
            None => self.provider,
            Some(device) => self.provider_for(device, &location.name)?,
        };
        let path = model_file(location, &files, &config, provider)?;
        let file = path.strip_prefix(&location.model_folder).unwrap_or(&path);
        let file = file.to_string_lossy().into_owned();

        let open = || {
            let threads = self.config.intra_op_threads();
            OnnxSession::load(&self.runtime, &path, provider, threads, &gpu)
                .map_err(|error| format!("{file}: {error}"))
        };
        let mut first = open()?;
        let signature = first.signature().clone();
        let mut task = tasks::build(Material {
            network: &path,
            signature: &signature,
            files: &files,
            config: &config,
            limits: &self.limits,
        })?;
        let batching = Batching {
            axis: task.batch_axis(),
            max_batch_size: config.max_batch_size.unwrap_or(self.config.max_batch_size).get(),
        };
        warm_up(&mut first, task.as_mut(), batching)?;
        for assumption in task.assumptions() {
            tracing::warn!(model = location.name, "assumed: {assumption}");
        }

        let mut sessions: Vec<Box<dyn Session>> = vec![Box::new(first)];
        while sessions.len() < self.config.instances.get() {
            sessions.push(Box::new(open()?));
        }
        let queue = self.config.max_queue_size.get();
        let pool = SessionPool::start(&location.name, sessions, batching, queue)
            .map_err(|error| format!("cannot start a session thread: {error}"))?;
        Ok(Model {
            name: location.name.clone(),
            version: location.version,
            file,
            provider,
            default: config.default,
            outputs: task.outputs().into(),
            task: task.into(),
            pool,
            compute: self.compute.clone(),
            limits: self.limits,
        })
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

/// Runs the task's own sample, so that the first request is not slow and the task sees an output.
fn warm_up(
    session: &mut OnnxSession,
    task: &mut dyn Task,
    batching: Batching,
) -> Result<(), String> {
    let sample = task.sample();
    let tensors = task.encode(&sample, &Parameters::default()).map_err(|e| e.to_string())?;
    match run_in_batches(session, tensors, &task.outputs(), batching) {
        Ok(outputs) => task.calibrate(&outputs),
        // A category that we made up may be one that the model refuses.
        Err(error) if has_text_columns(&sample) => {
            tracing::warn!(%error, "the warm-up run failed, which made-up categories may explain");
            Ok(())
        }
        Err(error) => Err(format!("the warm-up run failed: {error}")),
    }
}

fn has_text_columns(input: &Input) -> bool {
    match input {
        Input::Features(Features { cells: Cells::Columns { columns, .. }, .. }) => {
            columns.iter().any(|(_, column)| matches!(column, Column::Strings(_)))
        }
        _ => false,
    }
}

/// The network's file: the provider's best variant, else `model.onnx`, else the only `*.onnx` there is.
fn model_file(
    location: &Location,
    files: &ModelFiles,
    config: &ModelConfig,
    provider: ExecutionProvider,
) -> Result<PathBuf, String> {
    for (name, path) in &config.variants {
        if !ExecutionProvider::VARIANTS.contains(&name.as_str()) {
            let known = one_of(name, ExecutionProvider::VARIANTS);
            return Err(format!("model.toml: variants.{name}: expected {known}"));
        }
        if path.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(format!(
                "model.toml: variants.{name}: {} leaves the folder",
                path.display()
            ));
        }
    }
    let variants = provider.variants();
    if let Some((key, variant)) =
        variants.iter().find_map(|key| config.variants.get_key_value(*key))
    {
        let name = variant.to_string_lossy();
        return files
            .find(&name)
            .ok_or_else(|| format!("model.toml: variants.{key}: no file {name}"));
    }
    if let Some(path) = files.find("model.onnx").or_else(|| files.find("onnx/model.onnx")) {
        return Ok(path);
    }
    match onnx_files(&location.version_folder).as_slice() {
        [only] => Ok(only.clone()),
        [] => Err("no model.onnx in the folder".to_owned()),
        several => Err(format!(
            "several ONNX files and none is called model.onnx: {}; name one in model.toml: \
             [variants] {} = \"FILE\"",
            several
                .iter()
                .filter_map(|path| path.file_name())
                .map(|name| name.to_string_lossy())
                .collect::<Vec<_>>()
                .join(", "),
            variants.first().unwrap_or(&"cpu")
        )),
    }
}

/// The `*.onnx` files directly in a folder, sorted.
pub(super) fn onnx_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "onnx") && path.is_file())
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROVIDERS: [ExecutionProvider; 3] =
        [ExecutionProvider::Cpu, ExecutionProvider::Cuda(1), ExecutionProvider::TensorRt(0)];

    /// Which file each of [`PROVIDERS`] takes from a folder with these files.
    fn chosen(files: &[&str], config: &str) -> [Result<String, String>; 3] {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        let location = Location {
            name: "a".to_owned(),
            version: 1,
            model_folder: folder.path().to_owned(),
            version_folder: folder.path().to_owned(),
        };
        let files = ModelFiles::new(folder.path(), folder.path());
        let config = ModelConfig::parse(config).unwrap();
        PROVIDERS.map(|provider| {
            let path = model_file(&location, &files, &config, provider)?;
            Ok(path.file_name().unwrap().to_string_lossy().into_owned())
        })
    }

    fn names(names: [&str; 3]) -> [Result<String, String>; 3] {
        names.map(|name| Ok(name.to_owned()))
    }

    #[test]
    fn each_provider_takes_its_variant() {
        let files = ["model.onnx", "int8.onnx", "fp16.onnx", "trt.onnx"];
        let cpu = "[variants]\ncpu = \"int8.onnx\"\n";
        let cuda = format!("{cpu}cuda = \"fp16.onnx\"\n");
        let all = format!("{cuda}tensorrt = \"trt.onnx\"\n");
        assert_eq!(chosen(&files, ""), names(["model.onnx"; 3]));
        assert_eq!(chosen(&files, cpu), names(["int8.onnx", "model.onnx", "model.onnx"]));
        assert_eq!(chosen(&files, &cuda), names(["int8.onnx", "fp16.onnx", "fp16.onnx"]));
        assert_eq!(chosen(&files, &all), names(["int8.onnx", "fp16.onnx", "trt.onnx"]));
    }

    #[test]
    fn a_variant_without_its_file_is_told_by_its_key() {
        let [cpu, cuda, tensorrt] = chosen(&["model.onnx"], "[variants]\ncuda = \"gone.onnx\"\n");
        assert_eq!(cpu, Ok("model.onnx".to_owned()));
        for told in [cuda, tensorrt] {
            assert_eq!(told, Err("model.toml: variants.cuda: no file gone.onnx".to_owned()));
        }
        let [unknown, ..] = chosen(&["model.onnx"], "[variants]\nrocm = \"model.onnx\"\n");
        assert!(unknown.unwrap_err().contains("variants.rocm"));
    }
}
