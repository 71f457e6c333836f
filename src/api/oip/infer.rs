//! One inference, whatever carried it: the network's own tensors, or images and texts as `BYTES` for
//! a model with a task.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ndarray::ArrayD;

use super::missing::Missing;
use super::{classification, preprocessed};
use crate::api::App;
use crate::error::{Error, ErrorKind, excerpt, one_of};
use crate::model::{Model, Terms, Timings};
use crate::runtime::job::Priority;
use crate::tensor::{DataType, Tensor, Tensors};

#[derive(Debug, Default)]
pub struct InferRequest {
    /// Comes back in the answer.
    pub id: Option<String>,
    /// The client names the version, so that no shadow is asked too.
    pub pinned: bool,
    /// The answer is JSON, which has no word for NaN.
    pub as_json: bool,
    pub priority: Priority,
    /// The client's limit, beside the protocol's own.
    pub timeout: Option<Duration>,
    pub inputs: Vec<InputTensor>,
    /// Empty: all of them.
    pub outputs: Vec<RequestedOutput>,
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
    Bytes { shape: Vec<usize>, elements: Vec<Bytes> },
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
    let InferRequest { pinned, as_json, priority, timeout, inputs, outputs, .. } = request;
    let deadline = timeout.map_or(deadline, |timeout| deadline.min(Instant::now() + timeout));
    let terms = Terms { priority, deadline: Some(deadline) };
    let began = Instant::now();
    let work = async {
        match preprocessed::input(model, inputs)? {
            Ok(input) => preprocessed::infer(app, model, input, &outputs, terms, pinned).await,
            Err(inputs) => {
                let missing = if as_json { Missing::of(&inputs) } else { Missing::default() };
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
    inputs: Vec<InputTensor>,
    outputs: Vec<RequestedOutput>,
    terms: Terms,
) -> Result<InferAnswer, Error> {
    let inputs = inputs.into_iter().map(|InputTensor { name, value }| {
        let tensor = match value {
            InputValue::Numbers(tensor) => tensor,
            InputValue::Bytes { shape, elements } => strings(&name, &shape, &elements)?,
        };
        Ok((name, tensor))
    });
    let inputs = Tensors(inputs.collect::<Result<_, Error>>()?);
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
        let (expected, got) = (format!("{known} (`{input}`)"), format!("`{}`", excerpt(datatype)));
        Error::invalid(format!("{field}.datatype"), expected, got)
    })
}

/// A tensor of strings, which ONNX Runtime takes as UTF-8 that ends at a NUL.
fn strings(name: &str, shape: &[usize], elements: &[Bytes]) -> Result<Tensor, Error> {
    let text = |(index, bytes): (usize, &Bytes)| match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
        Ok(_) => {
            let expected = "text without NUL characters";
            Err(Error::invalid(format!("{name}[{index}]"), expected, "a NUL character"))
        }
        Err(_) => Err(Error::invalid(format!("{name}[{index}]"), "text in UTF-8", "other bytes")),
    };
    let texts = elements.iter().enumerate().map(text).collect::<Result<Vec<_>, _>>()?;
    ArrayD::from_shape_vec(shape, texts).map(Tensor::String).map_err(Error::internal)
}

/// The protocol counts from 1, the highest, and 0 is the model's default: here the two that go
/// before all others.
#[must_use]
pub fn priority(level: u64) -> Priority {
    if level <= 1 { Priority::Interactive } else { Priority::Bulk }
}
