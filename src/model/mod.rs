//! Models as protocols see them: an input in, predictions out.

pub mod load;
pub mod repository;

use std::sync::Arc;

use crate::config::Limits;
use crate::error::Error;
use crate::runtime::compute::Compute;
use crate::runtime::job::Priority;
use crate::runtime::pool::SessionPool;
use crate::runtime::provider::ExecutionProvider;
use crate::tasks::{Input, InputKind, Parameters, Prediction, Task};

/// One version of a model, loaded and warmed up.
pub struct Model {
    pub name: String,
    pub version: u64,
    /// The network's file within the model's folder, for example `model.int8.onnx`.
    pub file: String,
    pub provider: ExecutionProvider,
    /// Answers when several models take a kind of input and none is named.
    pub default: bool,
    task: Arc<dyn Task>,
    outputs: Arc<[String]>,
    pool: SessionPool,
    compute: Arc<Compute>,
    limits: Limits,
}

impl Model {
    #[must_use]
    pub fn task(&self) -> &'static str {
        self.task.name()
    }

    #[must_use]
    pub fn input_kind(&self) -> InputKind {
        self.task.input_kind()
    }

    /// One prediction for each input, in order. Dropping the future abandons what has not started.
    ///
    /// # Errors
    /// Input that this model cannot take, a full queue, a failed run.
    pub async fn predict(
        &self,
        input: Input,
        parameters: Parameters,
    ) -> Result<Vec<Prediction>, Error> {
        self.check(&input)?;
        let task = self.task.clone();
        let rows = self.compute.run(move || task.encode(&input, &parameters)).await?;
        let outputs = self.pool.infer(rows, &self.outputs, Priority::Interactive).await?;
        let task = self.task.clone();
        self.compute.run(move || task.decode(&outputs.tensors, &parameters)).await
    }

    fn check(&self, input: &Input) -> Result<(), Error> {
        let (kind, len) = (input.kind(), input.len());
        if kind != self.input_kind() {
            return Err(Error::invalid(
                kind.field(),
                format!(
                    "`{}`, which model `{}` ({}) takes",
                    self.input_kind().field(),
                    self.name,
                    self.task()
                ),
                format!("`{}`", kind.field()),
            ));
        }
        if len == 0 {
            return Err(Error::invalid(kind.field(), "at least one item", "an empty list"));
        }
        let limit = match kind {
            InputKind::Image => self.limits.max_images,
            InputKind::Text => self.limits.max_texts,
            InputKind::Features => self.limits.max_rows,
        };
        if len > limit {
            let expected = format!("at most {limit} items in one request");
            return Err(Error::too_large(kind.field(), expected, len.to_string()));
        }
        Ok(())
    }
}
