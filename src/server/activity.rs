//! What a connection is doing, and until when it may.
//!
//! The socket tells of bytes, the service of requests; the driver of the connection asks for the
//! deadline.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::head::Fault;
use crate::api::link::Link;
use crate::api::stats::Closed;

/// Longest time for the last bytes once the connection is to end: the answer to go out, and what the
/// client still sends to be thrown away.
const LINGER: Duration = Duration::from_secs(2);
/// How often it is looked whether the client of a request in work has left, where nobody reads from the
/// socket, which would tell.
const LOOK: Duration = Duration::from_millis(400);

#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub first_byte: Duration,
    pub header: Duration,
    pub keep_alive: Duration,
}

/// Shared by the parts of one connection.
#[derive(Clone)]
pub struct Activity {
    state: Arc<Mutex<State>>,
    link: Arc<Link>,
}

#[expect(clippy::struct_excessive_bools, reason = "each tells something else")]
struct State {
    timeouts: Timeouts,
    phase: Phase,
    since: Instant,
    http2: bool,
    /// Requests whose handler runs; several only on HTTP/2.
    running: usize,
    /// Requests so far.
    begun: u64,
    /// The number of the one whose head breaks the rules, and how.
    malformed: Option<(u64, Fault)>,
    /// A request's body was dropped before its end.
    unread: bool,
    /// The request in work has been read to its end; for HTTP/1.
    whole: bool,
    /// How the client of the request in work can be asked whether it is there.
    probe: Probe,
    /// Its answer is in chunks.
    chunked: bool,
    /// When to look whether it is.
    look_at: Instant,
    /// It is time.
    looks: bool,
    ending: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    /// Not at all, or it has been.
    None,
    /// By an interim answer, which HTTP/1.1 allows at any time before the answer.
    Interim,
    /// By a zero before the next chunk's length, which it does not change.
    Zero,
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
    pub fn new(timeouts: Timeouts, link: Arc<Link>) -> Self {
        let state = Mutex::new(State {
            timeouts,
            phase: Phase::Silent,
            since: Instant::now(),
            http2: false,
            running: 0,
            begun: 0,
            malformed: None,
            unread: false,
            whole: true,
            probe: Probe::None,
            chunked: false,
            look_at: Instant::now(),
            looks: false,
            ending: None,
        });
        Self { state: Arc::new(state), link }
    }

    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain values, whole after every change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut state = self.state();
        (state.phase, state.since, state.http2) = (Phase::Idle, Instant::now(), true);
    }

    /// The head of the request of this number, counted from 1, breaks the rules. It is the last one.
    pub fn refuses(&self, number: u64, fault: Fault) {
        let mut state = self.state();
        state.malformed = Some((number, fault));
        // What comes after it is thrown away.
        state.unread = true;
    }

    /// Whether there was such a head.
    pub fn is_malformed(&self) -> bool {
        self.state().malformed.is_some()
    }

    /// A request's head is there, perhaps with a fault. Its handler runs until the guard is dropped.
    pub fn begin(&self, has_body: bool, takes_interim: bool) -> (Running, Option<Fault>) {
        let now = Instant::now();
        self.link.begins(now);
        let mut state = self.state();
        state.running += 1;
        state.begun += 1;
        state.whole = !has_body;
        // That of the request before was thrown away.
        state.unread = state.malformed.is_some();
        state.probe = if takes_interim { Probe::Interim } else { Probe::None };
        state.chunked = false;
        state.look_at = now + LOOK;
        let begun = state.begun;
        let fault = state.malformed.filter(|(number, _)| *number <= begun).map(|(_, fault)| fault);
        drop(state);
        (Running(self.clone()), fault)
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

    /// Whether the request in work has come to its end.
    pub fn is_whole(&self) -> bool {
        self.state().whole
    }

    /// What may be sent now only to see whether the client is there; nothing if it was asked.
    pub fn probe(&self) -> &'static [u8] {
        match std::mem::replace(&mut self.state().probe, Probe::None) {
            Probe::Interim => b"HTTP/1.1 100 Continue\r\n\r\n",
            Probe::Zero => b"0",
            Probe::None => b"",
        }
    }

    /// What has been written of an answer in chunks is whole chunks.
    pub fn may_ask_again(&self) {
        let mut state = self.state();
        if state.chunked {
            state.probe = Probe::Zero;
        }
    }

    /// Whether it is time to look whether the client has left; once each time.
    pub fn looks(&self) -> bool {
        std::mem::take(&mut self.state().looks)
    }

    /// No further request is wanted: from now on only the last bytes are waited for.
    pub fn ends(&self) {
        self.state().ending.get_or_insert_with(Instant::now);
    }

    /// When the connection is to be closed if nothing changes, and why.
    pub fn deadline(&self) -> Option<(Instant, Closed)> {
        self.end(&self.state())
    }

    fn end(&self, state: &State) -> Option<(Instant, Closed)> {
        let Timeouts { first_byte, header, keep_alive } = state.timeouts;
        // One beyond the end of time is none.
        let unread = self.link.unread_since().and_then(|since| since.checked_add(keep_alive));
        let unread = unread.map(|end| (end, Closed::UnreadAnswers));
        // Work has deadlines of its own, and while a client reads nothing else is asked of it.
        if state.running > 0 || (unread.is_some() && state.ending.is_none()) {
            return unread;
        }
        let idle = state.since.max(self.link.sent_at());
        let (since, timeout, reason) = match (state.phase, state.ending) {
            (Phase::Silent, _) => (state.since, first_byte, Closed::FirstByteTimeout),
            (Phase::Head, _) => (idle, header, Closed::HeaderTimeout),
            (Phase::Idle, None) => (idle, keep_alive, Closed::KeepAliveTimeout),
            (Phase::Idle, Some(end)) => (end.max(state.since), LINGER, Closed::KeepAliveTimeout),
        };
        Some((since.checked_add(timeout)?, reason))
    }

    /// When to look at the connection again, and if it is to be closed then, why.
    pub fn alarm(&self) -> Option<(Instant, Option<Closed>)> {
        let state = self.state();
        let end = self.end(&state).map(|(end, reason)| (end, Some(reason)));
        // On HTTP/2 somebody always reads.
        if state.running == 0 || state.http2 {
            return end;
        }
        let look = (state.look_at, None);
        Some(end.filter(|end| end.0 <= look.0).unwrap_or(look))
    }

    /// The alarm has gone off that told no reason to close.
    pub fn wakes(&self) {
        let mut state = self.state();
        (state.looks, state.look_at) = (true, Instant::now() + LOOK);
    }
}

/// A request whose handler runs, or whose answer is a stream that has not ended.
pub struct Running(Activity);

impl Running {
    /// The head of an answer goes out whose body is a stream, in chunks or not.
    pub fn streams(&self, chunked: bool) {
        // In the midst of the answer an interim one would be a part of it.
        let mut state = self.0.state();
        (state.probe, state.chunked) = (Probe::None, chunked);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let now = Instant::now();
        self.0.link.ends(now);
        let mut state = self.0.state();
        state.running -= 1;
        if state.running == 0 {
            (state.phase, state.since) = (Phase::Idle, now);
        }
    }
}
