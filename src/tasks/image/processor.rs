//! The image processors of Hugging Face transformers: what each does with a key that its configuration leaves out, and where
//! it departs from the common order resize, crop, rescale, normalise. Read off the sources of transformers 5.23.0
//! (`models/*/image_processing_pil_*.py`).

use super::Filter;

const IMAGENET: ([f64; 3], [f64; 3]) =
    (super::transform::IMAGENET_MEAN, super::transform::IMAGENET_STD);
const HALF: ([f64; 3], [f64; 3]) = ([0.5; 3], [0.5; 3]);
const CLIP: ([f64; 3], [f64; 3]) =
    ([0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_58, 0.275_777_11]);

/// A size as configurations write it; pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// The shorter side.
    Shortest(u32),
    /// The shorter side, and a bound on the longer one.
    ShortestLongest(u32, u32),
    /// Height and width.
    Exact(u32, u32),
}

/// What is special about a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    /// Nothing.
    None,
    /// Below 384 pixels: enlarge the shorter side by 1 / `crop_pct` and crop; from there on warp to a square.
    ConvNext,
    /// Enlarge by 1 / `crop_pct` before the crop.
    PoolFormer,
    /// Enlarge the shorter side by 256 / 224 before the crop.
    Levit,
    /// `rescale_offset`, and a second division by the deviation with `include_top`.
    EfficientNet,
    /// Never normalises; `do_flip_channel_order` gives BGR.
    MobileVit,
}

/// The defaults of a processor class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Processor {
    pub size: Size,
    /// What a bare number as `size` means: both sides, or the shorter one.
    pub default_to_square: bool,
    pub filter: Filter,
    /// The side of the centre crop, in pixels, and whether it is on.
    pub crop: Option<(u32, bool)>,
    pub mean_std: ([f64; 3], [f64; 3]),
    pub special: Special,
}

impl Processor {
    /// The defaults of a class, by its name without `ImageProcessor`, `FeatureExtractor` and what may follow them.
    pub fn named(name: &str) -> Option<Self> {
        use Filter::{Bicubic, Bilinear};
        use Size::{Exact, Shortest};
        use Special::{ConvNext, EfficientNet, Levit, MobileVit, None as Plain, PoolFormer};
        let (size, default_to_square, filter, crop, mean_std, special) = match name {
            "ViT" => (Exact(224, 224), true, Bilinear, None, HALF, Plain),
            "DeiT" => (Exact(256, 256), true, Bicubic, Some((224, true)), HALF, Plain),
            "Beit" => (Exact(224, 224), true, Bicubic, Some((224, false)), HALF, Plain),
            "Pvt" => (Exact(224, 224), true, Bicubic, None, IMAGENET, Plain),
            "DINOv3ViT" => (Exact(224, 224), true, Bilinear, None, IMAGENET, Plain),
            "Siglip" => (Exact(224, 224), false, Bicubic, None, HALF, Plain),
            "Blip" => (Exact(384, 384), true, Bicubic, None, CLIP, Plain),
            "Segformer" => (Exact(512, 512), true, Bilinear, None, IMAGENET, Plain),
            "CLIP" | "ChineseCLIP" | "Bit" => {
                (Shortest(224), false, Bicubic, Some((224, true)), CLIP, Plain)
            }
            "MobileNetV1" | "MobileNetV2" => {
                (Shortest(256), false, Bilinear, Some((224, true)), HALF, Plain)
            }
            "MobileViT" => (Shortest(224), false, Bicubic, Some((256, true)), HALF, MobileVit),
            "ConvNext" => (Shortest(384), false, Bicubic, None, HALF, ConvNext),
            "PoolFormer" => {
                (Shortest(224), false, Bicubic, Some((224, true)), IMAGENET, PoolFormer)
            }
            "Levit" => (Shortest(224), false, Bicubic, Some((224, true)), IMAGENET, Levit),
            "EfficientNet" => {
                (Exact(346, 346), true, Bicubic, Some((289, false)), HALF, EfficientNet)
            }
            _ => return None,
        };
        Some(Self { size, default_to_square, filter, crop, mean_std, special })
    }
}
