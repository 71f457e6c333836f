//! One batch through one session, whatever the model makes of its batch axis.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::cancel::Cancel;
use super::session::Session;
use crate::error::Error;
use crate::rows::Rows;
use crate::signature::BatchAxis;
use crate::tensor::Tensors;

/// The cause of an error that a panic of the session made.
pub const PANICKED: &str = "the session panicked";

/// The outputs of these names, a row for each of the batch's.
///
/// # Errors
/// Those of the session, and [`crate::error::ErrorKind::Internal`] if it panics or if an output has
/// not one entry a row.
pub fn run(
    session: &mut dyn Session,
    batch: &Tensors,
    outputs: &[String],
    axis: BatchAxis,
    cancel: &Cancel,
) -> Result<Tensors, Error> {
    let rows = batch.rows();
    let mut run = |batch: &Tensors| whole(session, batch, outputs, cancel);
    let answer = match axis {
        BatchAxis::None => run(&batch.clone().drop_batch_axis())?.add_batch_axis(),
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

/// One run of whatever rows these are.
///
/// # Errors
/// As [`run`].
pub fn rows(
    session: &mut dyn Session,
    rows: &Rows,
    outputs: &[String],
    axis: BatchAxis,
    cancel: &Cancel,
) -> Result<Tensors, Error> {
    match rows.is_opaque() {
        true => whole(session, &rows.tensors, outputs, cancel),
        false => run(session, &rows.tensors, outputs, axis, cancel),
    }
}

/// One run with its inputs as they are. A panic of the session is an error.
///
/// # Errors
/// Those of the session, and [`crate::error::ErrorKind::Internal`] if it panics.
pub fn whole(
    session: &mut dyn Session,
    inputs: &Tensors,
    outputs: &[String],
    cancel: &Cancel,
) -> Result<Tensors, Error> {
    catch_unwind(AssertUnwindSafe(|| session.run(inputs, outputs, cancel)))
        .unwrap_or_else(|_| Err(Error::internal(PANICKED)))
}

/// The most rows of one run, given what is configured.
#[must_use]
pub fn max_batch_size(axis: BatchAxis, configured: usize) -> usize {
    match axis {
        BatchAxis::Dynamic => configured.max(1),
        BatchAxis::Fixed(size) => size.max(1),
        BatchAxis::None => 1,
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
