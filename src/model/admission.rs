//! Whether a request is taken on, decided before any work is spent on it.
//!
//! What counts as waiting is the queue of the sessions and the rows before it, which are being
//! decoded or tokenised: under overload these are most of it. A burst may wait up to [`BURST`]
//! objectives. Where the model has not been idle for longer than an objective, what would wait longer
//! than the objective is refused, so that those who are taken on stay quick. Bulk work waits as long
//! as there is room.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::runtime::cost::Average;
use crate::runtime::job::Priority;
use crate::runtime::pool::{Ahead, SessionPool};

/// How many objectives a burst may wait.
const BURST: u32 = 4;

pub struct Admission {
    /// How long a request should wait for a session at most.
    objective: Duration,
    /// Threads that decode and tokenise.
    threads: usize,
    /// Rows that are being decoded or tokenised.
    encoding: AtomicUsize,
    /// Seconds of a thread that a row takes.
    encode_cost: Average,
    /// When a request last came and found nothing before it.
    idle: Mutex<Instant>,
}

/// A request's rows until they are in the queue.
pub struct Admitted {
    admission: Arc<Admission>,
    rows: usize,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.encoding.fetch_sub(self.rows, Ordering::Relaxed);
    }
}

impl Admission {
    #[must_use]
    pub fn new(objective: Duration, threads: usize) -> Self {
        Self {
            objective,
            threads: threads.max(1),
            encoding: AtomicUsize::new(0),
            encode_cost: Average::new(0.0),
            idle: Mutex::new(Instant::now()),
        }
    }

    /// Takes on `rows` rows, or says at once that it is too much.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`], with the time after which to try again.
    pub fn admit(
        self: &Arc<Self>,
        pool: &SessionPool,
        rows: usize,
        priority: Priority,
    ) -> Result<Admitted, Error> {
        self.check(pool, rows, priority)?;
        self.encoding.fetch_add(rows, Ordering::Relaxed);
        Ok(Admitted { admission: self.clone(), rows })
    }

    /// Whether `rows` rows would be taken on now.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub fn check(&self, pool: &SessionPool, rows: usize, priority: Priority) -> Result<(), Error> {
        pool.has_room(self.encoding() + rows, priority)?;
        let mut ahead = self.ahead(pool, priority);
        if self.is_too_much(pool, priority, ahead) {
            // Callers that have left must not keep others out.
            pool.forget_closed();
            ahead = self.ahead(pool, priority);
        }
        if !self.is_too_much(pool, priority, ahead) {
            return Ok(());
        }
        let wait = ahead.wait;
        let detail = format!(
            "about {} ms of work wait for this model already; try again later",
            wait.as_millis()
        );
        Err(Error::new(ErrorKind::Overloaded, detail).because("overload").retry_after(wait))
    }

    fn is_too_much(&self, pool: &SessionPool, priority: Priority, ahead: Ahead) -> bool {
        let limit = self.limit(ahead.rows);
        // What one batch for each session takes is never too much.
        priority == Priority::Interactive && ahead.rows >= pool.rows_a_round() && ahead.wait > limit
    }

    /// Whether `rows` rows that come now can be answered by then.
    ///
    /// # Errors
    /// [`ErrorKind::DeadlineExceeded`].
    pub fn can_meet(
        &self,
        pool: &SessionPool,
        rows: usize,
        priority: Priority,
        deadline: Instant,
    ) -> Result<(), Error> {
        let ahead = self.ahead(pool, priority);
        let needed = ahead.wait + ahead.run + self.encode_time(rows);
        if Instant::now() + needed <= deadline {
            return Ok(());
        }
        let detail = format!(
            "the deadline cannot be met: the answer would take about {} ms, of which {} ms are \
             work before this request",
            needed.as_millis(),
            ahead.wait.as_millis()
        );
        Err(Error::new(ErrorKind::DeadlineExceeded, detail))
    }

    /// Predicted time of what waits, over the objective.
    pub fn saturation(&self, pool: &SessionPool) -> f64 {
        // Bulk work counts: more replicas would do it sooner.
        let wait = self.ahead(pool, Priority::Bulk).wait;
        wait.as_secs_f64() / self.objective.as_secs_f64().max(1e-3)
    }

    /// Learns how long `rows` rows took one thread.
    pub fn encoded(&self, rows: usize, time: Duration) {
        self.encode_cost.add(time.as_secs_f64() / rows.max(1) as f64);
    }

    fn encoding(&self) -> usize {
        self.encoding.load(Ordering::Relaxed)
    }

    fn ahead(&self, pool: &SessionPool, priority: Priority) -> Ahead {
        let encoding = self.encoding();
        let ahead = pool.ahead(priority, encoding);
        Ahead { wait: ahead.wait + self.encode_time(encoding), ..ahead }
    }

    /// The threads work on one row each.
    fn encode_time(&self, rows: usize) -> Duration {
        let threads = self.threads.min(rows).max(1);
        Duration::from_secs_f64(self.encode_cost.get() * rows as f64 / threads as f64)
    }

    /// The longest wait at which a request is taken on.
    fn limit(&self, ahead: usize) -> Duration {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if ahead == 0 {
            *idle = now;
        }
        if now.duration_since(*idle) > self.objective {
            self.objective
        } else {
            self.objective * BURST
        }
    }
}

#[cfg(all(test, not(feature = "model-check")))]
mod tests {
    use std::sync::mpsc;

    use ndarray::ArrayD;

    use super::*;
    use crate::metrics::Metrics;
    use crate::rows::Rows;
    use crate::runtime::cancel::Cancel;
    use crate::runtime::cost::{Cost, Sample};
    use crate::runtime::pool::{Setup, Waiting};
    use crate::runtime::queue::Bounds;
    use crate::runtime::session::Session;
    use crate::signature::BatchAxis;
    use crate::tensor::Tensors;

    /// Says that it has started, and goes on when the test's end is dropped.
    struct Stuck(mpsc::Sender<()>, mpsc::Receiver<()>);

    impl Session for Stuck {
        fn run(&mut self, inputs: &Tensors, _: &[String], _: &Cancel) -> Result<Tensors, Error> {
            self.0.send(()).unwrap();
            let _ = self.1.recv();
            Ok(inputs.clone())
        }
    }

    struct Bench {
        pool: SessionPool,
        waiting: Vec<Waiting>,
        _go: mpsc::Sender<()>,
    }

    impl Bench {
        /// One session that is busy; 100 ms a row, says the cost curve.
        fn new() -> Self {
            let (started, starts) = mpsc::channel();
            let (go, wait) = mpsc::channel();
            let bounds = Bounds {
                max_queue_size: 100,
                max_queue_bytes: 1 << 20,
                max_batch_size: 1,
                max_batch_tokens: 4096,
                min_efficiency: 0.9,
                max_queue_delay: Duration::ZERO,
            };
            let sample = Sample { rows: 1, units: 1, time: Duration::from_millis(100) };
            let setup = Setup {
                name: "stuck".into(),
                open: Box::new(|| Err("not needed".to_owned())),
                axis: BatchAxis::Dynamic,
                bounds,
                cost: Cost::fit(&[sample]),
                metrics: Arc::new(Metrics::default().model("stuck", "1", &[])),
            };
            let pool = SessionPool::start(vec![Box::new(Stuck(started, wait))], setup).unwrap();
            let mut bench = Self { pool, waiting: Vec::new(), _go: go };
            bench.wait(1, Priority::Interactive);
            starts.recv().unwrap();
            bench
        }

        fn wait(&mut self, rows: usize, priority: Priority) {
            let names: Arc<[String]> = Arc::new([]);
            for _ in 0..rows {
                let x = ArrayD::<f32>::zeros(vec![1, 1]).into();
                let rows = Rows::alike(Tensors(vec![("x".into(), x)]));
                self.waiting.push(self.pool.enqueue(rows, &names, priority).unwrap());
            }
        }
    }

    fn admission(objective: Duration) -> Arc<Admission> {
        Arc::new(Admission::new(objective, 1))
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_burst_may_wait_longer_than_what_comes_while_the_queue_stands() {
        let mut bench = Bench::new();
        let admission = admission(SECOND);
        bench.wait(20, Priority::Interactive);
        let check = |bench: &Bench, priority| admission.check(&bench.pool, 1, priority);
        assert_eq!(check(&bench, Priority::Interactive), Ok(()), "2 s of work, within a burst");
        bench.wait(21, Priority::Interactive);
        let refused = check(&bench, Priority::Interactive).unwrap_err();
        assert_eq!((refused.kind, refused.reason()), (ErrorKind::Overloaded, "overload"));
        assert_eq!(refused.retry_after, Some(5), "4.1 s of work, in whole seconds");
        assert_eq!(check(&bench, Priority::Bulk), Ok(()), "bulk work may wait");

        bench.waiting.truncate(1 + 11);
        assert_eq!(check(&bench, Priority::Interactive), Ok(()));
        *admission.idle.lock().unwrap() = Instant::now().checked_sub(SECOND * 2).unwrap();
        assert!(check(&bench, Priority::Interactive).is_err(), "1.1 s, and the queue stands");
        bench.waiting.truncate(1 + 9);
        assert_eq!(check(&bench, Priority::Interactive), Ok(()), "0.9 s");
    }

    #[tokio::test]
    async fn rows_before_the_queue_count_and_leave_with_their_request() {
        let bench = Bench::new();
        let admission = admission(SECOND);
        let held = admission.admit(&bench.pool, 41, Priority::Interactive).unwrap();
        assert!(admission.admit(&bench.pool, 1, Priority::Interactive).is_err());
        assert!((admission.saturation(&bench.pool) - 4.1).abs() < 0.01);
        drop(held);
        assert!(admission.admit(&bench.pool, 1, Priority::Interactive).is_ok());
        let full = admission.admit(&bench.pool, 101, Priority::Bulk);
        assert_eq!(full.err().map(|error| error.reason()), Some("queue_full"));
    }

    #[tokio::test]
    async fn a_deadline_that_cannot_be_met_is_refused_at_once() {
        let mut bench = Bench::new();
        let admission = admission(SECOND);
        bench.wait(10, Priority::Interactive);
        let meet = |within| {
            let deadline = Instant::now() + within;
            admission.can_meet(&bench.pool, 1, Priority::Interactive, deadline)
        };
        assert_eq!(meet(SECOND).unwrap_err().kind, ErrorKind::DeadlineExceeded);
        assert_eq!(meet(SECOND * 60), Ok(()));
    }
}
