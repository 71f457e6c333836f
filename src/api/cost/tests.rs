//! Walks the list with the worst inputs known for each entry: memory and work grow as the bytes do.

use std::cell::RefCell;
use std::thread;

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;

use super::worst::{Harness, worst};
use super::{ENTRIES, Entry};
use crate::error::Error;

const MIB: usize = 1 << 20;
/// Sizes of the inputs that cost most, each twice the one before,
const LARGE: &[usize] = &[MIB, 2 * MIB, 4 * MIB, 8 * MIB];
/// and of all others, of which there are many.
const SMALL: &[usize] = &[64 << 10, 128 << 10];

/// What reading an input cost.
struct Cost {
    bytes: usize,
    steps: u64,
    heap: AllocationInfo,
    error: Option<Error>,
}

fn cost(read: impl Fn(&Bytes) -> (u64, Option<Error>), body: Vec<u8>) -> Cost {
    let (body, read_once) = (Bytes::from(body), RefCell::new((0, None)));
    let heap = measure(|| {
        *read_once.borrow_mut() = read(&body);
    });
    let (steps, error) = read_once.into_inner();
    Cost { bytes: body.len(), steps, heap, error }
}

#[test]
fn no_request_costs_more_than_its_bytes_are_worth() {
    let failures = thread::scope(|scope| {
        let walks = ENTRIES.iter().map(|entry| scope.spawn(move || walk(entry)));
        let walks: Vec<_> = walks.collect();
        walks.into_iter().flat_map(|walk| walk.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What is wrong with an entry.
fn walk(entry: &Entry) -> Vec<String> {
    let (free, strict) = (Harness::new(), Harness::new().strict());
    let mut failures = Vec::new();
    for shape in worst(entry.name) {
        let harness = if shape.large { &free } else { &strict };
        let read = |body: &Bytes| (shape.read)(harness, body);
        // What is made once must not count.
        let _ = cost(read, (shape.make)(1024));
        let sizes = if shape.large { LARGE } else { SMALL };
        let costs: Vec<_> = sizes.iter().map(|size| cost(read, (shape.make)(*size))).collect();
        let named = |what: String| format!("{} {}: {what}", entry.name, shape.name);
        for Cost { bytes, heap, error, .. } in &costs {
            let most = (6 * bytes + MIB) as u64;
            if heap.bytes_max > most {
                failures.push(named(format!("{} bytes of heap for {bytes}", heap.bytes_max)));
            }
            if let Some(told) = error.as_ref().and_then(is_long) {
                failures.push(named(format!("an error that repeats too much: {told}")));
            }
        }
        for pair in costs.windows(2) {
            let [less, more] = pair else { continue };
            // A little more than twice for twice the bytes: what is fixed does not grow. Less may have been
            // refused sooner.
            let most = (2 * less.steps + less.steps / 4).max(more.bytes as u64);
            if more.steps > most + 4096 {
                failures.push(named(format!("{} steps, then {}", less.steps, more.steps)));
            }
            let (came, kept) = (more.bytes - less.bytes, more.heap.bytes_max);
            if kept > less.heap.bytes_max + (6 * came + came / 2) as u64 {
                let less = less.heap.bytes_max;
                failures.push(named(format!("{less} bytes of heap, then {kept}")));
            }
            let most = (less.heap.bytes_total / 4 * 9).max(8 * more.bytes as u64);
            let (less, more) = (less.heap.bytes_total, more.heap.bytes_total);
            if more > most + (MIB / 4) as u64 {
                failures.push(named(format!("{less} bytes in all, then {more}")));
            }
        }
        if shape.served
            && let Some(error) = &costs[0].error
        {
            failures.push(named(format!("refused: {error}")));
        }
    }
    failures
}

/// A text of an error that repeats more than 256 bytes of what a client sent.
fn is_long(error: &Error) -> Option<String> {
    let Error { detail, field, expected, got, cause, .. } = error;
    let texts = [field, expected, got, cause].into_iter().flatten().chain([detail]);
    // Inputs are made of runs of few bytes, which no sentence of ours has.
    let long = |text: &&String| {
        let mut runs = text.as_bytes().chunk_by(|a, b| a == b);
        text.len() > 1600 || runs.any(|run| run.len() > 256)
    };
    texts.into_iter().find(long).cloned()
}

#[test]
fn every_entry_has_its_worst_inputs() {
    for entry in ENTRIES {
        assert!(!worst(entry.name).is_empty(), "{}", entry.name);
        assert!(!entry.reads.is_empty() && !entry.bound.is_empty(), "{}", entry.name);
    }
}

#[test]
fn what_nobody_waits_for_ends_soon() {
    let harness = Harness::gone();
    for entry in ENTRIES {
        for shape in worst(entry.name) {
            let (steps, _) = (shape.read)(&harness, &Bytes::from((shape.make)(64 << 10)));
            // Two looks at most, and what is between the items of a list.
            assert!(steps <= 4096, "{} {}: {steps} steps", entry.name, shape.name);
        }
    }
}
