//! WebP, through `image-webp`: of an animation the first frame.
//!
//! The frame's bitstream is taken out of the file and decoded as a file of its own: alpha is dropped anyway, and
//! what else the file holds, whole or not, does not change the pixels.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use super::{
    Format, ImageError, ImageLimits,
    decode::{Decoded, drop_alpha},
    orientation::orientation,
};

/// Bits of the extended header.
const HAS_EXIF: u8 = 8;
const HAS_XMP: u8 = 4;
const IS_ANIMATED: u8 = 2;

pub(super) fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<Decoded, ImageError> {
    let file = File::of(bytes, limits)?;
    let Frame { name, body, at, size } = file.frame;
    let (width, height) = file.canvas;
    let mut riff = b"RIFF".to_vec();
    riff.extend((body.len() as u32 + 12 + body.len() as u32 % 2).to_le_bytes());
    riff.extend(b"WEBP");
    riff.extend(name);
    riff.extend((body.len() as u32).to_le_bytes());
    riff.extend(body);
    riff.resize(riff.len().next_multiple_of(2), 0);
    let mut decoder = WebPDecoder::new(Cursor::new(riff)).map_err(error)?;
    if decoder.dimensions() != size {
        return Err(ImageError::corrupt(Format::WebP, "its frame has two sizes"));
    }
    let length = decoder
        .output_buffer_size()
        .ok_or_else(|| ImageError::corrupt(Format::WebP, "its size overflows"))?;
    let mut pixels = vec![0; length];
    decoder.read_image(&mut pixels).map_err(error)?;
    let mut rgb = if decoder.has_alpha() { drop_alpha(pixels, 4) } else { pixels };
    if size != file.canvas {
        // Where the first frame is not, an animation is transparent black.
        let (stride, row) = (width as usize * 3, size.0 as usize * 3);
        let mut canvas = vec![0; stride * height as usize];
        let rows = canvas.chunks_exact_mut(stride).skip(at.1 as usize);
        for (to, from) in rows.zip(rgb.chunks_exact(row)) {
            let left = at.0 as usize * 3;
            to[left..left + row].copy_from_slice(from);
        }
        rgb = canvas;
    }
    let turn = orientation(file.exif, file.xmp);
    Ok(Decoded::new(Format::WebP, file.canvas, rgb)?.turned(turn))
}

/// What of a file is looked at.
struct File<'a> {
    canvas: (u32, u32),
    frame: Frame<'a>,
    exif: Option<&'a [u8]>,
    xmp: Option<&'a [u8]>,
}

/// A bitstream, and where on the canvas it belongs.
struct Frame<'a> {
    name: &'a [u8],
    body: &'a [u8],
    at: (u32, u32),
    size: (u32, u32),
}

impl<'a> File<'a> {
    /// Finds the frame, and checks every size that the file declares before anything is allocated.
    fn of(bytes: &'a [u8], limits: &ImageLimits) -> Result<Self, ImageError> {
        let truncated = ImageError::Truncated { format: Format::WebP };
        let corrupt = |what: &str| Err(ImageError::corrupt(Format::WebP, what));
        let mut chunks = Chunks(bytes.get(12..).unwrap_or_default());
        let mut next = chunks.clone();
        let mut flags = 0;
        let mut canvas = None;
        if let Some(Chunk { name: b"VP8X", body, .. }) = next.next() {
            let (Some(first), Some(sides)) = (body.first(), body.get(4..10)) else {
                return Err(truncated);
            };
            flags = *first;
            let size = (le(&sides[..3]) + 1, le(&sides[3..]) + 1);
            canvas = Some(limits.check(Format::WebP, size.0, size.1)?);
            chunks = next;
        }
        let (mut frame, mut exif, mut xmp) = (None, None, None);
        for chunk in chunks {
            match (chunk.name, canvas) {
                (b"VP8 " | b"VP8L", _) if frame.is_none() && flags & IS_ANIMATED == 0 => {
                    frame = Some(Frame::of(&chunk, (0, 0), limits)?);
                }
                (b"ANMF", Some(canvas)) if frame.is_none() && flags & IS_ANIMATED != 0 => {
                    frame = Some(Frame::of_animation(&chunk, canvas, limits)?);
                }
                (b"EXIF", _) if exif.is_none() && flags & HAS_EXIF != 0 => exif = Some(chunk.body),
                (b"XMP ", _) if xmp.is_none() && flags & HAS_XMP != 0 => xmp = Some(chunk.body),
                _ => {}
            }
        }
        let Some(frame) = frame else { return Err(truncated) };
        let canvas = canvas.unwrap_or(frame.size);
        if flags & IS_ANIMATED == 0 && frame.size != canvas {
            return corrupt("its frame is not as large as its canvas");
        }
        Ok(Self { canvas, frame, exif, xmp })
    }
}

impl<'a> Frame<'a> {
    fn of(chunk: &Chunk<'a>, at: (u32, u32), limits: &ImageLimits) -> Result<Self, ImageError> {
        let truncated = || ImageError::Truncated { format: Format::WebP };
        let Chunk { name, body, is_whole } = *chunk;
        let size = match name {
            b"VP8L" => body.get(1..5).map(|s| ((le(s) & 0x3fff) + 1, (le(s) >> 14 & 0x3fff) + 1)),
            _ => body.get(6..10).map(|s| (le(&s[..2]) & 0x3fff, le(&s[2..]) & 0x3fff)),
        };
        let (width, height) = size.ok_or_else(truncated)?;
        let size = limits.check(Format::WebP, width, height)?;
        if !is_whole {
            return Err(truncated());
        }
        Ok(Self { name, body, at, size })
    }

    fn of_animation(
        chunk: &Chunk<'a>,
        canvas: (u32, u32),
        limits: &ImageLimits,
    ) -> Result<Self, ImageError> {
        let truncated = || ImageError::Truncated { format: Format::WebP };
        let head = chunk.body.get(..16).ok_or_else(truncated)?;
        // Places are in steps of two pixels, and have 24 bits.
        let at = (le(&head[..3]) as u32 * 2, le(&head[3..6]) as u32 * 2);
        let mut inner = Chunks(&chunk.body[16..]);
        let is_frame = |chunk: &Chunk<'_>| matches!(chunk.name, b"VP8 " | b"VP8L");
        let inner = inner.find(is_frame).ok_or_else(truncated)?;
        let frame = Self::of(&inner, at, limits)?;
        let declared = (le(&head[6..9]) + 1, le(&head[9..12]) + 1);
        let has = (u64::from(frame.size.0), u64::from(frame.size.1));
        if declared != has || at.0 + frame.size.0 > canvas.0 || at.1 + frame.size.1 > canvas.1 {
            return Err(ImageError::corrupt(Format::WebP, "its first frame leaves its canvas"));
        }
        Ok(frame)
    }
}

/// A part of a RIFF file; the last may be cut off.
#[derive(Clone, Copy)]
struct Chunk<'a> {
    name: &'a [u8],
    body: &'a [u8],
    is_whole: bool,
}

#[derive(Clone)]
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        let (head, rest) = self.0.split_at_checked(8)?;
        let length = le(&head[4..]) as usize;
        let body = rest.get(..length);
        // An odd length is filled up by a byte, which nothing needs.
        self.0 = rest.get(length + length % 2..).unwrap_or_default();
        Some(Chunk { name: &head[..4], body: body.unwrap_or(rest), is_whole: body.is_some() })
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

#[cfg(test)]
mod tests {
    use image_webp::{ColorType, WebPEncoder};

    use super::super::test_images::{decoded, exif};
    use super::super::{ImageError, ImageLimits, decode};

    fn chunk(name: &[u8], body: &[u8]) -> Vec<u8> {
        let mut chunk = name.to_vec();
        chunk.extend((body.len() as u32).to_le_bytes());
        chunk.extend(body);
        chunk.resize(chunk.len().next_multiple_of(2), 0);
        chunk
    }

    fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
        let body = chunks.concat();
        let length = (body.len() as u32 + 4).to_le_bytes();
        [b"RIFF", length.as_slice(), b"WEBP", &body].concat()
    }

    /// The bitstream of a lossless picture of one colour.
    fn frame(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
        let mut webp = Vec::new();
        let pixels = colour.repeat((width * height) as usize);
        WebPEncoder::new(&mut webp).encode(&pixels, width, height, ColorType::Rgb8).unwrap();
        let start = memchr::memmem::find(&webp, b"VP8L").unwrap();
        webp.split_off(start)
    }

    fn extended(flags: u8, width: u32, height: u32) -> Vec<u8> {
        let sides = [&(width - 1).to_le_bytes()[..3], &(height - 1).to_le_bytes()[..3]].concat();
        chunk(b"VP8X", &[&[flags, 0, 0, 0], sides.as_slice()].concat())
    }

    #[test]
    fn orientation_comes_from_exif_and_from_xmp() {
        let bare = exif(6);
        let prefixed = [b"Exif\0\0".as_slice(), &bare].concat();
        let xmp = b"<tiff:Orientation>6</tiff:Orientation>".to_vec();
        for (flags, name, body) in [(8, b"EXIF", bare), (8, b"EXIF", prefixed), (4, b"XMP ", xmp)] {
            let webp = [extended(flags, 2, 1), frame(2, 1, [1, 2, 3]), chunk(name, &body)];
            assert_eq!(decoded(&file(&webp)).unwrap().dimensions(), (1, 2));
            // A part of the metadata that is missing does not cost the pixels.
            let whole = file(&webp);
            assert!(decoded(&whole[..whole.len() - 20]).is_ok());
        }
    }

    #[test]
    fn an_animation_that_pillow_wrote_gives_its_first_frame() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images");
        let file = std::fs::read(folder.join("webp-animated.webp")).unwrap();
        let image = decoded(&file).unwrap();
        assert_eq!(image.dimensions(), (160, 120));
        // As Pillow has it.
        let sum: u64 = image.as_raw().iter().copied().map(u64::from).sum();
        assert_eq!(sum, 5_584_852);
    }

    #[test]
    fn an_animation_gives_its_first_frame_on_its_canvas() {
        let animated = |x: u8, width: u32| {
            let sides = [&(width - 1).to_le_bytes()[..3], &[1, 0, 0]].concat();
            let head = [&[x, 0, 0, 0, 0, 0], sides.as_slice(), &[9, 0, 0, 0]].concat();
            let first = [head, frame(2, 2, [10, 20, 30])].concat();
            file(&[
                extended(2, 4, 2),
                chunk(b"ANIM", &[0; 6]),
                chunk(b"ANMF", &first),
                chunk(b"ANMF", b""),
            ])
        };
        let image = decoded(&animated(1, 2)).unwrap();
        assert_eq!(image.dimensions(), (4, 2));
        assert_eq!(image.get_pixel(1, 1).0, [0; 3]);
        assert_eq!(image.get_pixel(2, 1).0, [10, 20, 30]);
        assert!(matches!(decoded(&animated(2, 2)), Err(ImageError::Corrupt { .. })));
        assert!(matches!(decoded(&animated(0, 3)), Err(ImageError::Corrupt { .. })));
        let small = ImageLimits { max_side: 3, max_pixels: 100 };
        assert!(matches!(
            decode(&animated(1, 2), &small, |_, _| 1.0),
            Err(ImageError::TooLarge { .. })
        ));
    }
}
