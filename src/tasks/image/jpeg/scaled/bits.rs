//! The bits of an entropy-coded segment, the highest of a byte first.

/// Reads on past the end as if zeros followed; [`Bits::left`] tells that it did.
///
/// A copy is a position of its own.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte that is not wholly in `buffer`.
    at: usize,
    /// The next bits, from the top on. What is below the first `count` of them is right already, or zero.
    buffer: u64,
    count: u32,
}

#[allow(clippy::inline_always)]
impl<'a> Bits<'a> {
    /// `bytes`: without the zeros that a file stuffs in behind each 255.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, buffer: 0, count: 0 }
    }

    /// Makes 56 bits ready, at least.
    #[inline(always)]
    pub fn refill(&mut self) {
        let word = match self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            Some(chunk) => u64::from_be_bytes(*chunk),
            None => tail(self.bytes, self.at),
        };
        let count = self.count & 63;
        self.buffer |= word >> count;
        self.at = self.at.wrapping_add(((63 - count) >> 3) as usize);
        // Whole bytes up to 56 to 63 bits.
        self.count = count | 0b11_1000;
    }

    /// The next 1 to 63 bits, without taking them.
    #[inline(always)]
    pub fn peek(&self, count: u32) -> usize {
        (self.buffer >> (64_u32.wrapping_sub(count) & 63)) as usize
    }

    #[inline(always)]
    pub fn skip(&mut self, count: u32) {
        self.buffer <<= count & 63;
        self.count = self.count.wrapping_sub(count);
    }

    /// Takes 0 to 16 bits.
    #[inline(always)]
    pub fn take(&mut self, count: u32) -> i32 {
        let value = (self.buffer >> 1) >> (63_u32.wrapping_sub(count) & 63);
        self.skip(count);
        value as i32
    }

    /// Bits that were not taken. Negative: more were taken than there are.
    #[inline(always)]
    pub fn left(&self) -> isize {
        let bytes = self.bytes.len().wrapping_sub(self.at).cast_signed();
        bytes.wrapping_mul(8).wrapping_add(self.count as isize)
    }
}

#[cold]
#[inline(never)]
fn tail(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    let mut chunk = [0; 8];
    chunk[..rest.len()].copy_from_slice(rest);
    u64::from_be_bytes(chunk)
}

#[cfg(test)]
mod tests {
    use super::Bits;

    #[test]
    fn bits_come_in_order_and_zeros_after_them() {
        let bytes: Vec<u8> = (0..40_u8).map(|byte| byte.wrapping_mul(73)).collect();
        let whole = bytes.len() * 8;
        let bit = |place: usize| bytes.get(place / 8).map_or(0, |byte| byte >> (7 - place % 8) & 1);
        let (mut bits, mut taken) = (Bits::new(&bytes), 0);
        for count in (0..=16).cycle().take(60) {
            bits.refill();
            let places = taken..taken + count;
            let expected = places.fold(0, |value, place| value << 1 | i32::from(bit(place)));
            assert_eq!(bits.take(count as u32), expected, "{count} bits from {taken} on");
            taken += count;
            assert_eq!(bits.left(), whole as isize - taken as isize);
        }
        assert!(taken > whole);
    }
}
