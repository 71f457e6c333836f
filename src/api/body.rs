//! Reads a request's body within its bounds, and says what it is.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::error::{Error, ErrorKind, excerpt};
use crate::tasks::InputKind;

/// The whole body.
///
/// # Errors
/// [`ErrorKind::TooLarge`] before anything is read if the declared length is over `limit`, else
/// as soon as the limit is passed; [`ErrorKind::BodyTimeout`]; a compressed body; an empty one.
pub async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    timeout: Duration,
) -> Result<Bytes, Error> {
    let too_large = |got: String| Error::too_large("body", format!("at most {limit} bytes"), got);
    if let Some(encoding) = text(headers, header::CONTENT_ENCODING)
        && !encoding.eq_ignore_ascii_case("identity")
    {
        return Err(Error::field(
            ErrorKind::UnsupportedMediaType,
            "content-encoding",
            "a body that is not compressed",
            format!("`{}`", excerpt(encoding)),
        ));
    }
    let declared = text(headers, header::CONTENT_LENGTH).and_then(|n| n.parse::<u64>().ok());
    if let Some(declared) = declared.filter(|declared| *declared > limit as u64) {
        return Err(too_large(format!("{declared} bytes")));
    }
    let collected = tokio::time::timeout(timeout, Limited::new(body, limit).collect()).await;
    let bytes = match collected {
        Err(_) => {
            let within = format!("the body within {timeout:?}");
            return Err(Error::field(ErrorKind::BodyTimeout, "body", within, "only a part of it"));
        }
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => {
            return Err(too_large("more".to_owned()));
        }
        Ok(Err(_)) => {
            return Err(Error::field(ErrorKind::Syntax, "body", "a whole body", "a broken one"));
        }
        Ok(Ok(collected)) => collected.to_bytes(),
    };
    if bytes.is_empty() {
        let expected = "JSON, an image, text, or multipart/form-data";
        return Err(Error::field(ErrorKind::Syntax, "body", expected, "an empty body"));
    }
    Ok(bytes)
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
