//! The bounded queue of one model, and which rows go into the next batch.
//!
//! `Waiting` holds the rules and no locks; [`Queue`] puts one lock and one condition around it.
//!
//! The rules: only an idle session takes work. It starts from the row at the front, and takes the rows
//! of nearest length along, as long as little of the batch is padding (`filling.rs`). What waits is shared
//! out over the sessions that are idle. Rows of other inputs, outputs or shapes wait for a batch of their
//! own. A job whose row led a batch and that has more goes behind those that had no turn, so that a job of
//! one row waits for no more batches than there were jobs before it, however many rows these have.

mod filling;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use self::filling::Filling;
use super::job::{Job, Order, Priority};
use super::sync::{Condvar, Mutex, MutexGuard};

/// How long a session looks out for work before it sleeps.
const LINGER: Duration = Duration::from_micros(50);
/// Batches in a row that may pass over what waits in a later class.
const PASSED_OVER: u32 = 8;

/// What is served before what: jobs of modest clients and others that had no turn yet, the rest of those that
/// had one, and bulk work.
const CLASSES: usize = 4;
const MODEST: usize = 0;
const FRESH: usize = 1;
const BULK: usize = 3;

/// The bounds of queue and batches.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Most rows that wait.
    pub max_queue_size: usize,
    /// Most bytes that the waiting rows take.
    pub max_queue_bytes: usize,
    /// Most rows in a batch.
    pub max_batch_size: usize,
    /// Most tokens in a batch, padding included.
    pub max_batch_tokens: usize,
    /// The part of a batch's tokens that must not be padding, 0 to 1.
    pub min_efficiency: f64,
    /// How long an idle session waits for a fuller batch. 0: not at all.
    pub max_queue_delay: Duration,
}

impl Bounds {
    /// Most rows that wait, if the last of them may be a modest client's.
    fn rows(&self, modest: bool) -> usize {
        self.max_queue_size + if modest { self.max_queue_size / 4 } else { 0 }
    }
}

/// Rows of one job that wait together; all of one length.
struct Entry {
    job: Arc<Job>,
    rows: Range<usize>,
    length: usize,
}

/// Some rows of one job, taken for a batch.
pub struct Share {
    pub job: Arc<Job>,
    pub rows: Range<usize>,
}

/// Why a job was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Full,
    Closed,
}

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    pub rows: usize,
    /// Tokens of the rows; of rows that are all alike, their number.
    pub units: usize,
    pub bytes: usize,
}

impl Work {
    /// Rows of one job, all of one length.
    fn of(job: &Job, rows: usize, length: usize) -> Self {
        Self { rows, units: rows * length, bytes: bytes_of(job, rows) }
    }

    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.units += other.units;
        self.bytes += other.bytes;
    }

    fn subtract(&mut self, other: Self) {
        self.rows -= other.rows;
        self.units -= other.units;
        self.bytes -= other.bytes;
    }
}

/// All that waits, in order, and the rules by which it is taken.
#[derive(Default)]
struct Waiting {
    queues: [VecDeque<Entry>; CLASSES],
    /// For each class how many batches in a row began with another while it had work.
    passed_over: [u32; CLASSES],
    /// All that waits.
    work: Work,
    /// Rows whose caller left before they were taken, since this was last read.
    forgotten: u64,
    /// Sessions that wait for work, and those of them that have been woken for it.
    idle: usize,
    woken: usize,
    closed: bool,
}

/// All that waits, behind a lock.
pub struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// Grows with each push, so that a session can see one without the lock.
    pushes: AtomicUsize,
    bounds: Bounds,
}

impl Waiting {
    fn push(&mut self, job: &Arc<Job>, bounds: &Bounds) -> Result<(), Refused> {
        let rows = job.rows.count();
        let bytes = bytes_of(job, rows);
        if self.closed {
            return Err(Refused::Closed);
        }
        let fits = |work: &Work| {
            work.rows + rows <= bounds.rows(job.modest)
                && work.bytes + bytes <= bounds.max_queue_bytes
        };
        if !fits(&self.work) {
            // Rows that nobody waits for any more must not keep others out.
            self.forget_closed(Instant::now());
            // A request over the byte bound by itself is admitted when nothing else waits.
            if !fits(&self.work) && self.work.rows > 0 {
                return Err(Refused::Full);
            }
        }
        let class = match job.priority {
            Priority::Interactive if job.modest => MODEST,
            Priority::Interactive => FRESH,
            Priority::Bulk => BULK,
        };
        let queue = &mut self.queues[class];
        let mut start = 0;
        for row in 1..=rows {
            let length = job.rows.length(start);
            if row == rows || job.rows.length(row) != length {
                self.work.add(Work::of(job, row - start, length));
                let (job, rows) = (job.clone(), start..row);
                queue.push_back(Entry { job, rows, length });
                start = row;
            }
        }
        Ok(())
    }

    fn remove(&mut self, job: &Job, rows: usize, length: usize) {
        self.work.subtract(Work::of(job, rows, length));
    }

    /// Drops what nobody waits for any more, and refuses what has waited too long.
    fn forget_closed(&mut self, now: Instant) {
        let mut gone = Vec::new();
        for queue in &mut self.queues {
            queue.retain(|entry| {
                let refused = entry.job.is_refused(now);
                if !refused && !entry.job.is_closed() {
                    return true;
                }
                let rows = entry.rows.len();
                gone.push((entry.job.clone(), rows, entry.length));
                self.forgotten += if refused { 0 } else { rows as u64 };
                false
            });
        }
        for (job, rows, length) in gone {
            self.remove(&job, rows, length);
        }
    }

    /// The next batch; empty if nothing waits that anybody still wants.
    fn take(&mut self, bounds: &Bounds) -> Vec<Share> {
        // One look at the clock, since others wait for the lock meanwhile.
        let now = Instant::now();
        self.forget_closed(now);
        // An even share, so that no session idles while another takes everything.
        let fair = self.work.rows.div_ceil(self.idle.max(1));
        let mut batch = Filling::new(bounds, bounds.max_batch_size.min(fair).max(1));
        let first = self.first();
        for class in [first].into_iter().chain((0..CLASSES).filter(|class| *class != first)) {
            batch.fill(&mut self.queues[class]);
        }
        let shares = batch.into_shares();
        if let Some(share) = shares.first() {
            self.had_its_turn(&share.job);
        }
        for share in &shares {
            share.job.start(now);
            self.remove(&share.job, share.rows.len(), share.job.rows.length(share.rows.start));
        }
        shares
    }

    /// The class from which the next batch starts.
    fn first(&mut self) -> usize {
        let waits = |class: &usize| !self.queues[*class].is_empty();
        let usual = (0..CLASSES).find(waits).unwrap_or(0);
        let passed = |class: &usize| self.passed_over[*class];
        let longest = (usual..CLASSES).filter(waits).max_by_key(passed);
        let first = longest.filter(|class| passed(class) >= PASSED_OVER).unwrap_or(usual);
        for (class, queue) in self.queues.iter().enumerate() {
            let passed = &mut self.passed_over[class];
            *passed = if class == first || queue.is_empty() { 0 } else { *passed + 1 };
        }
        first
    }

    /// What is left of it, which stands in front, waits with the others that are begun. Bulk work is
    /// answered in order.
    fn had_its_turn(&mut self, job: &Arc<Job>) {
        let [modest, fresh, begun, _] = &mut self.queues;
        let is_of = |entry: &&Entry| Arc::ptr_eq(&entry.job, job);
        for queue in [modest, fresh] {
            let left = queue.iter().take_while(is_of).count();
            begun.extend(queue.drain(..left));
        }
        let left = begun.iter().take_while(is_of).count();
        begun.rotate_left(left % begun.len().max(1));
    }

    /// What of the interactive work has its turn before a job of so many rows that comes now.
    fn before(&self, modest: bool, rows: usize, bounds: &Bounds) -> Work {
        let turns = rows.div_ceil(bounds.max_batch_size).max(1);
        let [of_modest, fresh, begun, _] = &self.queues;
        let mut before = Work::default();
        // Its first turn comes before the next ones of those that are begun.
        let of_others = turns - usize::from(modest);
        for (queue, turns) in [(of_modest, turns), (fresh, of_others), (begun, turns - 1)] {
            let (mut job, mut left) = (None, 0);
            for entry in queue {
                if !job.is_some_and(|job| Arc::ptr_eq(job, &entry.job)) {
                    let by_tokens = bounds.max_batch_tokens / entry.length.max(1);
                    left = turns.saturating_mul(by_tokens.clamp(1, bounds.max_batch_size));
                    job = Some(&entry.job);
                }
                let rows = entry.rows.len().min(left);
                left -= rows;
                before.add(Work::of(&entry.job, rows, entry.length));
            }
        }
        before
    }
}

/// A job's bytes, by rows.
fn bytes_of(job: &Job, rows: usize) -> usize {
    job.rows.bytes() / job.rows.count().max(1) * rows
}

impl Queue {
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        let pushes = AtomicUsize::new(0);
        Self { waiting: Mutex::default(), changed: Condvar::new(), pushes, bounds }
    }

    /// Admits a job with all its rows, or refuses it at once.
    ///
    /// # Errors
    /// The queue is full, or closed.
    pub fn push(&self, job: &Arc<Job>) -> Result<(), Refused> {
        let mut waiting = self.waiting();
        waiting.push(job, &self.bounds)?;
        self.pushes.fetch_add(1, Ordering::Release);
        self.wake_one(waiting);
        Ok(())
    }

    /// Waits for work and takes a batch of it; `None` once the queue is closed and empty.
    pub fn take(&self) -> Option<Vec<Share>> {
        self.linger();
        let mut waiting = self.waiting();
        waiting.idle += 1;
        let batch = loop {
            if waiting.work.rows > 0 {
                match self.still_to_wait(&waiting) {
                    Some(rest) => {
                        let woken = self.changed.wait_timeout(waiting, rest);
                        waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
                        waiting.woken = waiting.woken.saturating_sub(1);
                        continue;
                    }
                    None => {
                        let batch = waiting.take(&self.bounds);
                        if !batch.is_empty() {
                            break Some(batch);
                        }
                    }
                }
            } else if waiting.closed {
                break None;
            }
            if waiting.work.rows == 0 && !waiting.closed {
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                waiting.woken = waiting.woken.saturating_sub(1);
            }
        };
        waiting.idle -= 1;
        if waiting.work.rows > 0 {
            // What is left is for the next idle session.
            self.wake_one(waiting);
        }
        batch
    }

    /// Wakes a session that sleeps, if there is one that nobody has woken yet: a wake-up is a call of
    /// the system, whether anybody sleeps or not.
    fn wake_one(&self, mut waiting: MutexGuard<'_, Waiting>) {
        if waiting.idle > waiting.woken {
            waiting.woken += 1;
            drop(waiting);
            self.changed.notify_one();
        }
    }

    /// Looks out for work a moment before the thread sleeps, since waking up costs more: a lone caller
    /// that asks again at once is served sooner. It lets the others run meanwhile, which are those who
    /// bring work.
    fn linger(&self) {
        let seen = self.pushes.load(Ordering::Acquire);
        if cfg!(feature = "model-check") || !self.is_empty() {
            return;
        }
        let start = Instant::now();
        while self.pushes.load(Ordering::Acquire) == seen && start.elapsed() < LINGER {
            std::thread::yield_now();
        }
    }

    fn is_empty(&self) -> bool {
        let waiting = self.waiting();
        waiting.work.rows == 0 && !waiting.closed
    }

    /// Takes no more jobs; what waits is still served.
    pub fn close(&self) {
        self.waiting().closed = true;
        self.changed.notify_all();
    }

    /// Whether this many rows, perhaps of a modest client, would be admitted now, as far as rows go.
    pub fn has_room(&self, rows: usize, modest: bool) -> bool {
        let mut waiting = self.waiting();
        let fits = |waiting: &Waiting| waiting.work.rows + rows <= self.bounds.rows(modest);
        fits(&waiting) || {
            waiting.forget_closed(Instant::now());
            fits(&waiting)
        }
    }

    /// What waits.
    pub fn work(&self) -> Work {
        self.waiting().work
    }

    /// Roughly the work that is done before a new job of so many rows: interactive work goes first, and its
    /// jobs take turns. Also the number of all waiting rows.
    pub fn work_before(&self, Order { priority, modest }: Order, rows: usize) -> (Work, usize) {
        let waiting = self.waiting();
        let before = match priority {
            Priority::Interactive => waiting.before(modest, rows, &self.bounds),
            Priority::Bulk => waiting.work,
        };
        (before, waiting.work.rows)
    }

    /// Drops the rows whose caller has left, and gives how many such there were since the last call.
    pub fn forget_closed(&self) -> u64 {
        let mut waiting = self.waiting();
        waiting.forget_closed(Instant::now());
        std::mem::take(&mut waiting.forgotten)
    }

    #[must_use]
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// How much longer an idle session should wait for a fuller batch.
    fn still_to_wait(&self, waiting: &Waiting) -> Option<Duration> {
        let delay = self.bounds.max_queue_delay;
        if delay.is_zero() || waiting.closed || waiting.work.rows >= self.bounds.max_batch_size {
            return None;
        }
        let oldest = waiting.queues.iter().filter_map(VecDeque::front);
        let oldest = oldest.map(|entry| entry.job.enqueued).min()?;
        delay.checked_sub(Instant::now().duration_since(oldest)).filter(|rest| !rest.is_zero())
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, feature = "model-check"))]
mod model_check;
#[cfg(all(test, not(feature = "model-check")))]
mod tests;
