//! The first runs of a session: what they cost others is paid here, and what they take is measured.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::OpenWith;
use super::neighbours::{self, Found, SLOW, Subject};
use crate::error::Error;
use crate::runtime::by_size::{self, SessionBySize};
use crate::runtime::cancel::Cancel;
use crate::runtime::cost::Sample;
use crate::runtime::run;
use crate::runtime::session::Session;
use crate::signature::{BatchAxis, Batching};
use crate::tasks::{Cells, Column, Features, Input, InputKind, Task, Unserved};

/// Time that measuring the cost curve may take, a model.
const MEASURING: Duration = Duration::from_millis(60);
/// Largest batch that is measured.
const LARGEST: usize = 32;

/// What the first runs of a session show.
pub struct WarmedUp {
    pub axis: BatchAxis,
    pub batching: Batching,
    /// Why rows do not share runs as they might, or that this could not be tried.
    pub because: Option<String>,
    pub samples: Vec<Sample>,
}

/// Runs a few rows, so that the first request is not slow, the task sees outputs and it is known which
/// rows may share a run; then measures batches of 1, 2, 4, … rows, or in longer steps on a GPU, as long
/// as they gain something. No run has more than `most` rows.
pub fn warm_up(
    session: &dyn Session,
    task: &mut dyn Task,
    network: &Path,
    most: usize,
    on_gpu: bool,
) -> Result<WarmedUp, Unserved> {
    let subject = Subject { session, task: &*task, network, most, on_gpu };
    let found = match neighbours::find(subject) {
        Ok(found) => found,
        Err(error) => return refused(task, error),
    };
    task.calibrate(&found.runs)?;
    let because = found.told();
    let Found { axis, batching, samples: known, .. } = found;
    let most = if batching == Batching::Alone { 1 } else { most.min(LARGEST) };
    let most = run::max_batch_size(axis, most).min(most);
    let samples = measure(session, task, (axis, batching), most, on_gpu, &known);
    Ok(WarmedUp { axis, batching, because, samples })
}

/// The first run failed.
fn refused(task: &dyn Task, error: Error) -> Result<WarmedUp, Unserved> {
    let tensors = task.input_kind() == InputKind::Tensors;
    // A category that we made up may be one that the model refuses.
    let explained = match (tensors, has_text_columns(&task.sample(1))) {
        (true, _) => "made-up zeros",
        (_, true) => "made-up categories",
        _ => {
            let why = error.cause.clone().unwrap_or_else(|| error.to_string());
            let why = why.lines().next().unwrap_or_default();
            return Err(Unserved::Unfit(format!(
                "a run of it as a model of {} fails ({why})",
                task.name()
            )));
        }
    };
    let axis = task.batch_axis();
    let shares = axis == BatchAxis::Dynamic || matches!(axis, BatchAxis::Fixed(2..));
    tracing::info!(%error, "the warm-up run failed, which {explained} may explain");
    let because = format!(
        "{explained} are refused, so that it could not be tried whether rows of one run change each \
         other's answers: they share runs all the same"
    );
    Ok(WarmedUp {
        axis,
        batching: Batching::Together,
        because: shares.then_some(because),
        samples: Vec::new(),
    })
}

/// What runs of the task's own sample cost, up to the first that fails: the network need not take made-up
/// rows to be served. Of `known` runs each spares one.
fn measure(
    session: &dyn Session,
    task: &dyn Task,
    together: (BatchAxis, Batching),
    most: usize,
    on_gpu: bool,
    known: &[Sample],
) -> Vec<Sample> {
    let names = task.outputs();
    let run = |count: usize| {
        let rows = task.warm_up(count).ok()?;
        let start = Instant::now();
        run::rows(session, &rows, &names, together, &Cancel::new(1)).ok()?;
        let units = (0..count).map(|row| rows.length(row)).sum();
        Some(Sample { rows: count, units, time: start.elapsed() })
    };
    // What a network's first run of all takes says little of the others.
    let is_slow =
        !on_gpu && !known.is_empty() && known.iter().all(|s| s.time / s.rows as u32 > SLOW);
    let mut spent = Duration::ZERO;
    let mut samples: Vec<Sample> = Vec::new();
    // Texts gain by small steps, of which one may seem none on a busy machine.
    let texts = task.input_kind() == InputKind::Text;
    let (mut count, mut in_vain, enough) = (1, 0, if texts { 2 } else { 1 });
    while count <= most && spent < MEASURING {
        let known = known.iter().filter(|sample| sample.rows == count);
        let known = known.copied().min_by_key(|sample| sample.time);
        if on_gpu && known.is_none() {
            // Chooses algorithms, for up to half a second; this is no part of what a run costs.
            run(count);
        }
        // The faster of two, since the first of a new shape also allocates.
        let Some(first) = known.or_else(|| run(count)) else { break };
        spent += first.time;
        let mut sample = first;
        if !is_slow && let Some(second) = run(count) {
            spent += second.time;
            sample = if second.time < first.time { second } else { first };
        }
        let per_row = |sample: &Sample| sample.time.as_secs_f64() / sample.rows as f64;
        let gains = samples.last().is_none_or(|last| per_row(&sample) < per_row(last) * 0.97);
        samples.push(sample);
        in_vain = if gains { 0 } else { in_vain + 1 };
        if in_vain == enough || is_slow {
            break;
        }
        count *= if on_gpu { by_size::STEP } else { 2 };
    }
    samples
}

/// Runs one row of the task's own, and tells how long it took: for the memory and the code that the first
/// run needs. A sample made up for a model that takes categories may fail, which is left to the requests.
pub fn one_row(
    session: &dyn Session,
    task: &dyn Task,
    together: (BatchAxis, Batching),
) -> Result<Duration, String> {
    let rows = task.warm_up(1).map_err(|error| error.to_string())?;
    let start = Instant::now();
    let _ = run::rows(session, &rows, &task.outputs(), together, &Cancel::new(1));
    Ok(start.elapsed())
}

/// Sessions that each see one size of batch, up to `largest`, for a network that takes batches of any size
/// and whose rows are all of one shape; of others, none.
pub fn by_size(
    open: &Arc<OpenWith>,
    task: &dyn Task,
    (axis, largest): (BatchAxis, usize),
) -> Result<Option<Arc<OpenWith>>, String> {
    // The shape of a network without a batch axis, with a fixed one or of one row never changes.
    if axis != BatchAxis::Dynamic || largest == 1 {
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
        Ok(Arc::new(session) as Arc<dyn Session>)
    })))
}

fn has_text_columns(input: &Input) -> bool {
    match input {
        Input::Features(Features { cells: Cells::Columns { columns, .. }, .. }) => {
            columns.iter().any(|(_, column)| matches!(column, Column::Texts(_)))
        }
        _ => false,
    }
}
