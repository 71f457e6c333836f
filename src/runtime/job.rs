//! A request's rows in the engine, and where their outputs are gathered.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::cancel::Cancel;
use super::patience::Due;
use crate::error::Error;
use crate::rows::Rows;
use crate::tensor::Tensors;

/// Who is served first when both wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    #[default]
    Interactive,
    /// Work that may wait. It gets its turn all the same.
    Bulk,
}

/// What tells when a job is served.
#[derive(Debug, Clone, Copy, Default)]
pub struct Order {
    pub priority: Priority,
    /// Its client asks little beside others, and does not wait for theirs.
    pub modest: bool,
}

/// What the engine gives back for a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs {
    /// The asked-for outputs, a row for each of the job's, in order.
    pub tensors: Tensors,
    /// From the queue to the start of the first run that had a row of the job.
    pub queued: Duration,
    /// From there to the end of the last one.
    pub inferred: Duration,
}

/// The rows of one request, shared by the batches that run them.
pub struct Job {
    pub rows: Rows,
    pub outputs: Arc<[String]>,
    pub priority: Priority,
    /// Of a client that asks little beside others.
    pub modest: bool,
    pub enqueued: Instant,
    /// How long it may wait, if that is bounded.
    due: Option<Due>,
    /// The async threads that the caller is on, if it is on any.
    callers: Option<Handle>,
    progress: Mutex<Progress>,
}

/// The answers of one run, on their way. Dropping them sends them.
#[derive(Default)]
pub struct Answers {
    ready: Vec<(Reply, Result<Outputs, Error>)>,
    callers: Option<Handle>,
}

impl Answers {
    /// Sends them. Several go to an async thread together, which is woken once for them: woken for each,
    /// it would take the core from a session's thread as often.
    pub fn send(mut self) {
        match self.callers.take() {
            Some(callers) if self.ready.len() > 1 => drop(callers.spawn(async move { drop(self) })),
            _ => drop(self),
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        for (reply, result) in self.ready.drain(..) {
            // The caller may have left meanwhile; then the answer is for nobody.
            let _ = reply.send(result);
        }
    }
}

/// Where a job's answer goes.
type Reply = oneshot::Sender<Result<Outputs, Error>>;

struct Progress {
    /// Gone when the job is answered.
    reply: Option<Reply>,
    parts: Vec<(usize, Tensors)>,
    remaining: usize,
    started: Option<Instant>,
    /// The runs that have rows of the job now.
    runs: Vec<Weak<Cancel>>,
}

impl Job {
    /// A job and where its answer arrives. Dropping the receiver abandons the job.
    #[must_use]
    pub fn new(
        rows: Rows,
        outputs: Arc<[String]>,
        priority: Priority,
    ) -> (Arc<Self>, oneshot::Receiver<Result<Outputs, Error>>) {
        Self::by(rows, outputs, Order { priority, ..Order::default() }, None)
    }

    /// The same; it is refused if it is not begun when it is due.
    #[must_use]
    pub fn by(
        rows: Rows,
        outputs: Arc<[String]>,
        Order { priority, modest }: Order,
        due: Option<Due>,
    ) -> (Arc<Self>, oneshot::Receiver<Result<Outputs, Error>>) {
        let (reply, answer) = oneshot::channel();
        let remaining = rows.count();
        let progress = Progress {
            reply: Some(reply),
            parts: Vec::new(),
            remaining,
            started: None,
            runs: Vec::new(),
        };
        let job = Self {
            rows,
            outputs,
            priority,
            modest,
            enqueued: Instant::now(),
            due,
            callers: Handle::try_current().ok(),
            progress: Mutex::new(progress),
        };
        (Arc::new(job), answer)
    }

    /// Whether rows of both may share a run.
    #[must_use]
    pub fn goes_with(&self, other: &Self) -> bool {
        self.outputs == other.outputs && self.rows.go_with(&other.rows)
    }

    /// Nobody waits for the answer any more.
    pub fn is_closed(&self) -> bool {
        self.progress().reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// Refuses the job if it is due and was not begun.
    pub fn is_refused(&self, now: Instant) -> bool {
        let Some(due) = self.due.as_ref().filter(|due| due.is_over(now)) else { return false };
        let reply = {
            let mut progress = self.progress();
            if progress.started.is_some() {
                return false;
            }
            progress.reply.take()
        };
        if let Some(reply) = reply {
            // The caller may have left meanwhile.
            let _ = reply.send(Err(due.refusal()));
        }
        true
    }

    pub fn start(&self, now: Instant) {
        self.progress().started.get_or_insert(now);
    }

    /// A run has begun that counts this job as one of its callers.
    pub fn joins(&self, run: &Arc<Cancel>) {
        let mut progress = self.progress();
        if progress.reply.is_none() {
            return run.leave();
        }
        progress.runs.retain(|run| run.strong_count() > 0);
        progress.runs.push(Arc::downgrade(run));
    }

    /// The caller has left: what has not started does not run, and a run that is only for it stops.
    pub fn abandon(&self) {
        let runs = {
            let mut progress = self.progress();
            progress.reply = None;
            std::mem::take(&mut progress.runs)
        };
        runs.iter().filter_map(Weak::upgrade).for_each(|run| run.leave());
    }

    /// Takes the outputs of some rows; the last ones complete the answer. An error is the answer
    /// at once.
    pub fn finish(
        &self,
        rows: Range<usize>,
        result: Result<Tensors, Error>,
        answers: &mut Answers,
    ) {
        let mut progress = self.progress();
        let result = match result {
            Ok(tensors) => {
                progress.remaining = progress.remaining.saturating_sub(rows.len());
                progress.parts.push((rows.start, tensors));
                if progress.remaining > 0 {
                    return;
                }
                self.gather(&mut progress)
            }
            Err(error) => Err(error),
        };
        if let Some(reply) = progress.reply.take() {
            answers.ready.push((reply, result));
            answers.callers = answers.callers.take().or_else(|| self.callers.clone());
        }
    }

    fn gather(&self, progress: &mut Progress) -> Result<Outputs, Error> {
        let mut parts = std::mem::take(&mut progress.parts);
        parts.sort_by_key(|(start, _)| *start);
        let mut parts: Vec<Tensors> = parts.into_iter().map(|(_, tensors)| tensors).collect();
        let tensors = match parts.len() {
            1 => parts.pop(),
            _ => self.rows.join(&parts),
        };
        let started = progress.started.unwrap_or(self.enqueued);
        Ok(Outputs {
            tensors: tensors
                .ok_or_else(|| Error::internal("outputs of one model differ in shape"))?,
            queued: started.duration_since(self.enqueued),
            inferred: started.elapsed(),
        })
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        // A panic elsewhere leaves no half-made progress: every change is complete in itself.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
