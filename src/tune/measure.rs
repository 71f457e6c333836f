//! Measures settings with the real engine, in this process.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::candidates::{LARGEST, Lone, Setting, Shape};
use super::entrant::Loaded;
use super::inputs::{Inputs, repeated};
use super::search::Machine;
use super::trial::{Goal, Load, Trial};
use crate::config::BatchSize;
use crate::load::open::poisson;
use crate::model::load::{Loader, Location};
use crate::model::{Answered, Model, Terms};
use crate::runtime::memory;
use crate::runtime::provider::ExecutionProvider;
use crate::tasks::{Input, Parameters};

/// This machine and one model on it.
pub struct LocalMachine {
    loader: Loader,
    location: Location,
    inputs: Inputs,
    tokio: Runtime,
    /// Models with settings, the one that was used last at the end.
    models: Vec<(Setting, Arc<Model>, Loaded)>,
    /// Bytes that all of them together may take.
    memory: usize,
    began: Instant,
}

/// Inputs that single runs are timed with.
const SAMPLES: usize = 3;
/// Lone requests that take longer are not repeated.
const LONG: Duration = Duration::from_secs(1);
/// Requests that warm up a model at most.
const MOST: usize = 256;
/// For how long after a trial its requests are waited for at most.
const PATIENCE: Duration = Duration::from_secs(5);

impl LocalMachine {
    /// The time counts from here on.
    #[must_use]
    pub fn new(loader: Loader, location: Location, inputs: Inputs, tokio: Runtime) -> Self {
        // Half of what is free; without a word from the system all may stay.
        let memory = memory::available().map_or(usize::MAX, |bytes| bytes / 2);
        let models = Vec::new();
        Self { loader, location, inputs, tokio, models, memory, began: Instant::now() }
    }

    /// Asks every input once, and tells how long the median took by itself, and where it ran.
    ///
    /// # Errors
    /// The model cannot be loaded with this setting, or refuses an input.
    pub fn check(&mut self, setting: &Setting) -> Result<(Duration, ExecutionProvider), String> {
        let model = self.model(setting)?.0;
        let mut times = Vec::new();
        for input in self.inputs.all() {
            let asked = Instant::now();
            self.ask(&model, input.clone())?;
            times.push(asked.elapsed());
        }
        // A few more where there are few, of which the first ones warm up.
        let began = Instant::now();
        for input in self.inputs.some(SAMPLES).iter().cycle().take(4 * SAMPLES) {
            if began.elapsed() > LONG {
                break;
            }
            let asked = Instant::now();
            self.ask(&model, input.clone())?;
            times.push(asked.elapsed());
        }
        times.sort_unstable();
        Ok((times[times.len() / 2], model.provider))
    }

    fn ask(&self, model: &Model, input: Input) -> Result<Answered, String> {
        self.tokio.block_on(predict(model, input))
    }

    /// The model with this setting, loaded if it is not.
    fn model(&mut self, setting: &Setting) -> Result<(Arc<Model>, Loaded), String> {
        if let Some(at) = self.models.iter().position(|(other, ..)| other == setting) {
            let found = self.models.remove(at);
            self.models.push(found.clone());
            return Ok((found.1, found.2));
        }
        self.make_room();
        let before = memory::resident();
        let model = self.loader.load_with(&self.location, |config| setting.apply(config))?;
        model.widen()?;
        let model = Arc::new(model);
        self.fill(&model)?;
        let taken = |before: usize| Some(memory::resident()?.saturating_sub(before));
        let loaded = Loaded {
            layout: model.layout,
            max_batch_size: model.rows_a_run(),
            memory: before.and_then(taken),
        };
        self.models.push((*setting, model.clone(), loaded));
        Ok((model, loaded))
    }

    /// Lets those go that were not used for longest, so that one more of the largest has room.
    fn make_room(&mut self) {
        let size = |loaded: &Loaded| loaded.memory.unwrap_or(0);
        let largest = self.models.iter().map(|(.., loaded)| size(loaded)).max().unwrap_or(0);
        let all = |models: &[(_, _, Loaded)]| models.iter().map(|(.., l)| size(l)).sum::<usize>();
        while !self.models.is_empty() && all(&self.models).saturating_add(largest) > self.memory {
            self.models.remove(0);
        }
    }

    /// Full batches for every session, so that each has the working memory that it will have.
    fn fill(&mut self, model: &Arc<Model>) -> Result<(), String> {
        let input = self.inputs.next_request();
        self.ask(model, input)?;
        let mut tasks = JoinSet::new();
        for _ in 0..(model.layout.instances * model.rows_a_run()).min(MOST) {
            let (model, input) = (model.clone(), self.inputs.next_request());
            // Where the queue has no room for all, fewer do as well.
            let asked = async move { predict(&model, input).await.map(drop).ok() };
            tasks.spawn_on(asked, self.tokio.handle());
        }
        self.tokio.block_on(tasks.join_all());
        Ok(())
    }
}

impl Machine for LocalMachine {
    fn lone(&mut self, threads: usize, rows: usize) -> Result<Option<Lone>, String> {
        let layout = Shape {
            instances: Some(NonZeroUsize::MIN),
            intra_op_threads: NonZeroUsize::new(threads),
        };
        let max_batch_size = NonZeroUsize::new(LARGEST).map(BatchSize::Rows);
        let setting = Setting { layout, max_batch_size, max_queue_delay: None };
        let model = self.model(&setting)?.0;
        if rows > 1 && !model.shares_runs() {
            return Ok(None);
        }
        let samples = self.inputs.some(SAMPLES);
        let mut sum = Lone { around: 0.0, run: 0.0 };
        for input in &samples {
            let input = repeated(input, rows);
            let time = || {
                let asked = Instant::now();
                let run = self.ask(&model, input.clone())?.timings.infer;
                Ok::<_, String>((asked.elapsed(), run))
            };
            // The faster of two, since the first of a new shape also allocates.
            let first = time()?;
            let (whole, run) = if first.0 > LONG { first } else { first.min(time()?) };
            sum.run += run.as_secs_f64();
            sum.around += whole.saturating_sub(run).as_secs_f64();
        }
        let count = samples.len() as f64;
        Ok(Some(Lone { around: sum.around / count, run: sum.run / count }))
    }

    fn load(&mut self, setting: &Setting) -> Result<Loaded, String> {
        self.model(setting).map(|(_, loaded)| loaded)
    }

    fn trial(&mut self, setting: &Setting, goal: Goal, load: Load) -> Result<Trial, String> {
        let (model, _) = self.model(setting)?;
        // Behind whatever the trial before has left, and so that a failing model is told.
        let input = self.inputs.next_request();
        self.ask(&model, input)?;
        let mut random = fastrand::Rng::with_seed(load.seed);
        let moments = poisson(load.rate, load.length, &mut random);
        let sent = moments.len();
        let mut tasks = JoinSet::new();
        let began = Instant::now();
        for due in moments {
            if let Some(wait) = due.checked_sub(began.elapsed()) {
                thread::sleep(wait);
            }
            let (model, input, due) = (model.clone(), self.inputs.next_request(), began + due);
            let asked = async move {
                predict(&model, input).await.ok()?;
                let now = Instant::now();
                Some((now, now.duration_since(due)))
            };
            tasks.spawn_on(asked, self.tokio.handle());
        }
        // Whoever sends late has a backlog as well.
        let end = began + load.length;
        let patience = goal.limit().map_or(PATIENCE, |limit| limit.min(PATIENCE));
        let (mut latencies, mut last) = (Vec::with_capacity(sent), end);
        self.tokio.block_on(async {
            let until = Instant::now() + patience;
            while let Ok(Some(answer)) = timeout_at(until.into(), tasks.join_next()).await {
                if let Ok(Some((at, latency))) = answer {
                    last = last.max(at);
                    latencies.push(latency);
                }
            }
            tasks.shutdown().await;
        });
        let missed = sent - latencies.len();
        Ok(Trial::of(load, goal, latencies, missed, last.duration_since(end)))
    }

    fn spent(&self) -> Duration {
        self.began.elapsed()
    }
}

async fn predict(model: &Model, input: Input) -> Result<Answered, String> {
    let answer = model.predict(input, Parameters::default(), Terms::default());
    answer.await.map_err(|error| error.to_string())
}
