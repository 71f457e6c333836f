//! One batch through one session, whatever the model makes of its batch axis.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::cancel::Cancel;
use super::session::Session;
use crate::error::Error;
use crate::rows::{Part, Rows, stack};
use crate::signature::{BatchAxis, Batching};
use crate::tensor::Tensors;

/// The outputs of these names, a row for each of the batch's.
///
/// # Errors
/// Those of the session, and [`crate::error::ErrorKind::Internal`] if it panics or if an output has
/// not one entry a row.
pub fn run(
    session: &dyn Session,
    batch: &Tensors,
    outputs: &[String],
    axis: BatchAxis,
    cancel: &Cancel,
) -> Result<Tensors, Error> {
    let rows = batch.rows();
    let run = |batch: &Tensors| whole(session, batch, outputs, cancel);
    let answer = match axis {
        BatchAxis::None => run(&batch.clone().drop_batch_axis())?.add_batch_axis(),
        BatchAxis::InputsOnly => run(batch)?.add_batch_axis(),
        BatchAxis::Fixed(size) if size > rows => {
            let last = batch.slice_rows(rows - 1, rows);
            let mut parts = vec![batch.clone()];
            parts.resize(1 + size - rows, last);
            let full = Tensors::concatenate(&parts)
                .ok_or_else(|| Error::internal("rows of one batch differ in shape"))?;
            let answer = run(&full)?;
            check_rows(&answer, size)?;
            answer.slice_rows(0, rows)
        }
        BatchAxis::Dynamic | BatchAxis::Fixed(_) => run(batch)?,
    };
    check_rows(&answer, rows)?;
    Ok(answer)
}

/// The rows of one request, in as few runs as their answers allow.
///
/// # Errors
/// As [`run`].
pub fn rows(
    session: &dyn Session,
    rows: &Rows,
    outputs: &[String],
    (axis, batching): (BatchAxis, Batching),
    cancel: &Cancel,
) -> Result<Tensors, Error> {
    let misfit = || Error::internal("rows of one batch differ in shape");
    if rows.is_opaque() {
        return whole(session, &rows.tensors, outputs, cancel);
    }
    let (mut order, mut parts) = (Vec::new(), Vec::new());
    for group in rows.apart(batching) {
        let batch: Vec<Part<'_>> = group.iter().map(|row| (rows, *row..row + 1)).collect();
        let batch = stack(&batch).ok_or_else(misfit)?;
        let answer = run(session, &batch, outputs, axis, cancel)?;
        if group.len() == rows.count() {
            return Ok(answer);
        }
        parts.extend((0..group.len()).map(|row| answer.slice_rows(row, row + 1)));
        order.extend(group);
    }
    let mut parts: Vec<(usize, Tensors)> = order.into_iter().zip(parts).collect();
    parts.sort_by_key(|(row, _)| *row);
    let parts: Vec<Tensors> = parts.into_iter().map(|(_, part)| part).collect();
    rows.join(&parts).ok_or_else(misfit)
}

/// One run with its inputs as they are. A panic of the session is an error.
///
/// # Errors
/// Those of the session, and [`crate::error::ErrorKind::Internal`] if it panics.
pub fn whole(
    session: &dyn Session,
    inputs: &Tensors,
    outputs: &[String],
    cancel: &Cancel,
) -> Result<Tensors, Error> {
    catch_unwind(AssertUnwindSafe(|| session.run(inputs, outputs, cancel)))
        .unwrap_or_else(|_| Err(Error::internal("the session panicked")))
}

/// The most rows of one run, given what is configured.
#[must_use]
pub fn max_batch_size(axis: BatchAxis, configured: usize) -> usize {
    match axis {
        BatchAxis::Dynamic => configured.max(1),
        BatchAxis::Fixed(size) => size.max(1),
        BatchAxis::None | BatchAxis::InputsOnly => 1,
    }
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
    use std::sync::Mutex;

    use ndarray::{Array2, arr2};

    use super::*;
    use crate::rows::Lengths;
    use crate::tensor::Tensor;

    /// Answers each row with its first token and the run's width.
    struct Widths(Mutex<Vec<[usize; 2]>>);

    impl Session for Widths {
        fn run(&self, inputs: &Tensors, _: &[String], _: &Cancel) -> Result<Tensors, Error> {
            let Some(Tensor::I64(ids)) = inputs.get("ids") else { panic!() };
            let [rows, width] = [0, 1].map(|axis| ids.shape()[axis]);
            self.0.lock().unwrap().push([rows, width]);
            let first = |(row, column)| if column == 0 { ids[[row, 0]] } else { width as i64 };
            let answer = Array2::from_shape_fn((rows, 2), first).into_dyn();
            Ok(Tensors(vec![("y".into(), answer.into())]))
        }
    }

    /// Answers in a column, whatever the rows.
    struct Column;
    impl Session for Column {
        fn run(&self, _: &Tensors, _: &[String], _: &Cancel) -> Result<Tensors, Error> {
            let column = arr2(&[[1.0_f32], [2.0], [3.0]]).into_dyn();
            Ok(Tensors(vec![("y".into(), column.into())]))
        }
    }

    #[test]
    fn a_requests_rows_run_apart_where_they_must_and_come_back_in_order() {
        let ids = arr2(&[[1_i64, 1, 1], [2, 0, 0], [3, 3, 3], [4, 4, 0]]).into_dyn();
        let lengths = Lengths { of_rows: vec![3, 1, 3, 2], padding: vec![0], left: false };
        let texts = Rows::sequences(Tensors(vec![("ids".into(), ids.into())]), lengths);
        let own = [[1_i64, 3], [2, 1], [3, 3], [4, 2]];
        for (batching, runs, expected) in [
            (Batching::Together, vec![[4, 3]], [[1, 3], [2, 3], [3, 3], [4, 3]]),
            (Batching::OwnLength, vec![[1, 1], [1, 2], [2, 3]], own),
            (Batching::Alone, vec![[1, 3], [1, 1], [1, 3], [1, 2]], own),
        ] {
            let session = Widths(Mutex::default());
            let together = (BatchAxis::Dynamic, batching);
            let answer = rows(&session, &texts, &[], together, &Cancel::new(1)).unwrap();
            assert_eq!(*session.0.lock().unwrap(), runs, "{batching:?}");
            assert_eq!(answer.0[0].1, arr2(&expected).into_dyn().into(), "{batching:?}");
        }
    }

    #[test]
    fn what_comes_out_without_an_axis_of_rows_is_the_rows_answer() {
        let ids = Tensors(vec![("ids".into(), arr2(&[[7_i64]]).into_dyn().into())]);
        let cancel = Cancel::new(1);
        let ask = |axis| run(&Column, &ids, &[], axis, &cancel);
        assert!(ask(BatchAxis::Dynamic).is_err());
        assert_eq!(ask(BatchAxis::InputsOnly).unwrap().0[0].1.shape(), [1, 3, 1]);
    }
}
