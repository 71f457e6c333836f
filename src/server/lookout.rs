//! Looks out for the bytes of a lone client for a moment before its thread sleeps, since to be woken
//! takes longer than the moment: docs/performance.md.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;
use std::time::{Duration, Instant};

/// How long nothing must have moved until the thread may sleep. For a client that asks seldom, each of
/// its requests costs this much processor time.
const MOMENT: Duration = Duration::from_micros(50);
/// Movements of one connection, with none of another between them, from which on it is alone: two
/// requests and their answers.
const CALM: u32 = 4;

/// Whose bytes moved last, of a port's connections.
#[derive(Default)]
pub struct Lookout {
    next: AtomicUsize,
    last: AtomicUsize,
}

/// One connection.
pub struct Watch {
    lookout: Arc<Lookout>,
    number: usize,
    moved: Instant,
    in_a_row: u32,
}

impl Lookout {
    pub fn watch(self: &Arc<Self>) -> Watch {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Watch { lookout: self.clone(), number, moved: Instant::now(), in_a_row: 0 }
    }
}

impl Watch {
    /// Bytes came or went.
    pub fn moves(&mut self) {
        self.moved = Instant::now();
        if self.is_last() {
            self.in_a_row = self.in_a_row.saturating_add(1);
        } else {
            self.in_a_row = 0;
            self.lookout.last.store(self.number, Ordering::Relaxed);
        }
    }

    /// No bytes are there: has the task polled again soon, if this client is alone and may be about to
    /// ask. Whatever else is ready goes first.
    pub fn looks_out(&self, cx: &mut Context<'_>) {
        if self.is_alone() && self.moved.elapsed() < MOMENT {
            // The client may need this very core.
            std::thread::yield_now();
            // Wakes the task once the runtime has looked at its sockets.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
        }
    }

    fn is_alone(&self) -> bool {
        self.in_a_row >= CALM && self.is_last()
    }

    fn is_last(&self) -> bool {
        self.lookout.last.load(Ordering::Relaxed) == self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_alone_until_another_moves() {
        let lookout = Arc::new(Lookout::default());
        let [mut first, mut second] = [lookout.watch(), lookout.watch()];
        (0..=CALM).for_each(|_| first.moves());
        assert!(first.is_alone());
        second.moves();
        assert!(!first.is_alone() && !second.is_alone());
        for _ in 0..2 * CALM {
            first.moves();
            second.moves();
            assert!(!first.is_alone() && !second.is_alone(), "by turns");
        }
        (0..=CALM).for_each(|_| second.moves());
        assert!(second.is_alone() && !first.is_alone());
    }
}
