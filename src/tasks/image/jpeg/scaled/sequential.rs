//! The scan of a sequential JPEG, row by row: no more than one row of MCUs is kept.

use super::bits::Bits;
use super::coefficients::{Block, Coefficients};
use super::entropy::intervals;
use super::frame::Scan;
use super::huffman::{END, Table};
use super::picture::Picture;
use super::reader::Reader;

/// Decodes the only scan into the picture.
#[allow(clippy::inline_always)]
#[inline(always)]
pub(super) fn decode(reader: &mut Reader, scan: &Scan, picture: &mut Picture) -> Option<()> {
    let is_whole = scan.components.len() == picture.frame.components.len();
    if !is_whole || (scan.first, scan.last, scan.high, scan.low) != (0, 63, 0, 0) {
        return None;
    }
    let tables: Option<Vec<_>> = scan
        .components
        .iter()
        .map(|&component| Some((reader.dc_table(component)?, reader.ac_table(component)?)))
        .collect();
    let tables = tables?;
    let (across, down) = picture.frame.mcus();
    let mut kept = picture.coefficients(1);
    intervals(
        reader,
        (across, down),
        #[inline(always)]
        |mut bits, mcus| {
            let mut predicted = [0; 3];
            for (row, column) in mcus {
                if column == 0 {
                    kept.iter_mut().for_each(Coefficients::clear);
                }
                for (index, component) in picture.frame.components.iter().enumerate() {
                    let (dc, ac) = &tables[index];
                    let kept = &mut kept[index];
                    let last = kept.last();
                    for y in 0..component.vertical {
                        for x in 0..component.horizontal {
                            let block = kept.block(y, column * component.horizontal + x);
                            decode_block(&mut bits, [dc, ac], &mut predicted[index], block, last)?;
                        }
                    }
                }
                if column == across - 1 {
                    if bits.left() < 0 {
                        return None;
                    }
                    picture.draw(&kept, 0, row);
                }
            }
            Some(bits)
        },
    )
}

/// `last`: the last place that is kept.
#[allow(clippy::inline_always)]
#[inline(always)]
fn decode_block(
    bits: &mut Bits,
    [dc, ac]: [&Table; 2],
    predicted: &mut i16,
    mut block: Block,
    last: u32,
) -> Option<()> {
    *predicted = predicted.wrapping_add(dc.next(bits)?.value);
    *block.at(0) = *predicted;
    let mut place = 1_u32;
    while place <= last {
        bits.refill();
        let decoded = ac.next_ready(bits)?;
        place = place.wrapping_add(decoded.advance);
        *block.at(place.wrapping_sub(1)) = decoded.value;
        if place > last {
            break;
        }
        let decoded = ac.next_ready(bits)?;
        place = place.wrapping_add(decoded.advance);
        *block.at(place.wrapping_sub(1)) = decoded.value;
    }
    // An end's value is written, too, to a place that nobody reads.
    while place < 64 {
        place = ac.pass(bits, place)?;
    }
    (place == 64 || place >= END).then_some(())
}
