//! Reads a request's body within its bounds, and says what it is.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::OwnedSemaphorePermit;

use super::App;
use super::encoding::{self, Encoding};
use crate::config::Server;
use crate::error::{Error, ErrorKind, excerpt};
use crate::tasks::InputKind;

/// The whole body, and its part of `max_bodies_size`.
///
/// # Errors
/// [`ErrorKind::Overloaded`] before anything is read if there is no room for it;
/// [`ErrorKind::TooLarge`] before anything is read if the declared length is over the limit, else
/// as soon as the limit is passed; [`ErrorKind::BodyTimeout`]; those of [`encoding::inflate`].
pub async fn read(
    headers: &HeaderMap,
    body: Body,
    app: &App,
) -> Result<(Bytes, OwnedSemaphorePermit), Error> {
    let server = &app.server;
    let limit = server.max_body_size;
    let too_large = |got: String| Error::too_large("body", format!("at most {limit} bytes"), got);
    let encoding = Encoding::of(headers)?;
    let declared = text(headers, header::CONTENT_LENGTH).and_then(|n| n.parse::<u64>().ok());
    if let Some(declared) = declared.filter(|declared| *declared > limit as u64) {
        return Err(too_large(format!("{declared} bytes")));
    }
    // What does not say its length may be as long as any.
    let room = reserve(app, declared.map_or(limit, |declared| declared as usize))?;
    let came = AtomicU64::new(0);
    let counted = Limited::new(body, limit).map_frame(|frame| {
        let length = frame.data_ref().map_or(0, Bytes::len);
        came.fetch_add(length as u64, Ordering::Relaxed);
        frame
    });
    let bytes = match in_time(server, &came, counted.collect()).await? {
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
            return Err(too_large("more".to_owned()));
        }
        Err(_) => {
            return Err(Error::field(ErrorKind::Syntax, "body", "a whole body", "a broken one"));
        }
        Ok(collected) => collected.to_bytes(),
    };
    match encoding {
        Encoding::Identity => Ok((bytes, room)),
        Encoding::Gzip => encoding::inflate(app, "body", bytes, room, limit).await,
    }
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

/// Room for a body among those of all requests in work.
///
/// # Errors
/// [`ErrorKind::Overloaded`].
pub fn reserve(app: &App, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
    let wanted = u32::try_from(kib(bytes)).unwrap_or(u32::MAX);
    app.bodies.clone().try_acquire_many_owned(wanted).map_err(|_| {
        let detail = "the requests in work are too large together; try again";
        Error::new(ErrorKind::Overloaded, detail).because("body_budget")
    })
}

/// In whole KiB, at least 1.
pub fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1024).max(1)
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
