//! The scans of a progressive JPEG that a smaller image does not need.

use memchr::memchr_iter;

const START: u8 = 0xd8;
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;

/// The file without the scans that refine AC coefficients, which are about half of it: what those add
/// is finer than what a block's mean shows. DC coefficients keep every bit.
///
/// `None` if the file does not reach its end or has anything between its segments; it is then the
/// decoder's business.
pub(super) fn without_refinements(file: &[u8]) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(file.len());
    let mut rest = file;
    loop {
        let (length, refines) = match *rest {
            [0xff, START, ..] => (2, false),
            [0xff, END, ..] => {
                kept.extend_from_slice(rest);
                return Some(kept);
            }
            // What has a length: no restart marker, no stuffed byte, no filling.
            [0xff, marker @ (0x02..=0xcf | SCAN..=0xfe), high, low, ..] => {
                let header = 2 + usize::from(u16::from_be_bytes([high, low]));
                let segment = rest.get(..header)?;
                if marker == SCAN {
                    let &[.., first, _, bits] = segment else { return None };
                    (header + entropy_coded(&rest[header..])?, first > 0 && bits >> 4 > 0)
                } else {
                    (header, false)
                }
            }
            _ => return None,
        };
        let (segment, next) = rest.split_at_checked(length)?;
        if !refines {
            kept.extend_from_slice(segment);
        }
        rest = next;
    }
}

/// Bytes until the next marker that does not belong to the entropy-coded data.
fn entropy_coded(data: &[u8]) -> Option<usize> {
    memchr_iter(0xff, data).find(|&at| !matches!(data.get(at + 1), None | Some(0 | 0xd0..=0xd7)))
}

#[cfg(test)]
mod tests {
    use super::without_refinements;

    const HEAD: &[u8] = b"\xff\xd8\xff\xc2\x00\x03\x08";
    /// DC, then AC, then a refinement of each; with a stuffed byte and a restart marker.
    const SCANS: [&[u8]; 4] = [
        b"\xff\xda\x00\x08\x01\x01\x00\x00\x00\x01\x12\xff\x00\x34",
        b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x02\x56\xff\xd0\x78",
        b"\xff\xda\x00\x08\x01\x01\x00\x00\x00\x10\x9a",
        b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x21\xbc\xff\x00\xff\xd7\xde",
    ];
    const TAIL: &[u8] = b"\xff\xd9trailing";

    #[test]
    fn only_refinements_of_ac_coefficients_go() {
        let file = [HEAD, &SCANS.concat(), TAIL].concat();
        let kept = [HEAD, &SCANS[..3].concat(), TAIL].concat();
        assert_eq!(without_refinements(&file), Some(kept));
    }

    #[test]
    fn a_file_that_ends_early_is_left_alone() {
        let file = [HEAD, &SCANS.concat()].concat();
        for length in 0..=file.len() {
            assert_eq!(without_refinements(&file[..length]), None, "{length}");
        }
    }
}
