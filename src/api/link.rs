//! What is known of the connection that a request came on: who its client is, whether anything happens
//! on it, and what of its answers is not read yet.
//!
//! Answers that are made and not sent are bounded twice: over all connections (`server.max_answers_size`)
//! and for one (`server.max_unread_size`). Progress is bytes of answers that left, and nothing else: a
//! client that asks and does not read makes none.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::peers::{Bounds, Identity, Peer, SILENT, Taken, lock};
use super::resource::{Full, Resource, refused};
use super::stats::Closed;
use crate::error::{Error, ErrorKind};

/// How long an answer waits for a connection that has too much unread and of which nothing leaves.
const STALLED: Duration = Duration::from_secs(2);
/// A connection on which nothing has happened for so many milliseconds may be closed for a new one.
const IDLE: u64 = 100;
/// KiB of answers of streams that may be in work, or unread, on one connection.
const STREAMS: usize = 1024;

/// One connection.
pub struct Link {
    /// By its address.
    pub peer: Peer,
    connection: Mutex<Option<Taken>>,
    /// Bytes of answers that it may have unread, beside one answer of any size.
    room: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    /// Bytes of answers that are made and not sent.
    unread: AtomicUsize,
    /// When some of it left, or the first of it was there.
    moved: AtomicU64,
    /// Requests in work, and those of them whose clients are waited for.
    running: AtomicUsize,
    awaited: AtomicUsize,
    /// When something happened on it.
    active: AtomicU64,
    closed: OnceLock<Closed>,
    close: Notify,
}

impl Link {
    /// Takes a connection on. If there are too many, the one on which nothing has happened for longest
    /// is closed for it.
    ///
    /// # Errors
    /// There is none that may be closed.
    pub fn open(bounds: &Arc<Bounds>, who: impl Into<Identity>) -> Result<Arc<Self>, Closed> {
        let peer = bounds.peer(who);
        let connection = loop {
            match peer.take(Resource::Connections, 1) {
                Ok(connection) => break connection,
                Err(full) => match idlest(&peer, full) {
                    Some(link) => link.close(Closed::MadeRoom),
                    None if full == Full::Share => return Err(Closed::PeerShare),
                    None => return Err(Closed::MaxConnections),
                },
            }
        };
        let link = Arc::new(Self {
            peer,
            connection: Mutex::new(Some(connection)),
            room: Arc::new(Semaphore::new(bounds.unread)),
            streams: Arc::new(Semaphore::new(STREAMS)),
            unread: AtomicUsize::new(0),
            moved: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            awaited: AtomicUsize::new(0),
            active: AtomicU64::new(bounds.now()),
            closed: OnceLock::new(),
            close: Notify::new(),
        });
        lock(&bounds.links).insert(link.key(), Arc::downgrade(&link));
        Ok(link)
    }

    fn key(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// The connection is to be closed, and counts no more.
    fn close(&self, reason: Closed) {
        if self.closed.set(reason).is_ok() {
            lock(&self.connection).take();
            self.close.notify_one();
        }
    }

    /// Ends when the connection is to be closed for others, and says why.
    pub async fn closing(&self) -> Closed {
        self.close.notified().await;
        self.closed.get().copied().unwrap_or(Closed::MadeRoom)
    }

    /// Something happened.
    pub fn is_active(&self, now: Instant) {
        self.active.store(self.peer.bounds().at(now), Ordering::Relaxed);
    }

    pub fn begins(&self, now: Instant) {
        self.running.fetch_add(1, Ordering::AcqRel);
        self.is_active(now);
    }

    pub fn ends(&self, now: Instant) {
        self.running.fetch_sub(1, Ordering::AcqRel);
        self.is_active(now);
    }

    /// One of its requests waits for its client, or does not any more.
    pub(super) fn awaits(&self, waits: bool) {
        match waits {
            true => self.awaited.fetch_add(1, Ordering::AcqRel),
            false => self.awaited.fetch_sub(1, Ordering::AcqRel),
        };
    }

    /// For how many milliseconds nothing has happened that is not the client's turn.
    fn idle(&self, now: u64) -> Option<u64> {
        let [running, awaited] = [&self.running, &self.awaited].map(|n| n.load(Ordering::Acquire));
        let idle = self.closed.get().is_none()
            && awaited >= running
            && self.unread.load(Ordering::Acquire) == 0;
        idle.then(|| now.saturating_sub(self.active.load(Ordering::Relaxed)))
    }

    /// Since when the client has read nothing of what there is for it.
    #[must_use]
    pub fn unread_since(&self) -> Option<Instant> {
        (self.unread.load(Ordering::Acquire) > 0).then(|| self.sent_at())
    }

    /// When bytes of an answer left last; long ago if none did.
    #[must_use]
    pub fn sent_at(&self) -> Instant {
        self.peer.bounds().instant(self.moved.load(Ordering::Relaxed))
    }

    /// Waits until the connection has room for a further answer, for `within` at most.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`]: its answers are not read.
    pub async fn has_room(&self, within: Duration) -> Result<(), Error> {
        if self.room.available_permits() > 0 {
            return Ok(());
        }
        match tokio::time::timeout(within, self.room.acquire()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(not_read()),
        }
    }

    /// Room for an answer of so many bytes, of which there may be some already.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`]: this connection's answers are not read, or those of all are too many;
    /// [`ErrorKind::TooLarge`] for one that never could be.
    pub(super) async fn hold(
        self: &Arc<Self>,
        bytes: usize,
        ready: Option<Taken>,
    ) -> Result<Held, Error> {
        let taken = match ready {
            None => self.answers(bytes).await?,
            Some(mut room) => {
                match bytes.checked_sub(room.amount()) {
                    Some(0) => {}
                    Some(more) => room.join(self.answers(more).await?),
                    None => drop(room.split(room.amount() - bytes)),
                }
                room
            }
        };
        let wanted = u32::try_from(bytes.min(self.peer.bounds().unread)).unwrap_or(u32::MAX);
        let permit = match self.room.clone().try_acquire_many_owned(wanted) {
            Ok(permit) => permit,
            Err(_) => self.wait_for_room(wanted).await?,
        };
        let mut held = self.offer(bytes);
        (held.taken, held.permit) = (Some(taken), Some(permit));
        Ok(held)
    }

    async fn wait_for_room(&self, wanted: u32) -> Result<OwnedSemaphorePermit, Error> {
        let mut room = std::pin::pin!(self.room.clone().acquire_many_owned(wanted));
        loop {
            let since = self.unread_since().unwrap_or_else(Instant::now);
            match tokio::time::timeout_at((since + STALLED).into(), room.as_mut()).await {
                Ok(permit) => return permit.map_err(Error::internal),
                // Others in front of it may have been sent meanwhile.
                Err(_) if self.unread_since().is_none_or(|again| again > since) => {}
                Err(_) => return Err(not_read()),
            }
        }
    }

    /// A part of `server.max_answers_size`. If there is not enough, connections go that read nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`]: too much of other answers is not read; [`ErrorKind::TooLarge`] for one that
    /// never could be had.
    pub async fn answers(&self, bytes: usize) -> Result<Taken, Error> {
        let full = match self.peer.take(Resource::Answers, bytes) {
            Ok(taken) => return Ok(taken),
            Err(full) => full,
        };
        if let Some(most) = self.peer.never_has(Resource::Answers, bytes) {
            let expected = format!("at most {most} bytes (server.max_answers_size)");
            return Err(Error::too_large("answer", expected, format!("{bytes} bytes")));
        }
        close_stalled(&self.peer, full, bytes);
        let freed = self.peer.wait_for(Resource::Answers, bytes);
        // It is given back when the connections have ended.
        let freed = tokio::time::timeout(SILENT, freed).await;
        freed.map_err(|_| refused(Resource::Answers, full))
    }

    /// A part of an answer goes out, of which there is no account yet.
    pub(super) fn offer(self: &Arc<Self>, bytes: usize) -> Held {
        if self.unread.fetch_add(bytes, Ordering::AcqRel) == 0 {
            self.moved.store(self.peer.bounds().now(), Ordering::Relaxed);
        }
        Held { link: self.clone(), taken: None, permit: None, bytes }
    }

    fn sent(&self, bytes: usize) {
        let now = self.peer.bounds().now();
        self.moved.store(now, Ordering::Relaxed);
        self.active.store(now, Ordering::Relaxed);
        self.unread.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Room for the answers of a block of a stream, from before the work on it until they are sent. In
    /// the order of asking.
    pub async fn stream_room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = bytes.div_ceil(1024).clamp(1, STREAMS) as u32;
        // Never closed.
        self.streams.clone().acquire_many_owned(kib).await.ok()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        lock(&self.peer.bounds().links).remove(&self.key());
    }
}

fn not_read() -> Error {
    let detail = "earlier answers on this connection are not read; read them and try again";
    Error::new(ErrorKind::Overloaded, detail).because("unread_answers")
}

/// All connections, but for others' where only the peer's own ones help.
fn links(peer: &Peer, full: Full) -> Vec<Arc<Link>> {
    // None may be dropped under the lock.
    let mut all: Vec<_> =
        { lock(&peer.bounds().links).values().filter_map(std::sync::Weak::upgrade).collect() };
    all.retain(|link| full == Full::All || link.peer.is(peer));
    all
}

/// The connection on which nothing has happened for longest, and for long enough.
fn idlest(peer: &Peer, full: Full) -> Option<Arc<Link>> {
    let now = peer.bounds().now();
    let may = |link: &Arc<Link>| link.idle(now).is_some_and(|idle| idle >= IDLE);
    let look = || {
        let mut idle = links(peer, full);
        idle.retain(may);
        idle.sort_by_cached_key(|link| Reverse(link.idle(now)));
        idle
    };
    lock(&peer.spare(full).links).next(now, may, look)
}

/// Closes connections that read nothing, the longest stalled first, until they had so much unread.
fn close_stalled(peer: &Peer, full: Full, bytes: usize) {
    let stalled = |link: Arc<Link>| {
        let since = link.unread_since().filter(|since| since.elapsed() >= SILENT)?;
        Some((since, link))
    };
    let mut stalled: Vec<_> = links(peer, full).into_iter().filter_map(stalled).collect();
    stalled.sort_by_key(|(since, _)| *since);
    let mut freed = 0;
    for (_, link) in stalled {
        if freed >= bytes {
            return;
        }
        freed += link.unread.load(Ordering::Acquire);
        link.close(Closed::UnreadAnswers);
    }
}

/// Bytes of an answer that are not sent yet.
pub(super) struct Held {
    link: Arc<Link>,
    taken: Option<Taken>,
    permit: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Held {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The first part of it, at most all.
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        // Of what is more than a connection's room, the last bytes hold the room.
        let more = self
            .permit
            .as_ref()
            .map_or(0, |permit| permit.num_permits().saturating_sub(self.bytes));
        Self {
            link: self.link.clone(),
            taken: self.taken.as_mut().map(|taken| taken.split(bytes)),
            permit: self.permit.as_mut().and_then(|permit| permit.split(more)),
            bytes,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.link.sent(self.bytes);
        }
    }
}
