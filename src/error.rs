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

/// Bytes of a field and of what came there that are told at most: whatever a client sent, its error is
/// short.
const MOST: usize = 256;
/// Bytes of any other text of an error. Names that a client sent are cut by [`excerpt`] in it.
const MOST_SAID: usize = 1024;
/// Bytes of known names that are listed.
const LISTED: usize = 600;
/// Bytes of a name for which a like one is looked for, which takes the product of both lengths,
const LIKE: usize = 64;
/// and most names of about its length that it is compared with.
const COMPARED: usize = 256;

/// A request's failure: the sentence for the client and, where there is one, the field it is about.
/// All of its texts are short, whatever they are made from.
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
            detail: cut(detail.into(), MOST_SAID),
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
        let (field, got) = (cut(field.into(), MOST), cut(got.into(), MOST));
        let expected = cut(expected.into(), MOST_SAID);
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
            cause: Some(cut(cause.to_string(), MOST_SAID)),
            ..Self::new(
                ErrorKind::Internal,
                "the prediction failed; the log has the reason under this request id",
            )
        }
    }

    /// For the log only.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cut(cause.into(), MOST_SAID));
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
            let path = cut(format!("{prefix}{field}"), MOST);
            let said = self.detail.strip_prefix('`').and_then(|said| said.strip_prefix(&**field));
            if let Some(said) = said {
                self.detail = format!("`{path}{said}");
            }
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

/// The name of `known` that is most like `unknown`, if one is like enough to be what was meant. Of long
/// names, and of more than `COMPARED` that may be meant, none is looked for.
#[must_use]
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if unknown.len() > LIKE {
        return None;
    }
    let length = unknown.chars().count();
    let most = |name: &str| 1 + name.chars().count() / 3;
    known
        .into_iter()
        // Names of another length are as far apart at least.
        .filter(|name| name.len() <= LIKE)
        .filter(|name| name.chars().count().abs_diff(length) <= most(name))
        .take(COMPARED)
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .filter(|(distance, name)| *distance <= most(name))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// ``one of `a`, `b`, `c` ``, with the nearest name first asked after: ``did you mean `a`?``. Of many
/// names the first are listed.
pub fn one_of<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let mut names = known.clone().into_iter();
    let mut list = match names.next() {
        None => "nothing here".to_owned(),
        Some(first) => format!("`{first}`"),
    };
    if let Some(second) = names.next() {
        list = format!("one of {list}, `{second}`");
        for name in names.by_ref() {
            list += &format!(", `{name}`");
            if list.len() > LISTED {
                break;
            }
        }
    }
    match names.count() {
        0 => {}
        more => list += &format!(" and {more} more"),
    }
    match nearest(unknown, known) {
        Some(name) => format!("{list} (did you mean `{name}`?)"),
        None => list,
    }
}

/// At most 60 characters of what a client sent, for an error message. Control characters, of which JSON would
/// write six for each, are not repeated.
#[must_use]
pub fn excerpt(text: &str) -> String {
    let plain = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut short: String = text.chars().take(60).map(plain).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}

/// A shape, of which a client may send one of any length: its first axes.
#[must_use]
pub fn told_shape(shape: &[usize]) -> String {
    const AXES: usize = 8;
    match shape.get(..AXES) {
        Some(first) if shape.len() > AXES => {
            let first = format!("{first:?}");
            format!("{}, … {} axes]", first.trim_end_matches(']'), shape.len())
        }
        _ => format!("{shape:?}"),
    }
}

/// At most `most` bytes of a text, in memory of that size.
fn cut(text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let short = text.floor_char_boundary(most - '…'.len_utf8());
    format!("{}…", &text[..short])
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
        // A distance to these would take the square of their length.
        let long = "features".repeat(9);
        assert_eq!(nearest(&long, known), None);
        assert_eq!(nearest("features", [long.as_str()]), None);
    }

    #[test]
    fn the_sentence_follows_the_field() {
        let error = Error::invalid("[2]", "4 numbers", "3").within("features");
        assert_eq!(error.field.as_deref(), Some("features[2]"));
        assert_eq!(error.detail, "`features[2]`: expected 4 numbers, got 3");
    }

    #[test]
    fn whatever_a_client_sent_its_error_is_short() {
        let long = "é".repeat(1 << 20);
        let error = Error::invalid(long.clone(), long.clone(), long.clone()).within(&long);
        assert!(error.field.as_ref().is_some_and(|field| field.len() <= MOST));
        assert!(error.got.as_ref().is_some_and(|got| got.len() <= MOST));
        assert!(error.expected.as_ref().is_some_and(|expected| expected.len() <= MOST_SAID));
        assert!(error.detail.len() <= 2 * MOST + MOST_SAID + 64, "{}", error.detail.len());
        let error = Error::new(ErrorKind::Syntax, long.clone()).caused_by(long.clone());
        assert!(error.detail.len() <= MOST_SAID && error.cause.unwrap().len() <= MOST_SAID);
        assert!(excerpt(&long).len() <= MOST);
        assert_eq!(told_shape(&[1, 2]), "[1, 2]");
        assert_eq!(told_shape(&vec![1; 1_000_000]), "[1, 1, 1, 1, 1, 1, 1, 1, … 1000000 axes]");
        assert!(told_shape(&[usize::MAX; 9]).len() <= MOST);
    }

    #[test]
    fn of_many_names_the_first_are_listed_and_the_others_counted() {
        let names: Vec<String> = (0..5000).map(|number| format!("column_{number:04}")).collect();
        let said = one_of("colum_4711", names.iter().map(String::as_str));
        assert!(said.starts_with("one of `column_0000`, `column_0001`, "), "{said}");
        assert!(said.contains(" more") && said.len() < MOST_SAID, "{said}");
        assert_eq!(one_of("c", ["a", "b"]), "one of `a`, `b` (did you mean `a`?)");
        assert_eq!(one_of("c", []), "nothing here");
    }
}
