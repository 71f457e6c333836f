//! One inference, whatever carried it: the network's own tensors, or images and texts as `BYTES` for
//! a model with a task.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::ArrayD;

use super::elements::Elements;
use super::missing::Missing;
use super::{classification, preprocessed};
use crate::api::App;
use crate::api::asker::Asker;
use crate::error::{Error, ErrorKind, excerpt, one_of};
use crate::meter::Meter;
use crate::model::{Model, Terms, Timings};
use crate::runtime::job::Priority;
use crate::tasks::Input;
use crate::tensor::{DataType, Tensor, Tensors};

/// Inputs and outputs in one request beyond those that its model has: enough for an error to tell which
/// name is wrong.
const BEYOND: usize = 16;

#[derive(Default)]
pub struct InferRequest {
    /// Comes back in the answer.
    pub id: Option<String>,
    /// The client names the version, so that no shadow is asked too.
    pub pinned: bool,
    pub priority: Priority,
    pub asker: Asker,
    /// The client's limit, beside the protocol's own.
    pub timeout: Option<Duration>,
    pub inputs: Inputs,
    /// Empty: all of them.
    pub outputs: Vec<RequestedOutput>,
}

/// What a model is asked for, as it takes it.
#[derive(Debug)]
pub enum Inputs {
    /// By its task.
    Task(Input),
    /// By its network, and what these lack where the answer is JSON, which has no word for NaN.
    Own(Tensors, Missing),
}

impl Default for Inputs {
    fn default() -> Self {
        Self::Own(Tensors::default(), Missing::default())
    }
}

#[derive(Debug)]
pub struct InputTensor {
    pub name: String,
    pub value: InputValue,
}

/// What an input holds. `BYTES` stay as they are until it is known whether they are text.
#[derive(Debug)]
pub enum InputValue {
    Numbers(Tensor),
    Bytes { shape: Vec<usize>, elements: Elements },
}

impl InputValue {
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Numbers(tensor) => tensor.shape(),
            Self::Bytes { shape, .. } => shape,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedOutput {
    pub name: String,
    /// The best so many classes as strings `score:number[:name]`, in the place of the tensor.
    pub classification: Option<usize>,
}

/// The outputs in the order in which they were asked for.
pub struct InferAnswer {
    pub outputs: Vec<(String, Tensor)>,
    /// Of the inputs, where the answer is JSON.
    pub missing: Missing,
    pub timings: Timings,
}

/// Inputs as the model takes them: for its task, or for its network. For a compute thread, since each
/// element is looked at.
///
/// # Errors
/// Too many items for the task, elements that are no text; those of [`Model::taken`].
pub fn understand(
    model: &Model,
    inputs: Vec<InputTensor>,
    as_json: bool,
    meter: &Meter<'_>,
) -> Result<Inputs, Error> {
    let began = Instant::now();
    let understood = fit(model, inputs, as_json, meter);
    understood.inspect_err(|_| model.metrics.statistics.failed(began.elapsed()))
}

fn fit(
    model: &Model,
    mut inputs: Vec<InputTensor>,
    as_json: bool,
    meter: &Meter<'_>,
) -> Result<Inputs, Error> {
    if preprocessed::is_for_task(model, &inputs)
        && let Some(InputValue::Bytes { shape, elements }) = inputs.pop().map(|input| input.value)
    {
        return preprocessed::input(model, &shape, elements, meter).map(Inputs::Task);
    }
    let missing = if as_json { Missing::of(&inputs) } else { Missing::default() };
    let own = inputs.into_iter().map(|InputTensor { name, value }| {
        let tensor = match value {
            InputValue::Numbers(tensor) => tensor,
            InputValue::Bytes { shape, elements } => strings(&name, &shape, elements, meter)?,
        };
        Ok((name, tensor))
    });
    let own = Tensors(own.collect::<Result<_, Error>>()?);
    Ok(Inputs::Own(model.taken(own)?, missing))
}

/// How many inputs a request for this model may name, and how many outputs. More of them are repeated
/// or unknown.
#[must_use]
pub fn most_named(model: &Model) -> [usize; 2] {
    [model.signature.inputs.len() + BEYOND, model.signature.outputs.len() + BEYOND]
}

/// What is said of more than `most`, as `expected; got what`.
#[must_use]
pub fn too_many(most: usize) -> String {
    format!("at most {}, which the model has; got more than {most}", most - BEYOND)
}

/// Answers a request for this model by `deadline`.
///
/// # Errors
/// Inputs or outputs that the model does not have; those of [`Model::infer`] and [`Model::predict`].
pub async fn infer(
    app: &App,
    model: &Arc<Model>,
    request: InferRequest,
    deadline: Instant,
) -> Result<InferAnswer, Error> {
    let InferRequest { pinned, priority, asker, timeout, inputs, outputs, .. } = request;
    let deadline = timeout.map_or(deadline, |timeout| deadline.min(Instant::now() + timeout));
    let terms = (&asker, asker.terms(priority, Some(deadline)));
    let began = Instant::now();
    let work = async {
        match inputs {
            Inputs::Task(input) => {
                preprocessed::infer(app, model, input, outputs, terms, pinned).await
            }
            Inputs::Own(inputs, missing) => {
                let answer = tensors(app, model, inputs, outputs, terms).await?;
                Ok(InferAnswer { missing, ..answer })
            }
        }
    };
    let answer = tokio::time::timeout_at(deadline.into(), work).await.unwrap_or_else(|_| {
        let detail = format!("no answer within {:?}", deadline.duration_since(began));
        Err(Error::new(ErrorKind::DeadlineExceeded, detail))
    });
    if answer.is_err() {
        model.metrics.statistics.failed(began.elapsed());
    }
    answer
}

async fn tensors(
    app: &App,
    model: &Arc<Model>,
    inputs: Tensors,
    outputs: Vec<RequestedOutput>,
    (asker, terms): (&Asker, Terms),
) -> Result<InferAnswer, Error> {
    asker.expects(model.expected_tensors(inputs.rows())).await?;
    let names: Vec<String> = outputs.iter().map(|output| output.name.clone()).collect();
    let inferred = model.infer(inputs, &names, terms).await?;
    let (tensors, timings) = (inferred.tensors.0, inferred.timings);
    if outputs.iter().all(|output| output.classification.is_none()) {
        return Ok(InferAnswer { outputs: tensors, missing: Missing::default(), timings });
    }
    let model = model.clone();
    let classify = move || {
        let classified = tensors.into_iter().zip(outputs).map(|((name, tensor), asked)| {
            let tensor = match asked.classification {
                Some(count) => classification::of(&name, &tensor, count, model.labels())?,
                None => tensor,
            };
            Ok((name, tensor))
        });
        let outputs = classified.collect::<Result<_, Error>>()?;
        Ok(InferAnswer { outputs, missing: Missing::default(), timings })
    };
    app.compute.run(classify).await
}

/// The datatype that the input at `field` declares.
///
/// # Errors
/// None of that name.
pub fn data_type(field: &str, input: &str, datatype: &str) -> Result<DataType, Error> {
    DataType::parse(datatype).ok_or_else(|| {
        let known = one_of(datatype, DataType::NAMES.iter().copied());
        let expected = format!("{known} (`{}`)", excerpt(input));
        let got = format!("`{}`", excerpt(datatype));
        Error::invalid(format!("{field}.datatype"), expected, got)
    })
}

/// A tensor of strings, which ONNX Runtime takes as UTF-8 that ends at a NUL.
fn strings(
    name: &str,
    shape: &[usize],
    elements: Elements,
    meter: &Meter<'_>,
) -> Result<Tensor, Error> {
    let texts = elements.into_texts(name, meter)?;
    if let Some(place) = texts.iter().position(|text| text.contains('\0')) {
        let field = format!("{}[{place}]", excerpt(name));
        return Err(Error::invalid(field, "text without NUL characters", "a NUL character"));
    }
    ArrayD::from_shape_vec(shape, texts).map(Tensor::String).map_err(Error::internal)
}

/// The protocol counts from 1, the highest, and 0 is the model's default: here the two that go
/// before all others.
#[must_use]
pub fn priority(level: u64) -> Priority {
    if level <= 1 { Priority::Interactive } else { Priority::Bulk }
}
