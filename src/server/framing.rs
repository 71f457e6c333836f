//! Where the requests of a connection of HTTP/1 end, by the letter of RFC 9112.
//!
//! hyper takes what a proxy in front may read otherwise (both lengths, a length twice, encodings before
//! `chunked`, bare line feeds), and then the two do not agree on where the next request begins. So the
//! bytes are followed before hyper sees them: of a head with a fault the server is told, and a body whose
//! chunks have one is broken off. After either nothing more is taken from the connection.

use memchr::memchr;

use super::head::Fault;

/// Longest line of a chunk's size, in bytes. hyper takes 16 KiB of extensions in a body.
const MAX_SIZE_LINE: usize = 17 << 10;

const BARE_LF: Fault =
    Fault { field: "head", expected: "lines that end in CR LF", got: "a bare line feed" };
const FOLDED: Fault =
    Fault { field: "head", expected: "a header in one line", got: "one that goes on in the next" };
const TOO_LONG: Fault = Fault { field: "head", expected: "shorter lines", got: "a longer one" };
const BOTH_LENGTHS: Fault = Fault {
    field: "content-length",
    expected: "none where there is a transfer-encoding",
    got: "both",
};
const TWO_LENGTHS: Fault = Fault { field: "content-length", expected: "one", got: "several" };
const BAD_LENGTH: Fault =
    Fault { field: "content-length", expected: "a number of bytes", got: "something else" };
const ENCODING: Fault =
    Fault { field: "transfer-encoding", expected: "`chunked` alone", got: "something else" };

/// Follows the bytes of one connection.
pub struct Framing {
    state: State,
    /// Of a line whose end has not come yet.
    line: Vec<u8>,
    head: Head,
    /// Heads that have ended.
    heads: u64,
    /// Bytes of a line of a head.
    longest: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a request's first line.
    Between,
    Head,
    /// Bytes of a body that are still to come.
    Body(u64),
    /// The line before a chunk.
    Size,
    Chunk(u64),
    /// The end of the line after a chunk.
    ChunkEnd,
    Trailers,
    /// No request after this one is taken.
    Off,
}

#[derive(Default)]
struct Head {
    length: Option<u64>,
    chunked: bool,
    fault: Option<Fault>,
}

/// What is wrong with some bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The head of the request of this number, counted from 1.
    Head(u64, Fault),
    /// The framing of a body. Only so many of the bytes are good.
    Body(usize),
}

impl Framing {
    /// With at most `longest` bytes in a line of a head; hyper has bounds of its own on the whole.
    pub fn new(longest: usize) -> Self {
        let (line, head) = (Vec::new(), Head::default());
        Self { state: State::Between, line, head, heads: 0, longest }
    }

    /// Follows `bytes`, which came next.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match &mut self.state {
                State::Off => return Ok(()),
                State::Body(left) => {
                    rest = skip(rest, left);
                    if *left == 0 {
                        self.state = State::Between;
                    }
                }
                State::Chunk(left) => {
                    rest = skip(rest, left);
                    if *left == 0 {
                        self.state = State::ChunkEnd;
                    }
                }
                _ => {
                    let good = bytes.len() - rest.len();
                    let Some(end) = memchr(b'\n', rest) else { return self.part(rest, good) };
                    let line = &rest[..end];
                    rest = &rest[end + 1..];
                    if self.line.is_empty() {
                        self.line(line, good)?;
                    } else {
                        let mut whole = std::mem::take(&mut self.line);
                        whole.extend_from_slice(line);
                        self.line(&whole, good)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The beginning of a line.
    fn part(&mut self, part: &[u8], good: usize) -> Result<(), Wrong> {
        let longest = match self.state {
            State::Between | State::Head => self.longest,
            State::ChunkEnd => 1,
            _ => MAX_SIZE_LINE,
        };
        if self.line.len() + part.len() <= longest {
            self.line.extend_from_slice(part);
            return Ok(());
        }
        match self.state {
            State::Between | State::Head => {
                self.head.fault.get_or_insert(TOO_LONG);
                self.head_ends()
            }
            _ => self.broken(good),
        }
    }

    /// A whole line, without its line feed.
    fn line(&mut self, line: &[u8], good: usize) -> Result<(), Wrong> {
        let (line, whole) = match line.split_last() {
            Some((b'\r', line)) => (line, true),
            _ => (line, false),
        };
        match self.state {
            State::Between | State::Head => {
                if !whole {
                    self.head.fault.get_or_insert(BARE_LF);
                }
                match (self.state, line.is_empty()) {
                    // Empty lines before a request are skipped.
                    (State::Between, true) => {}
                    (State::Between, false) => self.state = State::Head,
                    (_, true) => return self.head_ends(),
                    (_, false) => self.head.header(line),
                }
                Ok(())
            }
            _ if !whole => self.broken(good),
            State::Size => {
                match chunk_size(line) {
                    None => return self.broken(good),
                    Some(0) => self.state = State::Trailers,
                    Some(size) => self.state = State::Chunk(size),
                }
                Ok(())
            }
            State::ChunkEnd if line.is_empty() => {
                self.state = State::Size;
                Ok(())
            }
            State::ChunkEnd => self.broken(good),
            _ => {
                if line.is_empty() {
                    self.state = State::Between;
                }
                Ok(())
            }
        }
    }

    fn head_ends(&mut self) -> Result<(), Wrong> {
        self.heads += 1;
        let Head { length, chunked, fault } = std::mem::take(&mut self.head);
        let both = (length.is_some() && chunked).then_some(BOTH_LENGTHS);
        if let Some(fault) = fault.or(both) {
            self.state = State::Off;
            return Err(Wrong::Head(self.heads, fault));
        }
        self.state = match (chunked, length) {
            (true, _) => State::Size,
            (false, None | Some(0)) => State::Between,
            (false, Some(length)) => State::Body(length),
        };
        Ok(())
    }

    fn broken(&mut self, good: usize) -> Result<(), Wrong> {
        self.state = State::Off;
        Err(Wrong::Body(good))
    }
}

/// Goes past as many bytes as are `left`.
fn skip<'a>(bytes: &'a [u8], left: &mut u64) -> &'a [u8] {
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= length as u64;
    &bytes[length..]
}

impl Head {
    fn header(&mut self, line: &[u8]) {
        const LENGTH: &[u8] = b"content-length";
        const ENCODED: &[u8] = b"transfer-encoding";
        // Others are no concern here, and these two are told by their length.
        let named = |name: &[u8]| {
            line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name)
        };
        if matches!(line.first(), Some(b' ' | b'\t')) {
            self.fault.get_or_insert(FOLDED);
        } else if named(LENGTH) {
            let value = line[LENGTH.len() + 1..].trim_ascii();
            let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(value).ok().filter(|_| digits);
            let length = length.and_then(|digits| digits.parse().ok());
            if self.length.is_some() {
                self.fault.get_or_insert(TWO_LENGTHS);
            } else if length.is_none() {
                self.fault.get_or_insert(BAD_LENGTH);
            }
            self.length = length.or(self.length);
        } else if named(ENCODED) {
            let value = line[ENCODED.len() + 1..].trim_ascii();
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                self.fault.get_or_insert(ENCODING);
            }
            self.chunked = true;
        }
    }
}

/// Hexadecimal digits, and perhaps extensions after a semicolon.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let rest = line[digits..].trim_ascii_start();
    let ends = line.len() == digits || rest.first() == Some(&b';');
    let digits = std::str::from_utf8(&line[..digits]).ok().filter(|_| ends)?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

    /// What is wrong, whole and byte by byte.
    fn wrong(text: &str) -> Option<Wrong> {
        let whole = Framing::new(100).follow(text.as_bytes()).err();
        let mut framing = Framing::new(100);
        let by_byte = text.as_bytes().chunks(1).find_map(|byte| framing.follow(byte).err());
        match (&whole, &by_byte) {
            (Some(Wrong::Body(_)), Some(Wrong::Body(_))) => {}
            _ => assert_eq!(whole, by_byte, "{text:?}"),
        }
        whole
    }

    fn head(headers: &str) -> Option<Wrong> {
        wrong(&format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n"))
    }

    #[test]
    fn what_leaves_no_doubt_is_followed_to_the_next_request() {
        let bodies = [
            "POST / HTTP/1.1\r\nContent-Length:  5 \r\n\r\nab\n\r\n",
            "\r\nPOST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n3\r\na\n\n\r\nA;x=\"y\"\r\n0123456789\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0003 ; x\r\nabc\r\n0\r\nx: y\r\n\r\n",
            "POST / HTTP/1.0\r\ncontent-length: 0\r\n\r\n",
            "GET / HTTP/1.1\r\ncontent-length-x: 1, 2\r\nx-transfer-encoding: x\r\n\r\n",
        ];
        for body in bodies {
            assert_eq!(wrong(&format!("{body}{OTHER}{body}")), None, "{body:?}");
            // The next one is seen where it is.
            let fault = wrong(&format!("{body}{OTHER}GET / HTTP/1.1\nhost: a\r\n\r\n"));
            assert_eq!(fault, Some(Wrong::Head(3, BARE_LF)), "{body:?}");
        }
    }

    #[test]
    fn heads_in_doubt_are_told() {
        let both = "content-length: 5\r\ntransfer-encoding: chunked";
        let cases = [
            (both, BOTH_LENGTHS),
            ("transfer-encoding: chunked\r\ncontent-length: 5", BOTH_LENGTHS),
            ("content-length: 5\r\ncontent-length: 5", TWO_LENGTHS),
            ("content-length: 5\r\nContent-Length: 6", TWO_LENGTHS),
            ("content-length: 5, 5", BAD_LENGTH),
            ("content-length: +5", BAD_LENGTH),
            ("content-length: -1", BAD_LENGTH),
            ("content-length: 0x5", BAD_LENGTH),
            ("content-length: 99999999999999999999", BAD_LENGTH),
            ("content-length:", BAD_LENGTH),
            ("transfer-encoding: xchunked", ENCODING),
            ("transfer-encoding: gzip, chunked", ENCODING),
            ("transfer-encoding: chunked, identity", ENCODING),
            ("transfer-encoding: chunked\r\ntransfer-encoding: chunked", ENCODING),
            ("transfer-encoding:", ENCODING),
            ("transfer-encoding: \"chunked\"", ENCODING),
            ("transfer-encoding: \u{b}chunked", ENCODING),
            ("x: y\r\n z", FOLDED),
            ("x: y\nz: y", BARE_LF),
        ];
        for (headers, fault) in cases {
            assert_eq!(head(headers), Some(Wrong::Head(1, fault)), "{headers:?}");
        }
        let bare = "GET / HTTP/1.1\r\nhost: a\n\nGET / HTTP/1.1\r\n";
        assert_eq!(wrong(bare), Some(Wrong::Head(1, BARE_LF)));
        let long = format!("GET /{} HTTP/1.1", "x".repeat(200));
        assert_eq!(wrong(&long), Some(Wrong::Head(1, TOO_LONG)));
    }

    #[test]
    fn chunks_in_doubt_are_broken_off_before_them() {
        let start = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n";
        for chunk in [
            "\r\n",
            "5\nabcde\r\n",
            "5 \r\nabcde\r\n",
            "g\r\n",
            "-1\r\n",
            "0x5\r\nabcde\r\n",
            " 5\r\nabcde",
            "2\r\nabc\r\n",
            "2\r\nab\n",
            "0\nx",
            "0\r\nx: y\n\r\n",
            "10000000000000000\r\n",
        ] {
            let text = format!("{start}{chunk}");
            let good = match wrong(&text) {
                Some(Wrong::Body(good)) => good,
                other => panic!("{chunk:?}: {other:?}"),
            };
            assert!((start.len()..text.len()).contains(&good), "{chunk:?}: {good}");
        }
    }
}
