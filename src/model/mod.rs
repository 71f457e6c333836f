//! Models as protocols see them: an input in, predictions out.

mod admission;
mod apart;
mod bulk;
mod by_hand;
mod clients;
mod describe;
mod encoding;
mod engine;
mod expected;
pub(crate) mod external_data;
mod flights;
pub(crate) mod formats;
pub mod golden;
mod graph_cache;
pub mod load;
pub mod manifest;
mod memory;
mod neighbours;
pub mod network_file;
mod opener;
mod pressure;
mod reduced;
pub mod repository;
#[cfg(test)]
pub mod stub;
mod tensors;
mod warm_up;
mod weights;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::config::{Layout, Limits};
use crate::error::Error;
use crate::metrics::ModelMetrics;
use crate::runtime::compute::{self, Compute};
use crate::runtime::crowd::{Crowd, Member};
use crate::runtime::job::{Order, Outputs, Priority};
use crate::runtime::pool::SessionPool;
use crate::runtime::provider::ExecutionProvider;
use crate::runtime::queue::Bounds;
use crate::runtime::session::Session;
use crate::signature::{BatchAxis, Batching, Signature};
use crate::statistics::Answered as Counted;
use crate::tasks::text::texts;
use crate::tasks::{FeatureColumn, Input, InputKind, Parameters, Piece, Prediction, Taken, Task};
use admission::{Admission, Asking};
use engine::{Asked, Engine, Ran};
use flights::Flights;

pub use by_hand::{ByHand, Encoded};
pub use tensors::Inferred;

/// A shorter run gains nothing from more threads.
const WORTH_SHARING: Duration = Duration::from_micros(200);

/// One version of a model, loaded and warmed up.
pub struct Model {
    pub name: String,
    pub version: u64,
    /// The network's file within the model's folder, for example `model.int8.onnx`.
    pub file: String,
    pub provider: ExecutionProvider,
    pub signature: Signature,
    pub metrics: Arc<ModelMetrics>,
    pub layout: Layout,
    /// Answers when several models take a kind of input and none is named.
    pub default: bool,
    /// Inputs that it is known to answer well.
    pub examples: Vec<Input>,
    /// What its weights take: once, on the CPU, however many threads run it.
    pub weights_bytes: u64,
    engine: Arc<Engine>,
    flights: Flights<Asked, Result<Arc<Ran>, Error>>,
    limits: Limits,
    /// Of the classes, in bytes.
    mean_label: usize,
    crowd: Arc<Crowd>,
    open: Arc<OpenWith>,
    /// Rows of bulk work that may still be asked, of `bulk_rows`.
    bulk: Arc<Semaphore>,
    bulk_rows: usize,
    /// Batches that had been taken when it was last looked whether it is idle, and whether it has rested since.
    looked: Mutex<(usize, bool)>,
    /// When it was last asked for, by the clock of its repository.
    used: AtomicU64,
}

/// Makes a further session, with so many threads in a run.
pub type OpenWith = dyn Fn(usize) -> Result<Arc<dyn Session>, String> + Send + Sync;

/// What a model is made of.
pub struct Parts {
    pub name: String,
    pub version: u64,
    pub file: String,
    pub provider: ExecutionProvider,
    pub signature: Signature,
    pub default: bool,
    pub examples: Vec<Input>,
    pub weights_bytes: u64,
    pub task: Box<dyn Task>,
    pub pool: SessionPool,
    pub compute: Arc<Compute>,
    /// How long a request should wait for a session at most.
    pub queue_objective: Duration,
    pub limits: Limits,
    pub metrics: Arc<ModelMetrics>,
    pub layout: Layout,
    /// The requests in work in the process.
    pub crowd: Arc<Crowd>,
    pub open: Arc<OpenWith>,
    pub axis: BatchAxis,
    /// Which rows may share a run, and for people why not all.
    pub batching: Batching,
    pub because: Option<String>,
}

/// Most bytes of outputs that are made into predictions on the async thread.
const FEW: usize = 4096;

/// Predictions, one for each input in order, and where their time went.
pub struct Answered {
    pub predictions: Vec<Prediction>,
    pub timings: Timings,
}

/// The stages of one request. Requests that shared a run share its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// Decoding of images; of several side by side, their sum.
    pub decode: Duration,
    /// Resizing, tokenising and whatever else makes tensors.
    pub preprocess: Duration,
    pub queue: Duration,
    pub infer: Duration,
    pub postprocess: Duration,
    encode_began: Instant,
    queue_began: Instant,
    postprocess_began: Instant,
}

/// A part of a request's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    pub name: &'static str,
    pub start: Instant,
    pub duration: Duration,
}

impl Timings {
    /// Of a request that is a run and nothing else, which came at `began`.
    pub(crate) fn of_run(began: Instant, ran: &Outputs) -> Self {
        Self {
            decode: Duration::ZERO,
            preprocess: Duration::ZERO,
            queue: ran.queued,
            infer: ran.inferred,
            postprocess: Duration::ZERO,
            encode_began: began,
            queue_began: began,
            postprocess_began: began + ran.queued + ran.inferred,
        }
    }

    /// In the order in which they happen. Decoding and pre-processing take turns when there are
    /// several images; each is told as one piece.
    #[must_use]
    pub fn stages(&self) -> [Stage; 5] {
        let stage = |name, start, duration| Stage { name, start, duration };
        [
            stage("decode", self.encode_began, self.decode),
            stage("preprocess", self.encode_began + self.decode, self.preprocess),
            stage("queue", self.queue_began, self.queue),
            stage("infer", self.queue_began + self.queue, self.infer),
            stage("postprocess", self.postprocess_began, self.postprocess),
        ]
    }
}

/// How a prediction is to be made, beside its parameters.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms {
    pub priority: Priority,
    /// A request that cannot be answered by then is refused at once.
    pub deadline: Option<Instant>,
    /// The client's number, where clients are told apart.
    pub client: Option<u64>,
}

impl Model {
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { name, version, file, provider, signature, default, limits, .. } = parts;
        let admission = Admission::new(parts.queue_objective, parts.compute.clone());
        let Bounds { max_batch_size, max_queue_size, .. } = parts.pool.bounds();
        let bulk = bulk::room(max_batch_size, parts.layout.instances, max_queue_size);
        let mean_label = expected::mean_label(parts.task.labels());
        let engine = Engine {
            outputs: parts.task.outputs().into(),
            axis: parts.axis,
            batching: parts.batching,
            because: parts.because,
            task: parts.task,
            pool: parts.pool,
            admission: Arc::new(admission),
            compute: parts.compute,
            metrics: parts.metrics.clone(),
        };
        Self {
            name,
            version,
            file,
            provider,
            signature,
            metrics: parts.metrics,
            layout: parts.layout,
            crowd: parts.crowd,
            open: parts.open,
            default,
            examples: parts.examples,
            weights_bytes: parts.weights_bytes,
            engine: Arc::new(engine),
            flights: Flights::default(),
            limits,
            mean_label,
            bulk_rows: bulk.available_permits(),
            bulk,
            looked: Mutex::default(),
            used: AtomicU64::default(),
        }
    }

    #[must_use]
    pub fn task(&self) -> &'static str {
        self.engine.task.name()
    }

    #[must_use]
    pub fn input_kind(&self) -> InputKind {
        self.engine.task.input_kind()
    }

    /// An input of one item that the model takes, made up.
    #[must_use]
    pub fn sample(&self) -> Input {
        self.engine.task.sample(1)
    }

    /// Most rows of several requests in one run.
    #[must_use]
    pub fn rows_a_run(&self) -> usize {
        self.engine.pool.max_batch_size()
    }

    /// Whether rows of several requests share runs, as many as the configuration says.
    #[must_use]
    pub fn shares_runs(&self) -> bool {
        self.engine.axis == BatchAxis::Dynamic && self.engine.batching != Batching::Alone
    }

    /// The classes by number; empty if the model's files do not name them.
    #[must_use]
    pub fn labels(&self) -> &[Arc<str>] {
        self.engine.task.labels()
    }

    /// What a row of features is made of; empty for other kinds of input, and where the model leaves the
    /// number of features open.
    #[must_use]
    pub fn columns(&self) -> Vec<FeatureColumn> {
        self.engine.task.columns()
    }

    /// What becomes of a column of features of this name.
    #[must_use]
    pub fn takes(&self, name: &str) -> Taken {
        self.engine.task.takes(name)
    }

    /// Whether an input may have several labels.
    #[must_use]
    pub fn is_multi_label(&self) -> bool {
        self.engine.task.is_multi_label()
    }

    /// The bounds of its queue and batches.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.engine.pool.bounds()
    }

    /// How many runs there can be at once.
    #[must_use]
    pub fn instances(&self) -> usize {
        self.engine.pool.threads()
    }

    /// Loads the session over all cores, if there is to be one and a lone row gains from it, and gives back
    /// what measuring took: for one model at a time, since it is tried on a quiet machine.
    ///
    /// # Errors
    /// The model's file cannot be had.
    pub fn widen(&self) -> Result<(), String> {
        self.add_wide_session()?;
        self.settle();
        Ok(())
    }

    fn add_wide_session(&self) -> Result<(), String> {
        let pool = &self.engine.pool;
        let narrow = pool.ahead(Order::default(), 1, 0).run;
        let Some(threads) = self.layout.wide.filter(|_| narrow >= WORTH_SHARING) else {
            return Ok(());
        };
        let session = (self.open)(threads)?;
        let Engine { task, axis, batching, .. } = &*self.engine;
        let run = || warm_up::one_row(session.as_ref(), task.as_ref(), (*axis, *batching));
        run()?;
        let mut wide = Duration::MAX;
        for _ in 0..3 {
            wide = wide.min(run()?);
        }
        tracing::debug!(model = self.name, ?narrow, ?wide, "a run of one row");
        if wide < narrow {
            pool.widen(session, self.crowd.clone());
        }
        Ok(())
    }

    /// Whether a request would be taken on now; to be asked before its body is read.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Overloaded`].
    pub fn check_load(&self, terms: Terms) -> Result<(), Error> {
        self.engine.admission.check(&self.engine.pool, terms)
    }

    /// Sets the gauges of this model.
    pub fn report(&self) {
        let Engine { pool, admission, .. } = &*self.engine;
        pool.report();
        self.metrics.working_memory.set(self.working_memory() as i64);
        self.metrics.saturation.set(admission.saturation(pool));
        self.metrics.ready.set(1);
    }

    /// How long a run of this model has gone on; of several, the longest.
    #[must_use]
    pub fn longest_run(&self) -> Option<Duration> {
        self.engine.pool.longest_run()
    }

    /// One prediction for each input, in order. Dropping the future abandons what has not started.
    ///
    /// # Errors
    /// Input that this model cannot take, a full queue, a deadline that cannot be met, a failed run.
    pub async fn predict(
        &self,
        input: Input,
        parameters: Parameters,
        terms: Terms,
    ) -> Result<Answered, Error> {
        self.check(&input)?;
        let _in_flight = self.in_flight();
        let Engine { task, pool, admission, .. } = &*self.engine;
        let small = task.is_small(&input);
        let pieces = if small { Vec::new() } else { task.pieces(&input) };
        let asking = admission.asking(input.len(), terms, &pieces);
        if let Some(deadline) = terms.deadline {
            // For this caller alone, since those who share its run may have more time.
            admission.can_meet(pool, &asking, deadline)?;
        }
        let asked = Asked { input, truncate: parameters.truncate, priority: terms.priority };
        let ran = self.run(asked, parameters, (asking, pieces)).await?;
        let engine = self.engine.clone();
        let here = small && ran.outputs.tensors.bytes() <= FEW;
        let decode = move || {
            let postprocess_began = Instant::now();
            let predictions = engine.task.decode(&ran.outputs.tensors, &parameters)?;
            let timings = Timings {
                decode: ran.decode.min(ran.encode),
                preprocess: ran.encode.saturating_sub(ran.decode),
                queue: ran.outputs.queued,
                infer: ran.outputs.inferred,
                postprocess: postprocess_began.elapsed(),
                encode_began: ran.encode_began,
                queue_began: ran.queue_began,
                postprocess_began,
            };
            engine.count(&predictions, &timings);
            Ok(Answered { predictions, timings })
        };
        let answered = match here {
            true => compute::here(decode)?,
            false => self.engine.compute.run(decode).await?,
        };
        self.count(answered.predictions.len(), &answered.timings);
        Ok(answered)
    }

    /// Through the queue, or with an identical request that is in work already.
    async fn run(
        &self,
        asked: Asked,
        parameters: Parameters,
        (asking, pieces): (Asking, Vec<Piece>),
    ) -> Result<Arc<Ran>, Error> {
        let engine = self.engine.clone();
        if !asked.input.is_quick_to_compare() {
            return engine.run(Arc::new(asked), parameters, asking, pieces).await;
        }
        let mut shared = true;
        let ran = self.flights.join(asked, |asked| {
            shared = false;
            async move { engine.run(asked, parameters, asking, pieces).await }
        });
        let ran = ran.await;
        if shared {
            self.metrics.coalesced.inc();
        }
        ran
    }

    /// Counts a request that was answered, for the statistics.
    fn count(&self, rows: usize, timings: &Timings) {
        let Timings { decode, preprocess, queue, infer, postprocess, .. } = *timings;
        let input = decode + preprocess;
        self.metrics.statistics.answered(Counted {
            rows,
            queue,
            input,
            infer,
            output: postprocess,
        });
    }

    /// # Errors
    /// The model takes another kind of input.
    pub fn check_kind(&self, kind: InputKind) -> Result<(), Error> {
        if kind == self.input_kind() {
            return Ok(());
        }
        Err(Error::invalid(
            kind.field(),
            format!(
                "`{}`, which model `{}` ({}) takes",
                self.input_kind().field(),
                self.name,
                self.task()
            ),
            format!("`{}`", kind.field()),
        ))
    }

    fn check(&self, input: &Input) -> Result<(), Error> {
        let (kind, len) = (input.kind(), input.len());
        self.check_kind(kind)?;
        if len == 0 {
            return Err(Error::invalid(kind.field(), "at least one item", "an empty list"));
        }
        let limit = self.most_items();
        if len > limit {
            let expected = format!("at most {limit} items in one request");
            return Err(Error::too_large(kind.field(), expected, len.to_string()));
        }
        if kind == InputKind::Text {
            // Before it is reckoned what they take.
            texts(input, self.limits.max_text_bytes)?;
        }
        Ok(())
    }
}

/// Counts a request as in flight as long as it lives.
struct InFlight<'a> {
    metrics: &'a ModelMetrics,
    _member: Member,
}

impl Model {
    fn in_flight(&self) -> InFlight<'_> {
        self.metrics.in_flight.inc();
        InFlight { metrics: &self.metrics, _member: self.crowd.enter() }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}
