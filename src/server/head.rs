//! What RFC 9110, 9112 and 9113 ask of a request's head, of what hyper shows of it. What it does not show
//! is looked after by `framing.rs`.

use axum::http::{HeaderName, HeaderValue, Request, Version, header};

use crate::api::streaming::MALFORMED;
use crate::error::{Error, ErrorKind};

/// What is wrong with a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub field: &'static str,
    pub expected: &'static str,
    pub got: &'static str,
}

impl From<Fault> for Error {
    fn from(Fault { field, expected, got }: Fault) -> Self {
        Self::field(ErrorKind::Syntax, field, expected, got).because(MALFORMED)
    }
}

const NO_HOST: Fault = Fault { field: "host", expected: "a host", got: "none" };
const TWO_HOSTS: Fault = Fault { field: "host", expected: "one host", got: "several" };
const BAD_HOST: Fault =
    Fault { field: "host", expected: "a name or an address, and a port", got: "something else" };
const OTHER_HOST: Fault =
    Fault { field: "host", expected: "the same as in `:authority`", got: "another" };
const BAD_AUTHORITY: Fault = Fault {
    field: "authority",
    expected: "a name or an address, and a port",
    got: "something else",
};
const TWO_LENGTHS: Fault = Fault { field: "content-length", expected: "one", got: "several" };
const TWO_TYPES: Fault = Fault { field: "content-type", expected: "one", got: "several" };
const BAD_TE: Fault =
    Fault { field: "te", expected: "codings other than `chunked`", got: "something else" };

/// The first fault of a request's head.
pub fn fault<B>(request: &Request<B>) -> Option<Fault> {
    let (headers, http2) = (request.headers(), request.version() >= Version::HTTP_2);
    let mut hosts = headers.get_all(header::HOST).iter();
    let (host, another) = (hosts.next().map(HeaderValue::as_bytes), hosts.next());
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    // Of a client of HTTP/1 whose URI has none: RFC 9112, 3.2.
    let is_empty = |host: &[u8]| !http2 && host.is_empty();
    match (host, authority) {
        _ if another.is_some() => return Some(TWO_HOSTS),
        (Some(host), _) if !is_empty(host) && !is_authority(host) => return Some(BAD_HOST),
        (_, Some(authority)) if !is_authority(authority) => return Some(BAD_AUTHORITY),
        (Some(host), Some(authority)) if http2 && !host.eq_ignore_ascii_case(authority) => {
            return Some(OTHER_HOST);
        }
        (None, None) if http2 => return Some(NO_HOST),
        // Of old clients, and of probes that want to be simple.
        (None, _) if request.version() == Version::HTTP_11 => return Some(NO_HOST),
        _ => {}
    }
    let is_twice = |name: HeaderName| headers.get_all(name).iter().nth(1).is_some();
    // Each may tell another boundary of a form.
    if is_twice(header::CONTENT_TYPE) {
        return Some(TWO_TYPES);
    }
    if http2 {
        return is_twice(header::CONTENT_LENGTH).then_some(TWO_LENGTHS);
    }
    let bad = headers.get_all(header::TE).iter().any(|value| !is_te(value.as_bytes()));
    bad.then_some(BAD_TE)
}

/// `uri-host [ ":" port ]`, and not empty.
fn is_authority(text: &[u8]) -> bool {
    let (is_host, rest) = match text.strip_prefix(b"[") {
        Some(inside) => {
            let end = inside.iter().position(|byte| *byte == b']').unwrap_or(0);
            let is_address = inside[..end].iter().all(|b| {
                b.is_ascii_alphanumeric() || matches!(b, b':' | b'.' | b'%' | b'-' | b'_' | b'~')
            });
            (end > 0 && is_address, inside.get(end + 1..).unwrap_or_default())
        }
        None => {
            let end = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
            (end > 0 && is_name(&text[..end]), &text[end..])
        }
    };
    let is_port = match rest.split_first() {
        None => true,
        Some((b':', [])) => true,
        // No sign, which parsing would take.
        Some((b':', port)) if port.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(port).is_ok_and(|port| port.parse::<u16>().is_ok())
        }
        Some(_) => false,
    };
    is_host && is_port
}

/// `reg-name`, of which an IPv4 address is one.
fn is_name(text: &[u8]) -> bool {
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        let good = match byte {
            b'%' => {
                let mut hex = || bytes.next().is_some_and(u8::is_ascii_hexdigit);
                hex() && hex()
            }
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+'
            | b',' | b';' | b'=' => true,
            byte => byte.is_ascii_alphanumeric(),
        };
        if !good {
            return false;
        }
    }
    true
}

/// A list of codings, each perhaps with parameters; `chunked` is none that may stand in it.
fn is_te(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').all(|coding| {
        let name = coding.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        !name.eq_ignore_ascii_case(b"chunked")
            && coding.iter().all(|b| b.is_ascii_graphic() || matches!(b, b' ' | b'\t'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(version: Version, uri: &str, headers: &[(&str, &str)]) -> Option<Fault> {
        let mut request = Request::builder().version(version).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        fault(&request.body(()).unwrap())
    }

    #[test]
    fn a_host_is_there_once_and_is_one() {
        let host = |host| ask(Version::HTTP_11, "/", &[("host", host)]);
        for good in [
            "a",
            "a.example.com:8080",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]:9090",
            "[::1]",
            "my_host",
            "xn--bcher-kva.example",
            "a:",
            "%41.example",
            "",
        ] {
            assert_eq!(host(good), None, "{good}");
        }
        for bad in [
            " ", "a b", "a/b", "user@a", "a:b", "a:65536", "a:123456", "http://a", "[::1", "[]",
            "[::1]x", ":80", "a,\"b", "a#b", "a?b", "a\\b", "%4", "%zz", "a:1:2",
        ] {
            assert_eq!(host(bad), Some(BAD_HOST), "{bad}");
        }
        assert_eq!(ask(Version::HTTP_11, "/", &[]), Some(NO_HOST));
        assert_eq!(ask(Version::HTTP_10, "/", &[]), None);
        let two = [("host", "a"), ("host", "a")];
        assert_eq!(ask(Version::HTTP_10, "/", &two), Some(TWO_HOSTS));
        assert_eq!(ask(Version::HTTP_11, "http://a/", &[("host", "b")]), None);
        assert_eq!(ask(Version::HTTP_11, "http://u@a/", &[("host", "a")]), Some(BAD_AUTHORITY));
    }

    #[test]
    fn on_http2_the_authority_is_the_host() {
        let ask = |uri, headers: &[(&str, &str)]| ask(Version::HTTP_2, uri, headers);
        assert_eq!(ask("http://a/", &[]), None);
        assert_eq!(ask("http://a/", &[("host", "A")]), None);
        assert_eq!(ask("/", &[("host", "a")]), None);
        assert_eq!(ask("/", &[]), Some(NO_HOST));
        assert_eq!(ask("/", &[("host", "")]), Some(BAD_HOST));
        assert_eq!(ask("http://a/", &[("host", "b")]), Some(OTHER_HOST));
        assert_eq!(ask("http://u@a/", &[]), Some(BAD_AUTHORITY));
        let two = [("content-length", "1"), ("content-length", "1")];
        assert_eq!(ask("http://a/", &two), Some(TWO_LENGTHS));
    }

    #[test]
    fn te_is_a_list_of_codings() {
        let te = |te| ask(Version::HTTP_11, "/", &[("host", "a"), ("te", te)]);
        for good in ["trailers", "deflate,gzip;q=0.3", "trailers, deflate;q=0.5", ""] {
            assert_eq!(te(good), None, "{good}");
        }
        for bad in ["chunked", "trailers, Chunked;q=1"] {
            assert_eq!(te(bad), Some(BAD_TE), "{bad}");
        }
    }
}
