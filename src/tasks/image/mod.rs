//! Images: encoded bytes to pixels ([`decode()`]), pixels to model input ([`Preprocessing`]).
//!
//! The pixels equal Pillow's bit for bit (see each decoder for the exceptions), and so do resized ones, because models are
//! trained and evaluated on what Pillow makes. Everything here is synchronous and holds no state.

mod bmp;
mod decode;
mod error;
mod format;
mod gif;
mod jpeg;
mod png;
mod preprocessor_config;
mod processor;
mod resample;
mod timm_config;
mod transform;
mod webp;

#[cfg(test)]
mod test_images;

pub use decode::{ImageLimits, decode};
pub use error::{ConfigError, ImageError, TransformError};
pub use format::Format;
pub use image::RgbImage;
pub use preprocessor_config::{KEYS, from_hugging_face};
pub use resample::Filter;
pub use transform::{ChannelOrder, Crop, CropRounding, Layout, Preprocessing, Resize, Scaling};
