//! Which requests are taken on, and who is dropped for them.
//!
//! Where there is no more room the body that has sent nothing for longest is dropped; if all are coming,
//! one of the peer that has most.

use std::cmp::Reverse;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::link::Link;
use super::outgoing;
use super::peers::{Peer, SILENT, Taken, lock};
use super::resource::{Full, Resource, refused};
use super::upload::Upload;
use crate::error::{Error, ErrorKind};

/// How many are dropped at most for one that needs room.
const VICTIMS: usize = 16;

/// Layer: takes requests on, within what their peers share, and accounts for their answers.
pub async fn admit(request: Request, next: Next, within: Duration) -> Response {
    let link = request.extensions().get::<Arc<Link>>().cloned();
    let (Some(peer), Some(link)) = (Peer::of(request.extensions()), link) else {
        return next.run(request).await;
    };
    match answer(request, next, peer, &link, within).await {
        Ok((response, room)) => outgoing::deliver(&link, response, room).await,
        Err(error) => ApiError(error).into_response(),
    }
}

/// The answer, and the room that was taken for it.
async fn answer(
    mut request: Request,
    next: Next,
    peer: Peer,
    link: &Arc<Link>,
    within: Duration,
) -> Result<(Response, Option<Taken>), Error> {
    link.has_room(within).await?;
    let open = take(&peer, Resource::Requests, 1)?;
    if request.body().is_end_stream() {
        let _held = (open, place(&peer)?);
        return Ok((next.run(request).await, None));
    }
    // Known before its body is read where it would be in vain.
    if let Some(full) = peer.lacks(Resource::Places, 1) {
        return Err(refused(Resource::Places, full));
    }
    let upload = Upload::new(peer, link.clone(), open);
    request = request.map(|body| upload.coming(body));
    request.extensions_mut().insert(upload.clone());
    let response = next.run(request).await;
    Ok((response, upload.answered()))
}

/// A place among the requests in work.
///
/// # Errors
/// [`ErrorKind::Overloaded`].
pub fn place(peer: &Peer) -> Result<Taken, Error> {
    let what = Resource::Places;
    peer.take(what, 1).map_err(|full| refused(what, full))
}

/// Takes some of a resource, if need be of those who send nothing.
///
/// # Errors
/// [`ErrorKind::Overloaded`].
pub fn take(peer: &Peer, what: Resource, amount: usize) -> Result<Taken, Error> {
    let mut victims = 0;
    loop {
        let full = match peer.take(what, amount) {
            Ok(taken) => return Ok(taken),
            Err(full) => full,
        };
        match victim(peer, what, full).filter(|_| victims < VICTIMS) {
            Some((upload, reason)) => upload.drop_for_others(reason),
            None => return Err(refused(what, full)),
        }
        victims += 1;
    }
}

/// Who is dropped for a peer that finds no more of it, and what that one is told.
fn victim(peer: &Peer, what: Resource, full: Full) -> Option<(Arc<Upload>, Error)> {
    let is_silent =
        |upload: &Arc<Upload>| upload.silent_with(what).is_some_and(|silent| silent >= SILENT);
    let mut of_most = None;
    let look = || {
        let mut waiting = waiting(peer, what, full);
        of_most = of_most_of(&waiting, peer, what).filter(|_| full == Full::All);
        waiting.retain(is_silent);
        waiting
    };
    let now = peer.bounds().now();
    let silent = lock(&peer.spare(full).uploads).next(now, is_silent, look);
    if let Some(upload) = silent {
        let silent = upload.silent_with(what).unwrap_or_default();
        let expected = "bytes of it while others need the room";
        let got = format!("none for {} s", silent.as_secs());
        let error = Error::field(ErrorKind::BodyTimeout, "body", expected, got);
        return Some((upload, error.because("made_room")));
    }
    let detail = "others need the room, of which this client has most; try again";
    let error = Error::new(ErrorKind::Overloaded, detail).because("made_room");
    of_most.map(|upload| (upload, error))
}

/// Those whose clients are waited for and that hold some of it, the longest silent first.
fn waiting(peer: &Peer, what: Resource, full: Full) -> Vec<Arc<Upload>> {
    // None may be dropped under the lock.
    let all: Vec<Arc<Upload>> =
        { lock(&peer.bounds().uploads).values().filter_map(Weak::upgrade).collect() };
    let waits = |upload: Arc<Upload>| {
        let mine = full == Full::All || upload.peer.is(peer);
        upload.silent_with(what).filter(|_| mine).map(|silent| (silent, upload))
    };
    let mut waiting: Vec<_> = all.into_iter().filter_map(waits).collect();
    waiting.sort_by_key(|(silent, _)| Reverse(*silent));
    waiting.into_iter().map(|(_, upload)| upload).collect()
}

/// The first of those of the peer that has most of it, if that has more than this one.
fn of_most_of(waiting: &[Arc<Upload>], peer: &Peer, what: Resource) -> Option<Arc<Upload>> {
    let most = waiting.iter().map(|upload| (upload.peer.used(what), upload));
    let most = most.reduce(|first, next| if next.0 > first.0 { next } else { first });
    most.filter(|(used, _)| *used > peer.used(what)).map(|(_, upload)| upload.clone())
}
