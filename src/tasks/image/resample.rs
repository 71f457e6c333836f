//! Resizing with the arithmetic of Pillow's `Image.resize` (`libImaging/Resample.c`), so that every pixel comes out equal:
//! antialiased convolution, 22-bit fixed-point weights, first along rows, rounded to 8 bits, then along columns.
//!
//! `fast_image_resize` is the usual crate for this. It is faster, but rounds its weights to fewer bits, and one pixel in eight
//! then differs by one: enough to flip the class of one image in a hundred with a quantised network.

use std::f64::consts::PI;

use image::RgbImage;

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
            Self::Bicubic if distance < 1.0 => ((A + 2.0) * distance - (A + 3.0)) * distance * distance + 1.0,
            Self::Bicubic if distance < 2.0 => (((distance - 5.0) * distance + 8.0) * distance - 4.0) * A,
            Self::Hamming if distance < 1.0 => sinc(distance) * (0.54 + 0.46 * (distance * PI).cos()),
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
    let width = image.width() as usize;
    let height = image.height() as usize;
    if filter == Filter::Nearest {
        return nearest(image, columns, rows);
    }
    let vertical = Weights::new(filter, height, rows);
    let needed = vertical.source_rows();
    let stride = width * 3;
    let source = image.as_raw().get(needed.start * stride..needed.end * stride).unwrap_or_default();

    let narrowed = if columns.full == width {
        let window = columns.start * 3..(columns.start + columns.length) * 3;
        source.chunks_exact(stride).flat_map(|row| &row[window.clone()]).copied().collect()
    } else {
        Weights::new(filter, width, columns).along_rows(source, stride)
    };
    if rows.full == height { narrowed } else { vertical.along_columns(&narrowed, columns.length * 3, needed.start) }
}

fn nearest(image: &RgbImage, columns: Span, rows: Span) -> Vec<u8> {
    let positions = |span: Span, size: u32| {
        let scale = f64::from(size) / span.full as f64;
        (span.start..span.start + span.length)
            .map(move |index| (((index as f64 + 0.5) * scale) as u32).min(size.saturating_sub(1)))
    };
    let columns: Vec<u32> = positions(columns, image.width()).collect();
    positions(rows, image.height()).flat_map(|y| columns.iter().flat_map(move |&x| image.get_pixel(x, y).0)).collect()
}

/// Bits after the point of a weight: 32, less 8 for the pixel and 2 for the sum's overshoot and sign.
const PRECISION: u32 = 32 - 8 - 2;

/// For each output position, the source positions that count and their fixed-point weights.
struct Weights {
    /// Per output position: the first source position and the range of `values`.
    bounds: Vec<(usize, std::ops::Range<usize>)>,
    values: Vec<i32>,
}

impl Weights {
    fn new(filter: Filter, size: usize, span: Span) -> Self {
        let scale = size as f64 / span.full as f64;
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let mut bounds = Vec::with_capacity(span.length);
        let mut values = Vec::new();
        let mut exact = Vec::new();
        for index in span.start..span.start + span.length {
            let center = (index as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let last = ((center + support + 0.5) as usize).min(size);
            exact.clear();
            exact.extend((first..last).map(|x| filter.weight((x as f64 - center + 0.5) * (1.0 / stretch))));
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
    fn source_rows(&self) -> std::ops::Range<usize> {
        let first = self.bounds.iter().map(|(first, _)| *first).min().unwrap_or(0);
        let last = self.bounds.iter().map(|(first, range)| first + range.len()).max().unwrap_or(0);
        first..last
    }

    /// Convolves each row of `source`, which has `stride` bytes a row.
    fn along_rows(&self, source: &[u8], stride: usize) -> Vec<u8> {
        let mut output = Vec::with_capacity(source.len() / stride * self.bounds.len() * 3);
        for row in source.chunks_exact(stride) {
            output.extend(self.bounds.iter().flat_map(|(first, range)| {
                let weights = &self.values[range.clone()];
                let pixels = row[first * 3..].as_chunks::<3>().0;
                let mut sums = [HALF; 3];
                for (pixel, &weight) in pixels.iter().zip(weights) {
                    for (sum, &value) in sums.iter_mut().zip(pixel) {
                        *sum = sum.wrapping_add(i32::from(value).wrapping_mul(weight));
                    }
                }
                sums.map(round)
            }));
        }
        output
    }

    /// Convolves each column of `source`, which has `stride` bytes a row and begins with source row `offset`.
    fn along_columns(&self, source: &[u8], stride: usize, offset: usize) -> Vec<u8> {
        let mut output = vec![0; self.bounds.len() * stride];
        for ((first, range), row) in self.bounds.iter().zip(output.chunks_exact_mut(stride)) {
            let weights = &self.values[range.clone()];
            let source = &source[(first - offset) * stride..];
            for (block, output) in row.chunks_mut(BLOCK).enumerate() {
                let mut sums = [HALF; BLOCK];
                for (row, &weight) in source.chunks_exact(stride).zip(weights) {
                    for (sum, &value) in sums.iter_mut().zip(&row[block * BLOCK..]) {
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

/// Columns that are summed at a time: few enough to stay in registers.
const BLOCK: usize = 32;

fn round(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}
