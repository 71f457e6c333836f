//! JPEG, through `libjpeg-turbo-rs`: the one decoder in Rust whose pixels are bit-identical to
//! libjpeg-turbo's (slow integer inverse DCT, triangle upsampling), which Pillow uses. Nothing else
//! in the crate names it.
//!
//! It is young, so what it is given is kept to what encoders write; `docs/architecture.md` says what
//! fuzzing showed. Photos that are many times too large go to `scaled`, if they are as usual.

mod scaled;

use libjpeg_turbo_rs::{DecodeLimits, Decoder, FrameHeader, JpegError, PixelFormat, ScalingFactor};

use super::{Format, ImageError, ImageLimits, decode::Decoded, orientation};
use scaled::Scaled;

/// Scans that a progressive file may have. Encoders write about ten; each costs a pass over all
/// coefficients.
const MAX_SCANS: usize = 32;
/// Memory that one decode may take, in bytes: coefficients of the largest progressive image with
/// four full-size channels, and its pixels.
const MAX_MEMORY: u64 = 384 << 20;

/// How many times as many pixels a side are decoded as the answer needs, at least. See
/// `docs/performance.md` for what nearer ones cost.
const MARGIN: f64 = 4.0;

/// Pixels from which on fewer are decoded. What is smaller costs little, and is taken as it is: every value
/// of it then equals Pillow's.
const LARGE: u64 = 4_000_000;

/// `reduction`: see [`super::decode()`].
pub(super) fn decode(
    bytes: &[u8],
    limits: &ImageLimits,
    reduction: impl Fn(u32, u32) -> f64,
) -> Result<Decoded, ImageError> {
    let decoded = match decode_scaled(bytes, limits, &reduction) {
        Some(decoded) => decoded,
        None => decode_any(bytes, limits, &reduction)?,
    };
    Ok(decoded.turned(orientation::of_jpeg(bytes)))
}

/// How many eighths of a side to decode: 1 to 4 or all 8, since 5 to 7 take longer than these.
fn eighths(width: u32, height: u32, reduction: &impl Fn(u32, u32) -> f64) -> u32 {
    if u64::from(width) * u64::from(height) < LARGE {
        return 8;
    }
    let least = MARGIN * 8.0 / reduction(width, height);
    (1..=4).find(|&scale| f64::from(scale) >= least).unwrap_or(8)
}

/// Whether an image of this size is decoded at a smaller scale.
pub(super) fn is_reduced(width: u32, height: u32, reduction: &impl Fn(u32, u32) -> f64) -> bool {
    eighths(width, height, reduction) < 8
}

/// None for a photo that is not much too large, and for a file that `scaled` leaves to the other decoder.
fn decode_scaled(
    bytes: &[u8],
    limits: &ImageLimits,
    reduction: &impl Fn(u32, u32) -> f64,
) -> Option<Decoded> {
    let Scaled { full, eighths, size, rgb } = scaled::decode(bytes, MAX_SCANS, |width, height| {
        limits.check(Format::Jpeg, width.into(), height.into()).ok()?;
        Some(eighths(width, height, reduction)).filter(|&eighths| eighths < 8)
    })?;
    Some(Decoded::new(Format::Jpeg, size, rgb).ok()?.scaled(full, eighths))
}

fn decode_any(
    bytes: &[u8],
    limits: &ImageLimits,
    reduction: &impl Fn(u32, u32) -> f64,
) -> Result<Decoded, ImageError> {
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
    let eighths = eighths(size.0, size.1, reduction);
    decoder.set_scale(scaling(eighths).map_err(error)?);
    decoder.set_output_format(if cmyk { PixelFormat::Cmyk } else { PixelFormat::Rgb });
    let image = decoder.decode_image().map_err(error)?;
    let pixels = if cmyk { cmyk_to_rgb(image.data) } else { image.data };
    let decoded = (image.width as u32, image.height as u32);
    Ok(Decoded::new(Format::Jpeg, decoded, pixels)?.scaled(size, eighths))
}

fn scaling(eighths: u32) -> Result<ScalingFactor, JpegError> {
    let common = 1 << eighths.trailing_zeros();
    ScalingFactor::try_new(eighths / common, 8 / common)
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

#[cfg(test)]
mod tests {
    use image::RgbImage;
    use libjpeg_turbo_rs::{Encoder, PixelFormat, Subsampling};

    use super::super::test_images::{decoded, exif};
    use super::super::{DecodedImage, ImageError, ImageLimits, Preprocessing, decode};

    /// As large as is worth a smaller scale for a model of 224 × 224 pixels, and odd.
    const SIZE: (u32, u32) = (2821, 2103);

    /// Something with edges, colours and a fine pattern.
    fn photo() -> RgbImage {
        RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| {
            let wave = |at: u32, length: f32| (at as f32 / length).sin() * 50.0;
            let ring = if (x as f32 - 900.0).hypot(y as f32 - 700.0) < 500.0 { 60.0 } else { 0.0 };
            let fine = ((x ^ y) % 13) as f32;
            image::Rgb([
                (110.0 + wave(x, 90.0) + ring + fine) as u8,
                (90.0 + wave(y, 140.0) + ring) as u8,
                (120.0 + wave(x + y, 60.0) - fine) as u8,
            ])
        })
    }

    fn encoded(progressive: bool, subsampling: Subsampling, orientation: u8) -> Vec<u8> {
        let photo = photo();
        let (width, height) = (SIZE.0 as usize, SIZE.1 as usize);
        let encoder = Encoder::new(photo.as_raw(), width, height, PixelFormat::Rgb);
        let encoder = encoder.quality(85).subsampling(subsampling).progressive(progressive);
        let file = encoder.encode().unwrap();
        let exif = [b"Exif\0\0".as_slice(), &exif(orientation)].concat();
        let length = (exif.len() as u16 + 2).to_be_bytes();
        [&file[..2], b"\xff\xe1", &length, &exif, &file[2..]].concat()
    }

    fn smaller(file: &[u8]) -> Result<DecodedImage, ImageError> {
        let steps = Preprocessing::imagenet_default(224, 224);
        decode(file, &ImageLimits::default(), move |width, height| steps.reduction(width, height))
    }

    fn input(image: &DecodedImage) -> Vec<u8> {
        let mut values = vec![0; 3 * 224 * 224];
        Preprocessing::imagenet_default(224, 224).apply_u8(image, &mut values).unwrap();
        values
    }

    /// Largest and mean difference of the model's input, of 255, from that of the full-size decode.
    fn differences(file: &[u8]) -> (u8, f64) {
        let image = smaller(file).unwrap();
        assert!(image.pixels.width() <= image.width.div_ceil(2));
        let (got, expected) = (input(&image), input(&decoded(file).unwrap().into()));
        let differences = got.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b));
        let sum: u64 = differences.clone().map(u64::from).sum();
        (differences.max().unwrap(), sum as f64 / got.len() as f64)
    }

    #[test]
    fn a_large_photo_gives_nearly_the_same_input_from_fewer_pixels() {
        for progressive in [false, true] {
            for subsampling in [Subsampling::S420, Subsampling::S422, Subsampling::S444] {
                let (most, mean) = differences(&encoded(progressive, subsampling, 1));
                assert!(most <= 12 && mean <= 0.6, "{progressive} {subsampling:?}: {most} {mean}");
            }
        }
    }

    #[test]
    fn fewer_pixels_are_turned_upright_without_a_shift() {
        let (most, mean) = differences(&encoded(false, Subsampling::S420, 1));
        for orientation in 2..=8 {
            let turned = differences(&encoded(false, Subsampling::S420, orientation));
            assert!(
                turned.0 <= most + 3 && turned.1 <= mean * 1.1,
                "{orientation}: {turned:?}, upright {most} {mean}"
            );
        }
    }

    #[test]
    fn exact_preprocessing_takes_every_pixel() {
        let steps = Preprocessing { exact: true, ..Preprocessing::imagenet_default(224, 224) };
        assert_eq!(steps.reduction(4000, 3000), 1.0);
    }

    #[test]
    fn a_large_file_that_ends_early_is_an_error_at_every_scale() {
        for progressive in [false, true] {
            let file = encoded(progressive, Subsampling::S420, 1);
            for part in 1..40 {
                let cut = &file[..file.len() * part / 40];
                assert!(smaller(cut).is_err(), "{progressive}, {part} of 40");
            }
        }
    }

    #[test]
    fn a_damaged_file_is_refused_at_a_smaller_scale_as_at_full_size() {
        let file = encoded(false, Subsampling::S420, 1);
        let mut random = 1_u64;
        let mut next = move |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % below
        };
        let mut refused = 0;
        for _ in 0..60 {
            let mut damaged = file.clone();
            for _ in 0..=next(3) {
                // Half of the damage in the headers.
                let within = if next(2) == 0 { 700 } else { file.len() };
                let at = next(within);
                damaged[at] = next(256) as u8;
            }
            let small = ImageLimits { max_side: 4096, max_pixels: 8 << 20 };
            let steps = Preprocessing::imagenet_default(224, 224);
            let reduced = decode(&damaged, &small, move |w, h| steps.reduction(w, h));
            let full = decode(&damaged, &small, |_, _| 1.0);
            assert_eq!(reduced.err(), full.as_ref().err().cloned());
            refused += usize::from(full.is_err());
        }
        assert!((5..55).contains(&refused), "{refused} of 60");
    }
}
