//! A run on the caller's own thread, where it takes less than the way to a session's thread and back.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::{Engine, Setup, lock};
use crate::error::Error;
use crate::rows::Rows;
use crate::runtime::cancel::Cancel;
use crate::runtime::job::Outputs;
use crate::runtime::pool::SessionPool;
use crate::runtime::run::{PANICKED, run};

/// The longest run, as it is predicted. To wake a thread and to be woken by it takes more, and a thread
/// that answers others must not be kept from them for longer.
const QUICK: Duration = Duration::from_micros(20);

impl SessionPool {
    /// Runs rows of one shape, which wait for nobody and share their run with none. `None` if that may
    /// take long, if others wait, or if no session is idle: then they are for the queue.
    ///
    /// # Errors
    /// As [`Self::infer`].
    pub fn infer_here(&self, rows: &Rows, outputs: &[String]) -> Option<Result<Outputs, Error>> {
        let Engine { setup, queue, seats, .. } = &*self.engine;
        let Setup { bounds, cost, axis, metrics, .. } = setup;
        let count = rows.count();
        let expected = cost.predict(1, count);
        // Nothing is known of a model that was not measured.
        let quick = !expected.is_zero() && expected <= QUICK;
        let alike = !rows.is_opaque() && rows.lengths.is_none();
        let alone = bounds.max_queue_delay.is_zero() && count <= bounds.max_batch_size;
        if !(quick && alike && alone && queue.is_empty()) {
            return None;
        }
        let seats = seats.read().unwrap_or_else(PoisonError::into_inner);
        let (seat, mut session) = seats.iter().find_map(|seat| {
            let session = seat.session.try_lock().ok()?;
            session.is_some().then_some((seat, session))
        })?;
        let start = Instant::now();
        *lock(&seat.began) = Some(start);
        let result =
            run(session.as_mut()?.as_mut(), &rows.tensors, outputs, *axis, &Cancel::new(1));
        let took = start.elapsed();
        *lock(&seat.began) = None;
        if let Err(error) = &result
            && error.cause.as_deref() == Some(PANICKED)
        {
            self.engine.lose(&mut session);
        }
        Some(result.map(|tensors| {
            cost.observe(count, count, took);
            metrics.ran(count, took);
            Outputs { tensors, queued: Duration::ZERO, inferred: took }
        }))
    }
}

#[cfg(all(test, not(feature = "model-check")))]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::thread::{self, ThreadId};

    use ndarray::Array2;

    use super::*;
    use crate::metrics::Metrics;
    use crate::runtime::cost::{Cost, Sample};
    use crate::runtime::job::Priority;
    use crate::runtime::queue::Bounds;
    use crate::runtime::session::Session;
    use crate::signature::BatchAxis;
    use crate::tensor::Tensors;

    /// Tells on which thread it runs; panics on a row of other than one number.
    struct Echo(mpsc::Sender<ThreadId>);

    impl Session for Echo {
        fn run(&mut self, inputs: &Tensors, _: &[String], _: &Cancel) -> Result<Tensors, Error> {
            self.0.send(thread::current().id()).unwrap();
            assert_eq!(inputs.get("x").unwrap().shape()[1], 1);
            Ok(inputs.clone())
        }
    }

    /// One session, of which a run is said to take `time`.
    fn pool(time: Duration, max_queue_delay: Duration) -> (SessionPool, mpsc::Receiver<ThreadId>) {
        let (ran, runs) = mpsc::channel();
        let bounds = Bounds {
            max_queue_size: 10,
            max_queue_bytes: 1 << 20,
            max_batch_size: 4,
            max_batch_tokens: 4096,
            min_efficiency: 0.9,
            max_queue_delay,
        };
        let new = ran.clone();
        let setup = Setup {
            name: "echo".into(),
            open: Box::new(move || Ok(Box::new(Echo(new.clone())) as Box<dyn Session>)),
            axis: BatchAxis::Dynamic,
            bounds,
            cost: Cost::fit(&[Sample { rows: 1, units: 1, time }]),
            metrics: Arc::new(Metrics::default().model("echo", "1", &[])),
        };
        (SessionPool::start(vec![Box::new(Echo(ran))], setup).unwrap(), runs)
    }

    fn rows(count: usize, width: usize) -> Rows {
        let x = Array2::<f32>::zeros((count, width)).into_dyn();
        Rows::alike(Tensors(vec![("x".into(), x.into())]))
    }

    const MICROSECOND: Duration = Duration::from_micros(1);

    #[test]
    fn a_quick_run_is_on_the_callers_thread() {
        let (pool, runs) = pool(MICROSECOND, Duration::ZERO);
        let outputs = pool.infer_here(&rows(2, 1), &[]).unwrap().unwrap();
        assert_eq!((outputs.tensors.rows(), outputs.queued), (2, Duration::ZERO));
        assert_eq!(runs.recv().unwrap(), thread::current().id());
        assert_eq!(pool.longest_run(), None);
    }

    #[test]
    fn what_takes_long_or_is_to_wait_for_others_is_for_the_queue() {
        let (slow, _) = pool(QUICK * 2, Duration::ZERO);
        let (unknown, _) = pool(Duration::ZERO, Duration::ZERO);
        let (patient, _) = pool(MICROSECOND, MICROSECOND);
        let (quick, _) = pool(MICROSECOND, Duration::ZERO);
        for (pool, rows) in
            [(slow, rows(1, 1)), (unknown, rows(1, 1)), (patient, rows(1, 1)), (quick, rows(5, 1))]
        {
            assert!(pool.infer_here(&rows, &[]).is_none());
        }
    }

    #[tokio::test]
    async fn a_session_that_panicked_is_replaced_by_its_own_thread() {
        let (pool, runs) = pool(MICROSECOND, Duration::ZERO);
        let failed = pool.infer_here(&rows(1, 2), &[]).unwrap().unwrap_err();
        assert_eq!(failed.cause.as_deref(), Some(PANICKED));
        assert_eq!(pool.live(), 0);
        assert!(pool.infer_here(&rows(1, 1), &[]).is_none());
        let outputs = Arc::<[String]>::from([]);
        pool.infer(rows(1, 1), &outputs, Priority::Interactive).await.unwrap();
        assert_eq!(pool.live(), 1);
        assert!(pool.infer_here(&rows(1, 1), &[]).unwrap().is_ok());
        let own = thread::current().id();
        let on_own: Vec<bool> = runs.try_iter().map(|thread| thread == own).collect();
        assert_eq!(on_own, [true, false, true]);
    }
}
