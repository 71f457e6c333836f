//! Models that a request names in its body, where nobody may wait while it is read: what is parked is
//! loaded after that, and the body read again.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;

use super::ModelRepository;
use super::parked::Held;
use crate::error::{Error, ErrorKind};
use crate::model::Model;
use crate::tasks::InputKind;

/// Looks models up for one request.
pub struct Lookup {
    repository: Arc<ModelRepository>,
    /// Questions that a parked model is the answer to: asked again, they have the same answer.
    asked: RefCell<Vec<(Question, Answer)>>,
}

#[derive(PartialEq, Eq)]
enum Question {
    Named(String, Option<String>),
    Kind(InputKind),
}

enum Answer {
    Parked(Held),
    Loaded(Result<Arc<Model>, Error>),
}

impl Lookup {
    #[must_use]
    pub fn new(repository: Arc<ModelRepository>) -> Self {
        Self { repository, asked: RefCell::default() }
    }

    #[must_use]
    pub fn repository(&self) -> &ModelRepository {
        &self.repository
    }

    /// As [`ModelRepository::find`]. After an error [`Self::load`] tells whether to ask again.
    ///
    /// # Errors
    /// As [`ModelRepository::find`].
    pub fn find(&self, name: &str, version: Option<&str>) -> Result<Arc<Model>, Error> {
        let is_same = |question: &Question| match question {
            Question::Named(asked, of) => asked == name && of.as_deref() == version,
            Question::Kind(_) => false,
        };
        self.answer(
            is_same,
            || Question::Named(name.to_owned(), version.map(str::to_owned)),
            || self.repository.look_up(name, version),
        )
    }

    /// As [`ModelRepository::find_by_kind`]. After an error [`Self::load`] tells whether to ask again.
    ///
    /// # Errors
    /// As [`ModelRepository::find_by_kind`].
    pub fn find_by_kind(&self, kind: InputKind) -> Result<Arc<Model>, Error> {
        self.answer(
            |question| *question == Question::Kind(kind),
            || Question::Kind(kind),
            || self.repository.look_up_kind(kind),
        )
    }

    fn answer(
        &self,
        is_same: impl Fn(&Question) -> bool,
        question: impl FnOnce() -> Question,
        look_up: impl FnOnce() -> Result<Held, Error>,
    ) -> Result<Arc<Model>, Error> {
        let mut asked = self.asked.borrow_mut();
        match asked.iter().find(|(question, _)| is_same(question)) {
            Some((_, Answer::Loaded(answer))) => return answer.clone(),
            Some((_, Answer::Parked(held))) => return held.clone().at_once(),
            None => {}
        }
        let held = look_up()?;
        if held.loaded().is_none() {
            asked.push((question(), Answer::Parked(held.clone())));
        }
        held.at_once()
    }

    /// Loads what was asked for and is parked, and waits for it: until then, if there is a limit. Whether
    /// there was any, so that the questions are to be asked again.
    pub async fn load(&mut self, until: Option<Instant>) -> bool {
        let repository = &self.repository;
        let parked = self.asked.get_mut().iter_mut().filter_map(|(_, answer)| match answer {
            Answer::Parked(held) => Some((held.clone(), answer)),
            Answer::Loaded(_) => None,
        });
        let loads = parked.map(|(held, answer)| async move {
            let load = repository.resume(held);
            let loaded = match until {
                None => load.await,
                Some(until) => {
                    let loaded = tokio::time::timeout_at(until.into(), load).await;
                    loaded.unwrap_or_else(|_| Err(too_late()))
                }
            };
            *answer = Answer::Loaded(loaded);
        });
        !join_all(loads).await.is_empty()
    }
}

fn too_late() -> Error {
    Error::new(ErrorKind::DeadlineExceeded, "the deadline passed while the model was loading")
}
