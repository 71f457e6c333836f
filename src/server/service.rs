//! Between hyper and the router: counts requests, watches their bodies, asks clients to go.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::http::{HeaderValue, Request, Response, StatusCode, Version, header};
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use tower::ServiceExt;

use super::accept::Port;
use super::activity::{Activity, Running};
use super::head;
use crate::api::streaming::{LongLived, Malformed, Stopping, may_stream};

/// Answers one request of a connection. It counts from the call on, not from the first poll.
pub fn answer(
    port: Arc<Port>,
    activity: Activity,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Body>, Infallible>> {
    let version = request.version();
    let http1 = version < Version::HTTP_2;
    let has_body = !request.body().is_end_stream();
    let (running, fault) = activity.begin(has_body, version == Version::HTTP_11);
    let fault = fault.or_else(|| head::fault(&request));
    let in_work = InWork::new(port.clone());
    let mut request = if http1 && has_body {
        let activity = activity.clone();
        request.map(|body| Body::new(Watched { body, activity, ended: false }))
    } else {
        request.map(Body::new)
    };
    request.extensions_mut().insert(activity.link().clone());
    if let Some(fault) = fault {
        if http1 {
            activity.refuses(activity.begun(), fault);
        }
        request.extensions_mut().insert(Malformed(fault.into()));
    }
    if may_stream(request.headers()) {
        request.extensions_mut().insert(Stopping(port.drain.stopping.clone()));
    }
    async move {
        let mut response = port.router.clone().oneshot(request).await?;
        // HTTP/2 says it with a frame instead.
        if http1 && (port.drain.draining.is_cancelled() || leaves_body(&response, &activity)) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        if response.extensions().get::<LongLived>().is_some() {
            running.streams(version == Version::HTTP_11);
            let held = |body| Body::new(Held { body, in_work: Some(in_work), _running: running });
            return Ok(response.map(held));
        }
        in_work.answered();
        drop(running);
        Ok(response)
    }
}

/// Counts a request in work until it is dropped.
struct InWork(Arc<Port>);

impl InWork {
    fn new(port: Arc<Port>) -> Self {
        port.drain.begins();
        Self(port)
    }

    fn answered(self) {
        self.0.drain.answers();
    }
}

impl Drop for InWork {
    fn drop(&mut self) {
        self.0.drain.ends();
    }
}

/// The rest of the body is too long, too slow or too odd to be read and thrown away.
fn leaves_body(response: &Response<Body>, activity: &Activity) -> bool {
    let cut_off =
        [StatusCode::REQUEST_TIMEOUT, StatusCode::PAYLOAD_TOO_LARGE, StatusCode::BAD_REQUEST];
    cut_off.contains(&response.status()) && activity.has_unread_body()
}

/// A response's body that keeps its request in work to its end.
struct Held {
    body: Body,
    in_work: Option<InWork>,
    _running: Running,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        let ends = frame.as_ref().is_none_or(|frame| frame.as_ref().is_ok_and(Frame::is_trailers));
        if ends && let Some(in_work) = this.in_work.take() {
            in_work.answered();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request's body that tells whether it was read to its end.
struct Watched {
    body: Incoming,
    activity: Activity,
    ended: bool,
}

impl Watched {
    fn ends(&mut self, read: bool) {
        if !self.ended {
            self.ended = true;
            self.activity.body_ends(read);
        }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if frame.is_none() || this.body.is_end_stream() {
            this.ends(true);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.ends(false);
    }
}
