//! The steps of a request by themselves, in the caller's thread: what a benchmark compares a server
//! with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Model;
use crate::error::Error;
use crate::rows::Rows;
use crate::runtime::cancel::Cancel;
use crate::runtime::run;
use crate::runtime::session::Session;
use crate::signature::BatchAxis;
use crate::tasks::{Input, Parameters, Stages};
use crate::tensor::Tensors;

/// A model's task, and a session that nobody else uses.
pub struct ByHand {
    model: Arc<Model>,
    session: Arc<dyn Session>,
}

/// Rows, and the time that they took.
pub struct Encoded {
    pub rows: Rows,
    pub decode: Duration,
    /// Everything else of [`crate::tasks::Task::encode`].
    pub preprocess: Duration,
}

impl ByHand {
    /// With a further session of what `model` runs, with `threads` threads in a run.
    ///
    /// # Errors
    /// The file cannot be loaded again.
    pub fn open(model: &Arc<Model>, threads: usize) -> Result<Self, String> {
        Ok(Self { model: model.clone(), session: (model.open)(threads)? })
    }

    /// # Errors
    /// Input that the model cannot take.
    pub fn encode(&self, input: &Input) -> Result<Encoded, Error> {
        self.model.check(input)?;
        let (start, stages) = (Instant::now(), Stages::default());
        let rows = self.model.engine.task.encode(input, &Parameters::default(), &stages)?;
        let (whole, decode) = (start.elapsed(), stages.decode());
        Ok(Encoded { rows, decode, preprocess: whole.saturating_sub(decode) })
    }

    /// # Errors
    /// The run fails.
    pub fn run(&self, rows: &Rows) -> Result<Tensors, Error> {
        let engine = &self.model.engine;
        let together = (engine.axis, engine.batching);
        run::rows(self.session.as_ref(), rows, &engine.outputs, together, &Cancel::new(1))
    }
}

impl Model {
    /// Rows of one item to try the model with.
    ///
    /// # Errors
    /// As [`crate::tasks::Task::encode`].
    pub fn sample_rows(&self) -> Result<Rows, Error> {
        self.engine.task.warm_up(1)
    }

    /// Rows as the network itself takes them, such as without a batch axis where it has none.
    #[must_use]
    pub fn network_inputs(&self, rows: &Rows) -> Tensors {
        let tensors = rows.tensors.clone();
        match self.engine.axis {
            BatchAxis::None if !rows.is_opaque() => tensors.drop_batch_axis(),
            _ => tensors,
        }
    }
}
