//! The coefficients of a component's blocks that a smaller scale needs.

use super::frame::zigzag;

/// Those of the lowest frequencies, as many across as down, of rows of blocks.
pub(super) struct Coefficients {
    /// Blocks in a row.
    across: usize,
    /// Values of a block: those that are kept, by row and column of their frequency, and one for all others.
    stride: usize,
    /// By place in zigzag order, which of a block's values it is. Places from 64 on stand for none.
    index: [u8; 256],
    /// The last place in zigzag order that is kept.
    last: u32,
    values: Vec<i16>,
}

#[allow(clippy::inline_always)]
impl Coefficients {
    /// `order`: frequencies a side that are kept; `across`, `down`: blocks.
    pub fn new(order: usize, across: usize, down: usize) -> Self {
        let kept = order * order;
        let mut index = [kept as u8; 256];
        let mut last = 0;
        for (place, (row, column)) in zigzag().enumerate() {
            if row < order && column < order {
                index[place] = (row * order + column) as u8;
                last = place as u32;
            }
        }
        let stride = kept + 1;
        Self { across, stride, index, last, values: vec![0; stride * across * down] }
    }

    /// The last place in zigzag order that is kept.
    pub fn last(&self) -> u32 {
        self.last
    }

    pub fn clear(&mut self) {
        self.values.fill(0);
    }

    /// How many blocks there are.
    pub fn count(&self) -> usize {
        self.values.len() / self.stride
    }

    /// Which of all blocks this one is.
    #[inline(always)]
    pub fn number(&self, row: usize, column: usize) -> usize {
        row * self.across + column
    }

    /// A block, to be written.
    #[inline(always)]
    pub fn block(&mut self, row: usize, column: usize) -> Block<'_> {
        let start = self.number(row, column) * self.stride;
        Block { values: &mut self.values[start..][..self.stride], index: &self.index }
    }

    /// A row of blocks: of each the values, the rows of its frequencies one after the other, and one more.
    pub fn row(&self, row: usize) -> impl Iterator<Item = &[i16]> {
        let size = self.stride * self.across;
        self.values[row * size..][..size].chunks_exact(self.stride)
    }
}

pub(super) struct Block<'a> {
    values: &'a mut [i16],
    index: &'a [u8; 256],
}

#[allow(clippy::inline_always)]
impl Block<'_> {
    /// The value at a place in zigzag order, or one that nobody reads.
    #[inline(always)]
    pub fn at(&mut self, place: u32) -> &mut i16 {
        &mut self.values[usize::from(self.index[place as usize & 255])]
    }
}
