//! What a connection is doing, and until when it may.
//!
//! The socket tells of bytes, the service of requests; the driver of the connection asks for the
//! deadline.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::api::stats::Closed;

/// Longest time for the last bytes once the connection is to end: the answer to go out, and what the
/// client still sends to be thrown away.
const LINGER: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub first_byte: Duration,
    pub header: Duration,
    pub keep_alive: Duration,
}

/// Shared by the parts of one connection.
#[derive(Clone)]
pub struct Activity(Arc<Mutex<State>>);

struct State {
    timeouts: Timeouts,
    phase: Phase,
    since: Instant,
    /// Requests whose handler runs; several only on HTTP/2.
    running: usize,
    /// Those of them whose answers are streams and wait for the client to read, and since when the last
    /// one does.
    unread_streams: usize,
    unread_since: Instant,
    /// Requests so far.
    begun: u64,
    /// A request's body was dropped before its end.
    unread: bool,
    /// The request in work has been read to its end; for HTTP/1.
    whole: bool,
    /// The client of the request in work can take an interim answer.
    takes_interim: bool,
    ending: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has come yet.
    Silent,
    /// Between the first byte of a request and the end of its head.
    Head,
    /// Between requests, or on HTTP/2 at any time without one.
    Idle,
}

impl Activity {
    pub fn new(timeouts: Timeouts) -> Self {
        Self(Arc::new(Mutex::new(State {
            timeouts,
            phase: Phase::Silent,
            since: Instant::now(),
            running: 0,
            unread_streams: 0,
            unread_since: Instant::now(),
            begun: 0,
            unread: false,
            whole: true,
            takes_interim: false,
            ending: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain values, whole after every change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.state();
        (state.phase, state.since) = (phase, Instant::now());
    }

    /// Bytes came on HTTP/1.
    pub fn receives(&self) {
        let mut state = self.state();
        if state.phase != Phase::Head && state.running == 0 {
            (state.phase, state.since) = (Phase::Head, Instant::now());
        }
    }

    /// The client speaks HTTP/2, where bytes alone begin no request.
    pub fn is_http2(&self) {
        self.enter(Phase::Idle);
    }

    /// A request's head is there. Its handler runs until the guard is dropped.
    pub fn begin(&self, has_body: bool, takes_interim: bool) -> Running {
        let mut state = self.state();
        state.running += 1;
        state.begun += 1;
        state.whole = !has_body;
        state.takes_interim = takes_interim;
        drop(state);
        Running { activity: self.clone(), unread: false }
    }

    /// A request's body is not wanted any more.
    pub fn body_ends(&self, read: bool) {
        let mut state = self.state();
        state.whole = read;
        state.unread |= !read;
    }

    pub fn begun(&self) -> u64 {
        self.state().begun
    }

    pub fn is_running(&self) -> bool {
        self.state().running > 0
    }

    /// Whether the client may still be sending a body that nobody reads.
    pub fn has_unread_body(&self) -> bool {
        self.state().unread
    }

    /// A whole request is in work; and whether its client can take an interim answer.
    pub fn awaits_answer(&self) -> Option<bool> {
        let state = self.state();
        (state.running > 0 && state.whole).then_some(state.takes_interim)
    }

    /// No further request is wanted: from now on only the last bytes are waited for.
    pub fn ends(&self) {
        self.state().ending.get_or_insert_with(Instant::now);
    }

    /// When the connection is to be closed if nothing changes, and why.
    pub fn deadline(&self) -> Option<(Instant, Closed)> {
        let state = self.state();
        let Timeouts { first_byte, header, keep_alive } = state.timeouts;
        if state.running > 0 {
            // Work has deadlines of its own; a client that does not take its answers has this one.
            let unread = state.unread_streams == state.running;
            let end = unread.then(|| state.unread_since.checked_add(keep_alive)).flatten();
            return end.map(|end| (end, Closed::KeepAliveTimeout));
        }
        let (since, timeout, reason) = match (state.phase, state.ending) {
            (Phase::Silent, _) => (state.since, first_byte, Closed::FirstByteTimeout),
            (Phase::Head, _) => (state.since, header, Closed::HeaderTimeout),
            (Phase::Idle, None) => (state.since, keep_alive, Closed::KeepAliveTimeout),
            (Phase::Idle, Some(end)) => (end.max(state.since), LINGER, Closed::KeepAliveTimeout),
        };
        // One beyond the end of time is none.
        Some((since.checked_add(timeout)?, reason))
    }
}

/// A request whose handler runs, or whose answer is a stream that has not ended.
pub struct Running {
    activity: Activity,
    /// A part of the stream waits for the client to read.
    unread: bool,
}

impl Running {
    /// The head of an answer goes out whose body is a stream.
    pub fn streams(&self) {
        // In the midst of the answer an interim one would be a part of it.
        self.activity.state().takes_interim = false;
    }

    /// The stream is asked for its next part, or has given it.
    pub fn is_read(&mut self, asked: bool) {
        if self.unread != asked {
            return;
        }
        self.unread = !asked;
        let mut state = self.activity.state();
        if asked {
            state.unread_streams -= 1;
        } else {
            state.unread_streams += 1;
            state.unread_since = Instant::now();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.is_read(true);
        let mut state = self.activity.state();
        state.running -= 1;
        if state.running == 0 {
            (state.phase, state.since) = (Phase::Idle, Instant::now());
        }
    }
}
