//! Resizing with the arithmetic of Pillow's `Image.resize` (`libImaging/Resample.c`), so that every
//! pixel comes out equal: antialiased convolution, 22-bit fixed-point weights, rounded to 8 bits
//! between the two passes.
//!
//! `fast_image_resize` is the usual crate for this and about four times as fast, but it rounds its
//! weights to fewer bits, so that some values differ by one.

use std::{f64::consts::PI, iter, ops::Range};

use image::RgbImage;
use pulp::Arch;

/// How neighbouring pixels are weighed; the numbers are Pillow's resampling codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Filter {
    /// 0: the one nearest pixel.
    Nearest,
    /// 1: a windowed sinc over six pixels.
    Lanczos,
    /// 2: a triangle over two pixels.
    #[default]
    Bilinear,
    /// 3: a cubic with a = −0.5 over four pixels.
    Bicubic,
    /// 4: a mean.
    Box,
    /// 5: a windowed sinc over two pixels.
    Hamming,
}

impl Filter {
    /// The filter of a Pillow resampling code.
    #[must_use]
    pub fn from_pillow_code(code: i64) -> Option<Self> {
        [Self::Nearest, Self::Lanczos, Self::Bilinear, Self::Bicubic, Self::Box, Self::Hamming]
            .get(usize::try_from(code).ok()?)
            .copied()
    }

    /// The filter of a name such as `bicubic`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "nearest" => Self::Nearest,
            "lanczos" => Self::Lanczos,
            "bilinear" => Self::Bilinear,
            "bicubic" => Self::Bicubic,
            "box" => Self::Box,
            "hamming" => Self::Hamming,
            _ => return None,
        })
    }

    /// Half the width of the filter, in pixels.
    const fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// The weight of a pixel at distance `x`.
    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let distance = x.abs();
        match self {
            Self::Nearest => 0.0,
            Self::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Self::Bilinear => (1.0 - distance).max(0.0),
            Self::Bicubic if distance < 1.0 => {
                ((A + 2.0) * distance - (A + 3.0)) * distance * distance + 1.0
            }
            Self::Bicubic if distance < 2.0 => {
                (((distance - 5.0) * distance + 8.0) * distance - 4.0) * A
            }
            Self::Hamming if distance < 1.0 => {
                sinc(distance) * (f64::from(0.54f32) + f64::from(0.46f32) * (distance * PI).cos())
            }
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Bicubic | Self::Hamming | Self::Lanczos => 0.0,
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}

/// A range of the resized image's columns or rows: `start` and `length`, out of `full`, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub start: usize,
    pub length: usize,
    pub full: usize,
}

/// Resizes `image` to `columns.full` × `rows.full` and returns the given window of the result, RGB interleaved.
/// The window is computed alone, at its own cost, and equals the same window of the whole.
///
/// Both spans must lie in their `full`, and no side may be zero.
pub(super) fn resample(image: &RgbImage, filter: Filter, columns: Span, rows: Span) -> Vec<u8> {
    if filter == Filter::Nearest {
        return nearest(image, columns, rows);
    }
    // With the widest vectors that the machine has, found out at run time.
    Arch::new().dispatch(
        #[allow(clippy::inline_always)]
        #[inline(always)]
        || convolve(image, filter, columns, rows),
    )
}

// Without it, the compiler takes the baseline's instructions instead of the caller's.
#[allow(clippy::inline_always)]
#[inline(always)]
fn convolve(image: &RgbImage, filter: Filter, columns: Span, rows: Span) -> Vec<u8> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let horizontal = Weights::new(filter, width, columns);
    let vertical = Weights::new(filter, height, rows);
    // As Pillow does since version 13: the pass that saves the other most of its work comes first.
    let vertical_first = height > rows.full
        && height as i64 - rows.full as i64 > 2 * (width as i64 - columns.full as i64);
    if vertical_first {
        let needed = horizontal.needed();
        let shortened =
            vertical.along_columns(image.as_raw(), width * 3, 0, needed.start * 3..needed.end * 3);
        horizontal.along_rows(&shortened, needed.len() * 3, needed.start)
    } else {
        let needed = vertical.needed();
        let stride = width * 3;
        let source =
            image.as_raw().get(needed.start * stride..needed.end * stride).unwrap_or_default();
        let narrowed = horizontal.along_rows(source, stride, 0);
        let stride = columns.length * 3;
        vertical.along_columns(&narrowed, stride, needed.start, 0..stride)
    }
}

fn nearest(image: &RgbImage, columns: Span, rows: Span) -> Vec<u8> {
    // Summed up step by step, as Pillow does: where a position falls between two pixels, rounding errors decide.
    let positions = |span: Span, size: u32| {
        let scale = f64::from(size) / span.full as f64;
        let all = iter::successors(Some(scale * 0.5), move |position| Some(position + scale));
        all.skip(span.start)
            .take(span.length)
            .map(move |position| (position as u32).min(size.saturating_sub(1)))
    };
    let columns: Vec<u32> = positions(columns, image.width()).collect();
    positions(rows, image.height())
        .flat_map(|y| columns.iter().flat_map(move |&x| image.get_pixel(x, y).0))
        .collect()
}

/// Bits after the point of a weight: 32, less 8 for the pixel and 2 for the sum's overshoot and sign.
const PRECISION: u32 = 32 - 8 - 2;

/// For each output position, the source positions that count and their fixed-point weights.
struct Weights {
    /// Per output position: the first source position and the range of `values`.
    bounds: Vec<(usize, Range<usize>)>,
    values: Vec<i32>,
}

impl Weights {
    fn new(filter: Filter, size: usize, span: Span) -> Self {
        let positions = span.start..span.start + span.length;
        if size == span.full {
            let bounds =
                positions.zip(0..).map(|(position, index)| (position, index..index + 1)).collect();
            return Self { bounds, values: vec![1 << PRECISION; span.length] };
        }
        let scale = size as f64 / span.full as f64;
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let mut bounds = Vec::with_capacity(span.length);
        let mut values = Vec::new();
        let mut exact = Vec::new();
        for position in positions {
            let center = (position as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let last = ((center + support + 0.5) as usize).min(size);
            exact.clear();
            exact.extend(
                (first..last).map(|x| filter.weight((x as f64 - center + 0.5) * (1.0 / stretch))),
            );
            let sum: f64 = exact.iter().sum();
            let start = values.len();
            values.extend(exact.iter().map(|&weight| {
                let weight = if sum == 0.0 { weight } else { weight / sum };
                (weight * f64::from(1 << PRECISION) + 0.5f64.copysign(weight)) as i32
            }));
            bounds.push((first, start..values.len()));
        }
        Self { bounds, values }
    }

    /// The source positions that any output position needs.
    fn needed(&self) -> Range<usize> {
        let first = self.bounds.iter().map(|(first, _)| *first).min().unwrap_or(0);
        let last = self.bounds.iter().map(|(first, range)| first + range.len()).max().unwrap_or(0);
        first..last
    }

    /// Convolves each row of `source`, which has `stride` bytes a row and begins with source column `offset`.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn along_rows(&self, source: &[u8], stride: usize, offset: usize) -> Vec<u8> {
        let mut output = vec![0; source.len() / stride * self.bounds.len() * 3];
        let rows = source.chunks_exact(stride).zip(output.chunks_exact_mut(self.bounds.len() * 3));
        for (row, output) in rows {
            for ((first, range), output) in self.bounds.iter().zip(output.as_chunks_mut::<3>().0) {
                let weights = &self.values[range.clone()];
                let pixels = row[(first - offset) * 3..].as_chunks::<3>().0;
                let mut sums = [HALF; 3];
                for (pixel, &weight) in pixels.iter().zip(weights) {
                    for (sum, &value) in sums.iter_mut().zip(pixel) {
                        *sum = sum.wrapping_add(i32::from(value).wrapping_mul(weight));
                    }
                }
                *output = sums.map(round);
            }
        }
        output
    }

    /// Convolves the bytes `window` of each row of `source`, which has `stride` bytes a row and begins with source row
    /// `offset`.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn along_columns(
        &self,
        source: &[u8],
        stride: usize,
        offset: usize,
        window: Range<usize>,
    ) -> Vec<u8> {
        let mut output = vec![0; self.bounds.len() * window.len()];
        for ((first, range), row) in self.bounds.iter().zip(output.chunks_exact_mut(window.len())) {
            let weights = &self.values[range.clone()];
            let source = &source[(first - offset) * stride..];
            let starts = window.clone().step_by(BLOCK);
            for (start, output) in starts.zip(row.chunks_mut(BLOCK)) {
                let mut sums = [HALF; BLOCK];
                for (row, &weight) in source.chunks_exact(stride).zip(weights) {
                    for (sum, &value) in sums.iter_mut().zip(&row[start..start + output.len()]) {
                        *sum = sum.wrapping_add(i32::from(value).wrapping_mul(weight));
                    }
                }
                for (output, &sum) in output.iter_mut().zip(&sums) {
                    *output = round(sum);
                }
            }
        }
        output
    }
}

/// One half in fixed point, which turns the final shift into rounding.
const HALF: i32 = 1 << (PRECISION - 1);

/// Bytes that are summed at a time: few enough to stay in registers.
const BLOCK: usize = 32;

#[allow(clippy::inline_always)]
#[inline(always)]
fn round(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([(x * 37) as u8, (y * 59) as u8, (x * y) as u8])
        })
    }

    const FILTERS: [Filter; 6] = [
        Filter::Nearest,
        Filter::Lanczos,
        Filter::Bilinear,
        Filter::Bicubic,
        Filter::Box,
        Filter::Hamming,
    ];

    const PILLOW: [[u8; 3]; 6] =
        [[50, 7, 200], [73, 117, 97], [76, 99, 110], [73, 109, 104], [25, 117, 107], [57, 88, 114]];

    #[test]
    fn a_window_equals_that_part_of_the_whole() {
        let image = gradient(31, 23);
        for filter in FILTERS {
            for (width, height) in [(12, 9), (31, 9), (12, 23), (31, 23), (40, 50), (30, 5)] {
                let span = |start, length, full| Span { start, length, full };
                let whole =
                    resample(&image, filter, span(0, width, width), span(0, height, height));
                let window = resample(&image, filter, span(3, 5, width), span(1, 3, height));
                for (row, window) in window.chunks_exact(15).enumerate() {
                    let start = ((row + 1) * width + 3) * 3;
                    assert_eq!(window, &whole[start..start + 15], "{filter:?} {width} × {height}");
                }
            }
        }
    }

    #[test]
    fn pixels_equal_those_of_pillow() {
        // Image.fromarray(numpy.array([[0, 50, 255, 7, 90, 200, 13]], 'u1')).convert('RGB').resize((3, 1), code)
        let row = RgbImage::from_fn(7, 1, |x, _| {
            image::Rgb([[0, 50, 255, 7, 90, 200, 13][x as usize]; 3])
        });
        let whole = |full| Span { start: 0, length: full, full };
        for (filter, expected) in FILTERS.into_iter().zip(PILLOW) {
            let resized = resample(&row, filter, whole(3), whole(1));
            assert_eq!(
                resized.iter().step_by(3).copied().collect::<Vec<_>>(),
                expected,
                "{filter:?}"
            );
        }
    }
}
