//! The client of a request, and what the work on the request needs to know of it.

use std::sync::Arc;
use std::time::Instant;

use axum::http::Extensions;

use super::upload::Upload;
use crate::error::Error;
use crate::model::Terms;
use crate::runtime::compute::FEW;
use crate::runtime::job::Priority;

/// None on a port without bounds.
#[derive(Clone, Default)]
pub struct Asker(Option<Arc<Upload>>);

impl Asker {
    pub fn of(extensions: &Extensions) -> Self {
        Self(extensions.get().cloned())
    }

    /// How it is to be answered.
    pub fn terms(&self, priority: Priority, deadline: Option<Instant>) -> Terms {
        let client = self.0.as_ref().map(|upload| upload.peer.id());
        Terms { priority, deadline, client }
    }

    /// Takes room for an answer of so many bytes, if that is much.
    ///
    /// # Errors
    /// There is not so much; too much of other answers waits to be read.
    pub async fn expects(&self, bytes: usize) -> Result<(), Error> {
        match &self.0 {
            Some(upload) if bytes > FEW => upload.expects(bytes).await,
            _ => Ok(()),
        }
    }
}

impl From<Option<Arc<Upload>>> for Asker {
    fn from(upload: Option<Arc<Upload>>) -> Self {
        Self(upload)
    }
}
