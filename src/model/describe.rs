//! What a model tells of itself.

use super::{Engine, Model};
use crate::signature::Batching;
use crate::tasks::{Input, Note, WARM_UP};

impl Model {
    /// What is done before and after the network, and which file says so.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        let mut notes = self.engine.task.notes();
        if let (Some(shares), Some(_)) = (self.shares(), &self.engine.because) {
            notes.push(Note::new("runs", shares, WARM_UP));
        }
        notes
    }

    /// What was assumed for want of a file that says it, and the line that would change it.
    #[must_use]
    pub fn assumptions(&self) -> Vec<String> {
        let Engine { task, because, .. } = &*self.engine;
        task.assumptions().into_iter().chain(because.clone()).collect()
    }

    /// Which rows share a run, where not all may.
    #[must_use]
    pub fn shares(&self) -> Option<&'static str> {
        match self.engine.batching {
            Batching::Together => None,
            Batching::OwnLength => Some("rows of one length"),
            Batching::Alone => Some("one row"),
        }
    }

    /// An input of `count` items that the model takes, made up.
    #[must_use]
    pub fn samples(&self, count: usize) -> Input {
        self.engine.task.sample(count)
    }
}
