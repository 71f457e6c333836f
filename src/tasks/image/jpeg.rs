//! JPEG, through `libjpeg-turbo-rs`: the one decoder in Rust whose pixels are bit-identical to libjpeg-turbo's (slow integer
//! inverse DCT, triangle upsampling), which Pillow uses. Nothing else in the crate names it.

use libjpeg_turbo_rs::{DecodeLimits, Decoder, JpegError, PixelFormat};

use super::{Format, ImageError, ImageLimits, decode::Decoded};

/// Scans that a progressive file may have. Encoders write about ten; each costs a pass over all coefficients.
const MAX_SCANS: usize = 64;

pub(super) fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<Decoded, ImageError> {
    let limits_of_decoder = DecodeLimits { max_scans: MAX_SCANS, ..DecodeLimits::default() };
    let mut decoder = Decoder::new_with_limits(bytes, limits_of_decoder).map_err(error)?;
    let header = decoder.header();
    let cmyk = header.components.len() == 4;
    let size = limits.check(Format::Jpeg, u64::from(header.width), u64::from(header.height))?;
    decoder.set_output_format(if cmyk { PixelFormat::Cmyk } else { PixelFormat::Rgb });
    let image = decoder.decode_image().map_err(error)?;
    let pixels = if cmyk { cmyk_to_rgb(image.data) } else { image.data };
    Decoded::new(Format::Jpeg, size, pixels, image.exif_data.as_deref())
}

/// Pillow's conversion of Adobe's CMYK, in which 255 stands for no ink; in place.
fn cmyk_to_rgb(mut pixels: Vec<u8>) -> Vec<u8> {
    for pixel in pixels.chunks_exact_mut(4) {
        let no_black = u32::from(pixel[3]);
        for ink in &mut pixel[..3] {
            let product = u32::from(255 - *ink) * no_black + 128;
            let darkened = ((product >> 8) + product) >> 8;
            *ink = u8::try_from(no_black.saturating_sub(darkened)).unwrap_or(u8::MAX);
        }
    }
    super::decode::drop_alpha(pixels, 4)
}

fn error(error: JpegError) -> ImageError {
    match error {
        JpegError::UnexpectedEof => ImageError::Truncated { format: Format::Jpeg },
        JpegError::Unsupported(_) => ImageError::Unsupported {
            format: Format::Jpeg,
            what: "an encoding that is hardly used",
        },
        error => ImageError::corrupt(Format::Jpeg, error),
    }
}
