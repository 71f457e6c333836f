//! Images: encoded bytes to pixels ([`decode()`]), pixels to model input ([`Preprocessing`]).
//!
//! The pixels equal Pillow's bit for bit (see each decoder for the exceptions), and so do resized ones, because models are
//! trained and evaluated on what Pillow makes. Of a JPEG that is many times larger than what it is resized to, only as
//! many pixels are decoded as the answer needs. Everything here is synchronous; between calls a thread keeps nothing but
//! its buffers.

pub mod advice;
mod bmp;
mod decode;
mod describe;
mod error;
mod filter;
mod format;
mod gif;
mod jpeg;
mod kernel;
mod orientation;
mod png;
mod preprocessor_config;
pub mod probe;
mod processor;
mod resample;
mod timm_config;
mod transform;
mod webp;
mod weights;

#[cfg(test)]
mod test_images;

pub use decode::{DecodedImage, Extent, ImageLimits, decode};
pub use error::{ConfigError, ImageError, TransformError};
pub use filter::Filter;
pub use format::{ENDINGS, Format};
pub use image::RgbImage;
pub use preprocessor_config::{KEYS, from_hugging_face};
pub use transform::{ChannelOrder, Crop, CropRounding, Layout, Preprocessing, Resize, Scaling};
