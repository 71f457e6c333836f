//! The first runs of a session: what they cost others is paid here, and what they take is measured.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::OpenWith;
use crate::error::Error;
use crate::runtime::by_size::{self, SessionBySize};
use crate::runtime::cancel::Cancel;
use crate::runtime::cost::Sample;
use crate::runtime::run;
use crate::runtime::session::Session;
use crate::signature::BatchAxis;
use crate::tasks::{Cells, Column, Features, Input, InputKind, Task};

/// Time that measuring the cost curve may take, a model.
const MEASURING: Duration = Duration::from_millis(60);
/// Largest batch that is measured.
const LARGEST: usize = 32;

/// Runs the task's own sample, so that the first request is not slow and the task sees an output;
/// then measures batches of 1, 2, 4, … rows, or in longer steps `on_gpu`, as long as they gain
/// something.
pub fn warm_up(
    session: &mut dyn Session,
    task: &mut dyn Task,
    axis: BatchAxis,
    on_gpu: bool,
) -> Result<Vec<Sample>, String> {
    let names = task.outputs();
    let mut run = |task: &dyn Task, count: usize| {
        let rows = task.warm_up(count)?;
        let start = Instant::now();
        let outputs = run::rows(session, &rows, &names, axis, &Cancel::new(1))?;
        let units = (0..count).map(|row| rows.length(row)).sum();
        Ok::<_, Error>((outputs, Sample { rows: count, units, time: start.elapsed() }))
    };
    match run(task, 1) {
        Ok((outputs, _)) => task.calibrate(&[outputs])?,
        // A category that we made up may be one that the model refuses.
        Err(error) if has_text_columns(&task.sample(1)) => {
            tracing::warn!(%error, "the warm-up run failed, which made-up categories may explain");
            return Ok(Vec::new());
        }
        Err(error) if task.input_kind() == InputKind::Tensors => {
            tracing::info!(%error, "the warm-up run failed, which made-up zeros may explain");
            return Ok(Vec::new());
        }
        Err(error) => return Err(format!("the warm-up run failed: {error}")),
    }
    let mut spent = Duration::ZERO;
    let mut samples: Vec<Sample> = Vec::new();
    let mut count = 1;
    while count <= run::max_batch_size(axis, LARGEST) && spent < MEASURING {
        if on_gpu {
            // Chooses algorithms, for up to half a second; this is no part of what a run costs.
            run(task, count).map_err(|error| error.to_string())?;
        }
        // The faster of two, since the first of a new shape also allocates.
        let (_, first) = run(task, count).map_err(|error| error.to_string())?;
        let (_, second) = run(task, count).map_err(|error| error.to_string())?;
        spent += first.time + second.time;
        let sample = if second.time < first.time { second } else { first };
        let per_row = |sample: &Sample| sample.time.as_secs_f64() / sample.rows as f64;
        let gains = samples.last().is_none_or(|last| per_row(&sample) < per_row(last) * 0.97);
        samples.push(sample);
        if !gains {
            break;
        }
        count *= if on_gpu { by_size::STEP } else { 2 };
    }
    Ok(samples)
}

/// Sessions that each see one size of batch, up to `largest`, for a network that takes batches of any size
/// and whose rows are all of one shape; of others, none.
pub fn by_size(
    open: &Arc<OpenWith>,
    task: &dyn Task,
    largest: usize,
) -> Result<Option<Arc<OpenWith>>, String> {
    // The shape of a network without a batch axis, or with a fixed one, never changes.
    if task.batch_axis() != BatchAxis::Dynamic {
        return Ok(None);
    }
    let sample = task.warm_up(1).map_err(|error| error.to_string())?;
    if sample.is_opaque() || sample.lengths.is_some() {
        return Ok(None);
    }
    let (open, names) = (open.clone(), task.outputs());
    Ok(Some(Arc::new(move |threads| {
        let open = || open(threads);
        let session = SessionBySize::open(largest, &sample.tensors, &names, open)?;
        Ok(Box::new(session))
    })))
}

fn has_text_columns(input: &Input) -> bool {
    match input {
        Input::Features(Features { cells: Cells::Columns { columns, .. }, .. }) => {
            columns.iter().any(|(_, column)| matches!(column, Column::Strings(_)))
        }
        _ => false,
    }
}
