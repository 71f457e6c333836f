//! Reads a request's body within its bounds, and says what it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::{Body, HttpBody};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use super::App;
use super::encoding::{self, Encoding};
use super::streaming::MALFORMED;
use super::upload::Upload;
use crate::config::Server;
use crate::error::{Error, ErrorKind, excerpt};
use crate::tasks::InputKind;

/// Why a request ends whose client left in the middle of the body, or broke its framing.
pub const CUT_OFF: &str = "cut_off";
/// Longest boundary of a form that RFC 2046 allows, in bytes.
const MAX_BOUNDARY: usize = 70;

/// The whole body. Its room is the request's, which [`super::upload`] takes as the bytes come.
///
/// # Errors
/// [`ErrorKind::Overloaded`] as soon as there is no room for what has come;
/// [`ErrorKind::TooLarge`] before anything is read if the declared length is over the limit, else
/// as soon as the limit is passed; [`ErrorKind::BodyTimeout`]; those of [`encoding::inflate`].
pub async fn read(head: &Parts, body: Body, app: &App) -> Result<Bytes, Error> {
    read_at_most(head, body, app, app.server.max_body_size).await
}

/// The same with a lower limit.
///
/// # Errors
/// As [`read`].
pub async fn read_at_most(
    head: &Parts,
    body: Body,
    app: &App,
    limit: usize,
) -> Result<Bytes, Error> {
    let headers = &head.headers;
    let server = &app.server;
    let limit = limit.min(server.max_body_size);
    let too_large = |got: String| Error::too_large("body", format!("at most {limit} bytes"), got);
    let encoding = Encoding::of(headers)?;
    let declared = text(headers, header::CONTENT_LENGTH).and_then(|n| n.parse::<u64>().ok());
    if let Some(declared) = declared.filter(|declared| *declared > limit as u64) {
        return Err(too_large(format!("{declared} bytes")));
    }
    let came = AtomicU64::new(0);
    let whole = in_time(server, &came, collect(body, limit, &came)).await??;
    let bytes = whole.ok_or_else(|| too_large("more".to_owned()))?;
    match encoding {
        Encoding::Identity => Ok(bytes),
        Encoding::Gzip => {
            let upload = head.extensions.get::<Arc<Upload>>();
            let (bytes, rooms) = encoding::inflate(app, "body", bytes, upload, limit).await?;
            if let Some(upload) = upload {
                rooms.into_iter().flatten().for_each(|room| upload.holds(room));
            }
            Ok(bytes)
        }
    }
}

/// `None`: more than `limit` bytes. Memory grows with what comes, in whatever pieces that is.
async fn collect(mut body: Body, limit: usize, came: &AtomicU64) -> Result<Option<Bytes>, Error> {
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        // Trailers of a request mean nothing.
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if data.len() > limit - first.len() - all.len() {
            return Ok(None);
        }
        came.fetch_add(data.len() as u64, Ordering::Relaxed);
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
        if body.is_end_stream() {
            break;
        }
    }
    // Mostly it is one piece.
    Ok(Some(if all.is_empty() { first } else { all.freeze() }))
}

/// Why a body could not be read: what the request is told of itself, else that it broke off.
pub fn broken(error: axum::Error) -> Error {
    match error.into_inner().downcast::<Error>() {
        Ok(error) => *error,
        Err(_) => {
            let error = Error::field(ErrorKind::Syntax, "body", "a whole body", "a broken one");
            error.because(CUT_OFF)
        }
    }
}

/// In whole KiB, at least 1.
pub fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1024).max(1)
}

/// Reads within `body_timeout` and not slower than `min_body_rate`, by the bytes that `came` counts.
///
/// # Errors
/// [`ErrorKind::BodyTimeout`].
pub async fn in_time<T>(
    server: &Server,
    came: &AtomicU64,
    reading: impl Future<Output = T>,
) -> Result<T, Error> {
    let timeout = server.body_timeout;
    let expected = tokio::select! {
        // What has come with the head needs no timers.
        biased;
        read = reading => return Ok(read),
        () = tokio::time::sleep(timeout) => format!("the body within {timeout:?}"),
        () = falls_below(server, came) => {
            format!("at least {} bytes of the body a second", server.min_body_rate)
        }
    };
    Err(Error::field(ErrorKind::BodyTimeout, "body", expected, "only a part of it"))
}

/// Ends after the first window in which too few bytes came.
async fn falls_below(server: &Server, came: &AtomicU64) {
    let window = server.body_rate_window;
    let least = server.min_body_rate as f64 * window.as_secs_f64();
    loop {
        let before = came.load(Ordering::Relaxed);
        tokio::time::sleep(window).await;
        let bytes = came.load(Ordering::Relaxed) - before;
        if (bytes as f64) < least {
            return;
        }
    }
}

/// A body's form, told from its content type.
#[derive(Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    /// The media type, unless it is one that says nothing (`application/octet-stream`).
    Image(Option<String>),
    Text,
    /// With its boundary.
    Multipart(String),
}

impl Form {
    /// The kind of input, where the form alone tells it.
    #[must_use]
    pub fn kind(&self) -> Option<InputKind> {
        match self {
            Self::Image(_) => Some(InputKind::Image),
            Self::Text => Some(InputKind::Text),
            Self::Json | Self::Multipart(_) => None,
        }
    }
}

/// # Errors
/// [`ErrorKind::UnsupportedMediaType`].
pub fn form(headers: &HeaderMap) -> Result<Form, Error> {
    const SERVED: &str = "`application/json`, `image/*`, `text/plain` or `multipart/form-data`";
    let refuse = |expected: &str, got: String| {
        Err(Error::field(ErrorKind::UnsupportedMediaType, "content-type", expected, got))
    };
    let malformed = |expected: String, got: String| {
        let error = Error::field(ErrorKind::Syntax, "content-type", expected, got);
        Err(error.because(MALFORMED))
    };
    let Some(given) = text(headers, header::CONTENT_TYPE) else {
        return refuse(SERVED, "no content type".to_owned());
    };
    // As nearly everybody writes it.
    if given == "application/json" {
        return Ok(Form::Json);
    }
    let quoted = format!("`{}`", excerpt(given));
    let Ok(media) = given.parse::<mime::Mime>() else {
        return refuse(SERVED, quoted);
    };
    match (media.type_().as_str(), media.subtype().as_str()) {
        ("application", "json") => Ok(Form::Json),
        _ if media.suffix() == Some(mime::JSON) => Ok(Form::Json),
        ("image", _) => Ok(Form::Image(Some(media.essence_str().to_owned()))),
        ("application", "octet-stream") => Ok(Form::Image(None)),
        ("text", "plain") => match media.get_param(mime::CHARSET) {
            None => Ok(Form::Text),
            Some(charset) if charset == mime::UTF_8 || charset == "us-ascii" => Ok(Form::Text),
            Some(_) => refuse("text in UTF-8", quoted),
        },
        ("multipart", "form-data") => match media.get_param(mime::BOUNDARY) {
            Some(_) if media.params().filter(|(name, _)| *name == mime::BOUNDARY).count() > 1 => {
                malformed("one boundary".to_owned(), "several".to_owned())
            }
            Some(boundary) if !(1..=MAX_BOUNDARY).contains(&boundary.as_str().len()) => malformed(
                format!("a boundary of 1 to {MAX_BOUNDARY} bytes"),
                format!("one of {}", boundary.as_str().len()),
            ),
            Some(boundary) => Ok(Form::Multipart(boundary.to_string())),
            None => refuse("`multipart/form-data; boundary=…`", quoted),
        },
        ("application", "x-www-form-urlencoded") => refuse(
            &format!(
                "{SERVED} (curl -d sends forms unless you add -H 'content-type: application/json')"
            ),
            quoted,
        ),
        _ => refuse(SERVED, quoted),
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
