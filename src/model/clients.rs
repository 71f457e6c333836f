//! How much each client asks of a model, so that one that asks little does not pay for what others ask.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After so long a third of what was asked counts still.
const MEMORY: Duration = Duration::from_secs(2);

/// What all clients have asked of late.
pub struct Clients(Mutex<Table>);

struct Table {
    of: HashMap<u64, Asked, ahash::RandomState>,
    all: Asked,
    /// When those who ask no more were forgotten.
    swept: Instant,
}

/// Seconds of work, which count less and less.
#[derive(Clone, Copy)]
struct Asked {
    seconds: f64,
    at: Instant,
}

impl Asked {
    fn until(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.at).as_secs_f64();
        self.seconds * (-age / MEMORY.as_secs_f64()).exp()
    }

    fn add(&mut self, seconds: f64, now: Instant) {
        *self = Self { seconds: self.until(now) + seconds, at: now };
    }
}

impl Clients {
    pub fn new(now: Instant) -> Self {
        let all = Asked { seconds: 0.0, at: now };
        Self(Mutex::new(Table { of: HashMap::default(), all, swept: now }))
    }

    /// Whether this client asks for less than half of the mean. One that is alone does not.
    pub fn is_modest(&self, client: Option<u64>, now: Instant) -> bool {
        client.is_some_and(|client| self.table().is_modest(client, now))
    }

    /// It asks for so many seconds of work.
    pub fn asks(&self, client: Option<u64>, seconds: f64, now: Instant) {
        if let Some(client) = client {
            self.table().add(client, seconds, now);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Whole after every change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn is_modest(&self, client: u64, now: Instant) -> bool {
        let own = self.of.get(&client);
        let (own, others) = (own.map_or(0.0, |own| own.until(now)), self.of.len());
        2.0 * own * (others as f64) < self.all.until(now)
    }

    fn add(&mut self, client: u64, seconds: f64, now: Instant) {
        if now.duration_since(self.swept) > MEMORY {
            self.swept = now;
            let little = self.all.until(now) / (100.0 * self.of.len() as f64);
            self.of.retain(|_, asked| asked.until(now) > little);
        }
        self.all.add(seconds, now);
        self.of.entry(client).or_insert(Asked { seconds: 0.0, at: now }).add(seconds, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_little_beside_others_is_modest_however_often_it_asks() {
        let start = Instant::now();
        let clients = Clients::new(start);
        let at = |ms| start + Duration::from_millis(ms);
        for ms in 0..1000 {
            for attacker in 1..=8 {
                clients.asks(Some(attacker), 0.01, at(ms));
            }
            if ms % 100 == 0 {
                assert!(ms == 0 || clients.is_modest(Some(9), at(ms)), "after {ms} ms");
                clients.asks(Some(9), 0.01, at(ms));
            }
        }
        let modest: Vec<u64> = (1..12).filter(|n| clients.is_modest(Some(*n), at(1000))).collect();
        assert_eq!(modest, [9, 10, 11], "and those who never asked");
        assert!(!clients.is_modest(None, at(1000)));
        // One large request is as much as many small ones.
        let clients = Clients::new(start);
        clients.asks(Some(1), 4.0, start);
        for ms in 1..100 {
            assert!(clients.is_modest(Some(2), at(ms * 10)));
            clients.asks(Some(2), 0.005, at(ms * 10));
        }
    }

    #[test]
    fn a_lone_client_is_not_modest_and_who_asks_no_more_is_forgotten() {
        let start = Instant::now();
        let clients = Clients::new(start);
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            assert!(!clients.is_modest(Some(1), now), "after {second} s");
            clients.asks(Some(1), 1.0, now);
            clients.asks(Some(100 + second), 0.1, now);
        }
        assert!(clients.table().of.len() < 20, "{}", clients.table().of.len());
    }
}
