//! WebP, through `image-webp`.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use super::{
    Format, ImageError, ImageLimits,
    decode::{Decoded, drop_alpha},
};

/// Bound on metadata that the decoder copies, in bytes.
const MAX_METADATA: usize = 16 << 20;

pub(super) fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<Decoded, ImageError> {
    check_chunks(bytes, limits)?;
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(error)?;
    decoder.set_memory_limit(MAX_METADATA);
    let (width, height) = decoder.dimensions();
    let size = limits.check(Format::WebP, u64::from(width), u64::from(height))?;
    let length = decoder
        .output_buffer_size()
        .ok_or_else(|| ImageError::corrupt(Format::WebP, "its size overflows"))?;
    let mut pixels = vec![0; length];
    decoder.read_image(&mut pixels).map_err(error)?;
    let exif = decoder.exif_metadata().ok().flatten();
    let rgb = if decoder.has_alpha() { drop_alpha(pixels, 4) } else { pixels };
    Decoded::new(Format::WebP, size, rgb, exif.as_deref())
}

/// Checks every size that the file declares: the canvas of an extended file and the frame in it are decoded by different
/// code, so a small canvas says nothing about the memory that the frame takes.
fn check_chunks(bytes: &[u8], limits: &ImageLimits) -> Result<(), ImageError> {
    let mut canvas = None;
    let mut rest = bytes.get(12..).unwrap_or_default();
    while let Some((header, body)) = rest.split_at_checked(8) {
        let length = le(&header[4..]);
        let size = match &header[..4] {
            b"VP8X" if body.first().is_some_and(|flags| flags & 2 != 0) => {
                return Err(ImageError::Unsupported { format: Format::WebP, what: "an animation" });
            }
            b"VP8X" => body.get(4..10).map(|s| (le(&s[..3]) + 1, le(&s[3..]) + 1)),
            b"VP8 " => body.get(6..10).map(|s| (le(&s[..2]) & 0x3fff, le(&s[2..]) & 0x3fff)),
            b"VP8L" => body.get(1..5).map(|s| ((le(s) & 0x3fff) + 1, (le(s) >> 14 & 0x3fff) + 1)),
            _ => canvas,
        };
        if let Some((width, height)) = size {
            limits.check(Format::WebP, width, height)?;
            if canvas.is_some_and(|canvas| canvas != (width, height)) {
                return Err(ImageError::corrupt(
                    Format::WebP,
                    "its frame is not as large as its canvas",
                ));
            }
        }
        canvas = size;
        let padded = usize::try_from(length + length % 2).unwrap_or(usize::MAX);
        rest = body.get(padded..).unwrap_or_default();
    }
    match canvas {
        Some(_) => Ok(()),
        None => Err(ImageError::Truncated { format: Format::WebP }),
    }
}

/// Reads up to eight bytes as a little-endian number.
fn le(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn error(error: DecodingError) -> ImageError {
    match error {
        DecodingError::IoError(error) => ImageError::from_io(Format::WebP, &error),
        error => ImageError::corrupt(Format::WebP, error),
    }
}
