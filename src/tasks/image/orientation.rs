//! Which way up a photo is: from EXIF's orientation, else from XMP's, as Pillow's `ImageOps.exif_transpose`
//! takes them.
//!
//! The bytes are a client's: every walk here is linear, bounded by the slice, and ends where it is odd.

use image::metadata::Orientation;
use memchr::memmem;

/// The tag in EXIF.
const ORIENTATION: u16 = 0x0112;

/// Of an EXIF block (with or without its `Exif\0\0`) and an XMP packet. A block that has the tag is believed,
/// whatever XMP says.
pub(super) fn orientation(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    let value = exif.and_then(of_exif).or_else(|| xmp.and_then(of_xmp));
    value.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms)
}

/// The tag's value in the first directory of a TIFF structure; 0 if it is none that can be read.
fn of_exif(mut block: &[u8]) -> Option<u8> {
    // Some programs write the prefix twice.
    for _ in 0..2 {
        block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    }
    let tiff = Tiff::new(block)?;
    let directory = tiff.u32(4)? as usize;
    let count = usize::from(tiff.u16(directory)?);
    // A directory that is cut off counts as far as it goes; of two such tags the last.
    let mut entries = block.get(directory + 2..)?.chunks_exact(12).take(count);
    let entry = entries.rfind(|entry| tiff.read_u16(entry) == Some(ORIENTATION))?;
    Some(tiff.number(entry).unwrap_or(0))
}

/// A TIFF structure, of either order of bytes.
struct Tiff<'a> {
    bytes: &'a [u8],
    is_big: bool,
}

impl<'a> Tiff<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let is_big = match bytes.get(..4)? {
            b"MM\0*" | b"MM*\0" => true,
            b"II*\0" | b"II\0*" => false,
            _ => return None,
        };
        Some(Self { bytes, is_big })
    }

    fn read_u16(&self, bytes: &[u8]) -> Option<u16> {
        let bytes = *bytes.first_chunk()?;
        Some(if self.is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn read_u32(&self, bytes: &[u8]) -> Option<u32> {
        let bytes = *bytes.first_chunk()?;
        Some(if self.is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn u16(&self, at: usize) -> Option<u16> {
        self.read_u16(self.bytes.get(at..)?)
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.read_u32(self.bytes.get(at..)?)
    }

    /// An entry's value, if it is one small whole number of whatever type.
    fn number(&self, entry: &[u8]) -> Option<u8> {
        let (kind, count, value) =
            (self.read_u16(&entry[2..])?, self.read_u32(&entry[4..])?, &entry[8..]);
        if count != 1 {
            return None;
        }
        // What does not fit into the entry lies elsewhere.
        let far = || self.bytes.get(self.read_u32(value)? as usize..);
        let number = match kind {
            // BYTE, SBYTE and UNDEFINED; SHORT and SSHORT; LONG and SLONG.
            1 | 6 | 7 => u32::from(value[0]),
            3 | 8 => self.read_u16(value)?.into(),
            4 | 9 => self.read_u32(value)?,
            // A fraction.
            5 | 10 => {
                let far = far()?;
                let (above, below) = (self.read_u32(far)?, self.read_u32(far.get(4..)?)?);
                (below > 0 && above % below == 0).then(|| above / below)?
            }
            // Whole numbers of 64 bits.
            16 | 17 => {
                let bytes = *far()?.first_chunk()?;
                let wide =
                    if self.is_big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) };
                u32::try_from(wide).ok()?
            }
            _ => return None,
        };
        u8::try_from(number).ok()
    }
}

/// `tiff:Orientation` as an attribute or as an element.
fn of_xmp(packet: &[u8]) -> Option<u8> {
    const NAME: &[u8] = b"tiff:Orientation";
    memmem::find_iter(packet, NAME).find_map(|at| {
        let digit = match packet.get(at + NAME.len()..)? {
            [b'=', b'"' | b'\'', digit, ..] | [b'>', digit, ..] => *digit,
            _ => return None,
        };
        digit.is_ascii_digit().then(|| digit - b'0')
    })
}

/// EXIF and XMP of a JPEG, from the segments before its first scan.
pub(super) fn of_jpeg(file: &[u8]) -> Orientation {
    let (mut exif, mut xmp): (Vec<&[u8]>, Option<&[u8]>) = (Vec::new(), None);
    let mut rest = file.get(2..).unwrap_or_default();
    while let Some(at) = memchr::memchr(0xff, rest) {
        rest = &rest[at + 1..];
        match rest {
            // Fill, a stuffed byte, and markers without a segment.
            [0xff | 0, ..] => {}
            [0x01 | 0xd0..=0xd8, after @ ..] => rest = after,
            [0xd9 | 0xda, ..] => break,
            [kind, high, low, after @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low])).saturating_sub(2);
                let Some((segment, after)) = after.split_at_checked(length) else { break };
                if *kind == 0xe1 && segment.starts_with(b"Exif\0\0") {
                    // A block that is too long for one segment goes on in the next.
                    exif.push(if exif.is_empty() { segment } else { &segment[6..] });
                } else if *kind == 0xe1 {
                    xmp = segment.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0").or(xmp);
                }
                rest = after;
            }
            _ => break,
        }
    }
    let joined: Vec<u8>;
    let exif = match exif.as_slice() {
        [] => None,
        [only] => Some(*only),
        several => {
            joined = several.concat();
            Some(joined.as_slice())
        }
    };
    orientation(exif, xmp)
}

#[cfg(test)]
mod tests {
    use super::super::test_images::{decoded, jpeg};
    use super::*;

    /// A TIFF structure with one tag.
    fn exif(is_big: bool, kind: u16, value: [u8; 4], far: &[u8]) -> Vec<u8> {
        let u16s = |n: u16| if is_big { n.to_be_bytes() } else { n.to_le_bytes() };
        let u32s = |n: u32| if is_big { n.to_be_bytes() } else { n.to_le_bytes() };
        let mut block = if is_big { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
        block.extend(u32s(8));
        block.extend(u16s(1));
        block.extend(u16s(ORIENTATION));
        block.extend(u16s(kind));
        block.extend(u32s(1));
        block.extend(value);
        block.extend(u32s(0));
        assert_eq!(block.len(), 26);
        block.extend(far);
        block
    }

    #[test]
    fn the_tag_counts_whatever_whole_number_it_is_typed_as() {
        let cases: [(bool, u16, [u8; 4], &[u8]); 12] = [
            (true, 3, [0, 6, 0, 0], b""),
            (false, 3, [6, 0, 0, 0], b""),
            (true, 4, [0, 0, 0, 6], b""),
            (false, 4, [6, 0, 0, 0], b""),
            (true, 1, [6, 0, 0, 0], b""),
            (false, 6, [6, 0, 0, 0], b""),
            (true, 8, [0, 6, 0, 0], b""),
            (false, 9, [6, 0, 0, 0], b""),
            (true, 5, [0, 0, 0, 26], b"\0\0\0\x0c\0\0\0\x02"),
            (false, 10, [26, 0, 0, 0], b"\x06\0\0\0\x01\0\0\0"),
            (true, 16, [0, 0, 0, 26], b"\0\0\0\0\0\0\0\x06"),
            (false, 16, [26, 0, 0, 0], b"\x06\0\0\0\0\0\0\0"),
        ];
        for (is_big, kind, value, far) in cases {
            let block = exif(is_big, kind, value, far);
            assert_eq!(orientation(Some(&block), None), Orientation::Rotate90, "{kind} {is_big}");
            for end in 0..block.len() {
                // No cut may panic; one that leaves the entry whole still counts.
                let _ = orientation(Some(&block[..end]), None);
            }
        }
    }

    #[test]
    fn exif_that_has_the_tag_is_believed_before_xmp() {
        let xmp = b"<rdf:Description tiff:Orientation=\"6\"/>";
        let element = b"<tiff:Orientation>8</tiff:Orientation>";
        assert_eq!(orientation(None, Some(xmp)), Orientation::Rotate90);
        assert_eq!(orientation(None, Some(element)), Orientation::Rotate270);
        let upright = exif(true, 3, [0, 1, 0, 0], b"");
        assert_eq!(orientation(Some(&upright), Some(xmp)), Orientation::NoTransforms);
        let odd = exif(true, 2, *b"6\0\0\0", b"");
        assert_eq!(orientation(Some(&odd), Some(xmp)), Orientation::NoTransforms);
        assert_eq!(orientation(Some(b"no tiff"), Some(xmp)), Orientation::Rotate90);
        assert_eq!(orientation(None, Some(b"tiff:Orientation")), Orientation::NoTransforms);
    }

    #[test]
    fn a_jpeg_is_turned_by_xmp_and_by_exif_in_any_segment() {
        let plain = jpeg(16, 8, 90);
        let with = |segments: &[&[u8]]| {
            let mut file = plain[..2].to_vec();
            for segment in segments {
                file.extend(b"\xff\xff\xe1");
                file.extend((segment.len() as u16 + 2).to_be_bytes());
                file.extend(*segment);
            }
            file.extend(&plain[2..]);
            decoded(&file).unwrap().dimensions()
        };
        let xmp = b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation=\"6\"/>";
        let exif = [b"Exif\0\0", exif(false, 4, [8, 0, 0, 0], b"").as_slice()].concat();
        let halves = [&exif[..20], &[b"Exif\0\0", &exif[20..]].concat()];
        assert_eq!(with(&[]), (16, 8));
        assert_eq!(with(&[xmp]), (8, 16));
        assert_eq!(with(&[b"something", &exif]), (8, 16));
        assert_eq!(with(&[halves[0], halves[1]]), (8, 16));
    }
}
