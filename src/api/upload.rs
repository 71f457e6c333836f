//! A request on its way in: it takes room for its body as the bytes come, and its place among those in
//! work when all of them are there. So who sends nothing holds nothing that others need.
//!
//! Every body of the data port passes here, whatever reads it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::admit::{place, take};
use super::body;
use super::link::Link;
use super::peers::{Peer, Taken, lock};
use super::resource::Resource;
use crate::error::Error;

/// A request whose body is coming, or whose stream is open.
pub struct Upload {
    pub peer: Peer,
    pub link: Arc<Link>,
    state: Mutex<State>,
}

struct State {
    open: Option<Taken>,
    /// For what has come of the body.
    room: Option<Taken>,
    place: Option<Taken>,
    /// For the answer that is being made.
    answer: Option<Taken>,
    /// A stream, which has places for what is in work of it.
    by_parts: bool,
    /// Parts of a stream in work.
    in_work: usize,
    /// Whoever reads the body waits for its next bytes.
    waits: Option<Waker>,
    /// When bytes of it came.
    came: Instant,
    /// Among those that may be dropped.
    listed: bool,
    /// The connection knows that its client is waited for.
    told: bool,
    dropped: Option<Error>,
}

impl State {
    fn is_awaited(&self) -> bool {
        self.waits.is_some() && self.in_work == 0 && self.place.is_none()
    }
}

impl Upload {
    pub fn new(peer: Peer, link: Arc<Link>, open: Taken) -> Arc<Self> {
        let state = State {
            open: Some(open),
            room: None,
            place: None,
            answer: None,
            by_parts: false,
            in_work: 0,
            waits: None,
            came: Instant::now(),
            listed: false,
            told: false,
            dropped: None,
        };
        Arc::new(Self { peer, link, state: Mutex::new(state) })
    }

    fn key(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// The body, accounted for.
    pub fn coming(self: &Arc<Self>, body: Body) -> Body {
        Body::new(Coming { body, upload: Some(self.clone()) })
    }

    /// It is a stream: its parts have places of their own.
    pub fn by_parts(&self) {
        lock(&self.state).by_parts = true;
    }

    /// A part of a stream is in work until this is dropped.
    pub fn works(self: &Arc<Self>) -> Working {
        let mut state = lock(&self.state);
        state.in_work += 1;
        self.tell(&mut state);
        Working(self.clone())
    }

    /// The room that so many bytes of the body took, for those who go on with them.
    pub fn split(&self, bytes: usize) -> Option<Taken> {
        lock(&self.state).room.as_mut().map(|room| room.split(bytes))
    }

    /// Room for more than came: what it becomes when it is inflated.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Overloaded`].
    pub fn reserve(&self, bytes: usize) -> Result<Taken, Error> {
        take(&self.peer, Resource::Bodies, bytes)
    }

    /// Holds such room to the end of the request.
    pub fn holds(&self, more: Taken) {
        match &mut lock(&self.state).room {
            Some(room) => room.join(more),
            room => *room = Some(more),
        }
    }

    /// Takes room for the answer, before there is work on it.
    ///
    /// # Errors
    /// As [`Link::answers`].
    pub async fn expects(&self, bytes: usize) -> Result<(), Error> {
        // It is an estimate: what is too large is known when it is there.
        let most = self.link.peer.never_has(Resource::Answers, bytes).unwrap_or(bytes);
        let room = self.link.answers(most).await?;
        lock(&self.state).answer.get_or_insert(room);
        Ok(())
    }

    /// The room for the answer, which is there now.
    pub fn answered(&self) -> Option<Taken> {
        lock(&self.state).answer.take()
    }

    /// Tells the connection whether its client is waited for.
    fn tell(&self, state: &mut State) {
        let awaited = state.is_awaited();
        if awaited != state.told {
            state.told = awaited;
            self.link.awaits(awaited);
        }
    }

    /// For how long nothing has come, of one that may be dropped and holds some of it.
    pub fn silent_with(&self, what: Resource) -> Option<Duration> {
        let state = lock(&self.state);
        let holds = match what {
            Resource::Bodies => state.room.as_ref().is_some_and(|room| room.amount() > 0),
            _ => state.open.is_some(),
        };
        let may = holds && state.is_awaited() && state.dropped.is_none();
        may.then(|| state.came.elapsed())
    }

    /// What it holds is free at once; whoever reads the body gets `error`.
    pub fn drop_for_others(&self, error: Error) {
        let mut state = lock(&self.state);
        state.dropped.get_or_insert(error);
        let held = (state.open.take(), state.room.take());
        let waker = state.waits.take();
        self.tell(&mut state);
        drop(state);
        drop(held);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Nothing has come, and `waker` wants to know.
    fn waits(self: &Arc<Self>, waker: &Waker) -> Result<(), Error> {
        let mut state = lock(&self.state);
        if let Some(error) = &state.dropped {
            return Err(error.clone());
        }
        match &mut state.waits {
            Some(waits) => waits.clone_from(waker),
            waits => *waits = Some(waker.clone()),
        }
        self.tell(&mut state);
        let listed = std::mem::replace(&mut state.listed, true);
        drop(state);
        if !listed {
            lock(&self.peer.bounds().uploads).insert(self.key(), Arc::downgrade(self));
        }
        Ok(())
    }

    /// So many bytes came.
    fn comes(&self, bytes: usize) -> Result<(), Error> {
        let now = Instant::now();
        self.link.is_active(now);
        let more = take(&self.peer, Resource::Bodies, bytes)?;
        let mut state = lock(&self.state);
        state.came = now;
        state.waits = None;
        self.tell(&mut state);
        if let Some(error) = &state.dropped {
            return Err(error.clone());
        }
        match &mut state.room {
            Some(room) => room.join(more),
            room => *room = Some(more),
        }
        Ok(())
    }

    /// All of it is there: the work on it begins.
    fn ends(&self) -> Result<(), Error> {
        let mut state = lock(&self.state);
        state.waits = None;
        self.tell(&mut state);
        if let Some(error) = &state.dropped {
            return Err(error.clone());
        }
        if !state.by_parts && state.place.is_none() {
            state.place = Some(place(&self.peer)?);
        }
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.told {
            self.link.awaits(false);
        }
        if state.listed {
            lock(&self.peer.bounds().uploads).remove(&self.key());
        }
    }
}

/// A part of a stream in work.
pub struct Working(Arc<Upload>);

impl Drop for Working {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.in_work -= 1;
        // The client's time begins now.
        state.came = Instant::now();
        self.0.tell(&mut state);
    }
}

/// A body that is accounted for.
struct Coming {
    body: Body,
    /// `None` once all of it has come.
    upload: Option<Arc<Upload>>,
}

impl Coming {
    fn frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx).map_err(body::broken);
        let Some(upload) = &self.upload else { return frame };
        let Poll::Ready(frame) = frame? else {
            upload.waits(cx.waker())?;
            return Poll::Pending;
        };
        if let Some(data) = frame.as_ref().and_then(Frame::data_ref) {
            upload.comes(data.len())?;
        }
        if frame.is_none() || self.body.is_end_stream() {
            upload.ends()?;
            self.upload = None;
        }
        Poll::Ready(frame.map(Ok))
    }
}

impl HttpBody for Coming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.get_mut().frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.upload.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
