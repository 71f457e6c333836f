//! The sessions of one model behind one bounded queue. A thread owns each session and takes work
//! when it is idle.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tokio::sync::oneshot;

use super::session::Session;
use crate::error::{Error, ErrorKind};
use crate::signature::BatchAxis;
use crate::tensor::Tensors;

/// How the rows of a job become runs.
#[derive(Debug, Clone, Copy)]
pub struct Batching {
    pub axis: BatchAxis,
    /// Most rows in one run.
    pub max_batch_size: usize,
}

struct Job {
    inputs: Tensors,
    outputs: Arc<[String]>,
    reply: oneshot::Sender<Result<Tensors, Error>>,
}

/// Sessions of one model, each on its own thread. Dropping the pool ends the threads after the work
/// that is queued.
pub struct SessionPool {
    queue: Sender<Job>,
    max_queue_size: usize,
}

impl SessionPool {
    /// Starts a thread for each session.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(
        name: &str,
        sessions: Vec<Box<dyn Session>>,
        batching: Batching,
        max_queue_size: usize,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = bounded(max_queue_size);
        for (index, session) in sessions.into_iter().enumerate() {
            let jobs = jobs.clone();
            thread::Builder::new()
                .name(format!("session-{name}-{index}"))
                .spawn(move || serve(session, &jobs, batching))?;
        }
        Ok(Self { queue, max_queue_size })
    }

    /// Tensors in, the outputs of these names out; both have a batch axis, whatever the model has.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`] at once if the queue is full; [`ErrorKind::Internal`] if the run
    /// fails.
    pub async fn infer(&self, inputs: Tensors, outputs: &Arc<[String]>) -> Result<Tensors, Error> {
        let (reply, answer) = oneshot::channel();
        match self.queue.try_send(Job { inputs, outputs: outputs.clone(), reply }) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(gone())),
            Err(TrySendError::Full(_)) => Err(Error::new(
                ErrorKind::Overloaded,
                format!("the model's queue of {} is full; try again", self.max_queue_size),
            )),
            Err(TrySendError::Disconnected(_)) => Err(gone()),
        }
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Unavailable, "the model has no live session; try again")
}

fn serve(mut session: Box<dyn Session>, jobs: &Receiver<Job>, batching: Batching) {
    for Job { inputs, outputs, reply } in jobs {
        // A closed reply is a caller that has gone: its work is not done.
        if reply.is_closed() {
            continue;
        }
        let run = AssertUnwindSafe(|| run_in_batches(session.as_mut(), inputs, &outputs, batching));
        let result = catch_unwind(run).unwrap_or_else(|_| Err(Error::internal("session panicked")));
        let _ = reply.send(result);
    }
}

/// Splits `inputs` into runs that the model takes and joins their outputs again.
///
/// # Errors
/// Those of the session, and [`ErrorKind::Internal`] if an output has not one entry a row.
pub fn run_in_batches(
    session: &mut dyn Session,
    inputs: Tensors,
    outputs: &[String],
    batching: Batching,
) -> Result<Tensors, Error> {
    let rows = inputs.rows();
    let step = match batching.axis {
        BatchAxis::Dynamic => batching.max_batch_size.max(1),
        BatchAxis::Fixed(size) => size.max(1),
        BatchAxis::None => 1,
    };
    if rows <= step {
        return run_one(session, inputs, outputs, batching.axis);
    }
    let mut parts = Vec::with_capacity(rows.div_ceil(step));
    for start in (0..rows).step_by(step) {
        let part = inputs.slice_rows(start, rows.min(start + step));
        parts.push(run_one(session, part, outputs, batching.axis)?);
    }
    Tensors::concatenate(&parts)
        .ok_or_else(|| Error::internal("outputs of one model differ in shape"))
}

fn run_one(
    session: &mut dyn Session,
    inputs: Tensors,
    outputs: &[String],
    axis: BatchAxis,
) -> Result<Tensors, Error> {
    let rows = inputs.rows();
    let answer = match axis {
        BatchAxis::None => session.run(&inputs.drop_batch_axis(), outputs)?.add_batch_axis(),
        BatchAxis::Fixed(size) if size != rows => {
            let last = inputs.slice_rows(rows - 1, rows);
            let mut parts = vec![inputs];
            parts.resize(1 + size - rows, last);
            let full = Tensors::concatenate(&parts)
                .ok_or_else(|| Error::internal("rows of one batch differ in shape"))?;
            let answer = session.run(&full, outputs)?;
            check_rows(&answer, size)?;
            answer.slice_rows(0, rows)
        }
        BatchAxis::Dynamic | BatchAxis::Fixed(_) => session.run(&inputs, outputs)?,
    };
    check_rows(&answer, rows)?;
    Ok(answer)
}

fn check_rows(outputs: &Tensors, rows: usize) -> Result<(), Error> {
    match outputs.0.iter().find(|(_, tensor)| tensor.shape().first() != Some(&rows)) {
        None => Ok(()),
        Some((name, tensor)) => Err(Error::internal(format!(
            "output `{name}` has the shape {:?} for a batch of {rows}",
            tensor.shape()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};

    use ndarray::{ArrayD, Axis, IxDyn};

    use super::*;
    use crate::tensor::Tensor;

    /// Doubles every number and remembers the batch sizes it saw; panics on a row of 13.
    #[derive(Default)]
    struct Doubler {
        batches: Vec<usize>,
    }

    impl Session for Doubler {
        fn run(&mut self, inputs: &Tensors, _: &[String]) -> Result<Tensors, Error> {
            let Some(Tensor::F32(x)) = inputs.get("x") else { panic!("no x") };
            assert!(!x.iter().any(|v| *v == 13.0), "unlucky");
            self.batches.push(x.len_of(Axis(0)));
            Ok(Tensors(vec![("y".into(), x.mapv(|v| v * 2.0).into())]))
        }
    }

    fn column(values: &[f32]) -> Tensors {
        let x = ArrayD::from_shape_vec(IxDyn(&[values.len(), 1]), values.to_vec()).unwrap();
        Tensors(vec![("x".into(), x.into())])
    }

    fn doubled(axis: BatchAxis, values: &[f32]) -> (Vec<f32>, Vec<usize>) {
        let mut session = Doubler::default();
        let batching = Batching { axis, max_batch_size: 4 };
        let outputs = run_in_batches(&mut session, column(values), &[], batching).unwrap();
        (outputs.get("y").unwrap().to_f32().unwrap(), session.batches)
    }

    #[test]
    fn every_kind_of_batch_axis_answers_every_row_in_order() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0];
        let wanted = vec![2.0, 4.0, 6.0, 8.0, 10.0];
        assert_eq!(doubled(BatchAxis::Dynamic, &values), (wanted.clone(), vec![4, 1]));
        assert_eq!(doubled(BatchAxis::Fixed(3), &values), (wanted.clone(), vec![3, 3]));
        assert_eq!(doubled(BatchAxis::None, &values), (wanted, vec![1; 5]));
    }

    #[tokio::test]
    async fn a_panicking_run_is_one_error_and_the_next_request_is_answered() {
        let batching = Batching { axis: BatchAxis::Dynamic, max_batch_size: 4 };
        let pool =
            SessionPool::start("double", vec![Box::new(Doubler::default())], batching, 4).unwrap();
        let outputs: Arc<[String]> = Arc::new([]);
        let unlucky = pool.infer(column(&[13.0]), &outputs).await.unwrap_err();
        assert_eq!(unlucky.kind, ErrorKind::Internal);
        let answer = pool.infer(column(&[21.0]), &outputs).await.unwrap();
        assert_eq!(answer.get("y").unwrap().to_f32().unwrap(), vec![42.0]);
    }

    /// Says that a run has started, then holds it until a permit comes.
    struct Held {
        started: mpsc::Sender<()>,
        permits: mpsc::Receiver<()>,
        runs: Arc<AtomicUsize>,
    }

    impl Session for Held {
        fn run(&mut self, inputs: &Tensors, _: &[String]) -> Result<Tensors, Error> {
            self.runs.fetch_add(1, Ordering::SeqCst);
            self.started.send(()).unwrap();
            self.permits.recv().unwrap();
            Ok(inputs.clone())
        }
    }

    fn poll<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
        Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn a_full_queue_is_an_answer_and_a_caller_that_left_is_not_run() {
        let (started, starts) = mpsc::channel();
        let (permit, permits) = mpsc::channel();
        let runs = Arc::new(AtomicUsize::new(0));
        let session = Held { started, permits, runs: runs.clone() };
        let batching = Batching { axis: BatchAxis::Dynamic, max_batch_size: 4 };
        let pool = SessionPool::start("held", vec![Box::new(session)], batching, 2).unwrap();
        let outputs: Arc<[String]> = Arc::new([]);

        let mut running = Box::pin(pool.infer(column(&[1.0]), &outputs));
        assert!(poll(&mut running).is_pending());
        starts.recv().unwrap();
        let mut leaving = Box::pin(pool.infer(column(&[2.0]), &outputs));
        assert!(poll(&mut leaving).is_pending());
        let mut waiting = Box::pin(pool.infer(column(&[3.0]), &outputs));
        assert!(poll(&mut waiting).is_pending());
        let refused = pool.infer(column(&[4.0]), &outputs).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Overloaded);

        drop(leaving);
        permit.send(()).unwrap();
        running.await.unwrap();
        permit.send(()).unwrap();
        waiting.await.unwrap();
        assert_eq!(runs.load(Ordering::SeqCst), 2, "the abandoned job must not run");
    }
}
