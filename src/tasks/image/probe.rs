//! What an image's header says of the work that its pixels are, without any of that work.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::GeneralPurpose;

use super::{Format, ImageLimits, jpeg::is_reduced};
use crate::tasks::piece::Kind;

/// Segments of a JPEG before its frame that are looked at.
const MAX_SEGMENTS: usize = 256;
/// Pixels a byte where the header does not tell: as of a photo.
const PIXELS_A_BYTE: u64 = 6;
/// For what every image takes, and for one that is refused.
const LEAST: Duration = Duration::from_micros(200);

/// An encoded file that can be read in places.
pub trait Source {
    /// Bytes of the file, as good as.
    fn length(&self) -> usize;

    /// `N` bytes from `at` on.
    fn at<const N: usize>(&self, at: usize) -> Option<[u8; N]>;
}

impl Source for &[u8] {
    fn length(&self) -> usize {
        self.len()
    }

    fn at<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.get(at..)?.first_chunk().copied()
    }
}

/// A file in base64, of which only what is read is decoded.
pub struct Encoded<'a> {
    pub text: &'a str,
    pub engine: &'a GeneralPurpose,
}

impl Source for Encoded<'_> {
    fn length(&self) -> usize {
        self.text.len() / 4 * 3
    }

    fn at<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        // Four characters are three bytes; line breaks between them are not looked through.
        let (first, skipped) = (at / 3 * 4, at % 3);
        let characters = (skipped + N).div_ceil(3) * 4;
        let end = first.checked_add(characters)?.min(self.text.len());
        let encoded = self.text.as_bytes().get(first..end)?;
        let mut decoded = [0; 48];
        let count = self.engine.decode_slice(encoded, &mut decoded).ok()?;
        decoded[..count].get(skipped..)?.first_chunk().copied()
    }
}

/// What kind of image it is, and what its decoding and resizing take of a thread, about.
#[must_use]
pub fn effort(
    source: &impl Source,
    limits: &ImageLimits,
    reduction: impl Fn(u32, u32) -> f64,
) -> (Kind, Duration) {
    let bytes = source.length() as u64;
    let Some(format) = source.at::<12>(0).and_then(|start| Format::sniff(&start)) else {
        return (Kind::Other, LEAST);
    };
    let size = size(source, format);
    let (width, height, progressive) = match size {
        Some(size) => size,
        None => (u32::try_from(bytes * PIXELS_A_BYTE).unwrap_or(u32::MAX), 1, false),
    };
    if size.is_some() && limits.check(format, width.into(), height.into()).is_err() {
        return (Kind::Other, LEAST);
    }
    let pixels = u64::from(width) * u64::from(height);
    // Nanoseconds of one core for a pixel and for a byte of the file: docs/performance.md.
    let (kind, a_pixel, a_byte) = match format {
        Format::Jpeg if is_reduced(width, height, &reduction) => {
            (Kind::LargeJpeg, 1, if progressive { 8 } else { 4 })
        }
        Format::Jpeg => (Kind::Jpeg, 5, if progressive { 20 } else { 9 }),
        Format::Png => (Kind::Png, 8, 6),
        Format::WebP => (Kind::WebP, 14, 10),
        Format::Gif => (Kind::Gif, 7, 4),
        Format::Bmp => (Kind::Bmp, 5, 0),
    };
    let nanoseconds = pixels.saturating_mul(a_pixel).saturating_add(bytes.saturating_mul(a_byte));
    (kind, LEAST + Duration::from_nanos(nanoseconds))
}

/// Width and height that the header declares, and whether a JPEG has several scans.
fn size(source: &impl Source, format: Format) -> Option<(u32, u32, bool)> {
    let (width, height) = match format {
        Format::Jpeg => return jpeg(source),
        Format::Png => (u32::from_be_bytes(source.at(16)?), u32::from_be_bytes(source.at(20)?)),
        Format::Gif => {
            let [a, b, c, d] = source.at(6)?;
            (u16::from_le_bytes([a, b]).into(), u16::from_le_bytes([c, d]).into())
        }
        Format::Bmp => match u32::from_le_bytes(source.at(14)?) {
            // The oldest header has short sides.
            12 => {
                let [a, b, c, d] = source.at(18)?;
                (u16::from_le_bytes([a, b]).into(), u16::from_le_bytes([c, d]).into())
            }
            _ => {
                let side = |at| source.at(at).map(|side| i32::from_le_bytes(side).unsigned_abs());
                (side(18)?, side(22)?)
            }
        },
        Format::WebP => webp(source)?,
    };
    Some((width, height, false))
}

fn webp(source: &impl Source) -> Option<(u32, u32)> {
    let le = |bytes: &[u8]| bytes.iter().rev().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
    Some(match &source.at::<4>(12)? {
        b"VP8X" => {
            let sides = source.at::<6>(24)?;
            (le(&sides[..3]) + 1, le(&sides[3..]) + 1)
        }
        b"VP8L" => {
            let sides = le(&source.at::<4>(21)?);
            ((sides & 0x3fff) + 1, (sides >> 14 & 0x3fff) + 1)
        }
        _ => {
            let sides = source.at::<4>(26)?;
            (le(&sides[..2]) & 0x3fff, le(&sides[2..]) & 0x3fff)
        }
    })
}

/// By the first frame's header, stepping over what is before it.
fn jpeg(source: &impl Source) -> Option<(u32, u32, bool)> {
    let mut at = 2;
    for _ in 0..MAX_SEGMENTS {
        let [mark, marker, a, b] = source.at(at)?;
        match (mark, marker) {
            // Filling before a marker.
            (0xff, 0xff) => at += 1,
            (0xff, 0xc0..=0xcf) if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let [a, b, c, d] = source.at(at + 5)?;
                let (height, width) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                return Some((width.into(), height.into(), marker & 3 == 2));
            }
            (0xff, _) => at += 2 + usize::from(u16::from_be_bytes([a, b])),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use ::png::{BitDepth, ColorType};
    use base64::prelude::BASE64_STANDARD;

    use super::super::Preprocessing;
    use super::super::test_images::{GIF, jpeg as jpeg_file, png};
    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/tests/fixtures/images/{name}", env!("CARGO_MANIFEST_DIR")))
            .unwrap()
    }

    #[test]
    fn sizes_are_read_from_headers_and_through_base64() {
        let cases = [
            (fixture("jpeg-640x480.jpg"), (640, 480, false)),
            (fixture("jpeg-12mp.jpg"), (4000, 3000, false)),
            (fixture("jpeg-12mp-progressive.jpg"), (3000, 4000, true)),
            (fixture("png-rgb-333x251.png"), (333, 251, false)),
            (fixture("webp-lossless-333x251.webp"), (333, 251, false)),
            (jpeg_file(7, 9, 1), (7, 9, false)),
            (png((3, 5), ColorType::Grayscale, BitDepth::Eight, &[0; 15], None), (3, 5, false)),
            (GIF.to_vec(), (2, 1, false)),
        ];
        for (file, expected) in cases {
            let format = Format::sniff(&file).unwrap();
            assert_eq!(size(&file.as_slice(), format), Some(expected), "{format}");
            let text = BASE64_STANDARD.encode(&file);
            let encoded = Encoded { text: &text, engine: &BASE64_STANDARD };
            assert_eq!(size(&encoded, format), Some(expected), "{format}, in base64");
        }
        for name in
            ["bmp-24bit.bmp", "bmp-24bit-top-down.bmp", "webp-lossy-cat.webp", "webp-animated.webp"]
        {
            let file = fixture(name);
            let decoded = super::super::decode(&file, &ImageLimits::default(), |_, _| 1.0).unwrap();
            let told = size(&file.as_slice(), Format::sniff(&file).unwrap());
            assert_eq!(told, Some((decoded.width, decoded.height, false)), "{name}");
        }
    }

    #[test]
    fn a_large_image_costs_more_and_one_over_the_limits_nothing() {
        let limits = ImageLimits::default();
        let steps = Preprocessing::imagenet_default(224, 224);
        let of =
            |file: &[u8]| effort(&file, &limits, |width, height| steps.reduction(width, height));
        let (small, photo) = (of(&fixture("jpeg-640x480.jpg")), of(&fixture("jpeg-12mp.jpg")));
        assert_eq!((small.0, photo.0), (Kind::Jpeg, Kind::LargeJpeg));
        assert!(photo.1 > small.1 * 3, "{small:?} {photo:?}");
        let mut bomb = jpeg_file(16, 16, 0);
        let frame = bomb.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
        bomb[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
        assert_eq!(of(&bomb), (Kind::Other, LEAST));
        assert_eq!(of(b"no image at all"), (Kind::Other, LEAST));
        // Cut off before its frame: by its bytes.
        let cut = &fixture("jpeg-12mp.jpg")[..40];
        assert_eq!(of(cut).0, Kind::Jpeg);
    }
}
