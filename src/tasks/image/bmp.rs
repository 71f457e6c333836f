//! BMP, through `image`.

use std::io::Cursor;

use image::{ColorType, ImageDecoder, ImageError as DecodingError, codecs::bmp::BmpDecoder};

use super::{
    Format, ImageError, ImageLimits,
    decode::{Decoded, drop_alpha, grey_to_rgb},
};

pub(super) fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<Decoded, ImageError> {
    match decode_whole(bytes, limits) {
        // All pixels may be there, and what fills up the last row not.
        Err(ImageError::Truncated { .. }) if filling(bytes) > 0 => {
            let mut filled = bytes.to_vec();
            filled.resize(bytes.len() + filling(bytes), 0);
            decode_whole(&filled, limits)
        }
        decoded => decoded,
    }
}

/// Bytes after a row's last pixel, up to a multiple of four.
fn filling(bytes: &[u8]) -> usize {
    let u16_at = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let bits = || {
        // The oldest header, of 12 bytes, has short sides.
        let (width, bits) = match u32_at(14)? {
            12 => (u16_at(18)?.into(), u16_at(24)?),
            _ => (u32_at(18)?, u16_at(28)?),
        };
        Some(u64::from(width) * u64::from(bits))
    };
    let row = bits().map_or(0, |bits| bits.div_ceil(8));
    (row.next_multiple_of(4) - row) as usize
}

fn decode_whole(bytes: &[u8], limits: &ImageLimits) -> Result<Decoded, ImageError> {
    let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(error)?;
    let (width, height) = decoder.dimensions();
    let size = limits.check(Format::Bmp, u64::from(width), u64::from(height))?;
    let colour = decoder.color_type();
    let length = size.0 as usize * size.1 as usize * usize::from(colour.bytes_per_pixel());
    let mut pixels = vec![0; length];
    decoder.read_image(&mut pixels).map_err(error)?;
    let rgb = match colour {
        ColorType::Rgb8 => pixels,
        ColorType::Rgba8 => drop_alpha(pixels, 4),
        ColorType::L8 => grey_to_rgb(&pixels, 1),
        _ => {
            return Err(ImageError::Unsupported {
                format: Format::Bmp,
                what: "an encoding that is hardly used",
            });
        }
    };
    Decoded::new(Format::Bmp, size, rgb)
}

fn error(error: DecodingError) -> ImageError {
    match error {
        DecodingError::IoError(error) => ImageError::from_io(Format::Bmp, &error),
        DecodingError::Unsupported(_) => {
            ImageError::Unsupported { format: Format::Bmp, what: "an encoding that is hardly used" }
        }
        error => ImageError::corrupt(Format::Bmp, error),
    }
}
