//! From encoded bytes to upright RGB pixels.

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::{DynamicImage, RgbImage, metadata::Orientation};

use super::{Format, ImageError, bmp, gif, jpeg, png, webp};

/// What an image may measure. Checked against the header, before any pixel is allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageLimits {
    /// Largest width and largest height, in pixels.
    pub max_side: u32,
    /// Largest width × height, in pixels.
    pub max_pixels: u64,
}

impl Default for ImageLimits {
    fn default() -> Self {
        Self { max_side: 8192, max_pixels: 16_800_000 }
    }
}

impl ImageLimits {
    /// Checks the size that a header declares.
    ///
    /// # Errors
    /// [`ImageError::TooLarge`] beyond the limits, [`ImageError::Corrupt`] for a side of zero.
    pub(super) fn check(
        &self,
        format: Format,
        width: u64,
        height: u64,
    ) -> Result<(u32, u32), ImageError> {
        let too_large = ImageError::TooLarge {
            width,
            height,
            max_side: self.max_side,
            max_pixels: self.max_pixels,
        };
        let (Ok(w), Ok(h)) = (u32::try_from(width), u32::try_from(height)) else {
            return Err(too_large);
        };
        if w == 0 || h == 0 {
            return Err(ImageError::corrupt(format, format_args!("its size is {w} × {h}")));
        }
        if w > self.max_side || h > self.max_side || u64::from(w) * u64::from(h) > self.max_pixels {
            return Err(too_large);
        }
        Ok((w, h))
    }
}

/// An upright image, RGB, 8 bits a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedImage {
    /// The pixels, which may be fewer than the file has.
    pub pixels: RgbImage,
    /// Width of the file's image in pixels, upright.
    pub width: u32,
    /// Height of the file's image in pixels, upright.
    pub height: u32,
    /// Which of the pixels' columns the image's width covers.
    pub horizontal: Extent,
    /// Which of the pixels' rows the image's height covers.
    pub vertical: Extent,
}

/// A stretch of pixels along one axis, from the first one's outer edge on. The last pixel of an image
/// that was decoded at a smaller scale may stand half outside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    /// Where it begins, in pixels.
    pub start: f64,
    /// How long it is, in pixels.
    pub length: f64,
}

impl Extent {
    pub(super) fn whole(size: u32) -> Self {
        Self { start: 0.0, length: f64::from(size) }
    }

    /// What of `size` pixels an axis of `full` covers at this scale; `mirrored` swaps the ends.
    fn scaled(full: u32, scale: f64, size: u32, mirrored: bool) -> Self {
        let length = f64::from(full) * scale;
        Self { start: if mirrored { f64::from(size) - length } else { 0.0 }, length }
    }
}

impl From<RgbImage> for DecodedImage {
    fn from(pixels: RgbImage) -> Self {
        let (width, height) = pixels.dimensions();
        let (horizontal, vertical) = (Extent::whole(width), Extent::whole(height));
        Self { pixels, width, height, horizontal, vertical }
    }
}

/// What a format's decoder hands over: pixels as stored, and how to turn them upright.
pub(super) struct Decoded {
    pub image: RgbImage,
    pub orientation: Orientation,
    /// Width and height of the whole image, as stored, and which part of them each side of `image` is.
    pub full: (u32, u32),
    pub scale: f64,
}

impl Decoded {
    /// Takes interleaved RGB, which is upright as it is.
    ///
    /// # Errors
    /// [`ImageError::Corrupt`] when there are fewer than width × height × 3 bytes.
    pub fn new(
        format: Format,
        (width, height): (u32, u32),
        rgb: Vec<u8>,
    ) -> Result<Self, ImageError> {
        let image = RgbImage::from_raw(width, height, rgb).ok_or_else(|| {
            ImageError::corrupt(format, "it has fewer pixels than its header says")
        })?;
        let orientation = Orientation::NoTransforms;
        Ok(Self { image, orientation, full: (width, height), scale: 1.0 })
    }

    /// Says how the image is to be turned.
    pub fn turned(self, orientation: Orientation) -> Self {
        Self { orientation, ..self }
    }

    /// Says that the pixels are this many eighths of a side of an image of `full` pixels, rounded up.
    pub fn scaled(self, full: (u32, u32), eighths: u32) -> Self {
        Self { full, scale: f64::from(eighths) / 8.0, ..self }
    }

    fn upright(self) -> DecodedImage {
        use Orientation::{
            FlipHorizontal, FlipVertical, Rotate90, Rotate90FlipH, Rotate180, Rotate270,
            Rotate270FlipH,
        };
        let Self { image, orientation, full, scale } = self;
        let mut image = DynamicImage::ImageRgb8(image);
        image.apply_orientation(orientation);
        let pixels = image.into_rgb8();
        let turned = matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH);
        let (width, height) = if turned { (full.1, full.0) } else { full };
        let left = matches!(orientation, FlipHorizontal | Rotate180 | Rotate90 | Rotate270FlipH);
        let top = matches!(orientation, FlipVertical | Rotate180 | Rotate270 | Rotate270FlipH);
        let horizontal = Extent::scaled(width, scale, pixels.width(), left);
        let vertical = Extent::scaled(height, scale, pixels.height(), top);
        DecodedImage { pixels, width, height, horizontal, vertical }
    }
}

/// Decodes one image: RGB, 8 bits a channel, turned upright as its EXIF or XMP says.
///
/// Equals Pillow's `ImageOps.exif_transpose(image).convert("RGB")`: alpha is dropped, not blended; of 16 bits the high byte
/// is kept; CMYK is taken as Adobe's inverted one; of an animated GIF, PNG or WebP the first image counts.
///
/// `reduction` says, for an image of this width and height (as stored, so perhaps not upright), how many times larger than
/// needed its sides are. A JPEG that is much larger is decoded at a smaller scale; 1 always gives every pixel.
///
/// # Errors
/// Every [`ImageError`]. A file that ends before its last pixel is an error, never a partly grey picture; one of
/// which only the end's mark is missing, or what follows the pixels, is taken.
pub fn decode(
    bytes: &[u8],
    limits: &ImageLimits,
    reduction: impl Fn(u32, u32) -> f64,
) -> Result<DecodedImage, ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    let Some(format) = Format::sniff(bytes) else {
        return Err(ImageError::NotAnImage {
            first_bytes: bytes.iter().take(8).copied().collect(),
        });
    };
    // The decoders' authors say themselves that malicious input may make them panic; one request must not cost a thread.
    let decoded = catch_unwind(AssertUnwindSafe(|| match format {
        Format::Jpeg => jpeg::decode(bytes, limits, reduction),
        Format::Png => png::decode(bytes, limits),
        Format::WebP => webp::decode(bytes, limits),
        Format::Gif => gif::decode(bytes, limits),
        Format::Bmp => bmp::decode(bytes, limits),
    }));
    let decoded =
        decoded.unwrap_or_else(|_| Err(ImageError::corrupt(format, "the decoder gave up")))?;
    Ok(decoded.upright())
}

/// Drops what follows the first three of every `channels` bytes, in place.
pub(super) fn drop_alpha(mut pixels: Vec<u8>, channels: usize) -> Vec<u8> {
    let count = pixels.len() / channels;
    for index in 0..count {
        pixels.copy_within(index * channels..index * channels + 3, index * 3);
    }
    pixels.truncate(count * 3);
    pixels
}

/// Repeats the first of every `channels` bytes three times.
pub(super) fn grey_to_rgb(pixels: &[u8], channels: usize) -> Vec<u8> {
    pixels.iter().step_by(channels).flat_map(|&grey| [grey; 3]).collect()
}

#[cfg(test)]
mod tests {
    use ::png::{BitDepth, ColorType};

    use super::super::test_images::{GIF, decoded, exif, jpeg, png};
    use super::{ImageError, ImageLimits, decode};

    #[test]
    fn alpha_is_dropped_and_16_bits_become_the_high_byte() {
        let rgba = png((1, 1), ColorType::Rgba, BitDepth::Eight, &[10, 20, 30, 0], None);
        assert_eq!(decoded(&rgba).unwrap().as_raw(), &[10, 20, 30]);
        let grey = png((1, 1), ColorType::Grayscale, BitDepth::Sixteen, &[0x12, 0xff], None);
        assert_eq!(decoded(&grey).unwrap().as_raw(), &[0x12; 3]);
        let grey_alpha = png((1, 1), ColorType::GrayscaleAlpha, BitDepth::Eight, &[7, 0], None);
        assert_eq!(decoded(&grey_alpha).unwrap().as_raw(), &[7; 3]);
    }

    #[test]
    fn exif_orientation_turns_the_image_upright() {
        let stored = [1, 1, 1, 2, 2, 2];
        let turned = |orientation| {
            let file =
                png((2, 1), ColorType::Rgb, BitDepth::Eight, &stored, Some(&exif(orientation)));
            let image = decoded(&file).unwrap();
            (image.dimensions(), image.as_raw()[0])
        };
        let expected = [
            (2, 1, 1),
            (2, 1, 2),
            (2, 1, 2),
            (2, 1, 1),
            (1, 2, 1),
            (1, 2, 1),
            (1, 2, 2),
            (1, 2, 2),
        ];
        for (orientation, (width, height, first)) in (1..=8).zip(expected) {
            assert_eq!(turned(orientation), ((width, height), first), "orientation {orientation}");
        }
    }

    #[test]
    fn the_first_frame_of_a_gif_keeps_the_colour_of_transparent_pixels() {
        assert_eq!(decoded(GIF).unwrap().as_raw(), &[255, 0, 0, 0, 0, 255]);
    }

    #[test]
    fn a_header_beyond_the_limits_is_refused_before_decoding() {
        let mut bomb = jpeg(16, 16, 0);
        let frame = bomb.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
        bomb[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
        assert!(matches!(
            decoded(&bomb),
            Err(ImageError::TooLarge { width: 65500, height: 65500, .. })
        ));
        let small = ImageLimits { max_side: 4, max_pixels: 15 };
        let file = png((4, 4), ColorType::Grayscale, BitDepth::Eight, &[0; 16], None);
        assert!(matches!(decode(&file, &small, |_, _| 1.0), Err(ImageError::TooLarge { .. })));
        let canvas = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff";
        assert!(matches!(decoded(canvas), Err(ImageError::TooLarge { width: 16_777_216, .. })));
    }

    #[test]
    fn what_ends_early_or_is_no_image_is_an_error() {
        assert_eq!(decoded(b""), Err(ImageError::Empty));
        assert!(matches!(decoded(b"hello, world"), Err(ImageError::NotAnImage { .. })));
        let noise: Vec<u8> =
            (0..3 * 64 * 64).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let file = png((64, 64), ColorType::Rgb, BitDepth::Eight, &noise, None);
        for file in [file, jpeg(64, 64, 9), GIF.to_vec()] {
            decoded(&file).unwrap();
            for length in 1..file.len() * 3 / 4 {
                assert!(decoded(&file[..length]).is_err(), "{length} of {} bytes", file.len());
            }
        }
    }

    /// A BMP of 24 bits whose rows are filled up to four bytes.
    fn bmp(width: u32, height: u32, pixels: &[u8]) -> Vec<u8> {
        let row = (width as usize * 3).next_multiple_of(4);
        let mut file = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
        file.extend(width.to_le_bytes());
        file.extend(height.to_le_bytes());
        file.extend([1, 0, 24, 0]);
        file.extend([0; 24]);
        for pixels in pixels.chunks_exact(width as usize * 3) {
            file.extend(pixels);
            file.resize(file.len() + row - pixels.len(), 0);
        }
        file
    }

    #[test]
    fn a_file_whose_pixels_are_all_there_is_taken_without_its_end_and_no_other_is() {
        let noise: Vec<u8> =
            (0..3 * 33 * 31).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut webp = Vec::new();
        image_webp::WebPEncoder::new(&mut webp)
            .encode(&noise, 33, 31, image_webp::ColorType::Rgb8)
            .unwrap();
        let mut gif = Vec::new();
        let mut encoder = gif::Encoder::new(&mut gif, 33, 31, &noise[..768]).unwrap();
        let frame = gif::Frame::from_indexed_pixels(33, 31, &noise[..33 * 31], None);
        encoder.write_frame(&frame).unwrap();
        drop(encoder);
        let rgb = libjpeg_turbo_rs::compress(
            &noise,
            33,
            31,
            libjpeg_turbo_rs::PixelFormat::Rgb,
            90,
            libjpeg_turbo_rs::Subsampling::S420,
        );
        let files = [
            // Name, file, and bytes at its end that are no pixels.
            ("png", png((33, 31), ColorType::Rgb, BitDepth::Eight, &noise, None), 12),
            ("jpeg", rgb.unwrap(), 2),
            ("gif", gif, 1),
            ("webp", webp, 0),
            ("bmp", bmp(33, 31, &noise), 1),
        ];
        for (name, file, end) in files {
            let whole = decoded(&file).unwrap();
            for length in 1..file.len() {
                match decoded(&file[..length]) {
                    // What comes out is never partly grey.
                    Ok(pixels) => assert_eq!(pixels, whole, "{name}, {length} of {}", file.len()),
                    Err(_) => {
                        assert!(length < file.len() - end, "{name}, {length} of {}", file.len());
                    }
                }
            }
        }
    }

    #[test]
    fn bytes_after_the_end_of_a_jpeg_do_no_harm() {
        let mut file = jpeg(8, 8, 77);
        file.extend(b"trailing");
        assert_eq!(decoded(&file).unwrap().get_pixel(7, 7).0, [77; 3]);
    }
}
