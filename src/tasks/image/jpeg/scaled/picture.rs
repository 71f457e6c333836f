//! From coefficients to pixels.

use std::array::from_fn;
use std::f64::consts::{FRAC_1_SQRT_2, PI};

use super::super::super::kernel::vectorised;
use super::coefficients::Coefficients;
use super::frame::{Component, Frame, zigzag};
use super::reader::Reader;

/// Most pixels a side that a block becomes, and how many are made at a time.
const SIDE: usize = 8;
/// Most frequencies a side that are kept.
const MOST_KEPT: usize = 5;

/// The pixels that a frame becomes at a smaller scale, drawn from top to bottom.
pub(super) struct Picture {
    pub frame: Frame,
    /// Pixels a side of a block, of a component that has all.
    scale: usize,
    transforms: Vec<Transform>,
    /// Of each component, the pixels of a row of MCUs in rows of `stride`.
    planes: Vec<Vec<u8>>,
    stride: usize,
    /// In pixels.
    pub width: usize,
    pub height: usize,
    rgb: Vec<u8>,
}

impl Picture {
    /// A picture of `scale` eighths, 1 to 4, of the frame's sides, rounded up. None if a component has no divisors.
    pub fn new(frame: Frame, scale: usize, reader: &Reader) -> Option<Self> {
        let (across, _) = frame.mcus();
        let transforms: Option<Vec<_>> = frame
            .components
            .iter()
            .map(|component| {
                let across = scale * frame.horizontal / component.horizontal;
                let down = scale * frame.vertical / component.vertical;
                let order = order(&frame, component, scale);
                Some(Transform::new(across, down, order, reader.divisors(component)?))
            })
            .collect();
        let transforms = transforms?;
        // Each block writes as many pixels as can be made at a time.
        let stride = across * frame.horizontal * scale + SIDE;
        let rows = frame.vertical * scale;
        let planes = transforms.iter().map(|_| vec![0; stride * rows]).collect();
        let width = (frame.width * scale).div_ceil(8);
        let height = (frame.height * scale).div_ceil(8);
        let rgb = vec![0; width * height * 3];
        Some(Self { frame, scale, transforms, planes, stride, width, height, rgb })
    }

    /// Room for the coefficients of rows of MCUs, by component.
    pub fn coefficients(&self, mcu_rows: usize) -> Vec<Coefficients> {
        let (across, _) = self.frame.mcus();
        let components = self.frame.components.iter().zip(&self.transforms);
        components
            .map(|(component, transform)| {
                let (across, down) = (across * component.horizontal, mcu_rows * component.vertical);
                Coefficients::new(transform.order, across, down)
            })
            .collect()
    }

    /// Draws a row of MCUs, which is the row `from` of the coefficients.
    #[inline(never)]
    pub fn draw(&mut self, coefficients: &[Coefficients], from: usize, row: usize) {
        vectorised(
            #[allow(clippy::inline_always)]
            #[inline(always)]
            || self.draw_vectorised(coefficients, from, row),
        );
    }

    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn draw_vectorised(&mut self, coefficients: &[Coefficients], from: usize, row: usize) {
        for (index, transform) in self.transforms.iter().enumerate() {
            let vertical = self.frame.components[index].vertical;
            for block_row in 0..vertical {
                let start = block_row * transform.down * self.stride;
                let plane = &mut self.planes[index][start..];
                let row = from * vertical + block_row;
                transform.apply(&coefficients[index], row, plane, self.stride);
            }
        }
        let rows = self.frame.vertical * self.scale;
        let start = row * rows * self.width * 3;
        let targets = self.rgb[start..].chunks_exact_mut(self.width * 3);
        for (y, target) in targets.take(rows).enumerate() {
            let start = y * self.stride;
            match self.planes.as_slice() {
                [y, cb, cr] => {
                    let [y, cb, cr] = [y, cb, cr].map(|plane| &plane[start..][..self.width]);
                    to_rgb(y, cb, cr, target);
                }
                planes => {
                    let grey = &planes[0][start..][..self.width];
                    for (pixel, &grey) in target.as_chunks_mut::<3>().0.iter_mut().zip(grey) {
                        *pixel = [grey; 3];
                    }
                }
            }
        }
    }

    /// The pixels, RGB.
    pub fn finish(self) -> Vec<u8> {
        self.rgb
    }
}

/// How many frequencies a side are kept. A scale of n eighths shows n of a whole component; of a component
/// of half as many samples one more makes a difference that was seen, and others none.
fn order(frame: &Frame, component: &Component, scale: usize) -> usize {
    let is_whole = component.horizontal == frame.horizontal && component.vertical == frame.vertical;
    if is_whole { scale } else { scale + 1 }
}

/// The inverse DCT of a component's blocks: the continuous cosines, taken at the centres of fewer pixels.
struct Transform {
    /// Pixels of a block.
    across: usize,
    down: usize,
    order: usize,
    /// What the frequencies add to each pixel across and down, by frequency and pixel.
    horizontal: [[f32; SIDE]; MOST_KEPT],
    vertical: [[f32; SIDE]; MOST_KEPT],
    /// By row and column of the frequency.
    divisors: [[f32; SIDE]; SIDE],
}

fn cosines(pixels: usize) -> [[f32; SIDE]; MOST_KEPT] {
    from_fn(|frequency| {
        from_fn(|pixel| {
            let angle = (2 * pixel + 1) as f64 * frequency as f64 * PI / (2 * pixels) as f64;
            let norm = if frequency == 0 { FRAC_1_SQRT_2 / 2.0 } else { 0.5 };
            (norm * angle.cos()) as f32
        })
    })
}

#[allow(clippy::inline_always)]
impl Transform {
    /// `divisors`: in zigzag order.
    fn new(across: usize, down: usize, order: usize, divisors: &[u16; 64]) -> Self {
        let mut by_frequency = [[0.0; SIDE]; SIDE];
        for ((row, column), &divisor) in zigzag().zip(divisors) {
            by_frequency[row][column] = f32::from(divisor);
        }
        let (horizontal, vertical) = (cosines(across), cosines(down));
        Self { across, down, order, horizontal, vertical, divisors: by_frequency }
    }

    /// Turns a row of blocks into rows of pixels, `stride` apart.
    #[inline(always)]
    fn apply(&self, coefficients: &Coefficients, row: usize, pixels: &mut [u8], stride: usize) {
        match self.order {
            1 => self.apply_order::<1>(coefficients, row, pixels, stride),
            2 => self.apply_order::<2>(coefficients, row, pixels, stride),
            3 => self.apply_order::<3>(coefficients, row, pixels, stride),
            4 => self.apply_order::<4>(coefficients, row, pixels, stride),
            _ => self.apply_order::<MOST_KEPT>(coefficients, row, pixels, stride),
        }
    }

    #[inline(always)]
    fn apply_order<const ORDER: usize>(
        &self,
        coefficients: &Coefficients,
        row: usize,
        pixels: &mut [u8],
        stride: usize,
    ) {
        let horizontal: [[f32; SIDE]; ORDER] = from_fn(|u| self.horizontal[u]);
        let vertical: [[f32; ORDER]; SIDE] = from_fn(|y| from_fn(|v| self.vertical[v][y]));
        let divisors: [[f32; ORDER]; ORDER] = from_fn(|v| from_fn(|u| self.divisors[v][u]));
        for (index, values) in coefficients.row(row).enumerate() {
            let values = values.as_chunks::<ORDER>().0;
            let mut partial = [[0.0_f32; SIDE]; ORDER];
            for ((partial, values), divisors) in partial.iter_mut().zip(values).zip(&divisors) {
                for u in 0..ORDER {
                    let value = f32::from(values[u]) * divisors[u];
                    for x in 0..SIDE {
                        partial[x] += value * horizontal[u][x];
                    }
                }
            }
            let start = index * self.across;
            for (y, vertical) in vertical.iter().enumerate().take(self.down) {
                let mut sums = [128.0_f32; SIDE];
                for (partial, factor) in partial.iter().zip(vertical) {
                    for x in 0..SIDE {
                        sums[x] += partial[x] * factor;
                    }
                }
                // What is too much is overwritten by the next block.
                let target = &mut pixels[y * stride + start..][..SIDE];
                for (target, sum) in target.iter_mut().zip(sums) {
                    *target = rounded(sum) as u8;
                }
            }
        }
    }
}

/// Rounds to 0 to 255, which the lowest 8 bits then are.
#[allow(clippy::inline_always)]
#[inline(always)]
fn rounded(value: f32) -> u32 {
    /// From here on the lowest bit of a float stands for 1.
    const ONES: f32 = 12_582_912.0;
    (value.clamp(0.0, 255.0) + ONES).to_bits() & 255
}

/// JFIF's conversion.
#[allow(clippy::inline_always)]
#[inline(always)]
fn to_rgb(y: &[u8], cb: &[u8], cr: &[u8], rgb: &mut [u8]) {
    const AT_A_TIME: usize = 16;
    let width = y.len();
    let mut start = 0;
    // Each pixel is written with a byte too much, for which the next one is there.
    while start + AT_A_TIME < width {
        let part = start..start + AT_A_TIME;
        let planes = y[part.clone()].iter().zip(&cb[part.clone()]).zip(&cr[part]);
        let mut pixels = [0; AT_A_TIME];
        for (pixel, ((&y, &cb), &cr)) in pixels.iter_mut().zip(planes) {
            *pixel = rgb_of(y, cb, cr);
        }
        let target = &mut rgb[start * 3..][..=AT_A_TIME * 3];
        for (index, pixel) in pixels.iter().enumerate() {
            target[index * 3..][..4].copy_from_slice(&pixel.to_le_bytes());
        }
        start += AT_A_TIME;
    }
    for index in start..width {
        let pixel = rgb_of(y[index], cb[index], cr[index]).to_le_bytes();
        rgb[index * 3..][..3].copy_from_slice(&pixel[..3]);
    }
}

/// Red, green and blue from the lowest byte on.
#[allow(clippy::inline_always)]
#[inline(always)]
fn rgb_of(y: u8, cb: u8, cr: u8) -> u32 {
    let (y, cb, cr) = (f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    let red = rounded(y + 1.402 * cr);
    let green = rounded(y - 0.344_136 * cb - 0.714_136 * cr);
    let blue = rounded(y + 1.772 * cb);
    red | green << 8 | blue << 16
}
