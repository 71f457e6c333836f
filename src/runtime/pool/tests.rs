use std::pin::Pin;
use std::sync::{Mutex, mpsc};
use std::task::{Context, Poll, Waker};

use ndarray::{ArrayD, Axis, IxDyn};

use super::*;
use crate::metrics::Metrics;
use crate::runtime::cost::Sample;
use crate::tensor::{Tensor, Tensors};

const PANICS: f32 = 13.0;
const FAILS: f32 = 66.0;

/// Doubles every number, notes its batches, panics or fails on the two numbers above. With a gate,
/// a run says that it has started and waits for a permit.
#[derive(Clone, Default)]
struct Doubler {
    batches: Arc<Mutex<Vec<Vec<f32>>>>,
    gate: Option<Arc<Mutex<Ends>>>,
}

impl Session for Doubler {
    fn run(&self, inputs: &Tensors, _: &[String], _: &Cancel) -> Result<Tensors, Error> {
        let Some(Tensor::F32(x)) = inputs.get("x") else { return Err(Error::internal("no x")) };
        self.batches.lock().unwrap().push(x.iter().copied().collect());
        if let Some(gate) = &self.gate {
            let gate = gate.lock().unwrap();
            gate.0.send(()).unwrap();
            gate.1.recv().unwrap();
        }
        assert!(!x.iter().any(|v| *v == PANICS), "unlucky");
        if x.iter().any(|v| *v == FAILS) {
            return Err(Error::internal("a number that it cannot bear"));
        }
        Ok(Tensors(vec![("y".into(), x.mapv(|v| v * 2.0).into())]))
    }
}

/// The session's ends of a gate: it has started, it may go on.
type Ends = (mpsc::Sender<()>, mpsc::Receiver<()>);

struct Gate {
    starts: mpsc::Receiver<()>,
    permits: mpsc::Sender<()>,
}

impl Doubler {
    fn gated() -> (Self, Gate) {
        let (started, starts) = mpsc::channel();
        let (permits, permit) = mpsc::channel();
        let gate = Some(Arc::new(Mutex::new((started, permit))));
        (Self { gate, ..Self::default() }, Gate { starts, permits })
    }

    fn sizes(&self) -> Vec<usize> {
        self.batches.lock().unwrap().iter().map(Vec::len).collect()
    }

    fn start(&self, sessions: usize, axis: BatchAxis, max_queue_size: usize) -> SessionPool {
        self.start_priced(sessions, axis, max_queue_size, &[])
    }

    fn start_priced(
        &self,
        sessions: usize,
        axis: BatchAxis,
        max_queue_size: usize,
        samples: &[Sample],
    ) -> SessionPool {
        let bounds = Bounds {
            max_queue_size,
            max_queue_bytes: 1 << 20,
            max_batch_size: super::super::run::max_batch_size(axis, 8),
            max_batch_tokens: 4096,
            min_efficiency: 0.9,
            max_queue_delay: Duration::ZERO,
        };
        let session: Arc<dyn Session> = Arc::new(self.clone());
        SessionPool::start(vec![session; sessions], setup(axis, bounds, Cost::fit(samples)))
            .unwrap()
    }
}

fn setup(axis: BatchAxis, bounds: Bounds, cost: Cost) -> Setup {
    let metrics = Arc::new(Metrics::default().model("double", "1", &[]));
    Setup { name: "double".into(), axis, bounds, cost, metrics }
}

fn rows(values: &[f32]) -> Rows {
    let x = ArrayD::from_shape_vec(IxDyn(&[values.len(), 1]), values.to_vec()).unwrap();
    Rows::alike(Tensors(vec![("x".into(), x.into())]))
}

async fn ask(pool: &SessionPool, values: &[f32]) -> Result<Vec<f32>, Error> {
    let names: Arc<[String]> = Arc::new([]);
    let outputs = pool.infer(rows(values), &names, Priority::Interactive).await?;
    let tensor = outputs.tensors.get("y").unwrap();
    assert_eq!(tensor.shape()[Axis(0).index()], values.len());
    Ok(tensor.to_f32().unwrap())
}

fn doubled(values: &[f32]) -> Vec<f32> {
    values.iter().map(|v| v * 2.0).collect()
}

/// Starts a request without waiting for its answer.
fn start<'a>(
    pool: &'a SessionPool,
    values: &'a [f32],
) -> Pin<Box<dyn Future<Output = Result<Vec<f32>, Error>> + 'a>> {
    let mut future = Box::pin(ask(pool, values));
    let poll = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(poll, Poll::Pending));
    future
}

#[tokio::test]
async fn every_kind_of_batch_axis_answers_every_row_in_order() {
    let values: Vec<f32> = (1_u8..=11).map(f32::from).collect();
    for axis in [BatchAxis::Dynamic, BatchAxis::Fixed(3), BatchAxis::None] {
        let pool = Doubler::default().start(1, axis, 100);
        assert_eq!(ask(&pool, &values).await.unwrap(), doubled(&values), "{axis:?}");
    }
}

#[tokio::test]
async fn rows_of_different_requests_run_as_one_batch() {
    let (session, gate) = Doubler::gated();
    let pool = session.start(1, BatchAxis::Dynamic, 100);
    let first = start(&pool, &[1.0]);
    gate.starts.recv().unwrap();
    let others = [start(&pool, &[2.0]), start(&pool, &[3.0, 4.0]), start(&pool, &[5.0])];
    for _ in 0..2 {
        gate.permits.send(()).unwrap();
    }
    assert_eq!(first.await.unwrap(), [2.0]);
    let mut answers = Vec::new();
    for other in others {
        answers.push(other.await.unwrap());
    }
    assert_eq!(answers, [vec![4.0], vec![6.0, 8.0], vec![10.0]]);
    assert_eq!(session.sizes(), [1, 4]);
}

#[test]
fn answers_of_one_run_arrive_although_the_async_threads_of_one_caller_have_ended() {
    let (session, gate) = Doubler::gated();
    let pool = session.start(1, BatchAxis::Dynamic, 100);
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (ends, stays) = (runtime(), runtime());
    let first = start(&pool, &[1.0]);
    gate.starts.recv().unwrap();
    let entered = ends.enter();
    let second = start(&pool, &[2.0]);
    drop(entered);
    let entered = stays.enter();
    let third = start(&pool, &[3.0]);
    drop(entered);
    drop(ends);
    for _ in 0..2 {
        gate.permits.send(()).unwrap();
    }
    let answers = stays.block_on(async { [first.await, second.await, third.await] });
    assert_eq!(answers.map(Result::unwrap), [[2.0], [4.0], [6.0]]);
    assert_eq!(session.sizes(), [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_caller_gets_its_own_rows() {
    let pool = Arc::new(Doubler::default().start(3, BatchAxis::Dynamic, 100_000));
    // A fixed sequence of sizes; the values tell callers and rows apart.
    let callers = (0_u16..400).map(|caller| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let size = usize::from(caller.wrapping_mul(7919) % 13) + 1;
            let values: Vec<f32> =
                (0..size).map(|row| f32::from(caller) * 100.0 + row as f32 + 0.5).collect();
            assert_eq!(ask(&pool, &values).await.unwrap(), doubled(&values));
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
}

#[tokio::test]
async fn a_full_queue_is_an_answer_and_a_caller_that_left_is_not_run() {
    let (session, gate) = Doubler::gated();
    let pool = session.start(1, BatchAxis::Dynamic, 2);
    let running = start(&pool, &[1.0]);
    gate.starts.recv().unwrap();
    let leaving = start(&pool, &[2.0]);
    let waiting = start(&pool, &[3.0]);
    assert_eq!(ask(&pool, &[4.0]).await.unwrap_err().kind, ErrorKind::Overloaded);
    drop(leaving);
    for _ in 0..2 {
        gate.permits.send(()).unwrap();
    }
    assert_eq!(running.await.unwrap(), [2.0]);
    assert_eq!(waiting.await.unwrap(), [6.0]);
    assert_eq!(*session.batches.lock().unwrap(), [[1.0], [3.0]], "2.0 must not run");
}

/// Eight requests in one batch, one of them bad.
async fn poison_at(position: usize, poison: f32) -> Doubler {
    let (session, gate) = Doubler::gated();
    let pool = session.start(1, BatchAxis::Dynamic, 100);
    let first = start(&pool, &[0.5]);
    gate.starts.recv().unwrap();
    let mut values: Vec<[f32; 1]> = (0_u8..8).map(|v| [f32::from(v) + 0.25]).collect();
    values[position] = [poison];
    let batch: Vec<_> = values.iter().map(|value| start(&pool, value)).collect();
    // More permits than the halving of eight rows needs.
    for _ in 0..20 {
        gate.permits.send(()).unwrap();
    }
    first.await.unwrap();
    for (index, (answer, value)) in batch.into_iter().zip(&values).enumerate() {
        match answer.await {
            Ok(answer) => assert_eq!(answer, doubled(value), "mate {index} of {position}"),
            Err(error) => {
                assert_eq!((index, error.kind), (position, ErrorKind::Internal));
            }
        }
    }
    session
}

#[tokio::test]
async fn a_bad_row_fails_alone_at_every_place_of_a_batch() {
    for position in 0..8 {
        let session = poison_at(position, FAILS).await;
        assert_eq!(session.sizes()[..2], [1, 8]);
    }
}

#[tokio::test]
async fn a_row_that_panics_the_session_fails_alone() {
    for position in 0..8 {
        poison_at(position, PANICS).await;
    }
    let pool = Doubler::default().start(1, BatchAxis::Dynamic, 10);
    assert_eq!(ask(&pool, &[PANICS]).await.unwrap_err().kind, ErrorKind::Internal);
    assert_eq!(ask(&pool, &[21.0]).await.unwrap(), [42.0]);
}

#[tokio::test]
async fn a_bad_row_of_a_list_is_the_lists_error_and_nobody_elses() {
    let pool = Doubler::default().start(1, BatchAxis::Dynamic, 100);
    assert_eq!(ask(&pool, &[1.0, FAILS, 3.0]).await.unwrap_err().kind, ErrorKind::Internal);
    assert_eq!(ask(&pool, &[1.0, 3.0]).await.unwrap(), [2.0, 6.0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_at_shutdown_is_answered() {
    let (session, gate) = Doubler::gated();
    let pool = Arc::new(session.start(1, BatchAxis::Dynamic, 100));
    let (job, first) = Job::new(rows(&[1.0]), Arc::new([]), Priority::Interactive);
    pool.engine.queue.push(&job).unwrap();
    gate.starts.recv().unwrap();
    let waiting: Vec<_> = (0_u8..5)
        .map(|value| {
            let (job, answer) = Job::new(rows(&[f32::from(value)]), Arc::new([]), Priority::Bulk);
            pool.engine.queue.push(&job).unwrap();
            answer
        })
        .collect();
    drop(pool);
    for _ in 0..2 {
        gate.permits.send(()).unwrap();
    }
    first.await.unwrap().unwrap();
    for answer in waiting {
        answer.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn too_much_is_told_when_to_come_back() {
    let (session, gate) = Doubler::gated();
    // 400 ms a row, says the cost curve.
    let sample = |rows: usize| Sample { rows, units: rows, time: Duration::from_millis(400) };
    let samples = [sample(1), Sample { time: Duration::from_millis(800), ..sample(2) }];
    let pool = session.start_priced(1, BatchAxis::Dynamic, 4, &samples);
    let running = start(&pool, &[1.0]);
    gate.starts.recv().unwrap();
    let waiting = start(&pool, &[2.0, 3.0, 4.0]);
    let names: Arc<[String]> = Arc::new([]);
    let full = pool.infer(rows(&[5.0, 6.0]), &names, Priority::Interactive).await;
    let full = full.unwrap_err();
    assert_eq!((full.kind, full.retry_after), (ErrorKind::Overloaded, Some(2)));
    let ahead = pool.ahead(Order::default(), 1, 2);
    assert_eq!((ahead.rows, ahead.wait.as_millis(), ahead.run.as_millis()), (5, 2000, 400));
    for _ in 0..2 {
        gate.permits.send(()).unwrap();
    }
    running.await.unwrap();
    waiting.await.unwrap();
    assert_eq!(session.sizes(), [1, 3], "what was refused is never run");
}

/// Runs until it is stopped.
struct Endless(mpsc::Sender<()>);

impl Session for Endless {
    fn run(&self, _: &Tensors, _: &[String], cancel: &Cancel) -> Result<Tensors, Error> {
        let (stop, stopped) = mpsc::channel();
        let stop = Mutex::new(stop);
        cancel.on_stop(move || stop.lock().unwrap().send(()).unwrap());
        self.0.send(()).unwrap();
        stopped.recv().unwrap();
        Err(Error::internal("stopped"))
    }
}

#[tokio::test]
async fn a_run_that_nobody_waits_for_is_stopped() {
    let (started, starts) = mpsc::channel();
    let bounds = *Doubler::default().start(1, BatchAxis::Dynamic, 10).engine.queue.bounds();
    let setup = setup(BatchAxis::Dynamic, bounds, Cost::fit(&[]));
    let pool = SessionPool::start(vec![Arc::new(Endless(started))], setup).unwrap();
    for _ in 0..3 {
        // The next run can only start because the last one was stopped.
        let caller = start(&pool, &[1.0]);
        starts.recv().unwrap();
        drop(caller);
    }
}

/// A pool of this many sessions with a wide one beside them, and the requests in its process.
fn widened(narrow: &Doubler, sessions: usize, wide: &Doubler) -> (SessionPool, Arc<Crowd>) {
    let pool = narrow.start(sessions, BatchAxis::Dynamic, 100);
    let crowd = Arc::new(Crowd::default());
    pool.widen(Arc::new(wide.clone()), crowd.clone());
    (pool, crowd)
}

#[tokio::test]
async fn a_lone_row_runs_wide_and_a_list_in_the_sessions_side_by_side() {
    let (narrow, wide) = (Doubler::default(), Doubler::default());
    let (pool, crowd) = widened(&narrow, 2, &wide);
    let alone = crowd.enter();
    assert_eq!(ask(&pool, &[1.0]).await.unwrap(), [2.0]);
    assert_eq!((wide.sizes(), narrow.sizes()), (vec![1], vec![]));
    assert_eq!(pool.engine.setup.metrics.wide_runs.get(), 1);
    assert_eq!(ask(&pool, &[1.0, 2.0, 3.0]).await.unwrap(), [2.0, 4.0, 6.0]);
    assert_eq!(wide.sizes(), [1]);
    drop(alone);
}

#[tokio::test]
async fn with_another_request_anywhere_nothing_runs_wide() {
    let (narrow, wide) = (Doubler::default(), Doubler::default());
    let (pool, crowd) = widened(&narrow, 2, &wide);
    let _of_this_model = crowd.enter();
    let of_another_model = crowd.enter();
    assert_eq!(ask(&pool, &[1.0]).await.unwrap(), [2.0]);
    drop(of_another_model);
    assert_eq!(ask(&pool, &[2.0]).await.unwrap(), [4.0], "it has just left");
    assert_eq!((wide.sizes(), narrow.sizes()), (vec![], vec![1, 1]));
}

#[tokio::test]
async fn whoever_comes_during_a_wide_run_is_served_beside_it() {
    let (wide, gate) = Doubler::gated();
    let (pool, crowd) = widened(&Doubler::default(), 2, &wide);
    let _first = crowd.enter();
    let running = start(&pool, &[1.0]);
    gate.starts.recv().unwrap();
    let _second = crowd.enter();
    assert_eq!(ask(&pool, &[2.0]).await.unwrap(), [4.0]);
    gate.permits.send(()).unwrap();
    assert_eq!(running.await.unwrap(), [2.0]);
}

#[tokio::test]
async fn a_wide_session_that_fails_or_panics_costs_its_row_alone() {
    let (narrow, wide) = (Doubler::default(), Doubler::default());
    let (pool, crowd) = widened(&narrow, 1, &wide);
    // One thread, since its next row comes when it has let go of the wide session.
    let _alone = crowd.enter();
    for bad in [FAILS, PANICS] {
        assert_eq!(ask(&pool, &[bad]).await.unwrap_err().kind, ErrorKind::Internal);
        assert_eq!(ask(&pool, &[21.0]).await.unwrap(), [42.0]);
    }
    assert_eq!((wide.sizes(), narrow.sizes()), (vec![1; 4], vec![]));
}

#[tokio::test]
async fn a_wide_run_that_nobody_waits_for_is_stopped() {
    let (started, starts) = mpsc::channel();
    let pool = Doubler::default().start(1, BatchAxis::Dynamic, 10);
    let crowd = Arc::new(Crowd::default());
    pool.widen(Arc::new(Endless(started)), crowd.clone());
    let _alone = crowd.enter();
    for _ in 0..3 {
        let caller = start(&pool, &[1.0]);
        starts.recv().unwrap();
        drop(caller);
    }
}

#[tokio::test]
async fn a_round_has_as_many_usual_rows_as_the_tokens_of_a_batch_allow() {
    for (tokens, rows) in [(1, 16), (512, 16), (1024, 8), (5000, 2)] {
        let sample = Sample { rows: 1, units: tokens, time: Duration::from_millis(1) };
        let pool = Doubler::default().start_priced(2, BatchAxis::Dynamic, 100, &[sample]);
        assert_eq!(pool.rows_a_round(), rows, "of {tokens} tokens");
    }
}
