//! The scans of a progressive JPEG. Each brings a band of frequencies, or one more bit of it.

use super::bits::Bits;
use super::coefficients::{Block, Coefficients};
use super::entropy::intervals;
use super::frame::{Scan, ScanComponent};
use super::huffman::{END, Table};
use super::picture::Picture;
use super::reader::{Next, Reader};

/// The bit of a coefficient of which nothing is known.
const UNKNOWN: u8 = u8::MAX;

/// What is known of a component.
struct Component {
    kept: Coefficients,
    /// By the block's number: which places in zigzag order are not zero, a bit each. The scans that refine a
    /// band have a bit for each of them, kept or not.
    nonzero: Vec<u64>,
    /// By place, the lowest bit that is known.
    known: [u8; 64],
}

/// Decodes all scans, of which the header of the first one is given, into the picture.
#[allow(clippy::inline_always)]
#[inline(always)]
pub(super) fn decode(
    reader: &mut Reader,
    first: Scan,
    max_scans: usize,
    picture: &mut Picture,
) -> Option<()> {
    let (_, down) = picture.frame.mcus();
    let kept = picture.coefficients(down).into_iter();
    let mut components: Vec<_> = kept
        .map(|kept| Component { nonzero: vec![0; kept.count()], kept, known: [UNKNOWN; 64] })
        .collect();
    let mut next = Next::Scan(first);
    for _ in 0..max_scans {
        let Next::Scan(scan) = next else { break };
        advance(&mut components, &scan)?;
        if scan.first == 0 {
            dc_scan(reader, &scan, picture, &mut components)?;
        } else {
            ac_scan(reader, &scan, picture, &mut components)?;
        }
        next = reader.next(&picture.frame)?;
    }
    let is_complete = components.iter().all(|component| component.known == [0; 64]);
    if !is_complete || matches!(next, Next::Scan(_)) {
        return None;
    }
    let kept: Vec<_> = components.into_iter().map(|component| component.kept).collect();
    for row in 0..down {
        picture.draw(&kept, row, row);
    }
    Some(())
}

/// Notes what a scan brings. None if it isn't the next that its band can have.
fn advance(components: &mut [Component], scan: &Scan) -> Option<()> {
    let is_dc = scan.first == 0;
    let is_band = if is_dc { scan.last == 0 } else { scan.components.len() == 1 };
    let expected = if scan.high == 0 { UNKNOWN } else { scan.high };
    let is_step = scan.high == 0 || scan.high == scan.low + 1;
    if !is_band || !is_step || scan.low > 13 {
        return None;
    }
    for part in &scan.components {
        let known = &mut components[part.index].known;
        let follows = is_dc || known[0] != UNKNOWN;
        let band = &mut known[usize::from(scan.first)..=usize::from(scan.last)];
        if !follows || band.iter().any(|&bit| bit != expected) {
            return None;
        }
        band.fill(scan.low);
    }
    Some(())
}

#[allow(clippy::inline_always)]
#[inline(always)]
fn dc_scan(
    reader: &mut Reader,
    scan: &Scan,
    picture: &Picture,
    components: &mut [Component],
) -> Option<()> {
    /// One component of the scan: its DC table unless the scan refines, and its blocks in an MCU.
    struct Part {
        index: usize,
        table: Option<Box<Table>>,
        horizontal: usize,
        vertical: usize,
    }
    let is_single = scan.components.len() == 1;
    let part = |&part: &ScanComponent| {
        let component = &picture.frame.components[part.index];
        let table = if scan.high == 0 { Some(reader.dc_table(part)?) } else { None };
        let (horizontal, vertical) =
            if is_single { (1, 1) } else { (component.horizontal, component.vertical) };
        Some(Part { index: part.index, table, horizontal, vertical })
    };
    let parts: Vec<_> = scan.components.iter().map(part).collect::<Option<_>>()?;
    let (across, down) =
        if is_single { picture.frame.blocks(parts[0].index) } else { picture.frame.mcus() };
    let low = u32::from(scan.low);
    intervals(
        reader,
        (across, down),
        #[inline(always)]
        |mut bits, mcus| {
            let mut predicted = [0_i16; 3];
            for (row, column) in mcus {
                for (part, predicted) in parts.iter().zip(&mut predicted) {
                    let kept = &mut components[part.index].kept;
                    for y in 0..part.vertical {
                        for x in 0..part.horizontal {
                            let (row, column) =
                                (row * part.vertical + y, column * part.horizontal + x);
                            let mut block = kept.block(row, column);
                            if let Some(table) = &part.table {
                                *predicted = predicted.wrapping_add(table.next(&mut bits)?.value);
                                *block.at(0) = predicted.wrapping_shl(low);
                            } else {
                                bits.refill();
                                *block.at(0) |= (bits.take(1) as i16).wrapping_shl(low);
                            }
                        }
                    }
                }
                if column == across - 1 && bits.left() < 0 {
                    return None;
                }
            }
            Some(bits)
        },
    )
}

#[allow(clippy::inline_always)]
#[inline(always)]
fn ac_scan(
    reader: &mut Reader,
    scan: &Scan,
    picture: &Picture,
    components: &mut [Component],
) -> Option<()> {
    let part = scan.components[0];
    let table = reader.ac_table(part)?;
    let (across, down) = picture.frame.blocks(part.index);
    let Component { kept, nonzero, .. } = &mut components[part.index];
    let mut band = Band {
        first: scan.first.into(),
        last: scan.last.into(),
        kept: places(0, kept.last() + 1),
        low: scan.low.into(),
        table: &table,
        end_run: 0,
    };
    intervals(
        reader,
        (across, down),
        #[inline(always)]
        |mut bits, blocks| {
            band.end_run = 0;
            for (row, column) in blocks {
                let nonzero = &mut nonzero[kept.number(row, column)];
                if scan.high == 0 {
                    band.begin(&mut bits, kept.block(row, column), nonzero)?;
                } else {
                    band.refine(&mut bits, kept.block(row, column), nonzero)?;
                }
                if column == across - 1 && bits.left() < 0 {
                    return None;
                }
            }
            (band.end_run == 0).then_some(bits)
        },
    )
}

/// A band of AC coefficients.
struct Band<'a> {
    /// The first and the last place in zigzag order.
    first: u32,
    last: u32,
    /// Places whose values are kept, a bit each.
    kept: u64,
    /// The bit that a scan brings.
    low: u32,
    table: &'a Table,
    /// Blocks, from the next one on, that have nothing more in this band.
    end_run: u32,
}

#[allow(clippy::inline_always)]
impl Band<'_> {
    #[inline(always)]
    fn read_end_run(&mut self, bits: &mut Bits, symbol: i16) {
        let size = u32::from(symbol.cast_unsigned() >> 4 & 15);
        self.end_run = (1_u32 << size) + bits.take(size).cast_unsigned();
    }

    /// A block of the band's first scan.
    #[inline(always)]
    fn begin(&mut self, bits: &mut Bits, mut block: Block, nonzero: &mut u64) -> Option<()> {
        if self.end_run > 0 {
            self.end_run -= 1;
            return Some(());
        }
        let mut next = self.first;
        while next <= self.last {
            let decoded = self.table.next(bits)?;
            if decoded.advance == END {
                self.read_end_run(bits, decoded.value);
                self.end_run -= 1;
                return Some(());
            }
            next = next.wrapping_add(decoded.advance);
            let place = next.wrapping_sub(1);
            *block.at(place) = decoded.value.wrapping_shl(self.low);
            *nonzero |= u64::from(decoded.value != 0) << (place & 63);
        }
        (next == self.last + 1).then_some(())
    }

    /// A block of a scan that brings one more bit: of what is not zero, and of what is no longer.
    #[inline(always)]
    fn refine(&mut self, bits: &mut Bits, mut block: Block, nonzero: &mut u64) -> Option<()> {
        let mut next = self.first;
        while self.end_run == 0 && next <= self.last {
            let decoded = self.table.next(bits)?;
            if decoded.advance == END {
                self.read_end_run(bits, decoded.value);
                break;
            }
            // Only zeros count; a value of zero stands for 16 of them.
            let mut zeros = !*nonzero >> next;
            for _ in 1..decoded.advance {
                zeros &= zeros.wrapping_sub(1);
            }
            let place = next.wrapping_add(zeros.trailing_zeros());
            if place > self.last || !(-1..=1).contains(&decoded.value) {
                return None;
            }
            self.correct(bits, &mut block, *nonzero & places(next, place));
            if decoded.value != 0 {
                *block.at(place) = decoded.value.wrapping_shl(self.low);
                *nonzero |= 1 << place;
            }
            next = place + 1;
        }
        if self.end_run > 0 {
            self.end_run -= 1;
            self.correct(bits, &mut block, *nonzero & places(next, self.last + 1));
        }
        Some(())
    }

    /// Takes one bit for each of these places, by which its value grows or not.
    #[inline(always)]
    fn correct(&self, bits: &mut Bits, block: &mut Block, nonzero: u64) {
        let mut kept = nonzero & self.kept;
        if kept != 0 {
            bits.refill();
        }
        while kept != 0 {
            let value = block.at(kept.trailing_zeros());
            kept &= kept - 1;
            // Away from zero, without a branch, which could not be predicted.
            let step = (bits.take(1) as i16).wrapping_shl(self.low);
            let sign = *value >> 15;
            *value = value.wrapping_add((step ^ sign).wrapping_sub(sign));
        }
        let mut others = (nonzero & !self.kept).count_ones();
        while others > 0 {
            bits.refill();
            let count = others.min(56);
            bits.skip(count);
            others -= count;
        }
    }
}

/// The places from `first` to `end - 1`, a bit each.
fn places(first: u32, end: u32) -> u64 {
    let below = |place: u32| 1_u64.checked_shl(place).map_or(u64::MAX, |bit| bit - 1);
    below(end) & !below(first)
}
