//! One session that many threads run at once: every answer is the one of a thread that is alone.
//!
//! `scripts/shared_session_check.sh` runs the same under valgrind, with fewer runs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use ndarray::{Array2, Array4, ArrayD};
use onnxd::runtime::cancel::Cancel;
use onnxd::runtime::provider::ExecutionProvider;
use onnxd::runtime::session::{OnnxSession, Session};
use onnxd::signature::{Kind, TensorSpec};
use onnxd::tensor::{DataType, Tensor, Tensors};

use crate::support::{default_config, loader, root};

const THREADS: usize = 24;
/// Of each network. `ONNXD_STRESS_RUNS` says another number.
const RUNS: usize = 3_400;
/// Of so many runs one is stopped by its caller.
const STOPPED: usize = 10;

fn session(network: &str) -> OnnxSession {
    let config = default_config();
    let (file, gpu) = (root().join("models").join(network), config.runtime.gpu());
    let runtime = loader(&config).runtime;
    OnnxSession::load(&runtime, &file, ExecutionProvider::Cpu, 1, &gpu).unwrap()
}

/// Inputs of one of the 34 shapes that are tried.
fn inputs(specs: &[TensorSpec], number: usize) -> Tensors {
    let rows = 1 + number % 2;
    let tensor = |spec: &TensorSpec| -> Tensor {
        let at = |index: usize| (index * 7919 + number * 31) % 1000;
        match (spec.kind, spec.shape.len()) {
            (Kind::Tensor(DataType::I64), 2) => {
                let length = 2 + number / 2 * 5;
                let is_mask = spec.name != "input_ids";
                let id = |(row, column)| {
                    if is_mask { 1 } else { 1000 + at(row * length + column) as i64 }
                };
                Array2::from_shape_fn((rows, length), id).into_dyn().into()
            }
            (Kind::Tensor(DataType::F32), 4) => {
                let sides = [1, 2, 3].map(|axis| spec.shape[axis].unwrap_or(224));
                let shape = (rows, sides[0], sides[1], sides[2]);
                let value =
                    |(row, a, b, c)| at(row + a * 13 + b * 17 + c * 19) as f32 / 500.0 - 1.0;
                Array4::from_shape_fn(shape, value).into_dyn().into()
            }
            (Kind::Tensor(DataType::String), _) => {
                let text = "fine film ".repeat(1 + number);
                ArrayD::from_elem(
                    [&[rows], vec![1; spec.shape.len() - 1].as_slice()].concat(),
                    text,
                )
                .into()
            }
            other => panic!("{other:?}"),
        }
    };
    Tensors(specs.iter().map(|spec| (spec.name.clone(), tensor(spec))).collect())
}

fn stress(network: &str, shapes: usize, runs: usize) {
    let (alone, shared) = (session(network), Arc::new(session(network)));
    let outputs: Vec<String> =
        alone.signature().outputs.iter().map(|spec| spec.name.clone()).collect();
    let cases: Vec<(Tensors, Tensors)> = (0..shapes)
        .map(|number| {
            let inputs = inputs(&alone.signature().inputs, number);
            let answer = alone.run(&inputs, &outputs, &Cancel::new(1)).unwrap();
            (inputs, answer)
        })
        .collect();
    let (next, stopped) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let (leave, leaving) = mpsc::channel::<Arc<Cancel>>();
        // Some runs are stopped before they begin, some in their midst, some when they have ended.
        scope.spawn(move || leaving.iter().for_each(|cancel| cancel.leave()));
        for _ in 0..THREADS {
            let (leave, shared) = (leave.clone(), shared.clone());
            let (cases, outputs, next, stopped) = (&cases, &outputs, &next, &stopped);
            scope.spawn(move || {
                let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
                for run in numbers.take_while(|run| *run < runs) {
                    let (inputs, expected) = &cases[run * 31 % cases.len()];
                    let cancel = Arc::new(Cancel::new(1));
                    let leaves = run % STOPPED == 0;
                    if leaves {
                        leave.send(cancel.clone()).unwrap();
                    }
                    match shared.run(inputs, outputs, &cancel) {
                        Ok(answer) => assert_eq!(&answer, expected, "{network}: run {run}"),
                        Err(error) => {
                            assert!(leaves, "{network}: run {run}: {error}");
                            stopped.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    assert!(stopped.into_inner() > 0, "{network}: no run was stopped");
}

#[test]
fn many_threads_in_one_session_get_the_answers_of_a_thread_that_is_alone() {
    let runs = std::env::var("ONNXD_STRESS_RUNS").ok().and_then(|runs| runs.parse().ok());
    let runs = runs.unwrap_or(RUNS);
    stress("sentiment-minilm/model.int8.onnx", 34, runs);
    stress("sentiment-tfidf/model.onnx", 34, runs);
    stress("efficientnet-lite0/model.int8.onnx", 2, runs / 2);
}
