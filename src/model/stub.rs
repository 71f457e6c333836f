//! Models without a network, for tests of what is read before one runs.

use std::sync::Arc;
use std::time::Duration;

use super::{Model, Parts};
use crate::config::{Layout, Limits, ModelConfig};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::rows::Rows;
use crate::runtime::compute::Compute;
use crate::runtime::cost::Cost;
use crate::runtime::pool::{SessionPool, Setup};
use crate::runtime::provider::ExecutionProvider;
use crate::runtime::queue::Bounds;
use crate::signature::{BatchAxis, Batching, Kind, Signature, TensorSpec};
use crate::tasks::{
    self, Input, InputKind, Material, ModelFiles, Parameters, Prediction, Stages, Task, Unserved,
};
use crate::tensor::{DataType, Tensors};

/// An input or output of a batch of rows, with one further axis of this length.
pub fn spec(name: &str, data_type: DataType, width: Option<usize>) -> TensorSpec {
    TensorSpec { name: name.into(), kind: Kind::Tensor(data_type), shape: vec![None, width] }
}

/// A model of images or texts, or one that `model.toml` makes of these inputs.
pub fn model(
    name: &str,
    inputs: Vec<TensorSpec>,
    task: Result<InputKind, &str>,
    limits: Limits,
) -> Model {
    let outputs = vec![spec("y", DataType::F32, Some(1))];
    let signature = Signature { inputs, outputs };
    let task: Box<dyn Task> = match task {
        Ok(kind) => Box::new(Stub(kind)),
        Err(toml) => {
            let (config, nowhere) =
                (ModelConfig::parse(toml).unwrap(), std::path::Path::new("/nonexistent"));
            let files = ModelFiles::new(nowhere, nowhere);
            let (signature, config) = (&signature, &config);
            let material =
                Material { signature, graph: None, files: &files, config, limits: &limits };
            tasks::build(material).unwrap()
        }
    };
    let metrics = Arc::new(Metrics::default().model(name, "1", &[]));
    let bounds = Bounds {
        max_queue_size: 1024,
        max_queue_bytes: 1 << 20,
        max_batch_size: 1,
        max_batch_tokens: 1,
        min_efficiency: 1.0,
        max_queue_delay: Duration::ZERO,
    };
    let setup = Setup {
        name: name.into(),
        axis: BatchAxis::Dynamic,
        bounds,
        cost: Cost::fit(&[]),
        metrics: metrics.clone(),
    };
    Model::new(Parts {
        name: name.into(),
        version: 1,
        file: "none".into(),
        provider: ExecutionProvider::Cpu,
        signature,
        default: false,
        examples: Vec::new(),
        weights_bytes: 0,
        task,
        pool: SessionPool::start(Vec::new(), setup).unwrap(),
        compute: Arc::new(Compute::new(1).unwrap()),
        queue_objective: Duration::from_secs(1),
        limits,
        metrics,
        layout: Layout { instances: 1, intra_op_threads: 1, wide: None },
        crowd: Arc::default(),
        open: Arc::new(|_| Err("a stub".into())),
        axis: BatchAxis::Dynamic,
        batching: Batching::Together,
        because: None,
    })
}

/// A task of which nothing but the kind of input is asked.
struct Stub(InputKind);

impl Task for Stub {
    fn name(&self) -> &'static str {
        "stub"
    }

    fn input_kind(&self) -> InputKind {
        self.0
    }

    fn outputs(&self) -> Vec<String> {
        vec!["y".into()]
    }

    fn batch_axis(&self) -> BatchAxis {
        BatchAxis::Dynamic
    }

    fn encode(&self, _: &Input, _: &Parameters, _: &Stages) -> Result<Rows, Error> {
        Err(Error::internal("a stub"))
    }

    fn decode(&self, _: &Tensors, _: &Parameters) -> Result<Vec<Prediction>, Error> {
        Err(Error::internal("a stub"))
    }

    fn sample(&self, _: usize) -> Input {
        Input::Texts(Vec::new())
    }

    fn varied(&self, count: usize) -> Input {
        self.sample(count)
    }

    fn calibrate(&mut self, _: &[Tensors]) -> Result<(), Unserved> {
        Ok(())
    }

    fn assumptions(&self) -> Vec<String> {
        Vec::new()
    }
}
