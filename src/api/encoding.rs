//! Bodies that a client compressed: gzip, inflated within the bounds that bodies have.
//!
//! What comes out is paid for before it is in memory, is at most [`RATIO`] times what came and at most
//! `max_body_size`, and more than a little is inflated on a compute thread, for as long as somebody waits.

use std::io::Read;
use std::sync::{Arc, Weak};

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;

use super::App;
use super::peers::Taken;
use super::upload::Upload;
use crate::error::{Error, ErrorKind, excerpt};
use crate::runtime::compute::FEW;

/// How many times what came a body may be, inflated. Texts and numbers have 3 to 12 in practice.
const RATIO: usize = 20;
/// Bytes that are inflated between two looks at whether anybody waits.
const STEP: usize = 32 * 1024;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    Gzip,
}

impl Encoding {
    /// By its name.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        match name {
            name if name.eq_ignore_ascii_case(b"identity") => Some(Self::Identity),
            name if name.eq_ignore_ascii_case(b"gzip") => Some(Self::Gzip),
            // As old clients call it.
            name if name.eq_ignore_ascii_case(b"x-gzip") => Some(Self::Gzip),
            _ => None,
        }
    }

    /// Of a request's body.
    ///
    /// # Errors
    /// Another encoding, or several.
    pub fn of(headers: &HeaderMap) -> Result<Self, Error> {
        let mut given = headers.get_all(header::CONTENT_ENCODING).iter();
        let named = match (given.next(), given.next()) {
            (None, _) => Some(Self::Identity),
            (Some(one), None) => Self::named(one.as_bytes().trim_ascii()),
            _ => None,
        };
        named.ok_or_else(|| refused(headers, "`gzip`, or a body that is not compressed"))
    }
}

fn refused(headers: &HeaderMap, expected: &str) -> Error {
    let given: Vec<_> = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .map(|given| String::from_utf8_lossy(given.as_bytes()))
        .collect();
    let got = format!("`{}`", excerpt(&given.join(", ")));
    Error::field(ErrorKind::UnsupportedMediaType, "content-encoding", expected, got)
}

/// For streams of lines, which are read while they come.
///
/// # Errors
/// A compressed body.
pub fn refuse(headers: &HeaderMap) -> Result<(), Error> {
    match Encoding::of(headers)? {
        Encoding::Identity => Ok(()),
        Encoding::Gzip => Err(refused(headers, "lines that are not compressed")),
    }
}

/// What came, inflated, with the further part of `max_bodies_size` that it takes: at most `limit` bytes.
///
/// # Errors
/// [`ErrorKind::TooLarge`] as soon as a bound is passed; [`ErrorKind::Overloaded`] if there is no room for it;
/// [`ErrorKind::Syntax`] if it is no gzip or ends early.
pub async fn inflate(
    app: &App,
    field: &'static str,
    bytes: Bytes,
    upload: Option<&Arc<Upload>>,
    limit: usize,
) -> Result<(Bytes, Vec<Option<Taken>>), Error> {
    let bound = bound(bytes.len(), limit);
    let waits = Arc::new(());
    let inflating = Inflating {
        field,
        bound,
        waits: Arc::downgrade(&waits),
        reserve: {
            let upload = upload.cloned();
            move |bytes| upload.as_ref().map(|upload| upload.reserve(bytes)).transpose()
        },
        rooms: Vec::new(),
    };
    let inflated = app.compute.bytes(bound, move || inflating.run(&bytes)).await;
    drop(waits);
    inflated
}

/// Bytes that so many may become. A few are always allowed: what is short and monotonous compresses well.
fn bound(came: usize, limit: usize) -> usize {
    came.saturating_mul(RATIO).max(FEW).min(limit)
}

struct Inflating<R, T> {
    field: &'static str,
    bound: usize,
    /// Gone when nobody waits any more.
    waits: Weak<()>,
    reserve: R,
    /// Of what it becomes.
    rooms: Vec<T>,
}

impl<T, R: Fn(usize) -> Result<T, Error>> Inflating<R, T> {
    fn run(mut self, bytes: &[u8]) -> Result<(Bytes, Vec<T>), Error> {
        let mut decoder = MultiGzDecoder::new(bytes);
        let mut out = Vec::new();
        // What it says of its own length, at its end, is right for all but odd files.
        let told = bytes.last_chunk().map_or(0, |told| u32::from_le_bytes(*told) as usize);
        self.grow(&mut out, told.clamp(1, self.bound))?;
        let mut step = vec![0; STEP.min(self.bound + 1)];
        loop {
            if self.waits.strong_count() == 0 {
                return Err(Error::internal("nobody waits for the body any more"));
            }
            let count = decoder.read(&mut step).map_err(|error| self.broken(&error))?;
            if count == 0 {
                return Ok((out.into(), self.rooms));
            }
            let length = out.len() + count;
            if length > self.bound {
                return Err(self.too_large());
            }
            if length > out.capacity() {
                let wanted = (out.capacity() * 2).clamp(length, self.bound);
                self.grow(&mut out, wanted)?;
            }
            out.extend_from_slice(&step[..count]);
        }
    }

    /// Pays for a buffer of this size, and makes it.
    fn grow(&mut self, out: &mut Vec<u8>, capacity: usize) -> Result<(), Error> {
        self.rooms.push((self.reserve)(capacity - out.capacity().min(capacity))?);
        out.reserve_exact(capacity - out.len());
        Ok(())
    }

    fn broken(&self, error: &std::io::Error) -> Error {
        let got = match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "one that ends early".to_owned(),
            _ => format!("a broken one ({error})"),
        };
        Error::field(ErrorKind::Syntax, self.field, "a whole gzip stream", got)
    }

    fn too_large(&self) -> Error {
        let expected = format!(
            "at most {} bytes when it is inflated, which may be {RATIO} times what came",
            self.bound
        );
        Error::too_large(self.field, expected, "more")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use axum::http::HeaderValue;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tokio::sync::{OwnedSemaphorePermit, Semaphore};

    use super::*;
    use crate::api::body;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Noise, which does not compress.
    fn noise(bytes: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        (0..bytes).map(|_| random.u8(..)).collect()
    }

    /// Inflates with so many KiB of room, and tells how many are held at the end.
    fn inflated(file: &[u8], limit: usize, kib: usize) -> Result<(Bytes, usize), Error> {
        let semaphore = Arc::new(Semaphore::new(kib));
        let waits = Arc::new(());
        let reserve = {
            let semaphore = semaphore.clone();
            move |bytes| {
                let wanted = body::kib(bytes) as u32;
                let full = |_| Error::new(ErrorKind::Overloaded, "full");
                semaphore.clone().try_acquire_many_owned(wanted).map_err(full)
            }
        };
        let inflating = Inflating {
            field: "body",
            bound: bound(file.len(), limit),
            waits: Arc::downgrade(&waits),
            reserve,
            rooms: Vec::new(),
        };
        let held = |rooms: Vec<OwnedSemaphorePermit>| {
            rooms.iter().map(OwnedSemaphorePermit::num_permits).sum()
        };
        inflating.run(file).map(|(bytes, rooms)| (bytes, held(rooms)))
    }

    #[test]
    fn what_comes_out_is_what_went_in_and_its_room_is_held() {
        for length in [0, 1, STEP - 1, STEP, STEP + 1, 300_000] {
            let whole = noise(length);
            let (bytes, kib) = inflated(&gzip(&whole), 1 << 20, 4096).unwrap();
            assert_eq!(bytes, whole);
            assert!(kib * 1024 >= length && kib * 1024 <= 2 * length + 4096, "{length}: {kib} KiB");
        }
        // Several streams in a row are one, as gzip itself has it; the last one tells its own length.
        let parts = [gzip(&noise(200_000)), gzip(b"end")].concat();
        assert_eq!(inflated(&parts, 1 << 20, 4096).unwrap().0.len(), 200_003);
    }

    #[test]
    fn more_than_twenty_times_what_came_or_the_limit_is_too_large() {
        let bomb = gzip(&vec![0; 10_000_000]);
        let refused = inflated(&bomb, 1 << 30, 1 << 20).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::TooLarge);
        assert!(
            refused.detail.contains(&format!("at most {} bytes", bomb.len() * 20)),
            "{refused}"
        );
        let over = inflated(&gzip(&noise(2000)), 1999, 4096).unwrap_err();
        assert_eq!(over.kind, ErrorKind::TooLarge);
        assert!(inflated(&gzip(&noise(2000)), 2000, 4096).is_ok());
        let monotonous = inflated(&gzip(&[b'1'; FEW]), 1 << 20, 4096).unwrap();
        assert_eq!(monotonous.0.len(), FEW, "a little is always allowed");
    }

    #[test]
    fn there_must_be_room_for_it_and_somebody_who_waits() {
        let file = gzip(&[noise(1000).as_slice(), &[b'x'; 15_000]].concat());
        assert_eq!(inflated(&file, 1 << 20, 4).unwrap_err().kind, ErrorKind::Overloaded);
        let semaphore = Arc::new(Semaphore::new(4096));
        let reserve = move |bytes| {
            let permits = semaphore.clone().try_acquire_many_owned(body::kib(bytes) as u32);
            permits.map_err(Error::internal)
        };
        let left = Inflating {
            field: "body",
            bound: 1 << 20,
            waits: Weak::new(),
            reserve,
            rooms: Vec::new(),
        };
        assert!(left.run(&file).is_err());
    }

    #[test]
    fn what_is_broken_or_ends_early_is_told() {
        let file = gzip(&noise(1000));
        let told = |file: &[u8]| inflated(file, 1 << 20, 4096).unwrap_err();
        for length in 0..file.len() {
            assert_eq!(told(&file[..length]).kind, ErrorKind::Syntax, "{length}");
        }
        assert!(told(&file[..500]).detail.contains("ends early"));
        assert!(
            told(b"{\"features\": []}").detail.contains("`body`: expected a whole gzip stream")
        );
        let mut damaged = file.clone();
        damaged[600] ^= 1;
        assert_eq!(told(&damaged).kind, ErrorKind::Syntax);
    }

    #[test]
    fn only_gzip_is_taken_and_only_once() {
        let of = |names: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for name in names {
                headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(name));
            }
            Encoding::of(&headers).map_err(|error| error.detail)
        };
        assert_eq!(of(&[]), Ok(Encoding::Identity));
        assert_eq!(of(&["GZip"]), Ok(Encoding::Gzip));
        assert_eq!(of(&["x-gzip"]), Ok(Encoding::Gzip));
        assert!(of(&["gzip, gzip"]).is_err() && of(&["identity", "gzip"]).is_err());
        assert!(
            of(&["br"]).unwrap_err().contains("expected `gzip`, or a body that is not compressed")
        );
    }
}
