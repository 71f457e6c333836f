//! From upright RGB pixels to the numbers that a model takes: resize, crop or pad, scale, lay out.

use std::cell::RefCell;

use super::{
    DecodedImage, Filter, TransformError,
    resample::{Scratch, resample},
    weights::Span,
};

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Everything between an image and a model's input, with nothing left to look up.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessing {
    /// The first step, if any.
    pub resize: Option<Resize>,
    /// The filter of that step.
    pub filter: Filter,
    /// The second step, if any: cut out the centre, or surround with a border what is smaller.
    pub crop: Option<Crop>,
    /// The order in which channels are written.
    pub channels: ChannelOrder,
    /// The order of the output's axes.
    pub layout: Layout,
    /// The last step, per channel in RGB order whatever `channels` says.
    pub scaling: [Scaling; 3],
    /// Whether every pixel of a JPEG counts, however much smaller it is resized.
    pub exact: bool,
}

/// Which size an image is resized to. All sizes are in pixels and positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// Both sides as given; the aspect ratio may change.
    Exact {
        /// Height after resizing.
        height: u32,
        /// Width after resizing.
        width: u32,
    },
    /// The shorter side becomes `edge`, the longer one keeps the aspect ratio (rounded down, as torchvision does). If the
    /// longer one would then exceed `longest`, it becomes that instead (transformers' `get_size_with_aspect_ratio`).
    ShortestEdge {
        /// Length of the shorter side after resizing.
        edge: u32,
        /// Bound on the longer side.
        longest: Option<u32>,
    },
    /// Keeps the aspect ratio; the image covers height × width entirely, or fits in it (timm's `ResizeKeepRatio`).
    KeepRatio {
        /// Height of the box.
        height: u32,
        /// Width of the box.
        width: u32,
        /// Whether to cover the box rather than to fit in it.
        cover: bool,
    },
}

/// A centred cut-out of fixed size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crop {
    /// Height of the result in pixels.
    pub height: u32,
    /// Width of the result in pixels.
    pub width: u32,
    /// What happens to half a pixel.
    pub rounding: CropRounding,
    /// RGB of the border around an image that is smaller.
    pub fill: [u8; 3],
}

/// How an odd difference between image and crop is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CropRounding {
    /// transformers' `center_crop`: the offset is rounded down, the border's upper left part up.
    Transformers,
    /// torchvision's `center_crop`, which timm uses: the offset is rounded to even, the border's upper left part down.
    Torchvision,
}

/// The order of an output's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelOrder {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// The order of an output's axes (the batch axis is added by others).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Channel, row, column.
    Chw,
    /// Row, column, channel.
    Hwc,
}

/// Turns a channel's value, 0 to 255, into a model's number: `value × mul + add`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    /// The factor.
    pub mul: f32,
    /// The summand.
    pub add: f32,
}

/// Bound on the pixels of a resized image that is not cropped.
const MAX_RESIZED_PIXELS: u64 = 16_800_000;

/// Mean and standard deviation of ImageNet's pixels between 0 and 1, RGB.
pub(super) const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
pub(super) const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];

impl Scaling {
    /// `(value × factor − mean) / std`, per channel; folded in double precision.
    #[must_use]
    pub fn normalize(factor: f64, mean: [f64; 3], std: [f64; 3]) -> [Self; 3] {
        let fold =
            |mean: f64, std: f64| Self { mul: (factor / std) as f32, add: (-mean / std) as f32 };
        [fold(mean[0], std[0]), fold(mean[1], std[1]), fold(mean[2], std[2])]
    }
}

impl Preprocessing {
    /// What torchvision's classification models are evaluated with: the shorter side to size / 0.875, bilinear, the centre
    /// cut out, ImageNet's mean and deviation; RGB, planes first. `height` and `width` in pixels.
    #[must_use]
    pub fn imagenet_default(height: u32, width: u32) -> Self {
        let enlarged = |side: u32| (f64::from(side) / 0.875).round() as u32;
        let resize = if height == width {
            Resize::ShortestEdge { edge: enlarged(height), longest: None }
        } else {
            Resize::KeepRatio { height: enlarged(height), width: enlarged(width), cover: true }
        };
        Self {
            resize: Some(resize),
            filter: Filter::Bilinear,
            crop: Some(Crop { height, width, rounding: CropRounding::Torchvision, fill: [0; 3] }),
            channels: ChannelOrder::Rgb,
            layout: Layout::Chw,
            scaling: Scaling::normalize(1.0 / 255.0, IMAGENET_MEAN, IMAGENET_STD),
            exact: false,
        }
    }

    /// How many times larger than needed the sides of an image are, whichever of them is its width: at least 1, and 1
    /// where each of its pixels counts. For [`decode`](super::decode()).
    #[must_use]
    pub fn reduction(&self, width: u32, height: u32) -> f64 {
        // Where the filter skips pixels, other ones would be skipped.
        let Some(resize) = self.resize.filter(|_| !self.exact && self.filter != Filter::Nearest)
        else {
            return 1.0;
        };
        let of = |width: u32, height: u32| {
            let (new_width, new_height) = resize.size(u64::from(width), u64::from(height));
            let ratio = |full: u32, new: u64| f64::from(full) / new.max(1) as f64;
            ratio(width, new_width).min(ratio(height, new_height))
        };
        of(width, height).min(of(height, width)).max(1.0)
    }

    /// Height and width of every output in pixels, or `None` where they depend on the image.
    #[must_use]
    pub fn output_size(&self) -> Option<(u32, u32)> {
        match (self.crop, self.resize) {
            (Some(crop), _) => Some((crop.height, crop.width)),
            (None, Some(Resize::Exact { height, width })) => Some((height, width)),
            _ => None,
        }
    }

    /// Height and width of the output for an image of this size, in pixels.
    ///
    /// # Errors
    /// [`TransformError::TooElongated`].
    pub fn output_size_for(&self, image: &DecodedImage) -> Result<(u32, u32), TransformError> {
        self.plan(image).map(|plan| (plan.height as u32, plan.width as u32))
    }

    /// Writes an image's numbers: 3 × height × width of them, in the configured layout.
    ///
    /// # Errors
    /// [`TransformError::BufferLength`] if `out` has another length, [`TransformError::TooElongated`].
    pub fn apply(&self, image: &DecodedImage, out: &mut [f32]) -> Result<(), TransformError> {
        self.write(image, out, |value, scaling| f32::from(value) * scaling.mul + scaling.add)
    }

    /// Writes an image's bytes unscaled, for models that take `uint8`; else as [`apply`](Self::apply).
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn apply_u8(&self, image: &DecodedImage, out: &mut [u8]) -> Result<(), TransformError> {
        self.write(image, out, |value, _| value)
    }

    fn write<T: Copy>(
        &self,
        image: &DecodedImage,
        out: &mut [T],
        convert: impl Fn(u8, Scaling) -> T,
    ) -> Result<(), TransformError> {
        let Plan { columns, rows, width, height } = self.plan(image)?;
        let plane = height * width;
        if out.len() != plane * 3 {
            return Err(TransformError::BufferLength { expected: plane * 3, got: out.len() });
        }
        let source = match self.channels {
            ChannelOrder::Rgb => [0, 1, 2],
            ChannelOrder::Bgr => [2, 1, 0],
        };
        // Where the value of an output's pixel and channel stands.
        let (pixel_step, channel_step) = match self.layout {
            Layout::Chw => (1, plane),
            Layout::Hwc => (3, 1),
        };
        if columns.span.length < width || rows.span.length < height {
            let fill = self.crop.map_or([0; 3], |crop| crop.fill);
            for (index, channel) in source.into_iter().enumerate() {
                let value = convert(fill[channel], self.scaling[channel]);
                let values = out[index * channel_step..].iter_mut().step_by(pixel_step);
                values.take(plane).for_each(|out| *out = value);
            }
        }
        SCRATCH.with_borrow_mut(|scratch| {
            resample(image, self.filter, columns.span, rows.span, scratch, |index, row| {
                let first = ((rows.at + index) * width + columns.at) * pixel_step;
                for (index, channel) in source.into_iter().enumerate() {
                    let scaling = self.scaling[channel];
                    let out = &mut out[index * channel_step + first..];
                    let values = row[channel].iter().map(|&value| convert(value, scaling));
                    if pixel_step == 1 {
                        // By itself, so that it is vectorised.
                        out.iter_mut().zip(values).for_each(|(out, value)| *out = value);
                    } else {
                        let out = out.iter_mut().step_by(pixel_step);
                        out.zip(values).for_each(|(out, value)| *out = value);
                    }
                }
            });
            scratch.trim();
        });
        Ok(())
    }

    fn plan(&self, image: &DecodedImage) -> Result<Plan, TransformError> {
        let (image_width, image_height) = (u64::from(image.width), u64::from(image.height));
        let (width, height) =
            self.resize.map_or((image_width, image_height), |r| r.size(image_width, image_height));
        let (width, height) = (width.max(1), height.max(1));
        match self.crop {
            Some(crop) => Ok(Plan {
                columns: Placed::centred(width as usize, crop.width as usize, crop.rounding),
                rows: Placed::centred(height as usize, crop.height as usize, crop.rounding),
                width: crop.width as usize,
                height: crop.height as usize,
            }),
            None if width.saturating_mul(height) > MAX_RESIZED_PIXELS => {
                Err(TransformError::TooElongated { width, height })
            }
            None => Ok(Plan {
                columns: Placed::whole(width as usize),
                rows: Placed::whole(height as usize),
                width: width as usize,
                height: height as usize,
            }),
        }
    }
}

impl Resize {
    /// Width and height after resizing an image of this width and height.
    fn size(self, width: u64, height: u64) -> (u64, u64) {
        let (short, long) = (width.min(height).max(1), width.max(height).max(1));
        let (new_short, new_long) = match self {
            Self::Exact { height, width } => return (u64::from(width), u64::from(height)),
            Self::KeepRatio { height: box_height, width: box_width, cover } => {
                let ratios =
                    (height as f64 / f64::from(box_height), width as f64 / f64::from(box_width));
                let ratio = if cover { ratios.0.min(ratios.1) } else { ratios.0.max(ratios.1) };
                let scale = |side: u64| (side as f64 / ratio).round_ties_even() as u64;
                return (scale(width), scale(height));
            }
            Self::ShortestEdge { edge, longest } => {
                let edge = f64::from(edge);
                let (short, long) = (short as f64, long as f64);
                match longest.map(f64::from).filter(|longest| long / short * edge > *longest) {
                    Some(longest) => {
                        let exact = longest * short / long;
                        (exact.round_ties_even(), exact * long / short)
                    }
                    None => (edge, edge * long / short),
                }
            }
        };
        let (new_short, new_long) = (new_short as u64, new_long as u64);
        if width <= height { (new_short, new_long) } else { (new_long, new_short) }
    }
}

/// Which part of the resized image ends up where in the output.
struct Plan {
    columns: Placed,
    rows: Placed,
    width: usize,
    height: usize,
}

/// A visible span of the resized image along one axis, and the output position of its start.
#[derive(Clone, Copy)]
struct Placed {
    span: Span,
    at: usize,
}

impl Placed {
    fn whole(full: usize) -> Self {
        Self { span: Span { start: 0, length: full, full }, at: 0 }
    }

    fn centred(full: usize, crop: usize, rounding: CropRounding) -> Self {
        let (cut, border) = (full.saturating_sub(crop), crop.saturating_sub(full));
        let (start, at) = match rounding {
            CropRounding::Transformers => (cut / 2, border.div_ceil(2)),
            // Half of an odd number is rounded to the even neighbour, as Python's `round` does.
            CropRounding::Torchvision => ((cut / 2) + usize::from(cut % 4 == 3), border / 2),
        };
        Self { span: Span { start, length: full.min(crop), full }, at }
    }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;

    fn plain(resize: Option<Resize>, crop: Option<Crop>) -> Preprocessing {
        Preprocessing {
            resize,
            filter: Filter::Nearest,
            crop,
            channels: ChannelOrder::Rgb,
            layout: Layout::Chw,
            scaling: [Scaling { mul: 1.0, add: 0.5 }; 3],
            exact: false,
        }
    }

    fn crop(height: u32, width: u32, rounding: CropRounding) -> Crop {
        Crop { height, width, rounding, fill: [9; 3] }
    }

    #[test]
    fn channels_and_layout() {
        let image = RgbImage::from_raw(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap().into();
        let mut steps = plain(None, None);
        let mut out = [0.0; 6];
        steps.apply(&image, &mut out).unwrap();
        assert_eq!(out, [1.5, 4.5, 2.5, 5.5, 3.5, 6.5]);
        (steps.layout, steps.channels) = (Layout::Hwc, ChannelOrder::Bgr);
        let mut out = [0; 6];
        steps.apply_u8(&image, &mut out).unwrap();
        assert_eq!(out, [3, 2, 1, 6, 5, 4]);
        let short = steps.apply_u8(&image, &mut out[..5]);
        assert_eq!(short, Err(TransformError::BufferLength { expected: 6, got: 5 }));
    }

    #[test]
    fn odd_differences_are_split_as_each_library_does() {
        let row = RgbImage::from_fn(5, 1, |x, _| image::Rgb([x as u8; 3])).into();
        for (width, rounding, expected) in [
            (2, CropRounding::Transformers, vec![1, 2]),
            (2, CropRounding::Torchvision, vec![2, 3]),
            (4, CropRounding::Torchvision, vec![0, 1, 2, 3]),
            (6, CropRounding::Transformers, vec![9, 0, 1, 2, 3, 4]),
            (6, CropRounding::Torchvision, vec![0, 1, 2, 3, 4, 9]),
        ] {
            let mut out = vec![0; width as usize * 3];
            plain(None, Some(crop(1, width, rounding))).apply_u8(&row, &mut out).unwrap();
            assert_eq!(out[..width as usize], expected, "{width} {rounding:?}");
        }
    }

    #[test]
    fn sizes_are_rounded_as_in_python() {
        let shortest = |edge, longest| Resize::ShortestEdge { edge, longest };
        assert_eq!(shortest(256, None).size(640, 427), (383, 256));
        assert_eq!(shortest(256, None).size(427, 640), (256, 383));
        assert_eq!(shortest(800, Some(1333)).size(1000, 400), (1333, 533));
        let border = Resize::KeepRatio { height: 100, width: 100, cover: false };
        assert_eq!(border.size(300, 200), (100, 67));
    }

    #[test]
    fn an_elongated_image_is_cropped_at_once_or_refused() {
        let line = RgbImage::new(8192, 1).into();
        let resize = Some(Resize::ShortestEdge { edge: 256, longest: None });
        let mut out = vec![0; 224 * 224 * 3];
        let mut steps = plain(resize, Some(crop(224, 224, CropRounding::Transformers)));
        steps.filter = Filter::Bicubic;
        steps.apply_u8(&line, &mut out).unwrap();
        let whole = plain(resize, None).output_size_for(&line);
        assert_eq!(whole, Err(TransformError::TooElongated { width: 2_097_152, height: 256 }));
    }
}
