use ndarray::Array2;
use tokio::sync::oneshot;

use super::*;
use crate::rows::{Lengths, Rows};
use crate::runtime::patience::{Due, Patience};
use crate::tensor::Tensors;

const BOUNDS: Bounds = Bounds {
    max_queue_size: 100,
    max_queue_bytes: 1 << 20,
    max_batch_size: 8,
    max_batch_tokens: 4096,
    min_efficiency: 0.9,
    max_queue_delay: Duration::ZERO,
};

/// Jobs whose callers wait as long as this lives.
#[derive(Default)]
struct Callers(Vec<oneshot::Receiver<Result<crate::runtime::job::Outputs, crate::error::Error>>>);

impl Callers {
    /// A job of one row for each of these lengths.
    fn job(&mut self, lengths: &[usize], priority: Priority) -> Arc<Job> {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let ids = Array2::<i64>::zeros((lengths.len(), longest)).into_dyn();
        let lengths = Lengths { of_rows: lengths.to_vec(), padding: vec![0], left: false };
        let rows = Rows::sequences(Tensors(vec![("ids".into(), ids.into())]), lengths);
        let (job, answer) = Job::new(rows, Arc::new([]), priority);
        self.0.push(answer);
        job
    }

    fn push(&mut self, waiting: &mut Waiting, lengths: &[usize]) {
        let job = self.job(lengths, Priority::Interactive);
        waiting.push(&job, &BOUNDS).unwrap();
    }
}

/// Lengths of the rows in a batch.
fn lengths(batch: &[Share]) -> Vec<usize> {
    let rows =
        batch.iter().flat_map(|share| share.rows.clone().map(|row| share.job.rows.length(row)));
    rows.collect()
}

#[test]
fn what_waits_is_one_batch_for_one_idle_session_and_shared_out_over_two() {
    let (mut callers, mut waiting) = (Callers::default(), Waiting::default());
    for _ in 0..8 {
        callers.push(&mut waiting, &[5]);
    }
    waiting.idle = 2;
    assert_eq!(lengths(&waiting.take(&BOUNDS)).len(), 4);
    waiting.idle = 1;
    assert_eq!(lengths(&waiting.take(&BOUNDS)).len(), 4);
    assert_eq!(waiting.work, Work::default());
}

#[test]
fn where_padding_counts_only_rows_of_one_length_share_a_batch() {
    let (mut callers, mut waiting) = (Callers::default(), Waiting::default());
    let bounds = Bounds { min_efficiency: 1.0, ..BOUNDS };
    callers.push(&mut waiting, &[30, 31, 30]);
    callers.push(&mut waiting, &[31, 30]);
    waiting.idle = 1;
    assert_eq!(lengths(&waiting.take(&bounds)), [30, 30, 30]);
    assert_eq!(lengths(&waiting.take(&bounds)), [31, 31]);
}

#[test]
fn a_long_list_runs_in_batches_with_others() {
    let (mut callers, mut waiting) = (Callers::default(), Waiting::default());
    callers.push(&mut waiting, &[5; 12]);
    callers.push(&mut waiting, &[5]);
    waiting.idle = 1;
    let first = waiting.take(&BOUNDS);
    assert_eq!(first[0].rows, 0..8);
    let second = waiting.take(&BOUNDS);
    let second: Vec<_> = second.iter().map(|share| share.rows.clone()).collect();
    assert_eq!(second, [0..1, 8..12], "the other first, and what is left of the list beside it");
}

#[test]
fn rows_of_near_length_are_packed_and_little_is_padding() {
    let (mut callers, mut waiting) = (Callers::default(), Waiting::default());
    for _ in 0..20 {
        callers.push(&mut waiting, &[16]);
        callers.push(&mut waiting, &[256]);
    }
    waiting.idle = 1;
    let mut batches = 0;
    while waiting.work.rows > 0 {
        let batch = lengths(&waiting.take(&BOUNDS));
        let padded = batch.len() * batch.iter().max().unwrap();
        assert!(batch.iter().sum::<usize>() * 10 >= padded * 9, "{batch:?}");
        batches += 1;
    }
    assert!(batches <= 6, "{batches}");
}

#[test]
fn a_batch_stays_within_its_tokens_unless_one_row_is_over_them() {
    let bounds = Bounds { max_batch_tokens: 1000, ..BOUNDS };
    let (mut callers, mut waiting) = (Callers::default(), Waiting::default());
    callers.push(&mut waiting, &[400, 400, 400, 5000]);
    waiting.idle = 1;
    let batches: Vec<_> = (0..3).map(|_| lengths(&waiting.take(&bounds))).collect();
    assert_eq!(batches, [vec![400, 400], vec![400], vec![5000]]);
}

#[test]
fn of_several_that_fit_the_nearest_run_together() {
    let (mut callers, mut waiting) = (Callers::default(), Waiting::default());
    let bounds = Bounds { max_batch_size: 3, ..BOUNDS };
    for length in [100, 92, 108, 99, 101, 94] {
        callers.push(&mut waiting, &[length]);
    }
    waiting.idle = 1;
    assert_eq!(lengths(&waiting.take(&bounds)), [100, 99, 101]);
    assert_eq!(lengths(&waiting.take(&bounds)), [92, 94, 108]);
}

#[test]
fn without_packing_rows_run_in_the_order_of_arrival() {
    let (mut callers, mut waiting) = (Callers::default(), Waiting::default());
    let bounds = Bounds { max_batch_size: 3, max_batch_tokens: 300, min_efficiency: 0.0, ..BOUNDS };
    for length in [10, 100, 20, 200, 10, 10] {
        callers.push(&mut waiting, &[length]);
    }
    waiting.idle = 1;
    assert_eq!(lengths(&waiting.take(&bounds)), [10, 100, 20]);
    assert_eq!(lengths(&waiting.take(&bounds)), [200], "nothing passes what does not fit");
    assert_eq!(lengths(&waiting.take(&bounds)), [10, 10]);
}

#[test]
fn a_row_waits_for_no_more_batches_than_there_were_rows_before_it() {
    let (mut callers, mut waiting) = (Callers::default(), Waiting::default());
    for length in [10, 20, 40] {
        callers.push(&mut waiting, &[length]);
    }
    callers.push(&mut waiting, &[3]);
    waiting.idle = 1;
    for _ in 0..3 {
        // Newcomers that fit with what waits before the row of 3 tokens.
        for length in [10, 20, 40] {
            callers.push(&mut waiting, &[length; 8]);
        }
        assert!(!lengths(&waiting.take(&BOUNDS)).contains(&3));
    }
    assert_eq!(lengths(&waiting.take(&BOUNDS)).first(), Some(&3));
}

#[test]
fn a_job_of_one_row_waits_for_a_batch_of_each_job_and_not_for_all_their_rows() {
    let (mut callers, mut waiting) = (Callers::default(), Waiting::default());
    let bounds = Bounds { max_batch_tokens: 100, ..BOUNDS };
    for length in [50, 60] {
        callers.push(&mut waiting, &[length; 40]);
    }
    let before = |waiting: &Waiting, rows| waiting.before(false, rows, &bounds).rows;
    let of_two = [1, 9, 400].map(|rows| before(&waiting, rows));
    assert_eq!(of_two, [3, 6, 80], "two rows of one and one of the other in each turn");
    callers.push(&mut waiting, &[3]);
    waiting.idle = 1;
    let take = |waiting: &mut Waiting| lengths(&waiting.take(&bounds));
    assert_eq!([take(&mut waiting), take(&mut waiting)], [vec![50, 50], vec![60]]);
    assert_eq!(take(&mut waiting), [3]);
    assert_eq!([take(&mut waiting), take(&mut waiting)], [vec![50, 50], vec![60]], "in turns");
    assert_eq!(before(&waiting, 1), 0, "these are begun");
    callers.push(&mut waiting, &[3]);
    assert_eq!(take(&mut waiting), [3]);
}

#[test]
fn a_long_job_goes_on_while_others_keep_coming() {
    let (mut callers, mut waiting) = (Callers::default(), Waiting::default());
    let bounds = Bounds { max_batch_size: 1, ..BOUNDS };
    callers.push(&mut waiting, &[7; 3]);
    waiting.idle = 1;
    let order = (0..20).map(|_| {
        let taken = lengths(&waiting.take(&bounds));
        callers.push(&mut waiting, &[5]);
        taken[0]
    });
    let order: Vec<usize> = order.collect();
    let places: Vec<usize> = (0..20).filter(|place| order[*place] == 7).collect();
    assert_eq!(places, [0, 1 + PASSED_OVER as usize, 2 + 2 * PASSED_OVER as usize]);
}

#[test]
fn a_batch_looks_only_so_far_ahead() {
    let (mut callers, mut waiting) = (Callers::default(), Waiting::default());
    let bounds = Bounds { max_batch_size: 2, ..BOUNDS };
    let others = [100; 2 * filling::LOOK_AHEAD - 1];
    callers.push(&mut waiting, &[10]);
    for length in others {
        callers.push(&mut waiting, &[length]);
    }
    callers.push(&mut waiting, &[10]);
    waiting.idle = 1;
    assert_eq!(lengths(&waiting.take(&bounds)), [10]);
    assert_eq!(lengths(&waiting.take(&bounds)), [100, 100]);
}

#[test]
fn interactive_work_goes_first_and_bulk_work_is_not_starved() {
    let (mut callers, mut waiting) = (Callers::default(), Waiting::default());
    let bounds = Bounds { max_batch_size: 1, ..BOUNDS };
    let bulk = callers.job(&[7], Priority::Bulk);
    waiting.push(&bulk, &bounds).unwrap();
    for _ in 0..20 {
        callers.push(&mut waiting, &[5]);
    }
    waiting.idle = 1;
    let order: Vec<usize> = (0..21).flat_map(|_| lengths(&waiting.take(&bounds))).collect();
    let place = order.iter().position(|length| *length == 7);
    assert_eq!(place, Some(PASSED_OVER as usize));
}

#[test]
fn a_full_queue_refuses_by_rows_and_by_bytes_and_forgets_who_left() {
    let (mut callers, mut waiting) = (Callers::default(), Waiting::default());
    let bounds = Bounds { max_queue_size: 3, max_queue_bytes: 8 * 30, ..BOUNDS };
    let push = |waiting: &mut Waiting, job: &Arc<Job>| waiting.push(job, &bounds);
    let two = callers.job(&[5, 5], Priority::Interactive);
    assert_eq!(push(&mut waiting, &two), Ok(()));
    let list = callers.job(&[5, 5], Priority::Interactive);
    assert_eq!(push(&mut waiting, &list), Err(Refused::Full), "a list counts row by row");
    let heavy = callers.job(&[25], Priority::Interactive);
    assert_eq!(push(&mut waiting, &heavy), Err(Refused::Full), "by bytes");
    drop((list, heavy));
    callers.0.clear();
    let list = callers.job(&[5, 5], Priority::Interactive);
    assert_eq!(push(&mut waiting, &list), Ok(()), "nobody waits for the first any more");
    waiting.closed = true;
    assert_eq!(push(&mut waiting, &list), Err(Refused::Closed));
}

#[test]
fn a_closed_queue_hands_out_what_waits_and_then_ends() {
    let mut callers = Callers::default();
    let queue = Queue::new(BOUNDS);
    queue.push(&callers.job(&[5], Priority::Interactive)).unwrap();
    queue.close();
    assert_eq!(queue.take().map(|batch| batch.len()), Some(1));
    assert!(queue.take().is_none());
}

#[test]
fn what_has_waited_too_long_is_refused_and_what_has_begun_is_not() {
    let mut waiting = Waiting::default();
    let now = Instant::now();
    let patience = Arc::new(Patience::new(Duration::from_secs(5), now));
    let mut push = |since: Instant| {
        let rows = Rows::alike(Tensors(vec![(
            "x".into(),
            Array2::<i64>::zeros((9, 1)).into_dyn().into(),
        )]));
        let due = Some(Due { since, times: 1, patience: patience.clone() });
        let (job, answer) = Job::by(rows, Arc::new([]), Order::default(), due);
        waiting.push(&job, &BOUNDS).unwrap();
        answer
    };
    let long_ago = now.checked_sub(Duration::from_secs(6)).unwrap();
    let (mut late, mut begun) = (push(long_ago), push(now));
    waiting.idle = 1;
    assert_eq!(waiting.take(&BOUNDS).len(), 1, "the first eight rows of the second");
    let refused = late.try_recv().unwrap().unwrap_err();
    assert_eq!((refused.reason(), waiting.work.rows, waiting.forgotten), ("overload", 1, 0));
    patience.tighten(Duration::ZERO, now + Duration::from_hours(1));
    assert_eq!(waiting.take(&BOUNDS).len(), 1, "the ninth");
    assert!(begun.try_recv().is_err(), "nobody has refused it");
}
