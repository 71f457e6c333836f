//! Identical requests that are in flight at the same moment share one run.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

/// Work in flight, by what it is for. `K` is compared whole, so that no two requests are taken for
/// one by their hash.
pub struct Flights<K, V: Clone> {
    flying: Arc<Flying<K, V>>,
}

type Flying<K, V> = Mutex<HashMap<Arc<K>, WeakShared<BoxFuture<'static, V>>, ahash::RandomState>>;

impl<K, V> Default for Flights<K, V>
where
    V: Clone,
{
    fn default() -> Self {
        Self { flying: Arc::new(Mutex::new(HashMap::default())) }
    }
}

impl<K, V> Flights<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The result of `work(key)`, or of the same work that somebody else has begun. It goes on as
    /// long as one of its callers waits.
    pub async fn join<F>(&self, key: K, work: impl FnOnce(Arc<K>) -> F) -> V
    where
        F: Future<Output = V> + Send + 'static,
    {
        let key = Arc::new(key);
        let flight: Shared<_> = {
            let mut flying = lock(&self.flying);
            match flying.get(&key).and_then(WeakShared::upgrade) {
                Some(flight) => flight,
                None => {
                    let landing = Landing { flying: self.flying.clone(), key: key.clone() };
                    let work = work(key.clone());
                    let flight = async move {
                        let _landing = landing;
                        work.await
                    };
                    let flight = flight.boxed().shared();
                    if let Some(weak) = flight.downgrade() {
                        flying.insert(key, weak);
                    }
                    flight
                }
            }
        };
        flight.await
    }
}

/// Takes a flight off the list when it ends, or when all its callers have left.
struct Landing<K: Hash + Eq, V: Clone> {
    flying: Arc<Flying<K, V>>,
    key: Arc<K>,
}

impl<K: Hash + Eq, V: Clone> Drop for Landing<K, V> {
    fn drop(&mut self) {
        lock(&self.flying).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    /// Starts a caller and lets it run up to where it waits.
    async fn caller(
        flights: &Arc<Flights<&'static str, String>>,
        key: &'static str,
        begun: &Arc<AtomicUsize>,
        gate: oneshot::Receiver<&'static str>,
    ) -> tokio::task::JoinHandle<String> {
        let (flights, begun) = (flights.clone(), begun.clone());
        let handle = tokio::spawn(async move {
            let work = |_| async move {
                begun.fetch_add(1, Ordering::SeqCst);
                gate.await.unwrap().to_owned()
            };
            flights.join(key, work).await
        });
        tokio::task::yield_now().await;
        handle
    }

    #[tokio::test]
    async fn the_same_request_runs_once_and_another_for_itself() {
        let (flights, begun) = (Arc::new(Flights::default()), Arc::default());
        let (open, gate) = oneshot::channel();
        let first = caller(&flights, "a", &begun, gate).await;
        let second = caller(&flights, "a", &begun, oneshot::channel().1).await;
        let (other_open, other_gate) = oneshot::channel();
        let other = caller(&flights, "b", &begun, other_gate).await;
        open.send("of a").unwrap();
        other_open.send("of b").unwrap();
        let answers = (first.await.unwrap(), second.await.unwrap(), other.await.unwrap());
        assert_eq!(answers, ("of a".into(), "of a".into(), "of b".into()));
        assert_eq!(begun.load(Ordering::SeqCst), 2);
        assert!(lock(&flights.flying).is_empty(), "what has landed is forgotten");
    }

    #[tokio::test]
    async fn a_caller_that_leaves_takes_nothing_from_the_others() {
        let (flights, begun) = (Arc::new(Flights::default()), Arc::default());
        let (open, gate) = oneshot::channel();
        let first = caller(&flights, "a", &begun, gate).await;
        let second = caller(&flights, "a", &begun, oneshot::channel().1).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        open.send("done").unwrap();
        assert_eq!(second.await.unwrap(), "done");
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_ends_and_is_forgotten() {
        let (flights, begun) = (Arc::new(Flights::default()), Arc::default());
        let (open, gate) = oneshot::channel();
        let only = caller(&flights, "a", &begun, gate).await;
        only.abort();
        assert!(only.await.unwrap_err().is_cancelled());
        assert!(open.send("too late").is_err());
        assert!(lock(&flights.flying).is_empty());
    }
}
