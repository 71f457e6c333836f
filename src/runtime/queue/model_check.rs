//! The queue under a scheduler that tries interleavings: `cargo test --features model-check --lib
//! model_check`. A deadlock, such as a wake-up that is lost, fails the check.

use ndarray::Array2;
use shuttle::sync::mpsc;
use shuttle::thread;

use super::*;
use crate::rows::Rows;
use crate::tensor::Tensors;

const ITERATIONS: usize = 3000;

fn bounds(max_queue_size: usize) -> Bounds {
    Bounds {
        max_queue_size,
        max_queue_bytes: 1 << 20,
        max_batch_size: 3,
        max_batch_tokens: 1000,
        min_efficiency: 0.9,
        max_queue_delay: Duration::ZERO,
    }
}

fn rows(count: usize) -> Rows {
    let x = Array2::<f32>::zeros((count, 1)).into_dyn();
    Rows::alike(Tensors(vec![("x".into(), x.into())]))
}

/// Producers push while sessions take: every admitted row is taken exactly once. The queue closes
/// only when all are, so that a wake-up that is lost leaves everybody waiting, which fails the check.
fn every_row_once(max_queue_size: usize) {
    let queue = Arc::new(Queue::new(bounds(max_queue_size)));
    let (taken, takes) = mpsc::channel();
    let sessions: Vec<_> = (0..2)
        .map(|_| {
            let (queue, taken) = (queue.clone(), taken.clone());
            thread::spawn(move || {
                while let Some(batch) = queue.take() {
                    let rows: usize = batch.iter().map(|share| share.rows.len()).sum();
                    assert!((1..=3).contains(&rows));
                    taken.send(rows).unwrap();
                }
            })
        })
        .collect();
    drop(taken);
    let producers: Vec<_> = (0..3)
        .map(|producer| {
            let queue = queue.clone();
            thread::spawn(move || {
                let mut callers = Vec::new();
                for count in [1, 2 + producer] {
                    let (job, answer) = Job::new(rows(count), Arc::new([]), Priority::default());
                    if queue.push(&job).is_ok() {
                        callers.push((count, answer));
                    }
                }
                callers
            })
        })
        .collect();
    // The callers wait until the end, so that no row is skipped for want of one.
    let callers: Vec<_> = producers.into_iter().flat_map(|p| p.join().unwrap()).collect();
    let admitted: usize = callers.iter().map(|(count, _)| count).sum();
    let mut done = 0;
    while done < admitted {
        done += takes.recv().unwrap();
    }
    queue.close();
    for session in sessions {
        session.join().unwrap();
    }
    assert_eq!(done + takes.iter().sum::<usize>(), admitted);
}

#[test]
fn every_admitted_row_is_taken_once_and_nobody_waits_for_ever() {
    shuttle::check_random(|| every_row_once(100), ITERATIONS);
}

#[test]
fn the_same_with_a_queue_that_is_often_full() {
    shuttle::check_random(|| every_row_once(4), ITERATIONS);
}

#[test]
fn the_same_under_the_scheduler_that_looks_for_rare_orders() {
    shuttle::check_pct(|| every_row_once(4), ITERATIONS, 3);
}
