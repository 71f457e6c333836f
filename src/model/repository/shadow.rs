//! A version that answers for nobody: it is given copies of requests, and its answers are compared.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ErrorKind;
use crate::metrics::Agreement;
use crate::model::{Model, Terms};
use crate::runtime::job::Priority;
use crate::tasks::{Entity, Input, Parameters, Prediction, Value};

/// Copies that a shadow may have in work; further ones are dropped, so that a slow one neither holds
/// their memory nor takes more and more of the processor.
const IN_WORK: usize = 8;

/// How far values may be apart, as a part of the larger of the live one and 1.
const TOLERANCE: f32 = 0.01;

/// Which version is the shadow, and how much it has in work.
pub struct Shadow {
    version: u64,
    room: Arc<Semaphore>,
}

/// A copy of a request, for which there is room.
pub struct Mirrored {
    shadow: Arc<Model>,
    input: Input,
    parameters: Parameters,
    _room: OwnedSemaphorePermit,
}

impl Shadow {
    pub fn new(version: u64) -> Self {
        Self { version, room: Arc::new(Semaphore::new(IN_WORK)) }
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    /// A copy for the shadow; `None` if it has too much to do.
    pub fn copy(
        &self,
        shadow: &Arc<Model>,
        input: &Input,
        parameters: Parameters,
    ) -> Option<Mirrored> {
        let room = self.room.clone().try_acquire_owned().ok();
        let room = room.filter(|_| shadow.check_load(Terms::default()).is_ok());
        let Some(room) = room else {
            shadow.metrics.compared(Agreement::Dropped);
            return None;
        };
        Some(Mirrored { shadow: shadow.clone(), input: input.clone(), parameters, _room: room })
    }
}

impl Mirrored {
    /// Asks the shadow, now that the live version has answered, and counts whether it agrees. Nobody
    /// waits for it.
    pub fn compare(self, live: Vec<Prediction>) {
        tokio::spawn(async move {
            let Self { shadow, input, parameters, _room } = self;
            let terms = Terms { priority: Priority::Bulk, ..Terms::default() };
            let agreement = match shadow.predict(input, parameters, terms).await {
                Ok(answered) if agree(&live, &answered.predictions) => Agreement::Agrees,
                Ok(_) => Agreement::Differs,
                Err(error) if error.kind == ErrorKind::Overloaded => Agreement::Dropped,
                Err(_) => Agreement::Failed,
            };
            shadow.metrics.compared(agreement);
        });
    }
}

/// The same classes or entities, or nearly the same values, for every item.
fn agree(live: &[Prediction], shadow: &[Prediction]) -> bool {
    live.len() == shadow.len() && live.iter().zip(shadow).all(|(live, shadow)| alike(live, shadow))
}

fn alike(live: &Prediction, shadow: &Prediction) -> bool {
    match (live, shadow) {
        (Prediction::Classes { label, .. }, Prediction::Classes { label: other, .. }) => {
            label == other
        }
        (Prediction::Value { value }, Prediction::Value { value: other }) => {
            near(&numbers(value), &numbers(other))
        }
        (Prediction::Embedding { embedding }, Prediction::Embedding { embedding: other }) => {
            near(embedding, other)
        }
        (Prediction::Label { label, .. }, Prediction::Label { label: other, .. }) => label == other,
        (Prediction::Entities { entities }, Prediction::Entities { entities: other }) => {
            let place = |e: &Entity| (e.entity.clone(), e.start, e.end);
            entities.iter().map(place).eq(other.iter().map(place))
        }
        (live, shadow) => live == shadow,
    }
}

fn near(live: &[f32], shadow: &[f32]) -> bool {
    let near =
        |(live, shadow): (&f32, &f32)| (live - shadow).abs() <= TOLERANCE * live.abs().max(1.0);
    live.len() == shadow.len() && live.iter().zip(shadow).all(near)
}

fn numbers(value: &Value) -> Vec<f32> {
    value.numbers().iter().map(|number| number.to_f32()).collect()
}
