//! The session threads of one model behind its queue, each of which takes a batch when it is idle. On the
//! CPU they all run in one session.

mod wide;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::cancel::Cancel;
use super::cost::Cost;
use super::crowd::Crowd;
use super::job::{Answers, Job, Order, Outputs, Priority};
use super::memory;
use super::patience::Due;
use super::queue::{Bounds, Queue, Refused, Share, Work};
use super::run::{run, whole};
use super::session::Session;
use crate::error::{Error, ErrorKind};
use crate::metrics::ModelMetrics;
use crate::rows::{Part, Rows, stack};
use crate::signature::BatchAxis;
use crate::tensor::Tensors;
use wide::{Wide, Width};

/// The session threads of one model. Dropping the pool ends them after the work that waits.
pub struct SessionPool {
    engine: Arc<Engine>,
}

/// What a pool is made of, beside what its threads run in.
pub struct Setup {
    /// The model's, for the log and the threads' names.
    pub name: String,
    pub axis: BatchAxis,
    pub bounds: Bounds,
    pub cost: Cost,
    pub metrics: Arc<ModelMetrics>,
}

struct Engine {
    setup: Setup,
    queue: Queue,
    /// Of each thread, which may be one session many times.
    sessions: Vec<Arc<dyn Session>>,
    /// Batches that were taken so far.
    taken: AtomicUsize,
    /// Of each thread, when its run began.
    runs: Vec<Mutex<Option<Instant>>>,
    wide: OnceLock<Wide>,
}

/// What is before a request that comes now.
#[derive(Debug, Clone, Copy)]
pub struct Ahead {
    pub rows: usize,
    /// Rows in the queue, those behind it included.
    pub all: usize,
    /// Until a session is free for it, if all that is before it runs first.
    pub wait: Duration,
    /// A run of one usual row.
    pub run: Duration,
}

impl SessionPool {
    /// Starts a thread for each of these, which may be one session many times.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(sessions: Vec<Arc<dyn Session>>, setup: Setup) -> std::io::Result<Self> {
        let queue = Queue::new(setup.bounds);
        let threads = sessions.len();
        let runs = sessions.iter().map(|_| Mutex::default()).collect();
        let (taken, wide) = (AtomicUsize::new(0), OnceLock::new());
        let engine = Arc::new(Engine { setup, queue, sessions, taken, runs, wide });
        // From here on an early return closes the queue, which ends the threads so far.
        let pool = Self { engine };
        for number in 0..threads {
            let engine = pool.engine.clone();
            let name = format!("session-{}-{number}", engine.setup.name);
            let serve = move || {
                engine.serve(number);
                // The last user of the model may be this one.
                drop(engine);
                memory::give_back();
            };
            thread::Builder::new().name(name).spawn(serve)?;
        }
        Ok(pool)
    }

    /// Adds a session over all cores, which runs a row in the place of a thread's own session when that
    /// row is all that `crowd` has in work. A second one is dropped.
    pub fn widen(&self, session: Arc<dyn Session>, crowd: Arc<Crowd>) {
        self.engine.wide.get_or_init(|| Wide::new(session, crowd));
    }

    /// Batches that were taken so far.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.engine.taken.load(Ordering::Relaxed)
    }

    /// Working memory that the sessions keep for the next runs, in bytes, as far as they tell.
    #[must_use]
    pub fn working_memory(&self) -> usize {
        self.sessions().filter_map(Session::working_memory).sum()
    }

    /// Each session once.
    pub fn sessions(&self) -> impl Iterator<Item = &dyn Session> {
        let Engine { sessions, wide, .. } = &*self.engine;
        let is_first = |(number, session): &(usize, &Arc<dyn Session>)| {
            !sessions[..*number].iter().any(|before| Arc::ptr_eq(before, session))
        };
        let own = sessions.iter().enumerate().filter(is_first).map(|(_, session)| session);
        own.chain(wide.get().map(Wide::session)).map(Arc::as_ref)
    }

    /// How long the run has gone on that has gone on longest; `None` if no session is in a run.
    #[must_use]
    pub fn longest_run(&self) -> Option<Duration> {
        let began = self.engine.runs.iter().filter_map(|run| *lock(run)).min()?;
        Some(began.elapsed())
    }

    /// Rows in, the outputs of these names out. Dropping the future abandons the rows: what has not
    /// started does not run, and a run that is only for them is stopped.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`] at once if the queue is full; [`ErrorKind::Internal`] if the run of
    /// one of the rows fails by itself.
    pub async fn infer(
        &self,
        rows: Rows,
        outputs: &Arc<[String]>,
        priority: Priority,
    ) -> Result<Outputs, Error> {
        self.enqueue(rows, outputs, Order { priority, ..Order::default() }, None)?.outputs().await
    }

    /// The first half of [`Self::infer`]: the rows wait, or are refused. Those that are due before they
    /// are begun are refused then.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`] if the queue is full.
    pub fn enqueue(
        &self,
        rows: Rows,
        outputs: &Arc<[String]>,
        order: Order,
        due: Option<Due>,
    ) -> Result<Waiting, Error> {
        let (count, (job, answer)) = (rows.count(), Job::by(rows, outputs.clone(), order, due));
        match self.engine.queue.push(&job) {
            Ok(()) => Ok(Waiting { _caller: Caller(job), answer }),
            Err(Refused::Full) => Err(self.full(count, order.priority)),
            Err(Refused::Closed) => Err(gone()),
        }
    }

    /// Whether there is room for this many rows, those that are on their way included: to be asked before
    /// work is spent on them. A `modest` client's have a quarter more, so that one request of others that
    /// takes all of it does not refuse them. The queue has the last word when they come.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`], with the time after which to try again.
    pub fn has_room(&self, rows: usize, order: Order) -> Result<(), Error> {
        match self.engine.queue.has_room(rows, order.modest) {
            true => Ok(()),
            false => Err(self.full(rows, order.priority)),
        }
    }

    /// What is before a request of so many rows that comes now: what waits, and as many
    /// usual rows as `coming` says.
    #[must_use]
    pub fn ahead(&self, order: Order, rows: usize, coming: usize) -> Ahead {
        let (before, all) = self.engine.queue.work_before(order, rows);
        Ahead { all, ..self.engine.ahead(before, coming) }
    }

    /// What so many usual rows keep all sessions busy for, in batches as full as may be.
    #[must_use]
    pub fn time_of_usual(&self, rows: usize) -> Duration {
        self.engine.ahead(Work::default(), rows).wait
    }

    /// The same of so many rows that have so many tokens.
    #[must_use]
    pub fn time_of(&self, rows: usize, units: usize) -> Duration {
        self.engine.ahead(Work { rows, units, bytes: 0 }, 0).wait
    }

    /// Of the queue and of batches.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.engine.setup.bounds
    }

    /// Most rows of a run.
    #[must_use]
    pub fn max_batch_size(&self) -> usize {
        self.engine.setup.bounds.max_batch_size
    }

    /// Usual rows that all threads take in one batch each.
    #[must_use]
    pub fn rows_a_round(&self) -> usize {
        self.threads().max(1) * self.engine.rows_a_run()
    }

    /// Sets the gauges of the queue.
    pub fn report(&self) {
        self.forget_closed();
        let metrics = &self.engine.setup.metrics;
        let work = self.engine.queue.work();
        metrics.queue_depth.set(work.rows as i64);
        metrics.queue_bytes.set(work.bytes as i64);
    }

    /// Drops the rows whose caller has left.
    pub fn forget_closed(&self) {
        let forgotten = self.engine.queue.forget_closed();
        self.engine.setup.metrics.cancelled_in_queue.inc_by(forgotten);
    }

    fn full(&self, coming: usize, priority: Priority) -> Error {
        let Ahead { rows, wait, .. } =
            self.ahead(Order { priority, ..Order::default() }, usize::MAX, 0);
        let detail = format!(
            "with this request {} rows would wait for this model, more than its queue has room for \
             (runtime.max_queue_size and max_queue_bytes); try again later",
            rows + coming
        );
        Error::new(ErrorKind::Overloaded, detail).because("queue_full").retry_after(wait)
    }

    /// How many runs there can be at once.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.engine.runs.len()
    }
}

/// Rows in the queue. Dropping it abandons them.
pub struct Waiting {
    _caller: Caller,
    answer: oneshot::Receiver<Result<Outputs, Error>>,
}

impl Waiting {
    /// # Errors
    /// As [`SessionPool::infer`].
    pub async fn outputs(self) -> Result<Outputs, Error> {
        // As a whole, so that the caller is dropped with the future and not before.
        let Self { _caller, answer } = self;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// Abandons the job when it is dropped.
struct Caller(Arc<Job>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Drop for SessionPool {
    fn drop(&mut self) {
        self.engine.queue.close();
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Unavailable, "the model is being unloaded; try again")
}

impl Engine {
    /// Usual rows that fit into a batch.
    fn rows_a_run(&self) -> usize {
        let Setup { bounds, cost, .. } = &self.setup;
        let by_tokens = bounds.max_batch_tokens as f64 / cost.units_per_row().max(1.0);
        bounds.max_batch_size.min(by_tokens as usize).max(1)
    }

    fn ahead(&self, work: Work, coming: usize) -> Ahead {
        let cost = &self.setup.cost;
        let rows = work.rows + coming;
        let usual = cost.units_per_row();
        let units = work.units + (coming as f64 * usual) as usize;
        let threads = u32::try_from(self.runs.len().max(1)).unwrap_or(1);
        let wait = cost.predict(rows.div_ceil(self.rows_a_run()), units) / threads;
        Ahead { rows, all: rows, wait, run: cost.predict(1, usual as usize) }
    }

    /// A session thread, from the first batch to the last.
    fn serve(&self, number: usize) {
        let (session, running) = (self.sessions[number].as_ref(), &self.runs[number]);
        while let Some(batch) = self.queue.take() {
            self.taken.fetch_add(1, Ordering::Relaxed);
            *lock(running) = Some(Instant::now());
            // The session's own panics are caught closer to it; this is for a defect of ours, which
            // must cost its batch and not the thread.
            let run = || match self.wide.get().and_then(|wide| wide.take(&batch)) {
                Some((wide, _turn)) => self.run(wide, &batch, Width::Wide),
                None => self.run(session, &batch, Width::Narrow),
            };
            if catch_unwind(AssertUnwindSafe(run)).is_err() {
                refuse(&batch, &Error::internal("the engine panicked"));
            }
            *lock(running) = None;
        }
    }

    /// Runs a batch. One that fails is halved until the rows that fail stand alone: the others get
    /// the answers that they would have had without them.
    fn run(&self, session: &dyn Session, batch: &[Share], width: Width) {
        let metrics = &self.setup.metrics;
        // A caller may have left since.
        let parts: Vec<&Share> = batch.iter().filter(|share| !share.job.is_closed()).collect();
        metrics.cancelled_in_queue.inc_by((batch.len() - parts.len()) as u64);
        let Some(first) = parts.first() else { return };
        let cancel = Arc::new(Cancel::new(parts.len()));
        for share in &parts {
            share.job.joins(&cancel);
        }
        let outputs = || -> Result<Tensors, Error> {
            let parts: Vec<Part<'_>> =
                parts.iter().map(|share| (&share.job.rows, share.rows.clone())).collect();
            let batch = stack(&parts)
                .ok_or_else(|| Error::internal("rows of one batch differ in shape"))?;
            let start = Instant::now();
            let Setup { axis, cost, .. } = &self.setup;
            let names = &first.job.outputs;
            let outputs = match first.job.rows.is_opaque() {
                true => whole(session, &batch, names, &cancel)?,
                false => run(session, &batch, names, *axis, &cancel)?,
            };
            let rows = parts.iter().map(|(_, range)| range.len()).sum();
            let (longest, took) = (longest(&parts), start.elapsed());
            match width {
                Width::Narrow => cost.observe(rows, rows * longest, took),
                // What waits is priced by what a crowd's runs take.
                Width::Wide => metrics.wide_runs.inc(),
            }
            metrics.ran(rows, took);
            if first.job.rows.lengths.is_some() {
                let tokens = tokens(&parts) as f64;
                let padded = (rows * longest).max(1) as f64;
                metrics.batch_tokens.observe(padded);
                metrics.padding_efficiency.observe(tokens / padded);
            }
            Ok(outputs)
        };
        let result = outputs();
        if cancel.is_cancelled() {
            metrics.cancelled_in_run.inc_by(parts.len() as u64);
            return;
        }
        match result {
            Ok(outputs) => {
                let mut answers = Answers::default();
                if let [only] = parts.as_slice() {
                    only.job.finish(only.rows.clone(), Ok(outputs), &mut answers);
                    return answers.send();
                }
                let mut row = 0;
                for share in parts {
                    let end = row + share.rows.len();
                    let outputs = outputs.slice_rows(row, end);
                    share.job.finish(share.rows.clone(), Ok(outputs), &mut answers);
                    row = end;
                }
                answers.send();
            }
            Err(error) => {
                match halves(&parts) {
                    Some(halves) if error.kind == ErrorKind::Internal => {
                        metrics.batch_splits.inc();
                        for half in &halves {
                            self.run(session, half, width);
                        }
                    }
                    // One row's own failure.
                    _ => refuse(parts, &error),
                }
            }
        }
    }
}

/// Answers all of them with this error.
fn refuse<'a>(batch: impl IntoIterator<Item = &'a Share>, error: &Error) {
    let mut answers = Answers::default();
    for share in batch {
        share.job.finish(share.rows.clone(), Err(error.clone()), &mut answers);
    }
    answers.send();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lengths(parts: &[Part<'_>]) -> impl Iterator<Item = usize> {
    parts.iter().flat_map(|(rows, range)| range.clone().map(|row| rows.length(row)))
}

/// Units of the longest row, to which the others are padded.
fn longest(parts: &[Part<'_>]) -> usize {
    lengths(parts).max().unwrap_or(1)
}

/// Units without padding.
fn tokens(parts: &[Part<'_>]) -> usize {
    lengths(parts).sum()
}

/// A batch of several rows in two; `None` for a single row.
fn halves(parts: &[&Share]) -> Option<[Vec<Share>; 2]> {
    let rows: usize = parts.iter().map(|share| share.rows.len()).sum();
    if rows < 2 {
        return None;
    }
    let mut halves = [Vec::new(), Vec::new()];
    let mut room = rows / 2;
    for share in parts {
        let Range { start, end } = share.rows;
        let cut = start + room.min(end - start);
        room -= cut - start;
        for (half, rows) in [(0, start..cut), (1, cut..end)] {
            if !rows.is_empty() {
                halves[half].push(Share { job: share.job.clone(), rows });
            }
        }
    }
    Some(halves)
}

#[cfg(all(test, not(feature = "model-check")))]
mod tests;
