//! No task: tensors in, tensors out, through the Open Inference Protocol alone.

use super::note::SHAPES;
use super::{
    Input, InputKind, Material, Note, Parameters, Prediction, Stages, Task, Unserved, varied,
};
use crate::error::Error;
use crate::rows::Rows;
use crate::signature::{BatchAxis, Signature, TensorSpec};
use crate::tensor::{Tensor, Tensors};

/// The task's name in `model.toml`.
pub const NAME: &str = "tensors";

struct TensorsOnly {
    signature: Signature,
    batch_axis: BatchAxis,
    assumptions: Vec<String>,
}

/// `why` is told as an assumption where no file asks for this.
///
/// # Errors
/// `max_batch_size` for a network whose first axes are not all open.
pub fn build(material: Material<'_>, why: Option<String>) -> Result<Box<dyn Task>, String> {
    let Material { signature, config, .. } = material;
    let inputs = &signature.inputs;
    let other = inputs.iter().find(|spec| spec.data_type().is_none());
    let other = other.map(|other| {
        format!(
            "input {other} is no tensor, which no protocol here has words for: the model is loaded, and no \
             request for it can be answered"
        )
    });
    let open = |specs: &[TensorSpec]| specs.iter().all(|spec| spec.shape.first() == Some(&None));
    // Not every first axis that is open is the batch's; a batch size says that it is.
    let batch_axis = match config.max_batch_size {
        Some(_) if inputs.is_empty() || !open(inputs) || !open(&signature.outputs) => {
            return Err(
                "max_batch_size: the first axis of every input and output must be open for \
                        rows of several requests to share a run"
                    .to_owned(),
            );
        }
        Some(_) => BatchAxis::Dynamic,
        None => BatchAxis::None,
    };
    Ok(Box::new(TensorsOnly {
        signature: signature.clone(),
        batch_axis,
        // One sentence: what cannot be asked at all says more than what it looks like.
        assumptions: other.or(why).into_iter().collect(),
    }))
}

impl Task for TensorsOnly {
    fn name(&self) -> &'static str {
        NAME
    }

    fn input_kind(&self) -> InputKind {
        InputKind::Tensors
    }

    fn outputs(&self) -> Vec<String> {
        let tensors = self.signature.outputs.iter().filter(|spec| spec.data_type().is_some());
        tensors.map(|spec| spec.name.clone()).collect()
    }

    fn batch_axis(&self) -> BatchAxis {
        self.batch_axis
    }

    fn encode(&self, _: &Input, _: &Parameters, _: &Stages) -> Result<Rows, Error> {
        Err(Error::internal("a model without a task was given an input for one"))
    }

    fn decode(&self, _: &Tensors, _: &Parameters) -> Result<Vec<Prediction>, Error> {
        Err(Error::internal("a model without a task makes no predictions"))
    }

    fn sample(&self, _: usize) -> Input {
        // `warm_up` makes tensors instead.
        Input::Texts(Vec::new())
    }

    /// Zeros, with length 1 for every open axis but the batch's.
    fn warm_up(&self, count: usize) -> Result<Rows, Error> {
        let inputs = self.signature.inputs.iter().filter_map(|spec| {
            let mut shape: Vec<usize> = spec.shape.iter().map(|axis| axis.unwrap_or(1)).collect();
            if let (BatchAxis::Dynamic, Some(first)) = (self.batch_axis, shape.first_mut()) {
                *first = count;
            }
            Some((spec.name.clone(), Tensor::zeros(spec.data_type()?, &shape)))
        });
        let tensors = Tensors(inputs.collect());
        Ok(match self.batch_axis {
            BatchAxis::Dynamic => Rows::alike(tensors),
            _ => Rows::opaque(tensors),
        })
    }

    fn varied(&self, count: usize) -> Input {
        self.sample(count)
    }

    /// Zeros in the first row, as in the warm-up's.
    fn varied_rows(&self, count: usize) -> Result<Rows, Error> {
        let mut rows = self.warm_up(count)?;
        for (_, tensor) in &mut rows.tensors.0 {
            varied::fill(tensor);
        }
        Ok(rows)
    }

    fn calibrate(&mut self, _: &[Tensors]) -> Result<(), Unserved> {
        Ok(())
    }

    fn notes(&self) -> Vec<Note> {
        let shares = match self.batch_axis {
            BatchAxis::Dynamic => Note::new("batches", "rows of several requests", "model.toml"),
            _ => Note::new("batches", "none: each request runs alone", SHAPES),
        };
        vec![shares]
    }

    fn assumptions(&self) -> Vec<String> {
        self.assumptions.clone()
    }
}
