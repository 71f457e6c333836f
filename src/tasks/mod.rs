//! From an [`Input`] to tensors and from tensors to [`Prediction`]s. Synchronous, and pure once loaded.
//!
//! A new task is one file here and one arm in [`build`].

mod cells;
mod choice;
mod feature_extraction;
mod files;
pub mod graph;
mod head;
mod hugging_face;
pub mod image;
mod image_classification;
mod input;
mod looks;
mod note;
pub mod piece;
mod pooling;
mod scalar;
mod sentence_transformers;
mod stages;
mod tabular;
pub mod tensors;
pub(crate) mod text;
mod text_classification;
mod token_classification;
mod unserved;
mod varied;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

pub use cells::{Cells, CellsSeed, Column, Features, Number, Numbers, Reading, Taken};
pub use files::{ModelFiles, read_text};
pub use input::{FeatureColumn, Image, ImageSource, Input, InputKind, Parameters, Text};

pub use note::{ASSUMED, Note, WARM_UP};
pub use piece::{Kind, Part, Piece};
pub use scalar::Scalar;
pub use stages::Stages;
pub use unserved::Unserved;

use crate::config::{Limits, ModelConfig};
use crate::error::Error;
use crate::rows::Rows;
use crate::signature::{BatchAxis, Signature};
use crate::tensor::{DataType, Tensor, Tensors};
use graph::Graph;
use hugging_face::HfConfig;

/// The answer for one input.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Prediction {
    /// The best class, and the `top_k` best in falling order of score; of distances in rising order. The
    /// network's own label stands first, whatever its score.
    #[schema(title = "ClassesPrediction")]
    Classes {
        #[schema(value_type = String)]
        label: Arc<str>,
        #[schema(value_type = f64)]
        score: Scalar,
        classes: Vec<ClassScore>,
    },
    /// The network's own label, or its labels, without a score for each class.
    #[schema(title = "LabelPrediction")]
    Label {
        label: Label,
        /// What the network gives beside it, such as margins between pairs of classes.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<Value>,
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
    #[schema(value_type = f64)]
    pub score: Scalar,
    /// The class's number, which tells apart classes of one name.
    #[serde(skip)]
    pub index: usize,
}

/// What a regression gives.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = RegressionValue)]
#[serde(untagged)]
pub enum Value {
    #[schema(value_type = f64)]
    One(Scalar),
    #[schema(value_type = Vec<f64>)]
    Many(Vec<Scalar>),
}

impl Value {
    /// Of a row's numbers.
    #[must_use]
    pub fn of(numbers: Vec<Scalar>) -> Self {
        match numbers.as_slice() {
            [one] => Self::One(*one),
            _ => Self::Many(numbers),
        }
    }

    #[must_use]
    pub fn numbers(&self) -> &[Scalar] {
        match self {
            Self::One(number) => std::slice::from_ref(number),
            Self::Many(numbers) => numbers,
        }
    }
}

/// A label, or one for each of several outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = LabelOrLabels)]
#[serde(untagged)]
pub enum Label {
    #[schema(value_type = String)]
    One(Arc<str>),
    #[schema(value_type = Vec<String>)]
    Several(Vec<Arc<str>>),
}

impl Label {
    /// The labels as one text.
    #[must_use]
    pub fn joined(&self) -> Arc<str> {
        match self {
            Self::One(label) => label.clone(),
            Self::Several(labels) => labels.join(", ").into(),
        }
    }
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

    /// What becomes of a column of this name.
    fn takes(&self, _name: &str) -> Taken {
        Taken::Unknown
    }

    /// Whether each class has a probability of its own, so that an input may have several labels.
    fn is_multi_label(&self) -> bool {
        false
    }

    /// Most tokens of a row, where the network's inputs are `[rows, tokens]`: time and memory of a run grow
    /// with their square.
    fn most_tokens(&self) -> Option<usize> {
        None
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

    /// The pieces in which an input that is not small is encoded, by turns with those of other requests, in
    /// the order of the items. Reads no more of it than tells what each takes.
    fn pieces(&self, input: &Input) -> Vec<Piece> {
        vec![Piece { items: 0..input.len(), kind: Kind::Other, estimate: Duration::ZERO }]
    }

    /// [`Self::encode`] of one of several pieces.
    ///
    /// # Errors
    /// As [`Self::encode`].
    fn encode_piece(
        &self,
        input: &Input,
        _: Range<usize>,
        parameters: &Parameters,
        stages: &Stages,
    ) -> Result<Part, Error> {
        self.encode(input, parameters, stages).map(Part::Rows)
    }

    /// What [`Self::encode`] would have made of the whole.
    ///
    /// # Errors
    /// Parts that do not fit together, which is a defect.
    fn join(&self, _: &Input, parts: Vec<Part>) -> Result<Rows, Error> {
        piece::rows(parts)
    }

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

    /// An input of `count` items that the model takes and that differ in length, sign and size, the same
    /// every time.
    fn varied(&self, count: usize) -> Input;

    /// Rows of [`Self::varied`].
    ///
    /// # Errors
    /// As [`Self::encode`].
    fn varied_rows(&self, count: usize) -> Result<Rows, Error> {
        self.encode(&self.varied(count), &Parameters::default(), &Stages::default())
    }

    /// Learns what the model's files do not say, such as whether scores are probabilities already, from
    /// the outputs of some runs, each of one row of [`Self::varied_rows`].
    ///
    /// # Errors
    /// Outputs that do not fit the task, or the files: another number of classes than labels, for example.
    fn calibrate(&mut self, runs: &[Tensors]) -> Result<(), Unserved>;

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
    pub signature: &'a Signature,
    /// What its graph tells; `None` of a file in ORT's format.
    pub graph: Option<&'a Graph>,
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

/// Chooses the task: from `model.toml`, from the model's files, else from the shapes. What fits none is served
/// as tensors, and says why.
///
/// # Errors
/// A file that cannot be read or says what does not apply, and the line that would mend it.
pub fn build(material: Material<'_>) -> Result<Box<dyn Task>, String> {
    let hf = HfConfig::read(material.files)?;
    let asked = &material.config.task;
    let task = match asked {
        Some(task) if TASKS.contains(&task.as_str()) => task.as_str(),
        Some(task) => {
            return Err(format!("task = \"{task}\": {}", crate::error::one_of(task, TASKS)));
        }
        None => match choice::choose(material, &hf) {
            Ok(task) => task,
            Err(Unserved::Unfit(why)) => return as_tensors(material, &why),
            Err(Unserved::Files(why)) => return Err(why),
        },
    };
    let built = match task {
        "image-classification" => image_classification::build(material, &hf),
        "text-classification" => text_classification::build(material, &hf),
        "token-classification" => token_classification::build(material, &hf),
        "feature-extraction" => feature_extraction::build(material),
        tensors::NAME => tensors::build(material, None).map_err(Unserved::Files),
        _ => tabular::build(material, &hf),
    };
    match built {
        Ok(task) => Ok(task),
        Err(Unserved::Unfit(why)) if asked.is_none() => as_tensors(material, &why),
        Err(why) => Err(why.into_reason()),
    }
}

/// The model as tensors, since it does not fit the task that was inferred.
///
/// # Errors
/// As [`tensors::build`].
pub fn as_tensors(material: Material<'_>, why: &str) -> Result<Box<dyn Task>, String> {
    tensors::build(material, Some(looks::told(why)))
}
