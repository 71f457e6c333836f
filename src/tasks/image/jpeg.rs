//! JPEG, through `libjpeg-turbo-rs`: the one decoder in Rust whose pixels are bit-identical to
//! libjpeg-turbo's (slow integer inverse DCT, triangle upsampling), which Pillow uses. Nothing else
//! in the crate names it.
//!
//! It is young, so what it is given is kept to what encoders write; `docs/architecture.md` says what
//! fuzzing showed.

use libjpeg_turbo_rs::{DecodeLimits, Decoder, FrameHeader, JpegError, PixelFormat};

use super::{Format, ImageError, ImageLimits, decode::Decoded};

/// Scans that a progressive file may have. Encoders write about ten; each costs a pass over all
/// coefficients.
const MAX_SCANS: usize = 32;
/// Memory that one decode may take, in bytes: coefficients of the largest progressive image with
/// four full-size channels, and its pixels.
const MAX_MEMORY: u64 = 384 << 20;

pub(super) fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<Decoded, ImageError> {
    let bounds = DecodeLimits {
        max_scans: MAX_SCANS,
        max_memory: Some(MAX_MEMORY),
        ..DecodeLimits::default()
    };
    let mut decoder = Decoder::new_with_limits(bytes, bounds).map_err(error)?;
    let header = decoder.header();
    let size = limits.check(Format::Jpeg, u64::from(header.width), u64::from(header.height))?;
    if decoder.is_arithmetic() || !is_common(header) {
        return Err(unsupported());
    }
    let cmyk = header.components.len() == 4;
    decoder.set_output_format(if cmyk { PixelFormat::Cmyk } else { PixelFormat::Rgb });
    let image = decoder.decode_image().map_err(error)?;
    let pixels = if cmyk { cmyk_to_rgb(image.data) } else { image.data };
    Decoded::new(Format::Jpeg, size, pixels, image.exif_data.as_deref())
}

/// Huffman-coded DCT of 8 bits; of four components, the first and last full-size and the two
/// between alike. Arithmetic coding is left out because such a file never says that it ends early,
/// and a few kilobytes of it can cost seconds.
fn is_common(header: &FrameHeader) -> bool {
    let sampling = |index: usize| {
        let component = &header.components[index];
        (component.horizontal_sampling, component.vertical_sampling)
    };
    let regular = match header.components.len() {
        1 | 3 => true,
        4 => {
            let (full, chroma) = (sampling(0), sampling(1));
            sampling(3) == full
                && sampling(2) == chroma
                && chroma.0 > 0
                && chroma.1 > 0
                && full.0 % chroma.0 == 0
                && full.1 % chroma.1 == 0
        }
        _ => false,
    };
    regular && header.precision == 8 && !header.is_lossless
}

fn unsupported() -> ImageError {
    ImageError::Unsupported { format: Format::Jpeg, what: "an encoding that is hardly used" }
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
