//! Huffman tables, which decode at a look what the next bits hold.

use super::bits::Bits;

/// Bits of a look.
const LOOK: u32 = 11;
const LOOKS: usize = 1 << LOOK;
/// What the end of a block advances by, which no run of zeros does.
pub(super) const END: u32 = 128;
/// Most bits of a value behind its symbol: of DC differences, of which samples of 8 bits make the largest.
const MOST_BITS: u8 = 11;

/// The symbol of 16 zeros.
const ZEROS: u8 = 0xf0;

/// A symbol and the value behind it.
#[derive(Clone, Copy)]
pub(super) struct Decoded {
    /// Places in zigzag order from the last coefficient's to this one's, or [`END`].
    pub advance: u32,
    /// The coefficient, or the DC difference. Of an end, the symbol.
    pub value: i16,
}

/// The tables of one DHT.
pub(super) struct Table {
    /// By the next bits, their first symbol. Length (6 bits), advance (8 bits), value (from bit 16 on). If
    /// the value's bits are not all there, the length is zero, and from bit 16 on stand the code's length
    /// (5 bits) and the symbol, or zero where not even the code is there.
    first: [u32; LOOKS],
    /// By the next bits, all symbols that they hold: length (6 bits), advance (8 bits), and in the highest
    /// bit whether the last one ends the block. Zero if they hold none.
    all: [u32; LOOKS],
    /// By length, what every code of up to that length is less than, in 16 bits.
    limits: [u32; 17],
    /// By length, what to add to a code for the index of its symbol, modulo 2³².
    offsets: [u32; 17],
    symbols: [u8; 256],
}

#[allow(clippy::inline_always)]
impl Table {
    /// `counts`: how many codes there are of each length from 1 to 16; `symbols`: in the order of the codes.
    /// None if these are no codes, or none of an image of 8 bits.
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Box<Self>> {
        if symbols.iter().any(|symbol| symbol & 15 > MOST_BITS) {
            return None;
        }
        let mut table = Box::new(Self {
            first: [0; LOOKS],
            all: [0; LOOKS],
            limits: [0; 17],
            offsets: [0; 17],
            symbols: [0; 256],
        });
        table.symbols.get_mut(..symbols.len())?.copy_from_slice(symbols);
        let (mut code, mut index) = (0_u32, 0_u32);
        for length in 1..=16_usize {
            let count = u32::from(counts[length - 1]);
            table.offsets[length] = index.wrapping_sub(code);
            code += count;
            index += count;
            if code > 1 << length {
                return None;
            }
            table.limits[length] = code << (16 - length);
            code <<= 1;
        }
        for bits in 0..LOOKS {
            table.first[bits] = table.first_of(bits as u32);
            table.all[bits] = table.all_of(bits as u32);
        }
        Some(table)
    }

    /// Length and symbol of the code that 16 bits begin with.
    #[inline(never)]
    fn search(&self, bits: u32) -> Option<(u32, u8)> {
        let length = (1..=16).find(|&length| bits < self.limits[length])?;
        let index = (bits >> (16 - length)).wrapping_add(self.offsets[length]);
        Some((length as u32, self.symbols[index as usize & 255]))
    }

    fn first_of(&self, bits: u32) -> u32 {
        let code = self.search(bits << (16 - LOOK)).filter(|&(length, _)| length <= LOOK);
        let Some((length, symbol)) = code else { return 0 };
        let size = u32::from(symbol & 15);
        let total = length + size;
        if total > LOOK {
            return (u32::from(symbol) << 5 | length) << 16;
        }
        let value = value_of(symbol, ((bits >> (LOOK - total)) & ((1 << size) - 1)).cast_signed());
        u32::from(value.cast_unsigned()) << 16 | advance(symbol) << 6 | total
    }

    fn all_of(&self, bits: u32) -> u32 {
        let (mut length, mut places) = (0, 0);
        while let Some((code, symbol)) = self.search((bits << (16 - LOOK + length)) & 0xffff) {
            let total = length + code + u32::from(symbol & 15);
            if total > LOOK {
                break;
            }
            length = total;
            if advance(symbol) == END {
                return 1 << 31 | places << 6 | length;
            }
            places += advance(symbol);
        }
        places << 6 | length
    }

    /// Takes a symbol and its value. None where no code is.
    #[inline(always)]
    pub fn next(&self, bits: &mut Bits) -> Option<Decoded> {
        bits.refill();
        self.next_ready(bits)
    }

    /// [`Table::next`] as the second one after a refill, whose bits are enough for two.
    #[inline(always)]
    pub fn next_ready(&self, bits: &mut Bits) -> Option<Decoded> {
        const { assert!(2 * (16 + MOST_BITS) <= 56) };
        let entry = self.first[bits.peek(LOOK) & (LOOKS - 1)];
        let length = entry & 63;
        if length > 0 {
            bits.skip(length);
            return Some(Decoded { advance: (entry >> 6) & 255, value: (entry >> 16) as i16 });
        }
        let (length, symbol) = match entry >> 16 {
            0 => self.search(bits.peek(16) as u32)?,
            known => (known & 31, (known >> 5) as u8),
        };
        bits.skip(length);
        let value = value_of(symbol, bits.take(u32::from(symbol & 15)));
        Some(Decoded { advance: advance(symbol), value })
    }

    /// Passes over the next symbols of a block whose next place is `place`, and says which place is next
    /// then; [`END`] and more after the block's end. None where no code is.
    #[inline(always)]
    pub fn pass(&self, bits: &mut Bits, place: u32) -> Option<u32> {
        bits.refill();
        let entry = self.all[bits.peek(LOOK) & (LOOKS - 1)];
        let next = place.wrapping_add((entry >> 6) & 255);
        // What follows a block's last place belongs to another block.
        if entry == 0 || next > 63 {
            return Some(place.wrapping_add(self.next_ready(bits)?.advance));
        }
        bits.skip(entry & 63);
        Some(next.wrapping_add((entry >> 31).wrapping_mul(END)))
    }
}

/// The places that an AC symbol advances by.
#[allow(clippy::inline_always)]
#[inline(always)]
fn advance(symbol: u8) -> u32 {
    match symbol {
        ZEROS => 16,
        symbol if symbol.trailing_zeros() >= 4 => END,
        symbol => u32::from(symbol >> 4) + 1,
    }
}

/// What a symbol and the bits behind it stand for: the lower half of their values is negative.
#[allow(clippy::inline_always)]
#[inline(always)]
fn value_of(symbol: u8, bits: i32) -> i16 {
    let size = u32::from(symbol & 15);
    if size == 0 {
        return if symbol == ZEROS { 0 } else { symbol.into() };
    }
    // Without a branch, which could not be predicted.
    let is_negative = ((bits >> (size - 1)) & 1) - 1;
    (bits + (is_negative & (1 - (1 << size)))) as i16
}

#[cfg(test)]
mod tests {
    use super::super::bits::Bits;
    use super::{END, Table};

    /// The symbols 1, 2, 0 and 0x31 with the codes 0, 10, 110 and 1110, and 0xf0 with one of 16 bits.
    fn table() -> Box<Table> {
        let mut counts = [0; 16];
        counts[..4].fill(1);
        counts[15] = 1;
        Table::new(&counts, &[1, 2, 0, 0x31, 0xf0]).unwrap()
    }

    fn packed(bits: &str) -> Vec<u8> {
        let bits: String = bits.chars().filter(|bit| *bit != ' ').collect();
        let byte = |bits: &[u8]| {
            let bits = std::str::from_utf8(bits).unwrap();
            u8::from_str_radix(&format!("{bits:0<8}"), 2).unwrap()
        };
        bits.as_bytes().chunks(8).map(byte).collect()
    }

    #[test]
    fn symbols_are_taken_one_by_one_with_their_values() {
        let bytes = packed("0 1  0 0  10 00  1110 1  1111000000000000  110");
        let (table, mut bits) = (table(), Bits::new(&bytes));
        let taken: Vec<_> = (0..6)
            .map(|_| table.next(&mut bits).map(|next| (next.advance, next.value)).unwrap())
            .collect();
        assert_eq!(taken, [(1, 1), (1, -1), (1, -3), (4, 1), (16, 0), (END, 0)]);
    }

    #[test]
    fn passing_over_symbols_ends_where_taking_them_does() {
        let bytes = packed("0 1  0 0  10 00  1110 1  1111000000000000  0 1  110  0 1 0 1");
        let (table, mut bits, mut place) = (table(), Bits::new(&bytes), 1);
        while place < 64 {
            place = table.pass(&mut bits, place).unwrap();
        }
        assert!(place >= END);
        assert_eq!(table.next(&mut bits).unwrap().value, 1, "the next block's");
        // A block that is full has no end; the next block follows.
        let (mut bits, mut place) = (Bits::new(&bytes), 62);
        while place < 64 {
            place = table.pass(&mut bits, place).unwrap();
        }
        assert_eq!((place, table.next(&mut bits).unwrap().value), (64, -3));
    }

    #[test]
    fn what_is_no_code_is_told() {
        assert!(table().next(&mut Bits::new(&[0xff; 4])).is_none());
        let three_of_one_bit = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(Table::new(&three_of_one_bit, &[1, 2, 3]).is_none());
    }
}
