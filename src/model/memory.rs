//! What a model takes in memory, and what of it is given back.

use std::sync::PoisonError;

use super::Model;
use crate::runtime::cancel::Cancel;
use crate::runtime::session::Session;
use crate::tensor::Tensors;

impl Model {
    /// Memory that its sessions keep for their next runs, in bytes, as far as they tell.
    #[must_use]
    pub fn working_memory(&self) -> usize {
        self.engine.pool.working_memory()
    }

    /// What it takes, in bytes: its weights and [`Self::working_memory`].
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.weights_bytes + self.working_memory() as u64
    }

    /// Gives working memory back if no batch was run since this was called before: the memory of the
    /// longest batch is kept otherwise, in case that one like it comes. The next one takes it anew. Blocks
    /// for a run of one item.
    pub fn rest_if_idle(&self) {
        let taken = self.engine.pool.taken();
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_idle = looked.0 == taken && taken > 0;
        if !is_idle {
            *looked = (taken, false);
        } else if !looked.1 {
            looked.1 = true;
            self.give_back(|_, _| ());
            tracing::debug!(model = self.name, "idle: working memory is given back");
        }
    }

    /// Gives back what the runs of the load took, but for what one item takes.
    pub(super) fn settle(&self) {
        self.give_back(|session, inputs| {
            // What fails here, the load has seen.
            let _ = session.run(inputs, &self.engine.outputs, &Cancel::new(1));
        });
    }

    /// Gives working memory of each session back, and goes on with `then`.
    fn give_back(&self, then: impl Fn(&dyn Session, &Tensors)) {
        // A GPU's memory is its provider's, and the main memory of its runs is small.
        if self.provider.gpu().is_none()
            && let Ok(rows) = self.sample_rows()
        {
            let inputs = self.network_inputs(&rows);
            for session in self.engine.pool.sessions() {
                session.give_back(&inputs);
                then(session, &inputs);
            }
        }
    }
}
