//! The sessions of one model behind its queue. A thread owns each session and takes a batch when it
//! is idle.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::cancel::Cancel;
use super::cost::Cost;
use super::job::{Job, Outputs, Priority};
use super::queue::{Bounds, Queue, Refused, Share};
use super::run::{PANICKED, run};
use super::session::Session;
use crate::error::{Error, ErrorKind};
use crate::rows::{Part, Rows, stack};
use crate::signature::BatchAxis;

/// Makes a session, at the start and to replace one that panicked.
pub type Open = dyn Fn() -> Result<Box<dyn Session>, String> + Send + Sync;

/// Sessions of one model, each on its own thread. Dropping the pool ends the threads after the work
/// that waits.
pub struct SessionPool {
    engine: Arc<Engine>,
}

struct Engine {
    name: String,
    queue: Queue,
    axis: BatchAxis,
    cost: Cost,
    open: Box<Open>,
    /// Sessions that can take work.
    live: AtomicUsize,
}

impl SessionPool {
    /// Starts a thread for each session.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(
        name: &str,
        sessions: Vec<Box<dyn Session>>,
        open: Box<Open>,
        axis: BatchAxis,
        bounds: Bounds,
        cost: Cost,
    ) -> std::io::Result<Self> {
        let engine = Arc::new(Engine {
            name: name.to_owned(),
            queue: Queue::new(bounds),
            axis,
            cost,
            open,
            live: AtomicUsize::new(sessions.len()),
        });
        // From here on an early return closes the queue, which ends the threads so far.
        let pool = Self { engine };
        for (index, session) in sessions.into_iter().enumerate() {
            let engine = pool.engine.clone();
            thread::Builder::new()
                .name(format!("session-{name}-{index}"))
                .spawn(move || engine.serve(session))?;
        }
        Ok(pool)
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
        let (job, answer) = Job::new(rows, outputs.clone(), priority);
        match self.engine.queue.push(&job) {
            Ok(()) => {
                let _caller = Caller(job);
                answer.await.unwrap_or_else(|_| Err(gone()))
            }
            Err(Refused::Full) => Err(self.engine.overloaded()),
            Err(Refused::Closed) => Err(gone()),
        }
    }

    /// Whether there is room for this many rows: to be asked before work is spent on them. The
    /// queue has the last word when they come.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`], with the time after which to try again.
    pub fn has_room(&self, rows: usize) -> Result<(), Error> {
        if self.engine.queue.has_room(rows) { Ok(()) } else { Err(self.engine.overloaded()) }
    }

    /// Whether a request that comes now can be answered by then.
    ///
    /// # Errors
    /// [`ErrorKind::DeadlineExceeded`] if what waits already takes longer.
    pub fn can_meet(&self, deadline: Instant) -> Result<(), Error> {
        let wait = self.engine.wait();
        if Instant::now() + wait <= deadline {
            return Ok(());
        }
        let detail = format!(
            "the deadline cannot be met: about {} ms of work are before this request",
            wait.as_millis()
        );
        Err(Error::new(ErrorKind::DeadlineExceeded, detail))
    }

    /// Sessions that can take work.
    #[must_use]
    pub fn live(&self) -> usize {
        self.engine.live.load(Ordering::Relaxed)
    }
}

/// Abandons the job when the caller's future is dropped.
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
    Error::new(ErrorKind::Unavailable, "the model has no live session; try again")
}

impl Engine {
    fn overloaded(&self) -> Error {
        let (waiting, _) = self.queue.waiting_work();
        let detail = format!("{waiting} rows wait for this model already; try again later");
        Error::new(ErrorKind::Overloaded, detail).retry_after(self.wait())
    }

    /// How long what waits will take, and a run after it.
    fn wait(&self) -> Duration {
        let (rows, units) = self.queue.waiting_work();
        let runs = rows.div_ceil(self.queue.bounds().max_batch_size) + 1;
        let sessions = u32::try_from(self.live.load(Ordering::Relaxed).max(1)).unwrap_or(1);
        self.cost.predict(runs, units) / sessions
    }

    /// A session thread, from the first batch to the last.
    fn serve(&self, session: Box<dyn Session>) {
        let mut session = Some(session);
        while let Some(batch) = self.queue.take() {
            for share in &batch {
                share.job.start();
            }
            self.run(&mut session, &batch);
        }
    }

    /// Runs a batch. One that fails is halved until the rows that fail stand alone: the others get
    /// the answers that they would have had without them.
    fn run(&self, session: &mut Option<Box<dyn Session>>, batch: &[Share]) {
        // A caller may have left since.
        let parts: Vec<&Share> = batch.iter().filter(|share| !share.job.is_closed()).collect();
        let Some(first) = parts.first() else { return };
        let cancel = Arc::new(Cancel::new(parts.len()));
        for share in &parts {
            share.job.joins(&cancel);
        }
        let result = self.session(session).and_then(|session| {
            let parts: Vec<Part<'_>> =
                parts.iter().map(|share| (&share.job.rows, share.rows.clone())).collect();
            let batch = stack(&parts)
                .ok_or_else(|| Error::internal("rows of one batch differ in shape"))?;
            let start = Instant::now();
            let outputs = run(session.as_mut(), &batch, &first.job.outputs, self.axis, &cancel)?;
            let longest = longest(&parts);
            self.cost.observe(batch.rows() * longest, start.elapsed());
            Ok(outputs)
        });
        if cancel.is_cancelled() {
            return;
        }
        match result {
            Ok(outputs) => {
                if let [only] = parts.as_slice() {
                    return only.job.finish(only.rows.clone(), Ok(outputs));
                }
                let mut row = 0;
                for share in parts {
                    let end = row + share.rows.len();
                    share.job.finish(share.rows.clone(), Ok(outputs.slice_rows(row, end)));
                    row = end;
                }
            }
            Err(error) => {
                if error.cause.as_deref() == Some(PANICKED) {
                    // What a panic leaves behind is not to be trusted.
                    *session = None;
                    self.live.fetch_sub(1, Ordering::Relaxed);
                }
                match halves(&parts) {
                    Some(halves) if error.kind == ErrorKind::Internal => {
                        for half in &halves {
                            self.run(session, half);
                        }
                    }
                    // One row's own failure, or no session for any of them.
                    _ => {
                        for share in parts {
                            share.job.finish(share.rows.clone(), Err(error.clone()));
                        }
                    }
                }
            }
        }
    }

    /// The thread's session, made anew if the last one panicked.
    fn session<'a>(
        &self,
        session: &'a mut Option<Box<dyn Session>>,
    ) -> Result<&'a mut Box<dyn Session>, Error> {
        if session.is_none() {
            tracing::error!(model = self.name, "a session panicked and is replaced");
            let new = (self.open)().map_err(|reason| Error { cause: Some(reason), ..gone() })?;
            *session = Some(new);
            self.live.fetch_add(1, Ordering::Relaxed);
        }
        session.as_mut().ok_or_else(gone)
    }
}

/// Units of the longest row, to which the others are padded.
fn longest(parts: &[Part<'_>]) -> usize {
    let lengths = parts.iter().flat_map(|(rows, range)| range.clone().map(|row| rows.length(row)));
    lengths.max().unwrap_or(1)
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
