//! Images for the tests, written out where they are small.

use image::RgbImage;

use super::{ImageError, ImageLimits, decode};

/// Decodes with the default limits.
pub(super) fn decoded(bytes: &[u8]) -> Result<RgbImage, ImageError> {
    decode(bytes, &ImageLimits::default(), |_, _| 1.0).map(|image| image.pixels)
}

/// A PNG of one filter-0 row after another, with `chunks` between header and pixels.
pub(super) fn png(
    size: (u32, u32),
    colour: png::ColorType,
    depth: png::BitDepth,
    pixels: &[u8],
    exif: Option<&[u8]>,
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut info = png::Info::with_size(size.0, size.1);
    info.color_type = colour;
    info.bit_depth = depth;
    info.exif_metadata = exif.map(|exif| exif.to_vec().into());
    let mut writer = png::Encoder::with_info(&mut file, info).unwrap().write_header().unwrap();
    writer.write_image_data(pixels).unwrap();
    writer.finish().unwrap();
    file
}

/// An EXIF block, big-endian, that holds nothing but an orientation.
pub(super) fn exif(orientation: u8) -> Vec<u8> {
    let mut exif = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    exif
}

/// A 2 × 1 GIF, red and blue, of which the second pixel is transparent.
pub(super) const GIF: &[u8] = b"GIF89a\x02\0\x01\0\x80\0\0\xff\0\0\0\0\xff!\xf9\x04\x01\0\0\x01\0,\0\0\0\0\x02\0\x01\0\0\x02\x02\x44\x0a\0;";

/// A JPEG of `width` × `height` pixels, all of them one grey.
pub(super) fn jpeg(width: usize, height: usize, grey: u8) -> Vec<u8> {
    let pixels = vec![grey; width * height * 3];
    libjpeg_turbo_rs::compress(
        &pixels,
        width,
        height,
        libjpeg_turbo_rs::PixelFormat::Rgb,
        90,
        libjpeg_turbo_rs::Subsampling::S420,
    )
    .unwrap()
}
