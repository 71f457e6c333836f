//! From an [`Input`] to tensors and from tensors to [`Prediction`]s. Synchronous, and pure once loaded.
//!
//! A new task is one file here and one arm in [`build`].

mod feature_extraction;
mod files;
pub mod graph;
mod head;
mod hugging_face;
pub mod image;
mod image_classification;
mod input;
mod note;
mod pooling;
mod sentence_transformers;
mod stages;
mod tabular;
pub mod tensors;
mod text;
mod text_classification;
mod token_classification;

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

pub use files::{ModelFiles, read_text};
pub use input::{
    Cells, Column, FeatureColumn, Features, Image, ImageSource, Input, InputKind, Parameters, Text,
};

pub use note::{ASSUMED, Note, WARM_UP};
pub use stages::Stages;

use crate::config::{Limits, ModelConfig};
use crate::error::Error;
use crate::rows::Rows;
use crate::signature::{BatchAxis, Signature};
use crate::tensor::{DataType, Tensor, Tensors};
use hugging_face::HfConfig;

/// The answer for one input.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Prediction {
    /// The best class, and the `top_k` best in falling order of score.
    #[schema(title = "ClassesPrediction")]
    Classes {
        #[schema(value_type = String)]
        label: Arc<str>,
        score: f32,
        classes: Vec<ClassScore>,
    },
    /// A regression's value, or its values where the model gives several.
    #[schema(title = "ValuePrediction")]
    Value { value: Value },
    /// A text as a vector.
    #[schema(title = "EmbeddingPrediction")]
    Embedding { embedding: Vec<f32> },
    /// What a text names, in its order.
    #[schema(title = "EntitiesPrediction")]
    Entities { entities: Vec<Entity> },
}

/// A part of a text, and what it is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Entity {
    /// The label without its `B-` or `I-`.
    #[schema(value_type = String)]
    pub entity: Arc<str>,
    /// Mean probability of its tokens.
    pub score: f32,
    /// The tokens as text, in lower case for example where the tokenizer makes it so.
    pub word: String,
    /// In the input's Unicode code points, the end exclusive.
    pub start: usize,
    pub end: usize,
}

/// A class and how sure the model is of it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ClassScore {
    #[schema(value_type = String)]
    pub label: Arc<str>,
    pub score: f32,
    /// The class's number, which tells apart classes of one name.
    #[serde(skip)]
    pub index: usize,
}

/// What a regression gives.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = RegressionValue)]
#[serde(untagged)]
pub enum Value {
    One(f32),
    Many(Vec<f32>),
}

/// What a model is for: the steps before and after the network.
pub trait Task: Send + Sync {
    /// The task's name as the model hubs write it, for example `image-classification`.
    fn name(&self) -> &'static str;

    fn input_kind(&self) -> InputKind;

    /// Names of the outputs that [`Self::decode`] reads.
    fn outputs(&self) -> Vec<String>;

    fn batch_axis(&self) -> BatchAxis;

    /// The classes by number; empty if the model's files do not name them.
    fn labels(&self) -> &[Arc<str>] {
        &[]
    }

    /// What a row of features is made of, in order; empty for other kinds of input, and where the model
    /// leaves the number of features open.
    fn columns(&self) -> Vec<FeatureColumn> {
        Vec::new()
    }

    /// Whether each class has a probability of its own, so that an input may have several labels.
    fn is_multi_label(&self) -> bool {
        false
    }

    /// Whether [`Self::encode`] of this input takes less than the way to another thread and back,
    /// which is some ten microseconds.
    fn is_small(&self, _: &Input) -> bool {
        false
    }

    /// Pre-processing: one row for each input, in order.
    ///
    /// # Errors
    /// Inputs that the model cannot take, with the field named.
    fn encode(
        &self,
        input: &Input,
        parameters: &Parameters,
        stages: &Stages,
    ) -> Result<Rows, Error>;

    /// Post-processing: one prediction for each row, in order.
    ///
    /// # Errors
    /// NaN or infinite outputs.
    fn decode(&self, outputs: &Tensors, parameters: &Parameters) -> Result<Vec<Prediction>, Error>;

    /// An input of `count` items that the model takes, for the warm-up at load.
    fn sample(&self, count: usize) -> Input;

    /// Rows of `count` items for the warm-up at load.
    ///
    /// # Errors
    /// As [`Self::encode`].
    fn warm_up(&self, count: usize) -> Result<Rows, Error> {
        self.encode(&self.sample(count), &Parameters::default(), &Stages::default())
    }

    /// Learns from the warm-up's outputs what the model's files do not say, such as whether scores
    /// are probabilities already.
    ///
    /// # Errors
    /// Outputs that do not fit the files, for example another number of classes than labels.
    fn calibrate(&mut self, outputs: &Tensors) -> Result<(), String>;

    /// How an output is made smaller right after its run; [`Self::outputs`] then names the reduced one.
    fn reduction(&self) -> Option<Arc<dyn Reduction>> {
        None
    }

    /// What is done before and after the network, and which file says so.
    fn notes(&self) -> Vec<Note> {
        Vec::new()
    }

    /// What was assumed for want of a file that says it, and the line that would change it.
    fn assumptions(&self) -> Vec<String>;
}

/// Makes an output smaller right after its run, while the run's inputs are at hand. It is called on the
/// session's thread, so it must be cheap.
pub trait Reduction: Send + Sync {
    /// The network's output.
    fn output(&self) -> &str;

    /// The name by which the reduced output is asked for and found.
    fn reduced(&self) -> &str;

    /// The reduced output, a row for each of the output's.
    ///
    /// # Errors
    /// An output that does not fit the inputs.
    fn reduce(&self, inputs: &Tensors, output: &Tensor) -> Result<Tensor, Error>;
}

/// Everything that is known of a model before its task is.
#[derive(Clone, Copy)]
pub struct Material<'a> {
    /// The ONNX file.
    pub network: &'a Path,
    pub signature: &'a Signature,
    pub files: &'a ModelFiles,
    pub config: &'a ModelConfig,
    pub limits: &'a Limits,
}

/// Values of the key `task` in `model.toml`.
const TASKS: [&str; 7] = [
    "image-classification",
    "text-classification",
    "token-classification",
    "feature-extraction",
    "tabular-classification",
    "tabular-regression",
    tensors::NAME,
];

const FLOATS_AND_BYTES: [DataType; 4] = [DataType::F32, DataType::F16, DataType::F64, DataType::U8];

/// Chooses the task: from `model.toml`, from `config.json`, else from the shapes.
///
/// # Errors
/// What is missing and the line in `model.toml` that would supply it.
pub fn build(material: Material<'_>) -> Result<Box<dyn Task>, String> {
    let hf: Option<HfConfig> = material.files.json("config.json")?;
    let hf = hf.unwrap_or_default();
    let task = match &material.config.task {
        Some(task) if TASKS.contains(&task.as_str()) => task.as_str(),
        Some(task) => {
            return Err(format!("task = \"{task}\": {}", crate::error::one_of(task, TASKS)));
        }
        None if sentence_transformers::pools(material.files)? => "feature-extraction",
        None => match hf
            .task(feature_extraction::fits(material.signature))
            .transpose()
            .unwrap_or_else(|| task_of_shapes(material.signature))
        {
            Ok(task) => task,
            Err(why) => return tensors::build(material, Some(why)),
        },
    };
    match task {
        "image-classification" => image_classification::build(material, &hf),
        "text-classification" => text_classification::build(material, &hf),
        "token-classification" => token_classification::build(material, &hf),
        "feature-extraction" => feature_extraction::build(material, &hf),
        tensors::NAME => tensors::build(material, None),
        _ => tabular::build(material, &hf),
    }
}

fn task_of_shapes(signature: &Signature) -> Result<&'static str, String> {
    let inputs = &signature.inputs;
    match inputs.as_slice() {
        [only] if only.is(4, &FLOATS_AND_BYTES) => Ok("image-classification"),
        [only] if (1..=2).any(|rank| only.is(rank, &[DataType::String])) => {
            Ok("text-classification")
        }
        _ if feature_extraction::fits(signature) => Ok("feature-extraction"),
        _ if signature.input("input_ids").is_some() => Ok("text-classification"),
        _ if tabular::fits(signature) => Ok("tabular"),
        _ => Err(format!(
            "its inputs are neither images ([N,3,H,W] or [N,H,W,3]) nor text (`input_ids` with a \
             tokenizer.json, or strings [N,1]) nor features ([N,F], or several columns [N,1]): {}. \
             So it is served as tensors through /v2 alone, and not by /predict. If it is one of \
             these, say so in model.toml: task = \"image-classification\" (or {})",
            Signature::list(inputs),
            TASKS[1..].iter().map(|task| format!("\"{task}\"")).collect::<Vec<_>>().join(", ")
        )),
    }
}
