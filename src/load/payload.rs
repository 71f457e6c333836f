//! A request's body, and what tells it from its neighbours'.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderName, HeaderValue};

/// A body that is the same for every request but for a mark somewhere in it.
#[derive(Debug, Clone)]
pub struct Payload {
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub before: Bytes,
    pub mark: Mark,
    pub after: Bytes,
}

/// How a body is made another one that means the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mark {
    /// It stays the same.
    None,
    /// Bytes, for example behind an image's end.
    Bytes,
    /// The same in base64, at a multiple of three bytes.
    Base64,
    /// White space within a string of JSON.
    Blanks,
    /// A number that stands here, changed by less than single precision can tell.
    Number(f64),
}

impl Payload {
    /// The body of the request of this number.
    #[must_use]
    pub fn body(&self, number: u64) -> Bytes {
        let mut body = BytesMut::with_capacity(self.before.len() + self.after.len() + 32);
        body.put_slice(&self.before);
        self.mark.put(number, &mut body);
        body.put_slice(&self.after);
        body.freeze()
    }
}

impl Mark {
    /// A server may answer identical requests that are in flight at once by one run, as onnxd does,
    /// and a benchmark would then count answers that cost nothing. 4096 bodies are told apart.
    fn put(self, number: u64, body: &mut BytesMut) {
        let number = (number % 4096) as u16;
        match self {
            Self::None => {}
            Self::Bytes => body.put_u16(number),
            Self::Base64 => {
                const DIGITS: &[u8; 64] =
                    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
                let digit = |value: u16| DIGITS[usize::from(value % 64)];
                body.put_slice(&[b'A', b'A', digit(number / 64), digit(number)]);
            }
            Self::Blanks => {
                for bit in 0..12 {
                    body.put_slice(if (number >> bit) & 1 == 0 { b" " } else { b"\\t" });
                }
            }
            Self::Number(value) => {
                let step = f64::from(number) * 2_f64.powi(-42);
                let other = if value == 0.0 { step * 1e-30 } else { value * (1.0 + step) };
                body.put_slice(format!("{other:?}").as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn bodies(before: &'static str, mark: Mark, after: &'static str) -> Vec<Bytes> {
        let (before, after) = (Bytes::from_static(before.as_bytes()), Bytes::from(after));
        let payload = Payload { headers: Vec::new(), before, mark, after };
        (0..4096).map(|number| payload.body(number)).collect()
    }

    #[test]
    fn bodies_differ_and_mean_the_same() {
        for mark in [Mark::Bytes, Mark::Base64, Mark::Blanks, Mark::Number(5.1)] {
            let different: HashSet<Bytes> = bodies("[", mark, "]").into_iter().collect();
            assert_eq!(different.len(), 4096, "{mark:?}");
        }
        for body in bodies("{\"text\":\"good", Mark::Blanks, "\"}") {
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(json["text"].as_str().unwrap().trim(), "good");
        }
        for value in [5.1, -0.3, 0.0, 1e9] {
            for body in bodies("[", Mark::Number(value), "]") {
                let numbers: Vec<f64> = serde_json::from_slice(&body).unwrap();
                assert!((numbers[0] as f32 - value as f32).abs() <= f32::MIN_POSITIVE, "{body:?}");
            }
        }
    }
}
