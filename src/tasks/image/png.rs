//! PNG, through the `png` crate itself: `image`'s adapter inflates colour profiles and texts without a bound, so that a file
//! of 204 KB can take 400 MiB.

use std::io::Cursor;

use png::{ColorType, Decoder, DecodingError, Transformations};

use super::{
    Format, ImageError, ImageLimits,
    decode::{Decoded, drop_alpha, grey_to_rgb},
};

pub(super) fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<Decoded, ImageError> {
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::normalize_to_color8());
    let header = decoder.read_header_info().map_err(error)?;
    let size = limits.check(Format::Png, u64::from(header.width), u64::from(header.height))?;

    let mut reader = decoder.read_info().map_err(error)?;
    let length = reader
        .output_buffer_size()
        .ok_or_else(|| ImageError::corrupt(Format::Png, "its size overflows"))?;
    let mut pixels = vec![0; length];
    reader.next_frame(&mut pixels).map_err(error)?;
    // An EXIF chunk may follow the pixels; what else is wrong there does not change them.
    let _ = reader.finish();
    let rgb = match reader.output_color_type().0 {
        ColorType::Rgb | ColorType::Indexed => pixels,
        ColorType::Rgba => drop_alpha(pixels, 4),
        ColorType::Grayscale => grey_to_rgb(&pixels, 1),
        ColorType::GrayscaleAlpha => grey_to_rgb(&pixels, 2),
    };
    Decoded::new(Format::Png, size, rgb, reader.info().exif_metadata.as_deref())
}

fn error(error: DecodingError) -> ImageError {
    match error {
        DecodingError::IoError(error) => ImageError::from_io(Format::Png, &error),
        error => ImageError::corrupt(Format::Png, error),
    }
}
