//! What turns an input into outputs: admission, decoding, the queue of the sessions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Timings;
use super::admission::{Admission, Asking};
use super::encoding::Encoding;
use crate::error::Error;
use crate::metrics::ModelMetrics;
use crate::runtime::compute::Compute;
use crate::runtime::job::{Outputs, Priority};
use crate::runtime::pool::SessionPool;
use crate::signature::{BatchAxis, Batching};
use crate::tasks::{Input, Parameters, Piece, Prediction, Task};

/// The parts of one model, shared by the requests in flight.
pub(super) struct Engine {
    pub task: Box<dyn Task>,
    pub axis: BatchAxis,
    pub batching: Batching,
    pub because: Option<String>,
    pub outputs: Arc<[String]>,
    pub pool: SessionPool,
    pub admission: Arc<Admission>,
    pub compute: Arc<Compute>,
    pub metrics: Arc<ModelMetrics>,
}

/// What makes two requests the same work.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub input: Input,
    pub truncate: bool,
    pub priority: Priority,
}

/// A network's outputs for one request, and how long the stages took.
pub(super) struct Ran {
    pub outputs: Outputs,
    pub encode_began: Instant,
    pub decode: Duration,
    pub encode: Duration,
    pub queue_began: Instant,
}

impl Engine {
    pub async fn run(
        self: Arc<Self>,
        asked: Arc<Asked>,
        parameters: Parameters,
        asking: Asking,
        pieces: Vec<Piece>,
    ) -> Result<Arc<Ran>, Error> {
        let admitted = self.admission.admit(&self.pool, &asking)?;
        let side_by_side = self.admission.side_by_side(pieces.len());
        let encoding = Encoding::new(self.clone(), asked, parameters, pieces, admitted.due());
        let encoded = encoding.run(&asking.costs, admitted.of()).await?;
        let (mut rows, encode) = (encoded.rows, encoded.whole);
        let aside = std::mem::take(&mut rows.aside);
        let queue_began = Instant::now();
        let waiting = self.pool.enqueue(rows, &self.outputs, asking.order, admitted.due())?;
        let begun = admitted.queued();
        let mut outputs = waiting.outputs().await?;
        begun.answered(queue_began + outputs.queued, encode / side_by_side);
        outputs.tensors.0.extend(aside.0);
        let (decode, encode_began) = (encoded.decode, encoded.began);
        Ok(Arc::new(Ran { outputs, encode_began, decode, encode, queue_began }))
    }

    pub fn count(&self, predictions: &[Prediction], timings: &Timings) {
        let metrics = &self.metrics;
        metrics.decode.observe(timings.decode.as_secs_f64());
        metrics.preprocess.observe(timings.preprocess.as_secs_f64());
        metrics.queue.observe(timings.queue.as_secs_f64());
        metrics.infer.observe(timings.infer.as_secs_f64());
        metrics.postprocess.observe(timings.postprocess.as_secs_f64());
        for prediction in predictions {
            match prediction {
                Prediction::Classes { label, score, .. } => {
                    metrics.predicted(label, Some(score.to_f64()));
                }
                Prediction::Label { label, .. } => metrics.predicted(&label.joined(), None),
                _ => {}
            }
        }
    }
}
