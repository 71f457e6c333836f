//! Working memory of idle models is given back.

use std::sync::Arc;
use std::time::Duration;

use super::ModelRepository;
use crate::runtime::memory;

/// A model that ran no batch between two looks is idle.
const LOOK: Duration = Duration::from_mins(1);

impl ModelRepository {
    /// Looks after idle models for ever.
    pub async fn rest(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let repository = self.clone();
            let look = move || {
                // Not held one by one, which would look like requests in work.
                let served = repository.served();
                served.values().flat_map(|entry| entry.models()).for_each(|m| m.rest_if_idle());
                memory::give_back();
            };
            if tokio::task::spawn_blocking(look).await.is_err() {
                tracing::error!("giving back an idle model's memory panicked");
            }
        }
    }
}
