//! The entropy-coded data of a scan, of which each restart interval is decoded by itself.

use super::bits::Bits;
use super::reader::Reader;

/// Row and column of MCUs, one after the other.
pub(super) struct Positions {
    next: (usize, usize),
    across: usize,
    left: usize,
}

impl Iterator for Positions {
    type Item = (usize, usize);

    #[inline]
    fn next(&mut self) -> Option<(usize, usize)> {
        self.left = self.left.checked_sub(1)?;
        let (row, column) = self.next;
        self.next = if column + 1 == self.across { (row + 1, 0) } else { (row, column + 1) };
        Some((row, column))
    }
}

/// Has every interval of so many MCUs, across and down, decoded: `decode` is told which they are, and gives
/// back the bits that are left. (By value, so that they stay in registers.)
///
/// None if an interval has too few bits, or a byte too much.
#[allow(clippy::inline_always)]
#[inline(always)]
pub(super) fn intervals(
    reader: &mut Reader,
    (across, down): (usize, usize),
    mut decode: impl for<'a> FnMut(Bits<'a>, Positions) -> Option<Bits<'a>>,
) -> Option<()> {
    let count = across * down;
    let interval = if reader.restart_interval == 0 { count } else { reader.restart_interval };
    let mut bytes = Vec::with_capacity(reader.left());
    let (mut start, mut number) = (0, 0);
    loop {
        reader.entropy_coded(&mut bytes)?;
        let end = count.min(start + interval);
        let next = (start / across, start % across);
        let bits = decode(Bits::new(&bytes), Positions { next, across, left: end - start })?;
        if !(0..8).contains(&bits.left()) {
            return None;
        }
        if end == count {
            return Some(());
        }
        reader.restart(number)?;
        number += 1;
        start = end;
    }
}
