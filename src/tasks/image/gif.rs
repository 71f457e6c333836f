//! GIF, through the `gif` crate: the first frame on its canvas, with the colours that Pillow gives it.

use std::io::Cursor;

use gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};

use super::{Format, ImageError, ImageLimits, decode::Decoded};

pub(super) fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<Decoded, ImageError> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    // The limits below count instead, and they know the frame as well as the screen.
    options.set_memory_limit(MemoryLimit::Unlimited);
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(error)?;
    let screen = (u64::from(decoder.width()), u64::from(decoder.height()));
    let global_palette = decoder.global_palette().map(<[u8]>::to_vec);
    let Some(frame) = decoder.next_frame_info().map_err(error)? else {
        return Err(ImageError::Truncated { format: Format::Gif });
    };
    let frame = frame.clone();
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (frame_width, frame_height) = (usize::from(frame.width), usize::from(frame.height));
    // As in Pillow, a frame that sticks out makes the picture larger.
    let width = screen.0.max(u64::from(frame.left) + u64::from(frame.width));
    let height = screen.1.max(u64::from(frame.top) + u64::from(frame.height));
    let size = limits.check(Format::Gif, width, height)?;
    if frame_width == 0 || frame_height == 0 {
        return Err(ImageError::corrupt(Format::Gif, "its first frame is empty"));
    }

    let mut indices = vec![0; frame_width * frame_height];
    decoder.read_into_buffer(&mut indices).map_err(error)?;

    let colours = colour_table(frame.palette.as_deref().or(global_palette.as_deref()));
    let background = colours[usize::from(frame.transparent.unwrap_or(0))];
    let stride = size.0 as usize;
    let mut canvas = vec![background; stride * size.1 as usize];
    let rows = canvas.chunks_exact_mut(stride).skip(top);
    for (row, indices) in rows.zip(indices.chunks_exact(frame_width)) {
        for (pixel, &index) in row.iter_mut().skip(left).zip(indices) {
            *pixel = colours[usize::from(index)];
        }
    }
    Decoded::new(Format::Gif, size, canvas.into_flattened())
}

/// All 256 colours; where the file's palette ends, Pillow's is a grey ramp.
fn colour_table(palette: Option<&[u8]>) -> [[u8; 3]; 256] {
    let mut colours = [[0; 3]; 256];
    for (index, colour) in (0..=u8::MAX).zip(&mut colours) {
        *colour = [index; 3];
    }
    for (colour, stored) in colours.iter_mut().zip(palette.unwrap_or_default().chunks_exact(3)) {
        colour.copy_from_slice(stored);
    }
    colours
}

fn error(error: DecodingError) -> ImageError {
    match error {
        DecodingError::Io(error) => ImageError::from_io(Format::Gif, &error),
        error => ImageError::corrupt(Format::Gif, error),
    }
}
