//! gRPC's framing: messages out of a request's body within its bounds, and messages into a response.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};

use super::status;
use crate::api::encoding::{self, Encoding};
use crate::api::peers::Taken;
use crate::api::upload::Upload;
use crate::api::{App, body};
use crate::error::{Error, ErrorKind, excerpt};

/// Bytes before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");

/// One message, and its part of `max_bodies_size`.
pub struct Message {
    pub bytes: Bytes,
    pub room: Option<Taken>,
}

/// A message as it came.
struct Framed {
    message: Message,
    encoding: Encoding,
}

/// The messages of one request's body.
pub struct Messages {
    body: Body,
    /// Came and was not given out yet.
    buffer: BytesMut,
    encoding: Option<HeaderValue>,
    /// Bytes of one message.
    limit: usize,
    app: App,
    /// Has the room for what is in the buffer.
    upload: Option<Arc<Upload>>,
}

impl Messages {
    pub fn new(headers: &HeaderMap, body: Body, app: App, upload: Option<Arc<Upload>>) -> Self {
        let (buffer, limit) = (BytesMut::new(), app.server.max_body_size);
        let encoding = headers.get("grpc-encoding").cloned();
        Self { body, buffer, encoding, limit, app, upload }
    }

    /// Lowers the limit on a message's bytes.
    pub fn at_most(self, bytes: usize) -> Self {
        Self { limit: self.limit.min(bytes), ..self }
    }

    /// The only message, to the end of the body.
    ///
    /// # Errors
    /// Those of [`Self::next`]; no message, or several.
    pub async fn only(mut self) -> Result<Message, Error> {
        let app = self.app.clone();
        let came = AtomicU64::new(0);
        let one = |got| Error::field(ErrorKind::Syntax, "body", "one message", got);
        let reading = async {
            let message = self.message(&came).await?.ok_or_else(|| one("none"))?;
            match self.buffer.is_empty() && !self.more(&came).await? {
                true => Ok(message),
                false => Err(one("more")),
            }
        };
        let framed = body::in_time(&app.server, &came, reading).await??;
        self.inflated(framed).await
    }

    /// The next message; `None` at the end. Until it begins, the client may take any time.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] as soon as the message tells its length, or is inflated to more;
    /// [`ErrorKind::Overloaded`] if there is no room for what has come; [`ErrorKind::BodyTimeout`]; a message
    /// that is compressed otherwise than by gzip; broken framing.
    pub async fn next(&mut self) -> Result<Option<Message>, Error> {
        let came = AtomicU64::new(0);
        while self.buffer.is_empty() {
            if !self.more(&came).await? {
                return Ok(None);
            }
        }
        let app = self.app.clone();
        match body::in_time(&app.server, &came, self.message(&came)).await?? {
            Some(framed) => self.inflated(framed).await.map(Some),
            None => Ok(None),
        }
    }

    /// The message itself. The time that this takes is not the client's.
    async fn inflated(&mut self, Framed { message, encoding }: Framed) -> Result<Message, Error> {
        let Message { bytes, room } = message;
        let (bytes, room) = match encoding {
            Encoding::Identity => (bytes, room),
            Encoding::Gzip => {
                let upload = self.upload.as_ref();
                let (bytes, rooms) =
                    encoding::inflate(&self.app, "message", bytes, upload, self.limit).await?;
                let joined = room.into_iter().chain(rooms.into_iter().flatten());
                let joined = joined.reduce(|mut room, more| {
                    room.join(more);
                    room
                });
                (bytes, joined)
            }
        };
        Ok(Message { bytes, room })
    }

    async fn message(&mut self, came: &AtomicU64) -> Result<Option<Framed>, Error> {
        let cut_off = || Error::field(ErrorKind::Syntax, "body", "whole messages", "a part of one");
        while self.buffer.len() < PREFIX {
            match self.more(came).await? {
                true => {}
                false if self.buffer.is_empty() => return Ok(None),
                false => return Err(cut_off()),
            }
        }
        let encoding = match self.buffer.get_u8() {
            0 => Encoding::Identity,
            1 if self.takes_gzip() => Encoding::Gzip,
            _ => return Err(self.refuse_encoding()),
        };
        let length = self.buffer.get_u32() as usize;
        let limit = self.limit;
        if length > limit {
            let expected = format!("at most {limit} bytes");
            return Err(Error::too_large("message", expected, format!("{length} bytes")));
        }
        while self.buffer.len() < length {
            if !self.more(came).await? {
                return Err(cut_off());
            }
        }
        let room = self.upload.as_ref().and_then(|upload| upload.split(PREFIX + length));
        let message = Message { bytes: self.buffer.split_to(length).freeze(), room };
        Ok(Some(Framed { message, encoding }))
    }

    fn takes_gzip(&self) -> bool {
        let name = self.encoding.as_ref().map(HeaderValue::as_bytes);
        name.and_then(Encoding::named) == Some(Encoding::Gzip)
    }

    /// Waits for more bytes; `false` at the end.
    async fn more(&mut self, came: &AtomicU64) -> Result<bool, Error> {
        loop {
            match self.body.frame().await {
                None => return Ok(false),
                Some(Err(error)) => return Err(body::broken(error)),
                Some(Ok(frame)) => {
                    // Trailers of a request mean nothing.
                    let Ok(data) = frame.into_data() else { continue };
                    came.fetch_add(data.len() as u64, Ordering::Relaxed);
                    self.buffer.extend_from_slice(&data);
                    if !data.is_empty() {
                        return Ok(true);
                    }
                }
            }
        }
    }

    fn refuse_encoding(&self) -> Error {
        let encoding = self.encoding.as_ref().map_or(&b"none"[..], HeaderValue::as_bytes);
        let got = format!("`{}`", excerpt(&String::from_utf8_lossy(encoding)));
        let expected = "`gzip`, or messages that are not compressed";
        Error::field(ErrorKind::UnsupportedMediaType, status::GRPC_ENCODING, expected, got)
    }
}

/// A message with its prefix.
///
/// # Errors
/// One of 4 GiB or more, which the protocol cannot carry.
pub fn frame(message: &impl prost::Message) -> Result<Bytes, Error> {
    let length = message.encoded_len();
    let told = u32::try_from(length).map_err(|_| Error::internal("an answer of over 4 GiB"))?;
    let mut buffer = BytesMut::with_capacity(PREFIX + length);
    buffer.put_u8(0);
    buffer.put_u32(told);
    message.encode(&mut buffer).map_err(Error::internal)?;
    Ok(buffer.freeze())
}

/// The answer of a call that went well.
pub fn one(frame: Bytes) -> Response {
    let end = async { Some(Ok(status::trailers(None))) };
    response(Body::new(Full::new(frame).with_trailers(end)))
}

/// Framed messages and, at the end, trailers.
pub fn response(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    response
}

/// Whether a request is one of gRPC, whose errors are told in its own way.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let given = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    match given.and_then(|given| given.strip_prefix(CONTENT_TYPE.as_bytes())) {
        // `application/grpc-web` is another protocol.
        Some(rest) => matches!(rest.first(), None | Some(b'+' | b';' | b' ')),
        None => false,
    }
}
