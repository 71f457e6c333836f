//! A session whose outputs a task makes smaller right after each run.

use std::sync::Arc;

use crate::error::Error;
use crate::runtime::cancel::Cancel;
use crate::runtime::session::Session;
use crate::tasks::Reduction;
use crate::tensor::Tensors;

/// Gives the reduced output under its own name, and the network's own outputs under theirs.
struct ReducedSession {
    session: Arc<dyn Session>,
    reduction: Arc<dyn Reduction>,
}

/// The session itself where the task reduces nothing.
pub fn reduced(
    session: Arc<dyn Session>,
    reduction: Option<Arc<dyn Reduction>>,
) -> Arc<dyn Session> {
    match reduction {
        Some(reduction) => Arc::new(ReducedSession { session, reduction }),
        None => session,
    }
}

impl Session for ReducedSession {
    fn run(&self, inputs: &Tensors, outputs: &[String], cancel: &Cancel) -> Result<Tensors, Error> {
        let is_reduced = |name: &str| name == self.reduction.reduced();
        let of_network = |name: &String| {
            if is_reduced(name) { self.reduction.output().to_owned() } else { name.clone() }
        };
        let names: Vec<String> = outputs.iter().map(of_network).collect();
        let mut answer = self.session.run(inputs, &names, cancel)?;
        if outputs.iter().any(|name| is_reduced(name))
            && let Some((name, tensor)) =
                answer.0.iter_mut().find(|(name, _)| name == self.reduction.output())
        {
            *tensor = self.reduction.reduce(inputs, tensor)?;
            self.reduction.reduced().clone_into(name);
        }
        Ok(answer)
    }

    fn working_memory(&self) -> Option<usize> {
        self.session.working_memory()
    }

    fn give_back(&self, inputs: &Tensors) {
        self.session.give_back(inputs);
    }
}
