use std::sync::{Arc, Mutex, mpsc};

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
struct Stuck(mpsc::Sender<()>, Mutex<mpsc::Receiver<()>>);

impl Session for Stuck {
    fn run(&self, inputs: &Tensors, _: &[String], _: &Cancel) -> Result<Tensors, Error> {
        self.0.send(()).unwrap();
        let _ = self.1.lock().unwrap().recv();
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
            axis: BatchAxis::Dynamic,
            bounds,
            cost: Cost::fit(&[sample]),
            metrics: Arc::new(Metrics::default().model("stuck", "1", &[])),
        };
        let pool =
            SessionPool::start(vec![Arc::new(Stuck(started, Mutex::new(wait)))], setup).unwrap();
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
            self.waiting.push(
                self.pool
                    .enqueue(rows, &names, Order { priority, ..Order::default() }, None)
                    .unwrap(),
            );
        }
    }
}

fn admission(objective: Duration) -> Arc<Admission> {
    Arc::new(Admission::new(objective, Arc::new(Compute::new(1).unwrap())))
}

/// Rows that are decoded first, each a piece.
fn asking(rows: usize, priority: Priority, cost: Duration) -> Asking {
    Asking {
        rows,
        order: Order { priority, ..Order::default() },
        client: None,
        units: None,
        costs: vec![cost; rows],
    }
}

const MS: Duration = Duration::from_millis(1);

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_burst_may_wait_longer_than_what_comes_while_the_queue_stands() {
    let mut bench = Bench::new();
    let admission = admission(SECOND);
    bench.wait(20, Priority::Interactive);
    let check = |bench: &Bench, priority| {
        admission.check(&bench.pool, Terms { priority, ..Terms::default() })
    };
    assert_eq!(check(&bench, Priority::Interactive), Ok(()), "2 s of work, within a burst");
    bench.wait(21, Priority::Interactive);
    let of = |client| Terms { client: Some(client), ..Terms::default() };
    let asked = Asking { client: Some(1), ..asking(1, Priority::Interactive, MS) };
    assert!(admission.admit(&bench.pool, &asked).is_err(), "it counts, whatever becomes of it");
    assert_eq!(admission.check(&bench.pool, of(2)), Ok(()), "this is not its work");
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
