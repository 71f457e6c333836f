//! The arithmetic of a convolution on 16 values at a time: with AVX-512 or AVX2 where the machine has
//! them, else as the compiler makes it. All give the same bits.

use pulp::Arch;

use super::weights::{LOW_BITS, PRECISION, WeightPair};

/// How many values are convolved at a time.
pub(super) const LANES: usize = 16;

/// A value of each lane.
pub(super) type Lanes = [u8; LANES];

/// One half in fixed point, which turns the final shift into rounding.
const HALF: i32 = 1 << (PRECISION - 1);

/// The operations of one instruction set.
pub(super) trait Kernel: Copy {
    /// A sum for each lane, modulo 2³²: the whole fits, and so parts may wrap.
    type Sums: Copy;

    fn start(self) -> Self::Sums;

    /// Adds to each lane's sum its two values, which stand side by side in `pairs`, times the two weights.
    fn add(self, sums: &mut Self::Sums, pairs: [Lanes; 2], weights: WeightPair);

    /// Rounds the sums to 8 bits.
    fn finish(self, sums: Self::Sums) -> Lanes;

    /// a₀ b₀ a₁ b₁ …
    fn interleave(self, a: Lanes, b: Lanes) -> [Lanes; 2];

    /// Turns 16 rows of 16 values into the 16 columns.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn transpose(self, mut rows: [Lanes; LANES]) -> [Lanes; LANES] {
        // Interleaving a list's halves moves the index's highest bit to its end; four times, and the
        // row's four bits have changed places with the column's.
        for _ in 0..4 {
            let mut next = rows;
            for index in 0..LANES / 2 {
                let [first, second] = self.interleave(rows[index], rows[index + LANES / 2]);
                (next[index * 2], next[index * 2 + 1]) = (first, second);
            }
            rows = next;
        }
        rows
    }
}

/// Work that is written once for every instruction set. `run` has to be inlined always, since it is
/// compiled for the instruction set of its caller.
pub(super) trait Work {
    fn run(self, kernel: impl Kernel);
}

/// Does the work with the widest vectors that the machine has, found out at run time.
pub(super) fn dispatch(work: impl Work) {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V4::try_new() {
        return simd.vectorize(
            #[allow(clippy::inline_always)]
            #[inline(always)]
            || work.run(x86::Avx512(simd)),
        );
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return simd.vectorize(
            #[allow(clippy::inline_always)]
            #[inline(always)]
            || work.run(x86::Avx2(simd)),
        );
    }
    Arch::new().dispatch(
        #[allow(clippy::inline_always)]
        #[inline(always)]
        || work.run(Portable),
    );
}

/// Does work of plain loops, compiled for the widest vectors that the machine has. What it calls has to be
/// inlined always, and `work` too. Through [`dispatch`], as a [`Work`] that asks for no kernel, the compiler does
/// not inline it: a large JPEG then took a quarter longer.
pub(super) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V4::try_new() {
        return simd.vectorize(work);
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return simd.vectorize(work);
    }
    work()
}

/// Plain loops, for the compiler to vectorise.
#[derive(Clone, Copy)]
pub(super) struct Portable;

#[allow(clippy::inline_always)]
impl Kernel for Portable {
    type Sums = [i32; LANES];

    #[inline(always)]
    fn start(self) -> Self::Sums {
        [HALF; LANES]
    }

    #[inline(always)]
    fn add(self, sums: &mut Self::Sums, pairs: [Lanes; 2], weights: WeightPair) {
        let weight = |index: usize| {
            (i32::from(weights.high[index]) << LOW_BITS) + i32::from(weights.low[index])
        };
        let (first, second) = (weight(0), weight(1));
        for (sum, pair) in sums.iter_mut().zip(pairs.as_flattened().as_chunks::<2>().0) {
            let [a, b] = pair.map(i32::from);
            *sum = sum.wrapping_add(a.wrapping_mul(first)).wrapping_add(b.wrapping_mul(second));
        }
    }

    #[inline(always)]
    fn finish(self, sums: Self::Sums) -> Lanes {
        sums.map(|sum| (sum >> PRECISION).clamp(0, 255) as u8)
    }

    #[inline(always)]
    fn interleave(self, a: Lanes, b: Lanes) -> [Lanes; 2] {
        let pick = |offset: usize| {
            std::array::from_fn(|index| {
                let source = if index % 2 == 0 { &a } else { &b };
                source[offset + index / 2]
            })
        };
        [pick(0), pick(LANES / 2)]
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m128i, __m256i, __m512i};

    use pulp::{
        cast, cast_lossy,
        x86::{V3, V4},
    };

    use super::{HALF, Kernel, LANES, LOW_BITS, Lanes, PRECISION, WeightPair};

    #[derive(Clone, Copy)]
    pub struct Avx2(pub V3);

    /// Sums of the weights' high and low parts, lanes 0 to 7 and 8 to 15.
    #[derive(Clone, Copy)]
    pub struct Sums {
        high: [__m256i; 2],
        low: [__m256i; 2],
    }

    #[allow(clippy::inline_always)]
    impl Kernel for Avx2 {
        type Sums = Sums;

        #[inline(always)]
        fn start(self) -> Sums {
            let avx = self.0.avx;
            Sums { high: [avx._mm256_setzero_si256(); 2], low: [avx._mm256_set1_epi32(HALF); 2] }
        }

        #[inline(always)]
        fn add(self, sums: &mut Sums, pairs: [Lanes; 2], weights: WeightPair) {
            let (avx, avx2) = (self.0.avx, self.0.avx2);
            let high = avx._mm256_set1_epi32(cast(weights.high));
            let low = avx._mm256_set1_epi32(cast(weights.low));
            for (half, values) in pairs.into_iter().enumerate() {
                let values = avx2._mm256_cvtepu8_epi16(cast(values));
                let product = avx2._mm256_madd_epi16(values, high);
                sums.high[half] = avx2._mm256_add_epi32(sums.high[half], product);
                let product = avx2._mm256_madd_epi16(values, low);
                sums.low[half] = avx2._mm256_add_epi32(sums.low[half], product);
            }
        }

        #[inline(always)]
        fn finish(self, sums: Sums) -> Lanes {
            let avx2 = self.0.avx2;
            let whole = |half: usize| {
                let high = avx2._mm256_slli_epi32::<{ LOW_BITS as i32 }>(sums.high[half]);
                let sum = avx2._mm256_add_epi32(high, sums.low[half]);
                avx2._mm256_srai_epi32::<{ PRECISION as i32 }>(sum)
            };
            // Packing takes 128 bits of each at a time; the permutation puts them in order again.
            let words = avx2._mm256_packs_epi32(whole(0), whole(1));
            let words = avx2._mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            let bytes = avx2._mm256_packus_epi16(words, words);
            let bytes = avx2._mm256_permute4x64_epi64::<0b00_00_10_00>(bytes);
            cast_lossy::<__m256i, Lanes>(bytes)
        }

        #[inline(always)]
        fn interleave(self, a: Lanes, b: Lanes) -> [Lanes; 2] {
            const { assert!(LANES == size_of::<__m128i>()) };
            let sse2 = self.0.sse2;
            let (a, b) = (cast(a), cast(b));
            [cast(sse2._mm_unpacklo_epi8(a, b)), cast(sse2._mm_unpackhi_epi8(a, b))]
        }
    }

    #[derive(Clone, Copy)]
    pub struct Avx512(pub V4);

    #[allow(clippy::inline_always)]
    impl Kernel for Avx512 {
        /// Of the weights' high and low parts.
        type Sums = [__m512i; 2];

        #[inline(always)]
        fn start(self) -> Self::Sums {
            let avx = self.0.avx512f;
            [avx._mm512_setzero_si512(), avx._mm512_set1_epi32(HALF)]
        }

        #[inline(always)]
        fn add(self, sums: &mut Self::Sums, pairs: [Lanes; 2], weights: WeightPair) {
            let (avx, words) = (self.0.avx512f, self.0.avx512bw);
            let values = words._mm512_cvtepu8_epi16(cast(pairs));
            for (sum, weights) in sums.iter_mut().zip([weights.high, weights.low]) {
                let weights = avx._mm512_set1_epi32(cast(weights));
                *sum = avx._mm512_add_epi32(*sum, words._mm512_madd_epi16(values, weights));
            }
        }

        #[inline(always)]
        fn finish(self, [high, low]: Self::Sums) -> Lanes {
            let avx = self.0.avx512f;
            let sum = avx._mm512_add_epi32(avx._mm512_slli_epi32::<LOW_BITS>(high), low);
            let rounded = avx._mm512_srai_epi32::<PRECISION>(sum);
            // The narrowing takes its values for unsigned.
            let positive = avx._mm512_max_epi32(rounded, avx._mm512_setzero_si512());
            cast(avx._mm512_cvtusepi32_epi8(positive))
        }

        #[inline(always)]
        fn interleave(self, a: Lanes, b: Lanes) -> [Lanes; 2] {
            Avx2(*self.0).interleave(a, b)
        }
    }
}
