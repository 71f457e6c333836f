//! Room for bulk work that is asked in many pieces at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Model;
use crate::tasks::InputKind;

/// Fewest rows at once, so that decoding has something to do while the sessions run.
const LEAST: usize = 16;
/// Batches for each session.
const ROUNDS: usize = 8;

/// Rows of bulk work that may be with the model at once: enough to keep its sessions busy, and at most
/// half of the queue, so that it never is what others are refused for.
pub(super) fn room(rows_a_run: usize, sessions: usize, max_queue_size: usize) -> Arc<Semaphore> {
    let busy = rows_a_run.saturating_mul(sessions).saturating_mul(ROUNDS).max(LEAST);
    Arc::new(Semaphore::new(busy.min(max_queue_size / 2).max(1)))
}

impl Model {
    /// Waits until so many rows of bulk work may be asked; they count until the permit is dropped. Who
    /// came first is served first, of all streams together.
    pub async fn bulk_room(&self, rows: usize) -> Option<OwnedSemaphorePermit> {
        // More than there can ever be goes alone.
        let rows = rows.clamp(1, self.bulk_rows);
        // It is never closed.
        self.bulk.clone().acquire_many_owned(rows as u32).await.ok()
    }

    /// Most items of one request.
    #[must_use]
    pub fn most_items(&self) -> usize {
        match self.input_kind() {
            InputKind::Image => self.limits.max_images,
            InputKind::Text => self.limits.max_texts,
            InputKind::Features | InputKind::Tensors => self.limits.max_rows,
        }
    }
}
