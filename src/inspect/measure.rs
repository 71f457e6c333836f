//! What running a model shows: how long it takes warm, and what it holds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::model::{ByHand, Model, Terms};
use crate::tasks::{InputKind, Parameters};

/// Requests of one size: enough for a median, unless they take too long.
const REQUESTS: usize = 50;
const FEWEST: usize = 3;
const TIME: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize)]
pub struct Measured {
    pub sessions: usize,
    pub threads_a_run: usize,
    /// Of the session for a request that is alone, if there is one.
    pub threads_of_a_lone_request: Option<usize>,
    pub max_batch_size: usize,
    pub max_batch_tokens: usize,
    /// Of a request of one made-up item, from its input to its prediction, in milliseconds.
    pub single_p50_ms: f64,
    /// The same with `max_batch_size` items; none where that is 1.
    pub batch_p50_ms: Option<f64>,
    pub load_seconds: f64,
    /// Of the weights, which all sessions share on the CPU, in bytes.
    pub weights_bytes: u64,
    /// What the sessions keep for their next runs after these, in bytes.
    pub working_bytes: usize,
    /// By how much the process grew with the model, in bytes.
    pub model_bytes: Option<usize>,
    /// Resident memory of the whole process, in bytes.
    pub process_bytes: Option<usize>,
}

/// Asks a loaded model, one request after the other. The memory and time of its load are for the caller.
///
/// # Errors
/// A run fails.
pub async fn measure(model: &Arc<Model>) -> Result<Measured, String> {
    let rows = model.rows_a_run().min(model.most_items());
    let single = p50(model, 1).await?;
    let batch = if rows > 1 { Some(p50(model, rows).await?) } else { None };
    let bounds = model.bounds();
    Ok(Measured {
        sessions: model.layout.instances,
        threads_a_run: model.layout.intra_op_threads,
        threads_of_a_lone_request: model.layout.wide,
        max_batch_size: bounds.max_batch_size,
        max_batch_tokens: bounds.max_batch_tokens,
        single_p50_ms: milliseconds(single),
        batch_p50_ms: batch.map(milliseconds),
        load_seconds: 0.0,
        weights_bytes: model.weights_bytes,
        working_bytes: model.working_memory(),
        model_bytes: None,
        process_bytes: None,
    })
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

async fn p50(model: &Arc<Model>, items: usize) -> Result<Duration, String> {
    let mut by_hand = match model.input_kind() {
        // Without a task there is a run and nothing else.
        InputKind::Tensors => Some(ByHand::open(model, model.layout.intra_op_threads)?),
        _ => None,
    };
    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < FEWEST || (times.len() < REQUESTS && began.elapsed() < TIME) {
        let start = Instant::now();
        match &mut by_hand {
            Some(by_hand) => {
                let rows = model.sample_rows().map_err(|error| error.to_string())?;
                by_hand.run(&rows).map_err(|error| error.to_string())?;
            }
            None => {
                let asked =
                    model.predict(model.samples(items), Parameters::default(), Terms::default());
                asked.await.map_err(|error| error.to_string())?;
            }
        }
        times.push(start.elapsed());
    }
    // The first one still warms up.
    times.remove(0);
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
