//! Sessions that each see one size of batch only, for a network that pays for every change of shape.
//!
//! On a GPU, cuDNN chooses an algorithm for each convolution again whenever the shape of its input
//! differs from that of the session's run before: 63 ms each time for EfficientNet-Lite0 on an H100,
//! where a run of one row takes 1.5 ms and one of 16 takes 2.9 ms.

use std::sync::Arc;

use super::cancel::Cancel;
use super::run;
use super::session::Session;
use crate::error::Error;
use crate::signature::BatchAxis;
use crate::tensor::Tensors;

/// From one size of batch to the next.
pub const STEP: usize = 4;

/// A session for each size, the smallest first. A batch is filled up to the next size with copies of
/// its last row.
pub struct SessionBySize(Vec<(usize, Arc<dyn Session>)>);

impl SessionBySize {
    /// Opens a session for each size of batch up to `largest`, and runs `sample`, which is one row, in
    /// each, so that no request waits for what the first run of a shape costs.
    ///
    /// # Errors
    /// Those of `open`. What a run says is left to the requests.
    pub fn open(
        largest: usize,
        sample: &Tensors,
        outputs: &[String],
        open: impl Fn() -> Result<Arc<dyn Session>, String>,
    ) -> Result<Self, String> {
        let open = |size| {
            let session = open()?;
            let axis = BatchAxis::Fixed(size);
            // The first run chooses, the second finds the memory that the choice wants.
            for _ in 0..2 {
                let _ = run::run(session.as_ref(), sample, outputs, axis, &Cancel::new(1));
            }
            Ok((size, session))
        };
        sizes(largest).into_iter().map(open).collect::<Result<_, String>>().map(Self)
    }
}

impl Session for SessionBySize {
    fn run(&self, inputs: &Tensors, outputs: &[String], cancel: &Cancel) -> Result<Tensors, Error> {
        let rows = inputs.rows();
        let fits = self.0.iter().position(|(size, _)| *size >= rows).unwrap_or(self.0.len() - 1);
        let (size, session) = &self.0[fits];
        run::run(session.as_ref(), inputs, outputs, BatchAxis::Fixed(*size), cancel)
    }
}

/// One row, `largest` rows, and steps between.
fn sizes(largest: usize) -> Vec<usize> {
    let smaller = |size: &usize| (*size > 1).then_some((size / STEP).max(1));
    let mut sizes: Vec<usize> = std::iter::successors(Some(largest.max(1)), smaller).collect();
    sizes.reverse();
    sizes
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use ndarray::ArrayD;

    use super::*;

    /// Answers with its inputs and keeps how many rows each run had.
    struct Echo(Arc<Mutex<Vec<usize>>>);

    impl Session for Echo {
        fn run(&self, inputs: &Tensors, _: &[String], _: &Cancel) -> Result<Tensors, Error> {
            self.0.lock().unwrap().push(inputs.rows());
            Ok(inputs.clone())
        }
    }

    fn rows(count: usize) -> Tensors {
        let values = (0..count).map(|row| row as f32).collect();
        let array = ArrayD::from_shape_vec(vec![count, 1], values).unwrap();
        Tensors(vec![("x".to_owned(), array.into())])
    }

    #[test]
    fn every_session_sees_one_shape_and_answers_are_those_of_the_rows() {
        let seen: Mutex<Vec<Arc<Mutex<Vec<usize>>>>> = Mutex::default();
        let names = ["x".to_owned()];
        let session = SessionBySize::open(16, &rows(1), &names, || {
            let runs = Arc::<Mutex<Vec<usize>>>::default();
            seen.lock().unwrap().push(runs.clone());
            Ok(Arc::new(Echo(runs)) as Arc<dyn Session>)
        })
        .unwrap();
        for count in [1, 2, 16, 3, 5, 1, 4, 9] {
            let answer = session.run(&rows(count), &names, &Cancel::new(count)).unwrap();
            assert_eq!(answer, rows(count));
        }
        let shapes: Vec<Vec<usize>> = seen
            .lock()
            .unwrap()
            .iter()
            .map(|runs| {
                let mut runs = runs.lock().unwrap().clone();
                runs.dedup();
                runs
            })
            .collect();
        assert_eq!(shapes, [vec![1], vec![4], vec![16]]);
    }

    #[test]
    fn sizes_reach_from_one_row_to_the_largest_batch() {
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(2), [1, 2]);
        assert_eq!(sizes(16), [1, 4, 16]);
        assert_eq!(sizes(32), [1, 2, 8, 32]);
        assert_eq!(sizes(20), [1, 5, 20]);
    }
}
