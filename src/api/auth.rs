//! API keys: who may ask at all. Decided on the request's head, before its body is read.

use std::sync::Arc;

use anyhow::{Context, ensure};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::error::ApiError;
use super::peers::{Identity, Peer};
use crate::error::{Error, ErrorKind};
use crate::reload::Reloading;

const X_API_KEY: &str = "x-api-key";

/// SHA-256 of the keys that are taken.
pub struct Keys(Vec<[u8; 32]>);

impl Keys {
    /// A key's SHA-256 a line, in hexadecimal digits, alone or as `NAME:SHA256`. `#` begins a
    /// comment.
    ///
    /// # Errors
    /// Another line, or no key at all.
    pub fn parse(text: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(text).context("not UTF-8")?;
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let digits = line.rsplit_once(':').map_or(line, |(_name, digits)| digits.trim());
            // `sha256sum` writes the name of its input behind the digits.
            let digits = digits.strip_suffix(" -").unwrap_or(digits).trim();
            // The line itself may be a key that somebody forgot to hash: it is not repeated.
            keys.push(sha256(digits).with_context(|| {
                format!("line {}: expected the 64 hexadecimal digits of a SHA-256", index + 1)
            })?);
        }
        ensure!(!keys.is_empty(), "no key in it: nobody could ask");
        Ok(Self(keys))
    }

    /// The SHA-256 of this key, if it is one of them. How long that takes does not depend on which one.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<[u8; 32]> {
        let given: [u8; 32] = Sha256::digest(key).into();
        let mut found = Choice::from(0);
        for key in &self.0 {
            found |= key.ct_eq(&given);
        }
        bool::from(found).then_some(given)
    }
}

fn sha256(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

/// Lets requests through that bring a key, which is whose they are from then on.
pub async fn check(
    State(keys): State<Arc<Reloading<Keys>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let expected = "`authorization: Bearer KEY` or `x-api-key: KEY`";
    let given = key(request.headers());
    let got = match given.map(|key| keys.current().find(key)) {
        Some(Some(key)) => {
            if let Some(peer) = Peer::of(request.extensions()) {
                request.extensions_mut().insert(peer.bounds().peer(Identity::Key(key)));
            }
            return next.run(request).await;
        }
        Some(None) => "a key that is not known",
        None if request.headers().contains_key(header::AUTHORIZATION) => {
            "an `authorization` that is not `Bearer KEY`"
        }
        None => "no key",
    };
    let error = Error::field(ErrorKind::Unauthorized, "authorization", expected, got);
    let mut response = ApiError(error).into_response();
    let bearer = HeaderValue::from_static("Bearer");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
    response
}

fn key(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(key.trim_ascii())
    });
    bearer.or_else(|| headers.get(X_API_KEY).map(HeaderValue::as_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    // printf %s secret | sha256sum
    const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    #[test]
    fn keys_are_read_bare_named_and_as_sha256sum_writes_them() {
        let lines = [
            SECRET.to_owned(),
            format!("{SECRET}  -"),
            format!("ci: {} # robot", SECRET.to_uppercase()),
        ];
        for line in lines {
            let keys = Keys::parse(format!("# keys\n\n{line}\n").as_bytes()).unwrap();
            let known = |key: &[u8]| keys.find(key).is_some();
            assert!(known(b"secret") && !known(b"Secret") && !known(b""));
        }
    }

    #[test]
    fn a_key_that_is_not_hashed_is_refused_and_not_repeated() {
        let said = format!("{:#}", Keys::parse(b"secret\n").err().unwrap());
        assert!(said.contains("line 1") && !said.contains("secret"), "{said}");
        assert!(Keys::parse(b"# none\n").is_err());
    }

    #[test]
    fn the_bearer_scheme_is_of_any_case_and_others_are_no_keys() {
        let key = |name, value| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            key(&headers).map(<[u8]>::to_vec)
        };
        assert_eq!(key("authorization", "bearer a").as_deref(), Some(&b"a"[..]));
        assert_eq!(key("x-api-key", "a").as_deref(), Some(&b"a"[..]));
        assert_eq!(key("authorization", "Basic YTpi"), None);
        assert_eq!(key("authorization", "Bearer"), None);
    }
}
