//! PNG, through the `png` crate itself: `image`'s adapter inflates colour profiles and texts without a bound, so that a file
//! of 204 KB can take 400 MiB.

use std::borrow::Cow;
use std::io::{Cursor, Read};

use flate2::Crc;
use flate2::read::ZlibDecoder;
use image::metadata::Orientation;
use png::{ColorType, Decoder, DecodingError, Transformations};

use super::{
    Format, ImageError, ImageLimits,
    decode::{Decoded, drop_alpha, grey_to_rgb},
    orientation::orientation,
};

/// Bytes of a text that are inflated at most.
const MAX_TEXT: u64 = 1 << 20;
/// A chunk's length and name before its data, and its checksum after it.
const AROUND: usize = 12;
/// The file's own first bytes.
const SIGNATURE: usize = 8;

pub(super) fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<Decoded, ImageError> {
    let chunks = Chunks::of(bytes);
    // All pixels may be there even if the end is not.
    let ended = if chunks.is_whole { Cow::Borrowed(bytes) } else { chunks.ended(bytes).into() };
    let error = |error: DecodingError| match error {
        DecodingError::IoError(error) => ImageError::from_io(Format::Png, &error),
        DecodingError::Format(_) if !chunks.is_whole => {
            ImageError::Truncated { format: Format::Png }
        }
        error => ImageError::corrupt(Format::Png, error),
    };
    let mut decoder = Decoder::new(Cursor::new(&ended));
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
    let rgb = match reader.output_color_type().0 {
        ColorType::Rgb | ColorType::Indexed => pixels,
        ColorType::Rgba => drop_alpha(pixels, 4),
        ColorType::Grayscale => grey_to_rgb(&pixels, 1),
        ColorType::GrayscaleAlpha => grey_to_rgb(&pixels, 2),
    };
    Ok(Decoded::new(Format::Png, size, rgb)?.turned(chunks.orientation()))
}

/// What the chunks of a file say of its orientation, and whether they are all there.
#[derive(Default)]
struct Chunks<'a> {
    /// The end's chunk is there.
    is_whole: bool,
    /// Where the last whole chunk ends.
    end: usize,
    exif: Option<&'a [u8]>,
    /// Texts that programs keep EXIF and XMP in; still packed.
    raw_exif: Option<Text<'a>>,
    raw_app1: Option<Text<'a>>,
    xmp: Option<Text<'a>>,
}

/// A text's chunk: its name, and what follows the keyword.
#[derive(Clone, Copy)]
struct Text<'a>(&'a [u8], &'a [u8]);

impl<'a> Chunks<'a> {
    fn of(file: &'a [u8]) -> Self {
        let mut chunks = Self { end: SIGNATURE.min(file.len()), ..Self::default() };
        while let Some((name, data)) = chunk(file, chunks.end) {
            chunks.end += AROUND + data.len();
            match name {
                b"eXIf" => chunks.exif = Some(data),
                b"tEXt" | b"zTXt" | b"iTXt" => chunks.text(name, data),
                b"IEND" => {
                    chunks.is_whole = true;
                    break;
                }
                _ => {}
            }
        }
        chunks
    }

    fn text(&mut self, name: &'a [u8], data: &'a [u8]) {
        // Keywords have 79 characters at most.
        let Some(end) = memchr::memchr(0, &data[..data.len().min(80)]) else { return };
        let text = Some(Text(name, &data[end + 1..]));
        match &data[..end] {
            b"Raw profile type exif" => self.raw_exif = text,
            b"Raw profile type APP1" => self.raw_app1 = text,
            b"XML:com.adobe.xmp" => self.xmp = text,
            _ => {}
        }
    }

    fn orientation(&self) -> Orientation {
        let raw = |text: Option<Text<'_>>| text?.content().as_deref().and_then(raw_profile);
        let exif = match self.exif {
            Some(exif) => Some(Cow::Borrowed(exif)),
            None => raw(self.raw_exif).or_else(|| raw(self.raw_app1)).map(Cow::Owned),
        };
        let xmp = self.xmp.and_then(Text::content);
        orientation(exif.as_deref(), xmp.as_deref())
    }

    /// The file without a part of a chunk at its end, unless that is of pixels, and with an end.
    fn ended(&self, file: &[u8]) -> Vec<u8> {
        let mut ended = file[..self.end].to_vec();
        if let Some((head, data)) = file[self.end..].split_at_checked(8)
            && &head[4..] == b"IDAT"
        {
            let declared = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
            write_chunk(&mut ended, *b"IDAT", &data[..data.len().min(declared)]);
        }
        write_chunk(&mut ended, *b"IEND", b"");
        ended
    }
}

/// Name and data of the chunk at this place, if it is all there.
fn chunk(file: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    let (head, rest) = file.get(at..)?.split_at_checked(8)?;
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let data = rest.get(..length)?;
    rest.get(length..)?.get(..AROUND - 8)?;
    Some((&head[4..], data))
}

fn write_chunk(file: &mut Vec<u8>, name: [u8; 4], data: &[u8]) {
    let mut crc = Crc::new();
    crc.update(&name);
    crc.update(data);
    file.extend((data.len() as u32).to_be_bytes());
    file.extend(name);
    file.extend(data);
    file.extend(crc.sum().to_be_bytes());
}

impl<'a> Text<'a> {
    /// The text, inflated up to [`MAX_TEXT`].
    fn content(self) -> Option<Cow<'a, [u8]>> {
        let Self(name, rest) = self;
        let inflated = |packed: &[u8]| {
            let mut text = Vec::new();
            // What was inflated before a fault counts.
            let _ = ZlibDecoder::new(packed).take(MAX_TEXT).read_to_end(&mut text);
            Cow::Owned(text)
        };
        match name {
            b"tEXt" => Some(rest.into()),
            // The method, of which there is one.
            b"zTXt" => Some(inflated(rest.get(1..)?)),
            _ => {
                // Whether it is packed, the method, a language and a translation, each with its end.
                let (&[is_packed, _], mut rest) = rest.split_first_chunk()?;
                for _ in 0..2 {
                    rest = &rest[memchr::memchr(0, rest)? + 1..];
                }
                Some(if is_packed == 1 { inflated(rest) } else { rest.into() })
            }
        }
    }
}

/// The bytes of a profile as `ImageMagick` writes it: a line with its name, one with its length, and lines of
/// hexadecimal digits.
fn raw_profile(text: &[u8]) -> Option<Vec<u8>> {
    let mut lines = text.splitn(4, |byte| *byte == b'\n');
    let digits = lines.nth(3)?;
    let digits: Vec<u8> = digits
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map_while(|byte| char::from(*byte).to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use ::png::{BitDepth, ColorType};
    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::super::test_images::{decoded, exif, png};
    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// Whether a picture of 2 × 1 with this chunk after its header is turned.
    fn is_turned(name: &[u8], data: &[u8]) -> bool {
        let plain = png((2, 1), ColorType::Grayscale, BitDepth::Eight, &[1, 2], None);
        let mut file = plain[..33].to_vec();
        write_chunk(&mut file, name.try_into().unwrap(), data);
        file.extend(&plain[33..]);
        decoded(&file).unwrap().dimensions() == (1, 2)
    }

    #[test]
    fn orientation_is_found_wherever_programs_keep_it() {
        let block = exif(6);
        let digits = block.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let hex: String = digits.map(|d| char::from_digit(d.into(), 16).unwrap()).collect();
        let raw = format!("\nexif\n{:8}\n{}\n{}\n", block.len(), &hex[..20], &hex[20..]);
        let xmp = b"<x:xmpmeta tiff:Orientation=\"6\"/>";
        let text = |keyword: &str, middle: &[u8], text: &[u8]| {
            [keyword.as_bytes(), b"\0", middle, text].concat()
        };
        assert!(is_turned(b"eXIf", &block));
        for keyword in ["Raw profile type exif", "Raw profile type APP1"] {
            assert!(is_turned(b"tEXt", &text(keyword, b"", raw.as_bytes())));
            assert!(is_turned(b"zTXt", &text(keyword, b"\0", &packed(raw.as_bytes()))));
            assert!(is_turned(b"iTXt", &text(keyword, b"\0\0\0\0", raw.as_bytes())));
        }
        assert!(is_turned(b"iTXt", &text("XML:com.adobe.xmp", b"\0\0en\0\0", xmp)));
        assert!(is_turned(b"iTXt", &text("XML:com.adobe.xmp", b"\x01\0\0\0", &packed(xmp))));
        assert!(!is_turned(b"tEXt", &text("Comment", b"", xmp)));
        for odd in [&b"Raw profile type exif\0"[..], b"XML:com.adobe.xmp\0\x01", b"no end", b""] {
            assert!(
                !is_turned(b"iTXt", odd) && !is_turned(b"zTXt", odd) && !is_turned(b"tEXt", odd)
            );
        }
    }

    #[test]
    fn a_text_is_inflated_no_further_than_its_bound() {
        let mut text = vec![b' '; MAX_TEXT as usize];
        text.extend(b"tiff:Orientation=\"6\"");
        let chunk = [b"XML:com.adobe.xmp\0\x01\0\0\0", packed(&text).as_slice()].concat();
        assert!(!is_turned(b"iTXt", &chunk));
    }
}
