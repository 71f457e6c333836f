//! Everything that a request can end in besides an answer.
//!
//! One type for every layer below `api/`. It knows nothing of HTTP: `api/error.rs` turns an
//! [`ErrorKind`] into a status.

use std::fmt;
use std::time::Duration;

/// What went wrong, coarse enough that each kind has one status and one answer for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No API key, or one that is not known.
    Unauthorized,
    /// The request cannot be read: broken JSON, broken multipart.
    Syntax,
    /// The request can be read, but what it says cannot be served.
    InvalidInput,
    /// No model, or no version, of that name.
    UnknownModel,
    /// No such route.
    UnknownRoute,
    /// The route exists, but not for this method.
    MethodNotAllowed,
    /// The body, an image, a text or the number of items is over a configured limit.
    TooLarge,
    /// A content type, content encoding or image format that is not served.
    UnsupportedMediaType,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The queue is full: try again.
    Overloaded,
    /// The model is loading or stopping: try again.
    Unavailable,
    /// The deadline passed before the answer was there.
    DeadlineExceeded,
    /// The model could not be run, or answered with NaN or infinity, or there is a defect in onnxd.
    Internal,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Unauthorized,
        Self::Syntax,
        Self::InvalidInput,
        Self::UnknownModel,
        Self::UnknownRoute,
        Self::MethodNotAllowed,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::BodyTimeout,
        Self::Overloaded,
        Self::Unavailable,
        Self::DeadlineExceeded,
        Self::Internal,
    ];

    /// A stable word for machines, used in the `type` of the problem body.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Syntax => "syntax",
            Self::InvalidInput => "invalid-input",
            Self::UnknownModel => "unknown-model",
            Self::UnknownRoute => "unknown-route",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::TooLarge => "too-large",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::BodyTimeout => "body-timeout",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::DeadlineExceeded => "deadline-exceeded",
            Self::Internal => "internal",
        }
    }

    /// The kind in a few words for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Unauthorized => "An API key is needed",
            Self::Syntax => "The request cannot be read",
            Self::InvalidInput => "The input is not valid",
            Self::UnknownModel => "Unknown model or version",
            Self::UnknownRoute => "Unknown route",
            Self::MethodNotAllowed => "Method not allowed",
            Self::TooLarge => "Over a limit",
            Self::UnsupportedMediaType => "Unsupported media type",
            Self::BodyTimeout => "The body did not arrive in time",
            Self::Overloaded => "Overloaded",
            Self::Unavailable => "Not available now",
            Self::DeadlineExceeded => "Deadline exceeded",
            Self::Internal => "Internal error",
        }
    }
}

/// A request's failure: the sentence for the client and, where there is one, the field it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub kind: ErrorKind,
    /// One sentence that the client may read. Never holds inner detail of an [`ErrorKind::Internal`].
    pub detail: String,
    /// Path of the offending field, for example `features[2]`.
    pub field: Option<String>,
    pub expected: Option<String>,
    pub got: Option<String>,
    /// When to try again, in seconds.
    pub retry_after: Option<u64>,
    /// For the log only.
    pub cause: Option<String>,
    /// Finer than the kind, for the metrics.
    reason: Option<&'static str>,
}

impl Error {
    /// An error with a sentence of its own.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            field: None,
            expected: None,
            got: None,
            retry_after: None,
            cause: None,
            reason: None,
        }
    }

    /// An error about one field; the sentence is made from its parts.
    pub fn field(
        kind: ErrorKind,
        field: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        let (field, expected, got) = (field.into(), expected.into(), got.into());
        Self {
            detail: format!("`{field}`: expected {expected}, got {got}"),
            field: Some(field),
            expected: Some(expected),
            got: Some(got),
            kind,
            retry_after: None,
            cause: None,
            reason: None,
        }
    }

    /// [`ErrorKind::InvalidInput`] about one field.
    pub fn invalid(
        field: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        Self::field(ErrorKind::InvalidInput, field, expected, got)
    }

    /// [`ErrorKind::TooLarge`] about one field.
    pub fn too_large(
        field: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        Self::field(ErrorKind::TooLarge, field, expected, got)
    }

    /// An error of ours or of the model. The client gets a fixed sentence, the log gets `cause`.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self {
            cause: Some(cause.to_string()),
            ..Self::new(
                ErrorKind::Internal,
                "the prediction failed; the log has the reason under this request id",
            )
        }
    }

    /// For the log only.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Says more closely why, in a word for the metrics.
    #[must_use]
    pub fn because(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Why, in one word: the kind's, unless there is a closer one.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.reason.unwrap_or(self.kind.code())
    }

    /// Says when to try again: after `wait`, in whole seconds.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait.as_secs() + 1);
        self
    }

    /// Puts `prefix` before the field's path, for errors found deeper than the path is known.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        if let Some(field) = &self.field {
            let path = format!("{prefix}{field}");
            self.detail = self.detail.replacen(&format!("`{field}`"), &format!("`{path}`"), 1);
            self.field = Some(path);
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        match &self.cause {
            Some(cause) => write!(f, " ({cause})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// The name of `known` that is most like `unknown`, if one is like enough to be what was meant.
#[must_use]
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = unknown.chars().count();
    let most = |name: &str| 1 + name.chars().count() / 3;
    known
        .into_iter()
        // Names of another length are as far apart at least, and a long one takes its time.
        .filter(|name| name.chars().count().abs_diff(length) <= most(name))
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .filter(|(distance, name)| *distance <= most(name))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// ``one of `a`, `b`, `c` ``, with the nearest name first asked after: ``did you mean `a`?``.
pub fn one_of<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let names: Vec<String> = known.clone().into_iter().map(|name| format!("`{name}`")).collect();
    let list = match names.as_slice() {
        [] => "nothing here".to_owned(),
        [only] => only.clone(),
        many => format!("one of {}", many.join(", ")),
    };
    match nearest(unknown, known) {
        Some(name) => format!("{list} (did you mean `{name}`?)"),
        None => list,
    }
}

/// At most 60 characters of what a client sent, for an error message.
#[must_use]
pub fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_are_listed_in_their_order() {
        // The last one's number tells how many there are.
        assert_eq!(ErrorKind::ALL.len(), ErrorKind::Internal as usize + 1);
        assert!(ErrorKind::ALL.iter().enumerate().all(|(number, kind)| *kind as usize == number));
    }

    #[test]
    fn a_typo_finds_its_name_and_nonsense_does_not() {
        let known = ["features", "image", "text"];
        assert_eq!(nearest("featurs", known), Some("features"));
        assert_eq!(nearest("imgae", known), Some("image"));
        assert_eq!(nearest("zzzzzz", known), None);
        // A distance to this one would take the square of its length.
        assert_eq!(nearest(&"features".repeat(1 << 17), known), None);
    }

    #[test]
    fn the_sentence_follows_the_field() {
        let error = Error::invalid("[2]", "4 numbers", "3").within("features");
        assert_eq!(error.field.as_deref(), Some("features[2]"));
        assert_eq!(error.detail, "`features[2]`: expected 4 numbers, got 3");
    }
}
