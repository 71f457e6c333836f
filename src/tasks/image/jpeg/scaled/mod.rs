//! JPEG at a smaller scale, for photos of which most pixels would only be averaged away.
//!
//! Of each block it keeps the few coefficients that the scale can show. It reads over the others without
//! making values of them, several at a time, and of a progressive file it keeps of them one bit each. Its
//! transform makes only the pixels that are wanted. A whole decoder does these steps for all 64
//! coefficients at every scale; `docs/performance.md` has what is gained.
//!
//! It takes what encoders usually write and nothing that is damaged or odd in any way, and has no messages:
//! the caller decodes such a file with the whole decoder, which decides what is wrong with it, if anything.

mod bits;
mod coefficients;
mod entropy;
mod frame;
mod huffman;
mod picture;
mod progressive;
mod reader;
mod sequential;

use picture::Picture;
use reader::{Next, Reader};

use super::super::kernel::vectorised;

/// A picture of fewer pixels than its file.
pub(super) struct Scaled {
    /// Width and height of the whole image in pixels, and how many eighths of them were decoded.
    pub full: (u32, u32),
    pub eighths: u32,
    /// Width and height of what was decoded.
    pub size: (u32, u32),
    /// RGB, 8 bits a channel, row by row.
    pub rgb: Vec<u8>,
}

/// Decodes a sequential or progressive Huffman-coded JPEG of 8 bits, grey or YCbCr.
///
/// `eighths` says, for a width and height in pixels, at which scale: 1 to 4 eighths a side. None declines before
/// anything of the image's size is allocated. `max_scans`: as many a progressive file may have.
///
/// None for everything else, and for every fault.
pub(super) fn decode(
    file: &[u8],
    max_scans: usize,
    eighths: impl FnOnce(u32, u32) -> Option<u32>,
) -> Option<Scaled> {
    let mut reader = Reader::new(file)?;
    let frame = reader.frame()?;
    let full = (frame.width as u32, frame.height as u32);
    let eighths = eighths(full.0, full.1)?;
    let Next::Scan(first) = reader.next(&frame)? else { return None };
    let mut picture = Picture::new(frame, eighths as usize, &reader)?;
    // Plain loops, but with the instructions for bits that the machine has.
    vectorised(
        #[allow(clippy::inline_always)]
        #[inline(always)]
        || {
            if picture.frame.is_progressive {
                return progressive::decode(&mut reader, first, max_scans, &mut picture);
            }
            sequential::decode(&mut reader, &first, &mut picture)?;
            // Another scan would have been a second one.
            matches!(reader.next(&picture.frame)?, Next::End).then_some(())
        },
    )?;
    let size = (picture.width as u32, picture.height as u32);
    Some(Scaled { full, eighths, size, rgb: picture.finish() })
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use libjpeg_turbo_rs::{Decoder, PixelFormat};

    use super::super::{MAX_SCANS, scaling};

    /// The fixtures that are JPEGs: of all samplings, with restarts, progressive ones, grey ones, and odd ones.
    fn files() -> Vec<(String, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images");
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|end| end == "jpg")).collect();
        paths.sort();
        let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
        paths.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
    }

    fn scaled(file: &[u8], eighths: u32) -> Option<((u32, u32), Vec<u8>)> {
        let scaled = super::decode(file, MAX_SCANS, |_, _| Some(eighths))?;
        Some((scaled.size, scaled.rgb))
    }

    /// The same by the whole decoder.
    fn expected(file: &[u8], eighths: u32) -> Option<((u32, u32), Vec<u8>)> {
        let mut decoder = Decoder::new(file).ok()?;
        decoder.set_scale(scaling(eighths).unwrap());
        decoder.set_output_format(PixelFormat::Rgb);
        let image = decoder.decode_image().ok()?;
        Some(((image.width as u32, image.height as u32), image.data))
    }

    #[test]
    fn pixels_are_the_whole_decoders_but_for_the_finest_detail() {
        let mut declined = Vec::new();
        for (name, file) in files() {
            for eighths in 1..=4 {
                let Some((size, pixels)) = scaled(&file, eighths) else {
                    declined.push(name.clone());
                    continue;
                };
                let (expected_size, expected) = expected(&file, eighths).unwrap();
                assert_eq!(size, expected_size, "{name}");
                let differences = pixels.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b));
                let sum: f64 = differences.map(f64::from).sum();
                let mean = sum / expected.len() as f64;
                assert!(mean < 4.0, "{name} at {eighths}/8: {mean}");
            }
        }
        declined.dedup();
        // Four inks, a sampling by four, and colours that are not YCbCr.
        assert_eq!(declined, ["jpeg-411", "jpeg-cmyk", "jpeg-rgb-colours", "jpeg-ycck"]);
    }

    #[test]
    fn nothing_is_decoded_that_the_whole_decoder_refuses() {
        let mut files = files();
        files.retain(|(_, file)| file.len() < 60_000);
        let mut random = fastrand::Rng::with_seed(7);
        let mut decoded = 0;
        for _ in 0..1500 {
            let (name, file) = &files[random.usize(..files.len())];
            let mut damaged = file.clone();
            for _ in 0..random.usize(1..4) {
                // Half of the damage in the headers.
                let within = if random.bool() { file.len().min(700) } else { file.len() };
                let at = random.usize(..within).min(damaged.len() - 1);
                match random.u8(..4) {
                    0 => damaged.truncate(at + 1),
                    1 => drop(damaged.drain(at..(at + 20).min(damaged.len() - 1).max(at))),
                    2 => damaged[at] ^= 1 << random.u8(..8),
                    _ => damaged[at] = random.u8(..),
                }
            }
            // A size that came by damage would only take long.
            let scale = |width: u32, height: u32| (width * height < 4_000_000).then_some(3);
            if super::decode(&damaged, MAX_SCANS, scale).is_some() {
                assert!(expected(&damaged, 3).is_some(), "{name}");
                decoded += 1;
            }
        }
        assert!((200..1300).contains(&decoded), "{decoded}");
    }
}
