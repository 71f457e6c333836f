//! What a server and its models are: metadata, configuration, statistics. As plain structures, which
//! JSON and gRPC both write.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::Model;
use crate::model::repository::ModelRepository;
use crate::signature::TensorSpec;
use crate::statistics::{Counts, Spent};

/// Extensions of the protocol that are served.
pub const EXTENSIONS: [&str; 7] = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "statistics",
];
/// What runs the models, as Triton calls it.
const PLATFORM: &str = "onnxruntime_onnx";
const BACKEND: &str = "onnxruntime";

/// The server and what it can do beside the protocol itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerMetadata {
    pub name: &'static str,
    pub version: &'static str,
    #[schema(value_type = Vec<String>)]
    pub extensions: [&'static str; 7],
}

impl Default for ServerMetadata {
    fn default() -> Self {
        Self {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            extensions: EXTENSIONS,
        }
    }
}

/// The answer to `/v2/health/live`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerLive {
    pub live: bool,
}

/// The answer to `/v2/health/ready`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerReady {
    pub ready: bool,
}

/// Whether a model can answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelReady {
    pub name: String,
    pub ready: bool,
}

/// The names of all models.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelList {
    pub models: Vec<String>,
}

impl ModelList {
    #[must_use]
    pub fn of(repository: &ModelRepository) -> Self {
        Self { models: repository.names() }
    }
}

/// Counts and times of models since they were loaded.
#[derive(Debug, Serialize, ToSchema)]
pub struct Statistics {
    pub model_stats: Vec<ModelStatistics>,
}

/// A model's inputs and outputs.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelMetadata {
    pub name: String,
    /// Those that are loaded.
    pub versions: Vec<String>,
    pub platform: &'static str,
    pub inputs: Vec<TensorMetadata>,
    pub outputs: Vec<TensorMetadata>,
    /// `task`, `device` and `file`; `scores`: what they are; `assumed`: what was, for want of a file that says
    /// it; `rows_of_a_run`, where not all rows may share one: `one row` or `rows of one length`; and
    /// `preprocessed_input`: the name under which it takes images or texts.
    pub properties: BTreeMap<&'static str, String>,
}

/// -1 stands for an axis of any length.
#[derive(Debug, Serialize, ToSchema)]
pub struct TensorMetadata {
    pub name: String,
    pub datatype: &'static str,
    pub shape: Vec<i64>,
}

impl ModelMetadata {
    /// `versions` are all that serve of this name.
    #[must_use]
    pub fn of(model: &Model, versions: &[u64]) -> Self {
        let mut properties = BTreeMap::from([
            ("task", model.task().to_owned()),
            ("device", model.provider.to_string()),
            ("file", model.file.clone()),
        ]);
        if let Some(rows) = model.shares() {
            properties.insert("rows_of_a_run", rows.to_owned());
        }
        if let Some(input) = super::preprocessed::input_name(model) {
            properties.insert("preprocessed_input", input.to_owned());
        }
        if let Some(scores) = model.notes().into_iter().find(|note| note.what == "scores") {
            properties.insert("scores", scores.value);
        }
        let assumed = model.assumptions();
        if !assumed.is_empty() {
            properties.insert("assumed", assumed.join("\n"));
        }
        Self {
            name: model.name.clone(),
            versions: versions.iter().map(ToString::to_string).collect(),
            platform: PLATFORM,
            inputs: TensorMetadata::list(&model.signature.inputs),
            outputs: TensorMetadata::list(&model.signature.outputs),
            properties,
        }
    }
}

impl TensorMetadata {
    /// Maps and sequences, which the protocol has no words for, are left out.
    #[must_use]
    pub fn list(specs: &[TensorSpec]) -> Vec<Self> {
        let tensors = specs.iter().filter_map(|spec| {
            let datatype = spec.data_type()?.name();
            Some(Self { name: spec.name.clone(), datatype, shape: axes(&spec.shape) })
        });
        tensors.collect()
    }
}

fn axes(shape: &[Option<usize>]) -> Vec<i64> {
    shape.iter().map(|axis| axis.map_or(-1, |length| length as i64)).collect()
}

/// Triton's model configuration, as far as it means something here.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelConfig {
    pub name: String,
    pub platform: &'static str,
    pub backend: &'static str,
    /// 0: requests do not share runs, and the dimensions below are whole shapes.
    pub max_batch_size: usize,
    pub input: Vec<TensorConfig>,
    pub output: Vec<TensorConfig>,
    #[schema(value_type = Vec<InstanceGroup>)]
    pub instance_group: [InstanceGroup; 1],
    pub default_model_filename: String,
}

/// An input or an output.
#[derive(Debug, Serialize, ToSchema)]
pub struct TensorConfig {
    pub name: String,
    /// `TYPE_FP32`, and `TYPE_STRING` for BYTES.
    pub data_type: String,
    /// Without the batch axis where `max_batch_size` is not 0.
    pub dims: Vec<i64>,
}

/// The sessions of a model, and where they run.
#[derive(Debug, Serialize, ToSchema)]
pub struct InstanceGroup {
    pub count: usize,
    pub kind: &'static str,
}

impl ModelConfig {
    #[must_use]
    pub fn of(model: &Model) -> Self {
        let max_batch_size = model.max_batch_size();
        let tensors = |specs: &[TensorSpec]| {
            let tensors = specs.iter().filter_map(|spec| {
                let data_type = match spec.data_type()?.name() {
                    "BYTES" => "TYPE_STRING".to_owned(),
                    name => format!("TYPE_{name}"),
                };
                let dims = axes(&spec.shape[usize::from(max_batch_size > 0)..]);
                Some(TensorConfig { name: spec.name.clone(), data_type, dims })
            });
            tensors.collect()
        };
        let kind = if model.provider.gpu().is_some() { "KIND_GPU" } else { "KIND_CPU" };
        Self {
            name: model.name.clone(),
            platform: PLATFORM,
            backend: BACKEND,
            max_batch_size,
            input: tensors(&model.signature.inputs),
            output: tensors(&model.signature.outputs),
            instance_group: [InstanceGroup { count: model.instances(), kind }],
            default_model_filename: model.file.clone(),
        }
    }
}

/// What a version has answered since it was loaded.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelStatistics {
    pub name: String,
    pub version: String,
    /// Milliseconds since 1970.
    pub last_inference: u64,
    pub inference_count: u64,
    pub execution_count: u64,
    pub inference_stats: InferenceStatistics,
    pub batch_stats: Vec<BatchStatistics>,
}

/// Requests by how they ended, and by where their time went.
#[derive(Debug, Serialize, ToSchema)]
pub struct InferenceStatistics {
    pub success: Duration64,
    pub fail: Duration64,
    pub queue: Duration64,
    pub compute_input: Duration64,
    pub compute_infer: Duration64,
    pub compute_output: Duration64,
    pub cache_hit: Duration64,
    pub cache_miss: Duration64,
}

/// Runs of this many rows.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchStatistics {
    pub batch_size: u64,
    pub compute_input: Duration64,
    pub compute_infer: Duration64,
    pub compute_output: Duration64,
}

/// How often, and how many nanoseconds in all.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
pub struct Duration64 {
    pub count: u64,
    pub ns: u64,
}

impl From<Spent> for Duration64 {
    fn from(Spent { count, time }: Spent) -> Self {
        Self { count, ns: nanoseconds(time) }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl ModelStatistics {
    #[must_use]
    pub fn of(model: &Model) -> Self {
        let counts: Counts = model.metrics.statistics.snapshot();
        // Stacking rows and copying outputs are parts of a run here.
        let batch = |(rows, ran): (&usize, &Spent)| BatchStatistics {
            batch_size: *rows as u64,
            compute_input: Duration64 { count: ran.count, ns: 0 },
            compute_infer: (*ran).into(),
            compute_output: Duration64 { count: ran.count, ns: 0 },
        };
        Self {
            name: model.name.clone(),
            version: model.version.to_string(),
            last_inference: counts.last_inference,
            inference_count: counts.inferences,
            execution_count: counts.executions(),
            inference_stats: InferenceStatistics {
                success: counts.success.into(),
                fail: counts.fail.into(),
                queue: counts.queue.into(),
                compute_input: counts.input.into(),
                compute_infer: counts.infer.into(),
                compute_output: counts.output.into(),
                cache_hit: Duration64::default(),
                cache_miss: Duration64::default(),
            },
            batch_stats: counts.batches.iter().map(batch).collect(),
        }
    }
}
