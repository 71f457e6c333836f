//! The threads that decode, tokenise and post-process, so that the async ones never do. Whose work is
//! done next: [`schedule`].

mod gathered;
pub mod schedule;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::oneshot;

use super::job::Priority;
use crate::error::Error;
use gathered::Gathered;
use schedule::{Before, Of, Schedule, Taken};

/// A bounded set of threads for pre- and post-processing.
pub struct Compute {
    shared: Arc<Shared>,
    threads: usize,
    /// For half as many, which do what takes long in one piece: others' short work is never behind it.
    apart: Arc<Shared>,
}

/// Bytes that are read or written on the caller's thread, which takes less than the way to another and back.
pub const FEW: usize = 16 << 10;
/// Bytes that are read or written by the threads that others need.
const MANY: usize = 512 << 10;
/// What reading or writing a byte takes of a thread, as good as.
const A_BYTE: Duration = Duration::from_nanos(8);

type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// Pieces that wait or are being done, to be read without the lock.
    open: AtomicUsize,
}

#[derive(Default)]
struct Waiting {
    schedule: Schedule<Work>,
    /// Threads that sleep, less those that were woken already.
    idle: usize,
    closed: bool,
}

impl Compute {
    /// # Errors
    /// The operating system gives no threads.
    pub fn new(threads: usize) -> anyhow::Result<Self> {
        let threads = threads.max(1);
        let compute = Self { shared: Arc::default(), threads, apart: Arc::default() };
        // From here on an early return ends the threads so far.
        compute.shared.start("compute", threads)?;
        compute.apart.start("apart", threads.div_ceil(2))?;
        Ok(compute)
    }

    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` on a compute thread, in the order of arrival: for what is short, or makes a request
    /// known. Work that nobody waits for any more is not started.
    ///
    /// # Errors
    /// Those of `work`, and [`crate::error::ErrorKind::Internal`] if it panics.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        Self::run_by(&self.shared, Duration::ZERO, move |_| work()).await
    }

    async fn run_by<T: Send + 'static>(
        shared: &Arc<Shared>,
        cost: Duration,
        work: impl FnOnce(&dyn Fn() -> bool) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let work = move || {
            if !reply.is_closed() {
                let done = here(|| work(&|| !reply.is_closed()));
                // The caller may have left meanwhile; then the answer is for nobody.
                let _ = reply.send(done);
            }
        };
        let flow = shared.add(Of::default(), [(cost, Box::new(work) as Work)]);
        let answered = answer.await.unwrap_or_else(|_| Err(gone()));
        flow.ended();
        answered
    }

    /// Runs `work` for each piece of a request, on as many threads as are free, in turns with the other
    /// requests' pieces. `costs` says what each takes of a thread; the results are in their order. After a
    /// failure no piece is begun, and neither is one that nobody waits for any more.
    ///
    /// # Errors
    /// Of those of `work` that of the first piece; [`crate::error::ErrorKind::Internal`] if it panics.
    pub async fn each<T: Send + 'static>(
        &self,
        of: Of,
        costs: &[Duration],
        work: impl Fn(usize) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Result<Vec<T>, Error> {
        if costs.is_empty() {
            return Ok(Vec::new());
        }
        let (gathered, answer) = Gathered::of(costs.len());
        let (gathered, work) = (Arc::new(gathered), Arc::new(work));
        let pieces = costs.iter().enumerate().map(|(index, cost)| {
            let (gathered, work) = (gathered.clone(), work.clone());
            let piece = move || gathered.add(index, || here(|| work(index)));
            (*cost, Box::new(piece) as Work)
        });
        let flow = self.shared.add(of, pieces);
        let answered = answer.await.unwrap_or_else(|_| Err(gone()));
        flow.ended();
        answered
    }

    /// Reads or writes so many bytes: here if they are few, else on a compute thread, and many on one that is
    /// for such alone.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn bytes<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.bytes_watching(bytes, move |_| work()).await
    }

    /// The same for work that can end early: it is given what tells whether its caller still waits.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn bytes_watching<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&dyn Fn() -> bool) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let cost = A_BYTE * u32::try_from(bytes).unwrap_or(u32::MAX);
        if bytes <= FEW {
            return here(|| work(&|| true));
        }
        let by = if bytes <= MANY { &self.shared } else { &self.apart };
        Self::run_by(by, cost, work).await
    }

    /// What is done before a request of this cost that comes now.
    #[must_use]
    pub fn before(&self, owner: usize, priority: Priority, cost: Duration) -> Before {
        match self.shared.open.load(Ordering::Relaxed) {
            0 => Before::default(),
            _ => self.shared.lock().schedule.before(owner, priority, cost),
        }
    }

    /// `work` for each item, on as many threads of its own as there are compute threads; the results are in
    /// the items' order. Blocks.
    pub fn map<T: Sync, R: Send>(
        &self,
        items: &[T],
        work: impl Fn(&T) -> R + Sync + Send,
    ) -> Vec<R> {
        let next = AtomicUsize::new(0);
        let take = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(index) else { return done };
                done.push((index, work(item)));
            }
        };
        let mut results = thread::scope(|scope| {
            let threads: Vec<_> =
                (1..self.threads.min(items.len())).map(|_| scope.spawn(take)).collect();
            let mut results = take();
            for thread in threads {
                results
                    .extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            results
        });
        results.sort_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
    }
}

impl Drop for Compute {
    fn drop(&mut self) {
        for shared in [&self.shared, &self.apart] {
            shared.lock().closed = true;
            shared.changed.notify_all();
        }
    }
}

/// A request's pieces that wait. Dropping it drops them.
struct Flow {
    shared: Arc<Shared>,
    id: u64,
    ended: bool,
}

impl Flow {
    /// None waits any more.
    fn ended(mut self) {
        self.ended = true;
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        if !self.ended {
            // Their own drop may take a while.
            let given_up = self.shared.lock().schedule.remove(self.id).unwrap_or_default();
            self.shared.open.fetch_sub(given_up.len(), Ordering::Relaxed);
        }
    }
}

impl Shared {
    fn start(self: &Arc<Self>, name: &str, threads: usize) -> anyhow::Result<()> {
        for index in 0..threads {
            let shared = self.clone();
            thread::Builder::new()
                .name(format!("{name}-{index}"))
                .spawn(move || shared.serve())
                .context("cannot start the compute threads")?;
        }
        Ok(())
    }

    fn add(self: &Arc<Self>, of: Of, pieces: impl IntoIterator<Item = (Duration, Work)>) -> Flow {
        let pieces: Vec<_> = pieces.into_iter().collect();
        let count = pieces.len();
        self.open.fetch_add(count, Ordering::Relaxed);
        let mut waiting = self.lock();
        let id = waiting.schedule.add(of, pieces);
        let woken = waiting.idle.min(count);
        waiting.idle -= woken;
        drop(waiting);
        for _ in 0..woken {
            self.changed.notify_one();
        }
        Flow { shared: self.clone(), id, ended: false }
    }

    /// A thread, to the end.
    fn serve(&self) {
        let mut waiting = self.lock();
        while !waiting.closed {
            let Some(Taken { work, ticket }) = waiting.schedule.take() else {
                waiting.idle += 1;
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(waiting);
            let start = Instant::now();
            // Panics are caught closer to the work; this is for one while something is dropped.
            let _ = catch_unwind(AssertUnwindSafe(work));
            let took = start.elapsed();
            self.open.fetch_sub(1, Ordering::Relaxed);
            waiting = self.lock();
            waiting.schedule.done(ticket, took);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gone() -> Error {
    Error::internal("the compute threads are gone")
}

/// Runs `work` on the caller's thread: for what takes less than the way to another and back.
///
/// # Errors
/// As [`Compute::run`].
pub fn here<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::internal("panicked")))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::error::ErrorKind;

    const NONE: Duration = Duration::ZERO;

    /// Keeps the only thread busy until the sender is dropped.
    async fn busy(compute: &Arc<Compute>) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
        let (go, wait) = mpsc::channel::<()>();
        let (begun, begins) = oneshot::channel();
        let compute = compute.clone();
        let task = tokio::spawn(async move {
            let work = move || {
                let _ = begun.send(());
                let _ = wait.recv();
                Ok(())
            };
            compute.run(work).await.unwrap();
        });
        begins.await.unwrap();
        (go, task)
    }

    #[tokio::test]
    async fn pieces_come_back_in_order_and_the_first_failure_is_told() {
        let compute = Compute::new(3).unwrap();
        let squares = compute.each(Of::default(), &[NONE; 20], |index| Ok(index * index)).await;
        assert_eq!(squares.unwrap(), (0..20).map(|index| index * index).collect::<Vec<_>>());
        let fail = |index: usize| match index {
            7 | 8 | 19 => Err(Error::new(ErrorKind::InvalidInput, format!("piece {index}"))),
            _ => Ok(()),
        };
        let failed = compute.each(Of::default(), &[NONE; 20], fail).await.unwrap_err();
        assert_eq!(failed.detail, "piece 7");
        let panicked =
            compute.each(Of::default(), &[NONE; 2], |_| -> Result<(), Error> { panic!() });
        assert_eq!(panicked.await.unwrap_err().kind, ErrorKind::Internal);
        assert_eq!(compute.run(|| Ok(1)).await, Ok(1), "the threads live on");
    }

    #[tokio::test]
    async fn a_request_of_one_is_not_behind_a_request_of_many() {
        let compute = Arc::new(Compute::new(1).unwrap());
        let (go, held) = busy(&compute).await;
        let order = Arc::new(Mutex::new(String::new()));
        let ask = |name: char, pieces: usize| {
            let (compute, order) = (compute.clone(), order.clone());
            let work = move |_| {
                order.lock().unwrap().push(name);
                Ok(())
            };
            tokio::spawn(async move {
                let costs = vec![Duration::from_millis(10); pieces];
                compute.each(Of::default(), &costs, work).await.unwrap();
            })
        };
        let mut asked = vec![ask('m', 4)];
        tokio::task::yield_now().await;
        for _ in 0..3 {
            asked.push(ask('1', 1));
            tokio::task::yield_now().await;
        }
        drop(go);
        held.await.unwrap();
        for task in asked {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), "m111mmm");
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_dropped_at_once_and_never_begun() {
        let compute = Arc::new(Compute::new(1).unwrap());
        let (go, held) = busy(&compute).await;
        let (begun, alive) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
        let left = tokio::spawn({
            let (compute, begun, alive) = (compute.clone(), begun.clone(), alive.clone());
            async move {
                let work = move |_| {
                    let _ = &alive;
                    begun.fetch_add(1, Ordering::Relaxed);
                    Ok(())
                };
                compute.each(Of::default(), &[NONE; 5], work).await
            }
        });
        tokio::task::yield_now().await;
        assert!(Arc::strong_count(&alive) > 1, "it waits");
        left.abort();
        assert!(left.await.unwrap_err().is_cancelled());
        assert_eq!(Arc::strong_count(&alive), 1, "what it held is free before its turn");
        drop(go);
        held.await.unwrap();
        compute.run(|| Ok(())).await.unwrap();
        assert_eq!(begun.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_list_is_worked_through_in_order() {
        let compute = Compute::new(3).unwrap();
        let items: Vec<usize> = (0..50).collect();
        assert_eq!(compute.map(&items, |item| item + 1), (1..=50).collect::<Vec<_>>());
        assert!(compute.map(&[] as &[usize], |item| *item).is_empty());
    }
}
