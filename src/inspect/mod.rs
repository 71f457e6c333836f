//! What `onnxd inspect` tells of a model. `network.rs`: what the network's file says. `odd.rs`: what is
//! odd about the model. `measure.rs`: what running it shows.
//!
//! Everything is told as far as it can be read: a model that does not load has a reason, and the rest.

mod measure;
mod network;
mod odd;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::{Limits, ModelConfig};
use crate::model::load::{Location, off_gpu};
use crate::model::{Model, external_data, formats, golden, network_file};
use crate::onnx;
use crate::runtime::provider::ExecutionProvider;
use crate::tasks::graph::{Graph, Operators};
use crate::tasks::{self, Material, Note};

pub use measure::{Measured, measure};
pub use network::{Axis, DataFile, Network, Value};

/// All that is told.
#[derive(Debug, Serialize)]
pub struct Report {
    pub model: String,
    pub version: u64,
    pub folder: PathBuf,
    pub network: Option<Network>,
    pub task: Option<String>,
    /// What is done before and after the network, and which file says so.
    pub notes: Vec<Note>,
    /// Files by device, as `model.toml` names them.
    pub variants: Vec<Variant>,
    pub golden_inputs: usize,
    pub runs: Option<Runs>,
    pub odd: Vec<String>,
    /// Why the model cannot be served.
    pub error: Option<String>,
}

/// A file for a device.
#[derive(Debug, Serialize)]
pub struct Variant {
    pub device: String,
    pub file: PathBuf,
    pub bytes: Option<u64>,
}

/// Where and how the model would run.
#[derive(Debug, Serialize)]
pub struct Runs {
    /// As the configuration names it: `cpu`, `cuda:0`.
    pub device: String,
    /// The configuration's word, and why it came to be this device.
    pub device_from: String,
    /// The network's file within the model's folder.
    pub file: String,
    pub file_from: String,
    /// What only a model that was loaded shows.
    pub measured: Option<Measured>,
}

/// What is to be looked at.
pub struct Subject<'a> {
    pub location: &'a Location,
    /// The network, if the files are not to choose it.
    pub file: Option<&'a Path>,
    pub limits: &'a Limits,
}

impl Subject<'_> {
    /// Makes a loader take the file that was named.
    pub fn change(&self, config: &mut ModelConfig) {
        if let Some(file) = self.file {
            config.variants = ExecutionProvider::VARIANTS
                .map(|device| (device.to_owned(), file.to_owned()))
                .into();
        }
    }

    /// Reads the files. `asked` is the configured device, and `why` why it came to be `provider`.
    #[must_use]
    pub fn read(&self, provider: ExecutionProvider, asked: &str, why: Option<&str>) -> Report {
        let Location { name, version, version_folder, .. } = self.location;
        let mut report = Report {
            model: name.clone(),
            version: *version,
            folder: version_folder.clone(),
            network: None,
            task: None,
            notes: Vec::new(),
            variants: Vec::new(),
            golden_inputs: 0,
            runs: None,
            odd: Vec::new(),
            error: None,
        };
        let device_from = match why {
            Some(why) => format!("device = \"{asked}\"; {why}"),
            None => format!("device = \"{asked}\""),
        };
        if let Err(error) = self.read_into(&mut report, provider, device_from) {
            report.error = Some(error);
        }
        report
    }

    fn read_into(
        &self,
        report: &mut Report,
        provider: ExecutionProvider,
        device_from: String,
    ) -> Result<(), String> {
        let Location { model_folder, version_folder, .. } = self.location;
        let files = self.location.files();
        let mut config = match files.read("model.toml")? {
            Some(text) => ModelConfig::parse(&text)?,
            None => ModelConfig::default(),
        };
        report.variants = config
            .variants
            .iter()
            .map(|(device, file)| {
                let path = files.find(&file.to_string_lossy());
                let bytes = path.and_then(|path| Some(path.metadata().ok()?.len()));
                Variant { device: device.clone(), file: file.clone(), bytes }
            })
            .collect();
        self.change(&mut config);
        let (mut provider, mut device_from) = (provider, device_from);
        report.golden_inputs = golden::inputs(&files)?.len();
        let choose =
            |provider| network_file::network_file(version_folder, &files, &config, provider);
        let mut chosen = choose(provider)?;
        if let Some(reason) = off_gpu(provider, &config, Operators::of(&chosen.path)) {
            device_from = format!("{device_from}; {reason}");
            provider = ExecutionProvider::Cpu;
            chosen = choose(provider)?;
        }
        let path = chosen.path;
        let file = path.strip_prefix(model_folder).unwrap_or(&path).to_string_lossy().into_owned();
        let file_from = match self.file {
            Some(_) => "the command line".to_owned(),
            None => chosen.by,
        };
        report.runs = Some(Runs {
            device: provider.to_string(),
            device_from,
            file,
            file_from,
            measured: None,
        });
        network_file::check(&path)?;
        let mut network = Network::of_file(&path)?;
        if formats::is_ort(&path) {
            report.network = Some(network);
            // Only a session reads it.
            return Ok(());
        }
        let model = onnx::read(&path)?;
        let signature = network.read(&model);
        let external = external_data::files(&path, model_folder);
        let paths: Vec<_> = external.iter().flatten().map(|file| file.path.clone()).collect();
        network.add_external(&paths, model_folder);
        report.odd = odd::of_network(&network, &signature);
        report.network = Some(network);
        external?;
        let graph = Graph::of(model);
        let material = Material {
            graph: graph.as_ref(),
            signature: &signature,
            files: &files,
            config: &config,
            limits: self.limits,
        };
        let task = tasks::build(material)?;
        report.task = Some(task.name().to_owned());
        report.notes = task.notes();
        let network = report.network.as_ref();
        report.odd.extend(odd::of_files(
            report,
            network,
            &files,
            task.batch_axis(),
            version_folder,
        ));
        report.odd.extend(task.assumptions());
        Ok(())
    }
}

impl Report {
    /// Tells what only a loaded model shows, in the place of what its files left open.
    pub fn add(&mut self, model: &Model, measured: Measured) {
        self.task = Some(model.task().to_owned());
        self.notes = model.notes();
        for assumption in model.assumptions() {
            if !self.odd.contains(&assumption) {
                self.odd.push(assumption);
            }
        }
        if let Some(network) = &mut self.network {
            network.fill_in(&model.signature);
        }
        if let Some(runs) = &mut self.runs {
            runs.measured = Some(measured);
        }
    }
}
