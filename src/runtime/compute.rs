//! The threads that decode, tokenise and post-process, so that the async ones never do.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::Context;
use rayon::prelude::*;
use tokio::sync::oneshot;

use crate::error::Error;

/// A bounded set of threads for pre- and post-processing.
pub struct Compute {
    pool: rayon::ThreadPool,
}

impl Compute {
    /// # Errors
    /// The operating system gives no threads.
    pub fn new(threads: usize) -> anyhow::Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("compute-{index}"))
            .build()
            .context("cannot start the compute threads")?;
        Ok(Self { pool })
    }

    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Runs `work` on a compute thread. `rayon`'s parallel iterators inside it use the same threads.
    /// Work that nobody waits for any more is not started.
    ///
    /// # Errors
    /// Those of `work`, and [`crate::error::ErrorKind::Internal`] if it panics.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.run_watching(move |_| work()).await
    }

    /// The same for work that can end early: it is given what tells whether its caller still waits.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_watching<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Fn() -> bool) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.pool.spawn(move || {
            if !reply.is_closed() {
                let done = here(|| work(&|| !reply.is_closed()));
                // The caller may have left meanwhile; then the answer is for nobody.
                let _ = reply.send(done);
            }
        });
        answer.await.unwrap_or_else(|_| Err(Error::internal("the compute threads are gone")))
    }

    /// [`Self::run_watching`], or [`here`] if the work is less than the way to another thread.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn nearby_watching<T: Send + 'static>(
        &self,
        is_small: bool,
        work: impl FnOnce(&dyn Fn() -> bool) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if is_small { here(|| work(&|| true)) } else { self.run_watching(work).await }
    }

    /// [`Self::run`], or [`here`] if the work is less than the way to another thread.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn nearby<T: Send + 'static>(
        &self,
        is_small: bool,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if is_small { here(work) } else { self.run(work).await }
    }

    /// `work` for each item, side by side; the results are in the items' order. Blocks.
    pub fn map<T: Sync, R: Send>(
        &self,
        items: &[T],
        work: impl Fn(&T) -> R + Sync + Send,
    ) -> Vec<R> {
        self.pool.install(|| items.par_iter().map(work).collect())
    }
}

/// Runs `work` on the caller's thread: for what takes less than the way to another and back.
///
/// # Errors
/// As [`Compute::run`].
pub fn here<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::internal("panicked")))
}
