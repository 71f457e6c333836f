//! The parts of a form (RFC 7578) out of a body that is there, without copies of their contents.

use bytes::Bytes;
use httparse::{EMPTY_HEADER, Header, Status};
use memchr::{memchr_iter, memmem};

use crate::api::streaming::MALFORMED;
use crate::error::{Error, ErrorKind, excerpt};

/// Bytes of a boundary at most, by RFC 2046.
const MAX_BOUNDARY: usize = 70;
/// Bytes of a part's headers, and their number, at most.
const MAX_HEADERS: usize = 16 * 1024;
const HEADERS: usize = 32;

/// The parts that are left.
pub struct Parts {
    rest: Bytes,
    /// What ends a part: the boundary on a line of its own.
    end: memmem::Finder<'static>,
}

/// A part.
pub struct Part {
    pub name: String,
    pub is_file: bool,
    /// The type of an image that it says it is.
    pub image: Option<String>,
    pub content: Bytes,
}

impl Parts {
    /// # Errors
    /// A boundary that is too long, or that the body does not begin with.
    pub fn new(body: &Bytes, boundary: &str) -> Result<Self, Error> {
        if boundary.len() > MAX_BOUNDARY {
            let expected = format!("a boundary of at most {MAX_BOUNDARY} bytes");
            let got = format!("{} bytes", boundary.len());
            return Err(Error::field(ErrorKind::Syntax, "content-type", expected, got));
        }
        let end = memmem::Finder::new(&format!("\r\n--{boundary}")).into_owned();
        let delimiter = &end.needle()[2..];
        let start = match body.starts_with(delimiter) {
            true => Some(delimiter.len()),
            // What is before the first boundary means nothing.
            false => end.find(body).map(|at| at + end.needle().len()),
        };
        let start = start.ok_or_else(|| broken("no line that is the boundary"))?;
        Ok(Self { rest: body.slice(start..), end })
    }

    /// The next part; `None` after the last.
    ///
    /// # Errors
    /// A part without an end, or with headers that cannot be read.
    pub fn next_part(&mut self) -> Result<Option<Part>, Error> {
        let is_last = self.rest.starts_with(b"--");
        let padded = &self.rest[if is_last { 2 } else { 0 }..];
        let line = padded.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
        let line = line.unwrap_or(padded.len());
        match (is_last, padded[line..].starts_with(b"\r\n")) {
            // What is after the last boundary means nothing.
            (true, ends) if ends || line == padded.len() => return Ok(None),
            (false, true) => {}
            _ => return Err(broken("something else after the boundary")),
        }
        // The end of the boundary's line ends the headers, too, where there are none.
        let headers = &self.rest[line..];
        let window = &headers[..headers.len().min(MAX_HEADERS)];
        let Some(end) = memmem::find(window, b"\r\n\r\n") else {
            let whole = window.len() == headers.len();
            let most = format!("a part with more than {MAX_HEADERS} bytes of headers");
            return Err(broken(if whole { "a part that is cut off" } else { &most }));
        };
        let mut part = described(&headers[2.min(end)..end + 4])?;
        let content = line + end + 4;
        let length = self.end.find(&self.rest[content..]);
        let length = length.ok_or_else(|| broken("a part that is cut off"))?;
        part.content = self.rest.slice(content..content + length);
        self.rest = self.rest.slice(content + length + self.end.needle().len()..);
        Ok(Some(part))
    }
}

/// What the headers say of a part.
fn described(headers: &[u8]) -> Result<Part, Error> {
    let mut space = [EMPTY_HEADER; HEADERS];
    let headers = headers.strip_prefix(b"\r\n").unwrap_or(headers);
    let Ok(Status::Complete((_, read))) = httparse::parse_headers(headers, &mut space) else {
        return Err(broken("a part with headers that cannot be read"));
    };
    // They end the headers for some.
    if memchr_iter(b'\n', headers).any(|at| !headers[..at].ends_with(b"\r")) {
        return Err(broken("a part with a bare line feed in its headers"));
    }
    let values = |name: &'static str| {
        let named = move |header: &&Header<'_>| header.name.eq_ignore_ascii_case(name);
        read.iter().filter(named).map(|header| header.value)
    };
    let value = |name| values(name).next();
    if values("content-disposition").nth(1).is_some() {
        return Err(broken("a part with several names"));
    }
    let disposition = value("content-disposition").unwrap_or_default();
    // `application/octet-stream` is what clients say when they do not know.
    let media = value("content-type").and_then(|media| std::str::from_utf8(media).ok());
    let media = media.and_then(|media| media.split(';').next()).map(str::trim);
    let image = media
        .filter(|media| media.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("image/")));
    let named = |name| parameter(disposition, name);
    Ok(Part {
        name: named("name").unwrap_or_default(),
        is_file: named("filename").or_else(|| named("filename*")).is_some(),
        image: image.map(|image| excerpt(&image.to_ascii_lowercase())),
        content: Bytes::new(),
    })
}

/// A parameter of `content-disposition`: in quotes, in which `\"` stands for one, or bare.
fn parameter(disposition: &[u8], wanted: &str) -> Option<String> {
    let mut rest = disposition;
    loop {
        let start = rest.iter().position(|byte| *byte == b';')? + 1;
        let equals = rest[start..].iter().position(|byte| *byte == b'=')?;
        let name = rest[start..start + equals].trim_ascii();
        let value = rest[start + equals + 1..].trim_ascii_start();
        let value = match value.strip_prefix(b"\"") {
            None => {
                let end = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
                rest = &value[end..];
                value[..end].trim_ascii_end().to_vec()
            }
            Some(quoted) => {
                let mut text = Vec::new();
                let mut bytes = quoted.iter().enumerate().peekable();
                let end = loop {
                    match bytes.next()? {
                        (at, b'"') => break at,
                        (_, b'\\') if matches!(bytes.peek(), Some((_, b'"'))) => {
                            text.push(b'"');
                            bytes.next();
                        }
                        (_, byte) => text.push(*byte),
                    }
                };
                rest = &quoted[end + 1..];
                text
            }
        };
        if name.eq_ignore_ascii_case(wanted.as_bytes()) {
            return String::from_utf8(value).ok();
        }
    }
}

/// Others may see other parts in it.
fn broken(got: &str) -> Error {
    Error::field(ErrorKind::Syntax, "body", "multipart/form-data", got).because(MALFORMED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(body: &str) -> Result<Vec<(String, bool, String)>, String> {
        let mut parts = Parts::new(&body.to_owned().into(), "b").map_err(|error| error.detail)?;
        let mut all = Vec::new();
        while let Some(part) = parts.next_part().map_err(|error| error.detail)? {
            let content = String::from_utf8(part.content.to_vec()).unwrap();
            all.push((part.name, part.is_file, content));
        }
        Ok(all)
    }

    #[test]
    fn parts_are_told_by_their_boundary_alone() {
        let body = "preamble\r\n--b\r\nContent-Disposition: form-data; name=\"te\\\"xt\"\r\n\r\na\r\n--c\r\n\
                    \r\n--b \t\r\ncontent-disposition: form-data; filename=\"a;b\"; NAME = file \r\n\
                    content-type: Image/PNG; x=y\r\n\r\n\r\n--b--\r\nepilogue";
        assert_eq!(
            parts(body).unwrap(),
            [("te\"xt".into(), false, "a\r\n--c\r\n".into()), ("file".into(), true, String::new())]
        );
        assert_eq!([parts("--b--").unwrap(), parts("--b-- \r\nx").unwrap()], [[], []]);
        assert_eq!(parts("--b\r\n\r\nx\r\n--b--").unwrap(), [(String::new(), false, "x".into())]);
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let disposition = "content-disposition: form-data; name=x\r\n";
        let header = &format!("{disposition}\r\n");
        let long = format!("--b\r\nx: {}\r\n{header}x\r\n--b--", "y".repeat(MAX_HEADERS));
        let many = format!("--b\r\n{}{header}x\r\n--b--", "x: y\r\n".repeat(HEADERS));
        for (body, got) in [
            ("nothing", "no line"),
            ("--b", "something else"),
            ("--bb\r\n\r\n\r\n--b--", "something else"),
            ("--b--x", "something else"),
            ("--b--\n", "something else"),
            (&format!("--b\r\nx: y\n\nz: y\r\n{header}x\r\n--b--"), "bare line feed"),
            (&format!("--b\r\n{disposition}{header}x\r\n--b--"), "several names"),
            ("--b\r\nx: y", "cut off"),
            (&format!("--b\r\n{header}x"), "cut off"),
            (&long, "more than 16384 bytes"),
            (&many, "cannot be read"),
        ] {
            let said = parts(body).unwrap_err();
            assert!(said.contains(got), "{said}");
        }
        assert!(Parts::new(&Bytes::new(), &"b".repeat(71)).is_err());
    }
}
