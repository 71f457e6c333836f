//! Whether a request is taken on, decided before any work is spent on it.
//!
//! What counts as waiting is the queue of the sessions and what is decoded or tokenised before it: under
//! overload this is most of it. Since decoding goes by turns ([`crate::runtime::compute`]), a request waits
//! for as much of every other as it has itself: what it costs is told by its headers, item by item. How
//! long it may wait is [`Pressure`]'s to say. Bulk work waits as long as there is room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::pressure::{Load, Pressure};
use crate::error::{Error, ErrorKind};
use crate::runtime::compute::Compute;
use crate::runtime::compute::schedule::{Before, Of};
use crate::runtime::cost::{Average, PieceCost};
use crate::runtime::job::Priority;
use crate::runtime::patience::Due;
use crate::runtime::pool::{Ahead, SessionPool};
use crate::tasks::{Kind, Piece};

/// Usual requests that may wait beside a full round of the sessions while there is too much.
const SPARE: f64 = 8.0;
/// The least that may wait then, so that sessions do not run dry.
const LEAST: Duration = Duration::from_millis(5);

pub struct Admission {
    compute: Arc<Compute>,
    pressure: Pressure,
    /// Rows that are being decoded or tokenised.
    encoding: AtomicUsize,
    piece_cost: PieceCost,
    /// Seconds of a thread that a usual request's decoding takes, and for which it keeps everything busy.
    usual_encode: Average,
    usual: Average,
    /// Waits over what was predicted of them.
    correction: Average,
}

/// What a request asks for.
#[derive(Debug, Clone)]
pub struct Asking {
    pub rows: usize,
    pub priority: Priority,
    /// What each of its pieces takes of a thread; none where that is too little to count.
    pub costs: Vec<Duration>,
}

impl Asking {
    fn encode(&self) -> Duration {
        self.costs.iter().sum()
    }
}

/// A request's rows until they are in the queue.
pub struct Admitted {
    rows: usize,
    begun: Begun,
}

/// A request that was taken on.
#[derive(Clone)]
pub struct Begun {
    admission: Arc<Admission>,
    since: Instant,
    priority: Priority,
    /// Seconds for which it keeps everything busy, and for which it waits as predicted.
    seconds: f64,
    wait: f64,
    /// More is before it than is never too much.
    is_bounded: bool,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.begun.admission.encoding.fetch_sub(self.rows, Ordering::Relaxed);
    }
}

impl Admitted {
    /// Whose work its decoding is.
    pub fn of(&self) -> Of {
        let Begun { admission, priority, .. } = &self.begun;
        Of { owner: admission.owner(), rows: self.rows, priority: *priority }
    }

    /// How long it may wait; bulk work, and what is next anyway, as long as they have to.
    pub fn due(&self) -> Option<Due> {
        let Begun { admission, since, is_bounded, .. } = &self.begun;
        let patience = || admission.pressure.patience().clone();
        is_bounded.then(|| Due { since: *since, patience: patience() })
    }

    /// Its rows are in the queue.
    pub fn queued(self) -> Begun {
        self.begun.clone()
    }
}

impl Begun {
    /// It is answered; its run began at this moment, and before that `own` was its own decoding.
    pub fn answered(&self, run: Instant, own: Duration) {
        let Self { admission, since, priority, seconds, wait, .. } = self;
        if *priority == Priority::Bulk {
            return;
        }
        admission.pressure.done(*seconds);
        if *wait >= LEAST.as_secs_f64() {
            let waited = run.duration_since(*since).saturating_sub(own);
            admission.correction.add((waited.as_secs_f64() / wait).clamp(0.5, 4.0));
        }
    }
}

impl Admission {
    #[must_use]
    pub fn new(objective: Duration, compute: Arc<Compute>) -> Self {
        Self {
            compute,
            pressure: Pressure::new(objective, Instant::now()),
            encoding: AtomicUsize::new(0),
            piece_cost: PieceCost::new(Kind::COUNT),
            usual_encode: Average::guessed(0.0),
            usual: Average::guessed(0.0),
            correction: Average::new(1.0),
        }
    }

    /// What a request of these pieces asks for.
    #[must_use]
    pub fn asking(&self, rows: usize, priority: Priority, pieces: &[Piece]) -> Asking {
        let cost = |piece: &Piece| self.piece_cost.predict(piece.kind as usize, piece.estimate);
        Asking { rows, priority, costs: pieces.iter().map(cost).collect() }
    }

    /// Takes a request on, or says at once that it is too much.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`], with the time after which to try again.
    pub fn admit(self: &Arc<Self>, pool: &SessionPool, asking: &Asking) -> Result<Admitted, Error> {
        let Asking { rows, priority, .. } = *asking;
        let seconds = self.seconds(pool, asking);
        if priority == Priority::Interactive {
            self.usual_encode.add(asking.encode().as_secs_f64());
            self.usual.add(seconds);
        }
        let (wait, is_bounded) = self.taken_on(pool, asking, seconds)?;
        self.encoding.fetch_add(rows, Ordering::Relaxed);
        let begun = Begun {
            admission: self.clone(),
            since: Instant::now(),
            priority,
            seconds,
            wait,
            is_bounded,
        };
        if priority == Priority::Interactive {
            self.pressure.came(seconds);
        }
        Ok(Admitted { rows, begun })
    }

    /// Whether a usual request would be taken on now.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub fn check(&self, pool: &SessionPool, priority: Priority) -> Result<(), Error> {
        let encode = self.usual_encode.get();
        let costs = if encode > 0.0 { vec![Duration::from_secs_f64(encode)] } else { Vec::new() };
        let asking = Asking { rows: 1, priority, costs };
        self.taken_on(pool, &asking, self.usual.get()).map(|_| ())
    }

    /// The seconds for which it waits, before they are corrected, and whether its wait is bounded. What is
    /// refused is counted here, since that is its end.
    fn taken_on(
        &self,
        pool: &SessionPool,
        asking: &Asking,
        seconds: f64,
    ) -> Result<(f64, bool), Error> {
        let Asking { rows, priority, .. } = *asking;
        let came = || {
            if priority == Priority::Interactive {
                self.pressure.came(seconds);
            }
        };
        pool.has_room(self.encoding() + rows, priority).inspect_err(|_| came())?;
        let mut ahead = self.ahead(pool, asking);
        if priority == Priority::Bulk {
            return Ok((0.0, false));
        }
        let limit = self.pressure.limit(self.load(pool, ahead), Instant::now());
        // What one batch for each session takes is never too much.
        let is_bounded = |ahead: Ahead| ahead.rows >= pool.rows_a_round();
        let is_too_much = |ahead: Ahead| is_bounded(ahead) && ahead.wait > limit;
        if is_too_much(ahead) {
            // Callers that have left must not keep others out.
            pool.forget_closed();
            ahead = self.ahead(pool, asking);
        }
        let wait = ahead.wait;
        if !is_too_much(ahead) {
            return Ok((wait.as_secs_f64() / self.correction.get(), is_bounded(ahead)));
        }
        came();
        let detail = format!(
            "about {} ms of work wait for this model already; try again later",
            wait.as_millis()
        );
        Err(Error::new(ErrorKind::Overloaded, detail).because("overload").retry_after(wait))
    }

    /// Whether a request that comes now can be answered by then.
    ///
    /// # Errors
    /// [`ErrorKind::DeadlineExceeded`].
    pub fn can_meet(
        &self,
        pool: &SessionPool,
        asking: &Asking,
        deadline: Instant,
    ) -> Result<(), Error> {
        let ahead = self.ahead(pool, asking);
        let own = asking.encode() / self.side_by_side(asking.costs.len());
        let needed = ahead.wait + ahead.run + own;
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
        let all = Asking { rows: 0, priority: Priority::Bulk, costs: vec![Duration::MAX / 64] };
        let wait = self.ahead(pool, &all).wait;
        wait.as_secs_f64() / self.pressure.objective().as_secs_f64().max(1e-3)
    }

    /// Learns what a piece took of a thread.
    pub fn encoded(&self, piece: &Piece, took: Duration) {
        self.piece_cost.observe(piece.kind as usize, piece.estimate, took);
    }

    /// How many of so many pieces are decoded at once.
    pub fn side_by_side(&self, pieces: usize) -> u32 {
        u32::try_from(pieces.clamp(1, self.compute.threads())).unwrap_or(1)
    }

    fn owner(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn encoding(&self) -> usize {
        self.encoding.load(Ordering::Relaxed)
    }

    fn load(&self, pool: &SessionPool, Ahead { rows, wait, .. }: Ahead) -> Load {
        let a_row = self.a_row(pool) + self.usual_encode.get() / self.compute.threads() as f64;
        let least =
            (pool.rows_a_round() as f64 * a_row + SPARE * self.usual.get()) * self.correction.get();
        Load { rows, wait, least: seconds(least).max(LEAST) }
    }

    /// Seconds that a row of a full round keeps all sessions busy for.
    fn a_row(&self, pool: &SessionPool) -> f64 {
        let rows = pool.rows_a_round();
        pool.time_of(rows).as_secs_f64() / rows as f64
    }

    /// Seconds for which a request keeps everything busy.
    fn seconds(&self, pool: &SessionPool, asking: &Asking) -> f64 {
        let encode = asking.encode().as_secs_f64() / self.compute.threads() as f64;
        asking.rows as f64 * self.a_row(pool) + encode
    }

    fn ahead(&self, pool: &SessionPool, asking: &Asking) -> Ahead {
        let Asking { priority, costs, .. } = asking;
        let (before, coming) = match costs.as_slice() {
            // It goes to the queue at once.
            [] => (Before::default(), 0),
            _ => {
                let before = self.compute.before(self.owner(), *priority, asking.encode());
                (before, self.encoding().saturating_sub(before.behind))
            }
        };
        let ahead = pool.ahead(*priority, coming);
        let threads = self.side_by_side(usize::MAX);
        let wait = (ahead.wait + before.work / threads).as_secs_f64() * self.correction.get();
        Ahead { rows: ahead.rows, wait: seconds(wait), run: ahead.run }
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
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
                self.waiting.push(self.pool.enqueue(rows, &names, priority, None).unwrap());
            }
        }
    }

    fn admission(objective: Duration) -> Arc<Admission> {
        Arc::new(Admission::new(objective, Arc::new(Compute::new(1).unwrap())))
    }

    /// Rows that are decoded first, each a piece.
    fn asking(rows: usize, priority: Priority, cost: Duration) -> Asking {
        Asking { rows, priority, costs: vec![cost; rows] }
    }

    const MS: Duration = Duration::from_millis(1);

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_burst_may_wait_longer_than_what_comes_while_the_queue_stands() {
        let mut bench = Bench::new();
        let admission = admission(SECOND);
        bench.wait(20, Priority::Interactive);
        let check = |bench: &Bench, priority| admission.check(&bench.pool, priority);
        assert_eq!(check(&bench, Priority::Interactive), Ok(()), "2 s of work, within a burst");
        bench.wait(21, Priority::Interactive);
        let refused = check(&bench, Priority::Interactive).unwrap_err();
        assert_eq!((refused.kind, refused.reason()), (ErrorKind::Overloaded, "overload"));
        assert_eq!(refused.retry_after, Some(5), "4.1 s of work, in whole seconds");
        assert_eq!(check(&bench, Priority::Bulk), Ok(()), "bulk work may wait");

        bench.waiting.truncate(1 + 11);
        assert_eq!(check(&bench, Priority::Interactive), Ok(()));
        admission.pressure.stands_since(Instant::now().checked_sub(SECOND * 2).unwrap());
        assert!(check(&bench, Priority::Interactive).is_err(), "1.1 s, and the queue stands");
        bench.waiting.truncate(1 + 9);
        assert_eq!(check(&bench, Priority::Interactive), Ok(()), "0.9 s");
    }

    #[tokio::test]
    async fn rows_before_the_queue_count_and_leave_with_their_request() {
        let bench = Bench::new();
        let admission = admission(SECOND);
        let admit = |rows, priority| admission.admit(&bench.pool, &asking(rows, priority, MS));
        let held = admit(41, Priority::Interactive).unwrap();
        assert!(admit(1, Priority::Interactive).is_err());
        assert!((admission.saturation(&bench.pool) - 4.1).abs() < 0.01);
        drop(held);
        assert!(admit(1, Priority::Interactive).is_ok());
        let full = admit(101, Priority::Bulk);
        assert_eq!(full.err().map(|error| error.reason()), Some("queue_full"));
    }

    #[tokio::test]
    async fn a_deadline_that_cannot_be_met_is_refused_at_once() {
        let mut bench = Bench::new();
        let admission = admission(SECOND);
        bench.wait(10, Priority::Interactive);
        let meet = |within| {
            let deadline = Instant::now() + within;
            admission.can_meet(&bench.pool, &asking(1, Priority::Interactive, MS), deadline)
        };
        assert_eq!(meet(SECOND).unwrap_err().kind, ErrorKind::DeadlineExceeded);
        assert_eq!(meet(SECOND * 60), Ok(()));
    }

    #[tokio::test]
    async fn what_decoding_costs_is_admitted_item_by_item_and_by_turns() {
        let bench = Bench::new();
        let admission = admission(SECOND);
        let (go, wait) = mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let large = asking(30, Priority::Interactive, MS * 100);
        let admitted = admission.admit(&bench.pool, &large).unwrap();
        let compute = admission.compute.clone();
        let decoding = tokio::spawn(async move {
            let work = move |_| {
                let _ = wait.lock().unwrap().recv();
                Ok(())
            };
            compute.each(admitted.of(), &large.costs, work).await
        });
        while admission.compute.before(0, Priority::Interactive, MS).work.is_zero() {
            tokio::task::yield_now().await;
        }
        let admit = |rows, cost| {
            let asked = asking(rows, Priority::Interactive, cost);
            admission.admit(&bench.pool, &asked).map(|_| ())
        };
        // 3 s of decoding wait, but not for one that has little of it.
        assert_eq!(admit(1, MS * 5), Ok(()));
        let refused = admit(30, MS * 100).unwrap_err();
        // And 3 s of runs after it.
        assert_eq!((refused.reason(), refused.retry_after), ("overload", Some(6)));
        assert_eq!(admit(3, MS * 100), Ok(()), "its share of what waits is small");
        drop(go);
        decoding.await.unwrap().unwrap();
    }
}
