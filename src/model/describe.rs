//! What a model tells of itself.

use super::Model;
use crate::tasks::{Input, Note};

impl Model {
    /// What is done before and after the network, and which file says so.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        self.engine.task.notes()
    }

    /// What was assumed for want of a file that says it, and the line that would change it.
    #[must_use]
    pub fn assumptions(&self) -> Vec<String> {
        self.engine.task.assumptions()
    }

    /// An input of `count` items that the model takes, made up.
    #[must_use]
    pub fn samples(&self, count: usize) -> Input {
        self.engine.task.sample(count)
    }
}
