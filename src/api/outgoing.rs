//! A response's body on its way out, in parts that are known to be sent when they are dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::error::ApiError;
use super::link::{Held, Link};
use super::peers::Taken;
use super::streaming::LongLived;

/// Bytes that are handed on at once: what has left is known to within so many.
const PART: usize = 16 << 10;

/// Takes account of an answer until it is sent. Where too much is unread already, the answer is that.
/// `ready`: room that was taken for it.
pub async fn deliver(link: &Arc<Link>, response: Response, ready: Option<Taken>) -> Response {
    let size = response.body().size_hint().exact();
    let is_stream = response.extensions().get::<LongLived>().is_some();
    let held = match size.filter(|_| !is_stream) {
        Some(0) => return response,
        Some(size) => match link.hold(size as usize, ready).await {
            Ok(held) => held,
            Err(error) => return ApiError(error).into_response(),
        },
        None => link.offer(0),
    };
    let link = link.clone();
    response.map(|body| Body::new(Outgoing { body, link, held, rest: Bytes::new() }))
}

/// Bytes that keep something until the last of them is dropped, which is when they are sent.
pub fn until_sent(bytes: impl Into<Bytes>, kept: impl Send + 'static) -> Bytes {
    struct Kept<T>(Bytes, T);

    impl<T> AsRef<[u8]> for Kept<T> {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    Bytes::from_owner(Kept(bytes.into(), kept))
}

struct Outgoing {
    body: Body,
    link: Arc<Link>,
    /// What there is account of and was not handed on yet.
    held: Held,
    /// Of the frame that is being handed on.
    rest: Bytes,
}

impl Outgoing {
    fn part(&mut self) -> Frame<Bytes> {
        let part = self.rest.split_to(self.rest.len().min(PART));
        let held = match self.held.bytes() >= part.len() {
            true => self.held.split(part.len()),
            false => self.link.offer(part.len()),
        };
        Frame::data(until_sent(part, held))
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if !this.rest.is_empty() {
            return Poll::Ready(Some(Ok(this.part())));
        }
        let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(cx)?) else {
            return Poll::Ready(None);
        };
        let frame = match frame.into_data() {
            Ok(data) if data.is_empty() => Frame::data(data),
            Ok(data) => {
                this.rest = data;
                this.part()
            }
            Err(trailers) => trailers,
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let of_body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower() + rest);
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
