//! BMP, through `image`.

use std::io::Cursor;

use image::{ColorType, ImageDecoder, ImageError as DecodingError, codecs::bmp::BmpDecoder};

use super::{
    Format, ImageError, ImageLimits,
    decode::{Decoded, drop_alpha, grey_to_rgb},
};

pub(super) fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<Decoded, ImageError> {
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
