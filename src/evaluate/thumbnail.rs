//! Small pictures of images, for a page that fetches nothing.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};

use crate::tasks::image::{
    ChannelOrder, Crop, CropRounding, Filter, ImageLimits, Layout, Preprocessing, Resize, Scaling,
    decode,
};

/// Pixels of a side. Twice what is shown, for screens of high density.
const SIDE: u32 = 144;
const QUALITY: u8 = 82;

/// The middle of an image as a data URI; `None` if it cannot be read.
pub fn data_uri(path: &Path) -> Option<String> {
    let file = std::fs::read(path).ok()?;
    let as_it_is = Scaling { mul: 1.0, add: 0.0 };
    let preprocessing = Preprocessing {
        resize: Some(Resize::ShortestEdge { edge: SIDE, longest: None }),
        filter: Filter::Bilinear,
        crop: Some(Crop {
            height: SIDE,
            width: SIDE,
            rounding: CropRounding::Torchvision,
            fill: [0; 3],
        }),
        channels: ChannelOrder::Rgb,
        layout: Layout::Hwc,
        scaling: [as_it_is; 3],
        exact: false,
    };
    let reduction = |width, height| preprocessing.reduction(width, height);
    let image = decode(&file, &ImageLimits::default(), reduction).ok()?;
    let mut pixels = vec![0; (SIDE * SIDE * 3) as usize];
    preprocessing.apply_u8(&image, &mut pixels).ok()?;
    let side = SIDE as usize;
    let jpeg = compress(&pixels, side, side, PixelFormat::Rgb, QUALITY, Subsampling::S420).ok()?;
    Some(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)))
}
