//! Resizing with the arithmetic of Pillow's `Image.resize` (`libImaging/Resample.c`), so that every
//! pixel comes out equal: antialiased convolution, 22-bit fixed-point weights, rounded to 8 bits
//! between the two passes.

use std::iter;

use super::{
    DecodedImage, Extent, Filter,
    kernel::{Kernel, LANES, Lanes, Work, dispatch},
    weights::{Span, Taps, WeightPair, Weights},
};

/// Buffers that one call leaves to the next.
#[derive(Default)]
pub(super) struct Scratch {
    /// What the first pass makes.
    between: Vec<u8>,
    /// Planar rows.
    planes: Vec<u8>,
    /// 16 source rows, turned; see [`along_rows`].
    pairs: Vec<[Lanes; 2]>,
}

/// What is kept for the next call, in bytes.
const KEPT: usize = 4 << 20;

impl Scratch {
    /// Gives back what only a large image needed.
    pub fn trim(&mut self) {
        let size = self.between.capacity()
            + self.planes.capacity()
            + self.pairs.capacity() * size_of::<[Lanes; 2]>();
        if size > KEPT {
            *self = Self::default();
        }
    }
}

/// A row of the result: red, green and blue values.
pub(super) type Row<'a> = [&'a [u8]; 3];

/// Resizes `image` to `columns.full` × `rows.full` and hands the rows of the given window of the
/// result to `emit`, with their number in the window. The window is computed alone, at its own cost,
/// and equals the same window of the whole.
///
/// Both spans must lie in their `full`, and no side may be zero.
pub(super) fn resample(
    image: &DecodedImage,
    filter: Filter,
    columns: Span,
    rows: Span,
    scratch: &mut Scratch,
    emit: impl FnMut(usize, Row<'_>),
) {
    if columns.length == 0 || rows.length == 0 {
        return;
    }
    dispatch(Resample { image, filter, columns, rows, scratch, emit });
}

struct Resample<'a, F> {
    image: &'a DecodedImage,
    filter: Filter,
    columns: Span,
    rows: Span,
    scratch: &'a mut Scratch,
    emit: F,
}

impl<F: FnMut(usize, Row<'_>)> Work for Resample<'_, F> {
    // Without it, the compiler takes the baseline's instructions instead of the caller's.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn run(self, kernel: impl Kernel) {
        let Self { image, filter, columns, rows, scratch, mut emit } = self;
        let DecodedImage { pixels, horizontal, vertical, .. } = image;
        let (width, height) = (pixels.width() as usize, pixels.height() as usize);
        // Rows of planes are whole blocks; what stands behind a row's end is never shown.
        let plane = columns.length.next_multiple_of(LANES);
        let mut show = |index: usize, row: &[u8]| {
            emit(index, [0, 1, 2].map(|channel| &row[channel * plane..][..columns.length]));
        };
        if filter == Filter::Nearest {
            let row = sized(&mut scratch.planes, plane * 3);
            nearest(image, columns, rows, plane, row, show);
            return;
        }
        let horizontal = Weights::new(filter, width, *horizontal, columns, true);
        let vertical = Weights::new(filter, height, *vertical, rows, false);
        // As Pillow does since version 13: the pass that saves the other most of its work comes first.
        let vertical_first = height > rows.full
            && height as i64 - rows.full as i64 > 2 * (width as i64 - columns.full as i64);
        let stride = width * 3;
        let needed = vertical.needed();
        let source = &pixels.as_raw()[needed.start * stride..needed.end * stride];
        if vertical_first {
            let first = horizontal.taps.iter().map(|taps| taps.first).min().unwrap_or(0);
            let window = first * 3..horizontal.needed().end * 3;
            let shortened = sized(&mut scratch.between, rows.length * window.len());
            for (taps, output) in vertical.taps.iter().zip(shortened.chunks_exact_mut(window.len()))
            {
                let source = Source { bytes: source, stride, first: needed.start };
                along_columns(kernel, &vertical, taps, source, window.start, output);
            }
            let planes = sized(&mut scratch.planes, rows.length * plane * 3);
            let source = Source { bytes: shortened, stride: window.len(), first };
            along_rows(kernel, &horizontal, source, 0, &mut scratch.pairs, planes, plane);
            for (index, row) in planes.chunks_exact(plane * 3).enumerate() {
                show(index, row);
            }
        } else {
            let first = horizontal.taps.iter().map(|taps| taps.first).min().unwrap_or(0);
            let narrowed = sized(&mut scratch.between, needed.len() * plane * 3);
            let whole = Source { bytes: source, stride, first };
            along_rows(kernel, &horizontal, whole, first * 3, &mut scratch.pairs, narrowed, plane);
            let row = sized(&mut scratch.planes, plane * 3);
            for (index, taps) in vertical.taps.iter().enumerate() {
                let source = Source { bytes: narrowed, stride: plane * 3, first: needed.start };
                along_columns(kernel, &vertical, taps, source, 0, row);
                show(index, row);
            }
        }
    }
}

/// The first `length` bytes, whatever they hold.
fn sized(buffer: &mut Vec<u8>, length: usize) -> &mut [u8] {
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
    &mut buffer[..length]
}

/// Rows of `stride` bytes, the first of which has the number `first` (of rows or, where columns are
/// convolved, of the first column that is looked at).
#[derive(Clone, Copy)]
struct Source<'a> {
    bytes: &'a [u8],
    stride: usize,
    first: usize,
}

/// 16 bytes from `start` on; behind the end, zeros.
#[allow(clippy::inline_always)]
#[inline(always)]
fn load(bytes: &[u8], start: usize) -> Lanes {
    match bytes.get(start..).and_then(<[u8]>::first_chunk) {
        Some(lanes) => *lanes,
        None => load_end(bytes, start),
    }
}

#[cold]
fn load_end(bytes: &[u8], start: usize) -> Lanes {
    let mut lanes = [0; LANES];
    let rest = bytes.get(start..).unwrap_or_default();
    lanes[..rest.len()].copy_from_slice(rest);
    lanes
}

/// Bytes of four pixels.
const CHUNK: usize = 4 * 3;

/// Convolves each row of interleaved pixels into a row of planes, `plane` bytes each.
///
/// 16 rows at a time are turned, so that a lane is a row: then all lanes have the same weights, and
/// neighbouring pixels of a channel lie side by side for the kernel.
#[allow(clippy::inline_always)]
#[inline(always)]
fn along_rows<K: Kernel>(
    kernel: K,
    weights: &Weights,
    source: Source<'_>,
    first_byte: usize,
    pairs: &mut Vec<[Lanes; 2]>,
    output: &mut [u8],
    plane: usize,
) {
    let pixels = weights.needed().end - source.first;
    pairs.resize(pixels.div_ceil(4) * 6, [[0; LANES]; 2]);
    let blocks = source.bytes.chunks(source.stride * LANES);
    for (block, output) in blocks.zip(output.chunks_mut(plane * 3 * LANES)) {
        let height = block.len() / source.stride;
        for (index, pairs) in pairs.as_chunks_mut::<6>().0.iter_mut().enumerate() {
            let start = first_byte + index * CHUNK;
            let mut rows = [[0; LANES]; LANES];
            for (number, row) in rows.iter_mut().enumerate().take(height) {
                *row = load(block, number * source.stride + start);
            }
            let columns = kernel.transpose(rows);
            for (index, pair) in pairs.iter_mut().enumerate() {
                let column = index / 3 * 6 + index % 3;
                *pair = kernel.interleave(columns[column], columns[column + 3]);
            }
        }
        let pairs = pairs.as_chunks::<3>().0;
        for (group, taps) in weights.taps.chunks(LANES).enumerate() {
            let mut columns = [[[0; LANES]; LANES]; 3];
            for (index, taps) in taps.iter().enumerate() {
                let mut sums = [kernel.start(); 3];
                let pairs = &pairs[(taps.first - source.first) / 2..];
                for (pair, &weights) in pairs.iter().zip(weights.of(taps)) {
                    for (sums, &pair) in sums.iter_mut().zip(pair) {
                        kernel.add(sums, pair, weights);
                    }
                }
                for (columns, sums) in columns.iter_mut().zip(sums) {
                    columns[index] = kernel.finish(sums);
                }
            }
            for (channel, columns) in columns.into_iter().enumerate() {
                let start = channel * plane + group * LANES;
                let rows = output.chunks_exact_mut(plane * 3);
                for (row, lanes) in rows.zip(kernel.transpose(columns)) {
                    row[start..start + LANES].copy_from_slice(&lanes);
                }
            }
        }
    }
}

/// Convolves columns into one row: `output` is made of the bytes from `start` on of the rows that `taps` names.
#[allow(clippy::inline_always)]
#[inline(always)]
fn along_columns<K: Kernel>(
    kernel: K,
    weights: &Weights,
    taps: &Taps,
    source: Source<'_>,
    start: usize,
    output: &mut [u8],
) {
    let first = taps.first - source.first;
    let weights = weights.of(taps);
    // As many sums as there are registers for.
    let (wide, rest) = output.as_chunks_mut::<{ 3 * LANES }>();
    let rest_start = start + wide.as_flattened().len();
    for (index, output) in wide.iter_mut().enumerate() {
        let start = start + index * output.len();
        let lanes = sum_rows::<K, 3>(kernel, weights, source, first, start);
        output.copy_from_slice(lanes.as_flattened());
    }
    for (index, output) in rest.chunks_mut(LANES).enumerate() {
        let [lanes] = sum_rows::<K, 1>(kernel, weights, source, first, rest_start + index * LANES);
        output.copy_from_slice(&lanes[..output.len()]);
    }
}

/// `BLOCKS` × 16 columns from byte `start` on, over the rows from `first` on.
#[allow(clippy::inline_always)]
#[inline(always)]
fn sum_rows<K: Kernel, const BLOCKS: usize>(
    kernel: K,
    weights: &[WeightPair],
    source: Source<'_>,
    first: usize,
    start: usize,
) -> [Lanes; BLOCKS] {
    let last = (source.bytes.len() - source.stride) + start;
    let mut sums = [kernel.start(); BLOCKS];
    let mut upper = first * source.stride + start;
    for &weights in weights {
        // Behind the last row the weight is zero.
        let lower = (upper + source.stride).min(last);
        for (block, sums) in sums.iter_mut().enumerate() {
            let upper = load(source.bytes, upper + block * LANES);
            let lower = load(source.bytes, lower + block * LANES);
            kernel.add(sums, kernel.interleave(upper, lower), weights);
        }
        upper += 2 * source.stride;
    }
    sums.map(|sums| kernel.finish(sums))
}

fn nearest(
    image: &DecodedImage,
    columns: Span,
    rows: Span,
    plane: usize,
    row: &mut [u8],
    mut show: impl FnMut(usize, &[u8]),
) {
    // Summed up step by step, as Pillow does: where a position falls between two pixels, rounding errors decide.
    let positions = |span: Span, extent: Extent, size: u32| {
        let scale = extent.length / span.full as f64;
        let first = extent.start + scale * 0.5;
        let all = iter::successors(Some(first), move |position| Some(position + scale));
        all.skip(span.start)
            .take(span.length)
            .map(move |position| (position as u32).min(size.saturating_sub(1)))
    };
    let columns: Vec<u32> = positions(columns, image.horizontal, image.pixels.width()).collect();
    for (index, y) in positions(rows, image.vertical, image.pixels.height()).enumerate() {
        for (column, &x) in columns.iter().enumerate() {
            for (channel, value) in image.pixels.get_pixel(x, y).0.into_iter().enumerate() {
                row[channel * plane + column] = value;
            }
        }
        show(index, row);
    }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::super::kernel::Portable;
    use super::*;

    fn gradient(width: u32, height: u32) -> DecodedImage {
        RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([(x * 37) as u8, (y * 59) as u8, (x * y) as u8])
        })
        .into()
    }

    const fn span(start: usize, length: usize, full: usize) -> Span {
        Span { start, length, full }
    }

    /// The window's pixels, RGB interleaved.
    fn resized(image: &DecodedImage, filter: Filter, columns: Span, rows: Span) -> Vec<u8> {
        let mut pixels = Vec::new();
        resample(image, filter, columns, rows, &mut Scratch::default(), |index, [r, g, b]| {
            assert_eq!(index * columns.length * 3, pixels.len());
            pixels.extend(r.iter().zip(g).zip(b).flat_map(|((r, g), b)| [*r, *g, *b]));
        });
        pixels
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
                let whole = resized(&image, filter, span(0, width, width), span(0, height, height));
                let window = resized(&image, filter, span(3, 5, width), span(1, 3, height));
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
        let row = row.into();
        for (filter, expected) in FILTERS.into_iter().zip(PILLOW) {
            let resized = resized(&row, filter, span(0, 3, 3), span(0, 1, 1));
            assert_eq!(
                resized.iter().step_by(3).copied().collect::<Vec<_>>(),
                expected,
                "{filter:?}"
            );
        }
    }

    #[test]
    fn plain_loops_give_the_same_bits_as_the_machine_s_own_instructions() {
        for (width, height) in [(70, 41), (41, 300), (5, 3)] {
            let image = gradient(width, height);
            for filter in FILTERS {
                let (columns, rows) = (span(1, 20, 22), span(2, 9, 12));
                let expected = resized(&image, filter, columns, rows);
                let mut got = Vec::new();
                let scratch = &mut Scratch::default();
                let emit = |_, [r, g, b]: Row<'_>| {
                    got.extend(r.iter().zip(g).zip(b).flat_map(|((r, g), b)| [*r, *g, *b]));
                };
                let work = Resample { image: &image, filter, columns, rows, scratch, emit };
                work.run(Portable);
                assert_eq!(got, expected, "{filter:?} {width} × {height}");
            }
        }
    }

    #[test]
    fn an_extent_is_resized_as_if_it_were_the_whole() {
        // Half a pixel on the right is outside: a mean takes half of that pixel's weight away.
        let row = RgbImage::from_fn(4, 1, |x, _| image::Rgb([[0, 0, 90, 90][x as usize]; 3]));
        let mut row = DecodedImage::from(row);
        row.horizontal.length = 3.0;
        let pixels = resized(&row, Filter::Box, span(0, 1, 1), span(0, 1, 1));
        assert_eq!(pixels, [30; 3]);
    }
}
