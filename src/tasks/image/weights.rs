//! How much each source position counts for each output position, in Pillow's fixed point
//! (`precompute_coeffs` and `normalize_coeffs_8bpc` in `libImaging/Resample.c`).

use std::ops::Range;

use super::{Extent, Filter};

/// Bits after the point of a weight: 32, less 8 for the pixel and 2 for the sum's overshoot and sign.
pub(super) const PRECISION: u32 = 32 - 8 - 2;

/// Bits of a weight's low part.
pub(super) const LOW_BITS: u32 = 11;

/// A range of the resized image's columns or rows: `start` and `length`, out of `full`, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub start: usize,
    pub length: usize,
    pub full: usize,
}

/// The weights of two neighbouring source positions. Each weight is `high << LOW_BITS | low`, parts
/// that are small enough for instructions which multiply 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WeightPair {
    pub high: [i16; 2],
    pub low: [i16; 2],
}

impl WeightPair {
    fn new(weights: [i32; 2]) -> Self {
        Self {
            high: weights.map(|weight| (weight >> LOW_BITS) as i16),
            low: weights.map(|weight| (weight & ((1 << LOW_BITS) - 1)) as i16),
        }
    }
}

/// The source positions that count for one output position: from `first` on, two for each of `pairs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taps {
    pub first: usize,
    pub pairs: Range<usize>,
}

/// The weights along one axis. Positions beyond [`needed`](Self::needed) have weight zero.
pub(super) struct Weights {
    /// One for each output position.
    pub taps: Vec<Taps>,
    pairs: Vec<WeightPair>,
    needed: Range<usize>,
}

impl Weights {
    /// For an axis of `size` pixels, of which `extent` is resized to `span.full`. With `even`, every
    /// `first` is an even number.
    pub fn new(filter: Filter, size: usize, extent: Extent, span: Span, even: bool) -> Self {
        let scale = extent.length / span.full as f64;
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let mut weights =
            Self { taps: Vec::with_capacity(span.length), pairs: Vec::new(), needed: size..0 };
        let mut exact = Vec::new();
        let mut fixed = Vec::new();
        for position in span.start..span.start + span.length {
            fixed.clear();
            if extent == Extent::whole(span.full as u32) {
                fixed.push(1 << PRECISION);
                weights.push(position, &mut fixed, even);
                continue;
            }
            let center = extent.start + (position as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let last = ((center + support + 0.5) as usize).min(size);
            exact.clear();
            exact.extend(
                (first..last).map(|x| filter.weight((x as f64 - center + 0.5) * (1.0 / stretch))),
            );
            let sum: f64 = exact.iter().sum();
            fixed.extend(exact.iter().map(|&weight| {
                let weight = if sum == 0.0 { weight } else { weight / sum };
                (weight * f64::from(1 << PRECISION) + 0.5f64.copysign(weight)) as i32
            }));
            weights.push(first, &mut fixed, even);
        }
        weights
    }

    fn push(&mut self, mut first: usize, fixed: &mut Vec<i32>, even: bool) {
        self.needed.start = self.needed.start.min(first);
        self.needed.end = self.needed.end.max(first + fixed.len());
        if even && first % 2 == 1 {
            fixed.insert(0, 0);
            first -= 1;
        }
        if fixed.len() % 2 == 1 {
            fixed.push(0);
        }
        let start = self.pairs.len();
        self.pairs.extend(fixed.as_chunks::<2>().0.iter().map(|&pair| WeightPair::new(pair)));
        self.taps.push(Taps { first, pairs: start..self.pairs.len() });
    }

    /// The source positions that any output position needs.
    pub fn needed(&self) -> Range<usize> {
        self.needed.clone()
    }

    /// The weights of one output position.
    pub fn of(&self, taps: &Taps) -> &[WeightPair] {
        &self.pairs[taps.pairs.clone()]
    }
}
