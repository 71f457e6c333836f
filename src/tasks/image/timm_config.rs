//! timm's `pretrained_cfg`, as it stands in the `config.json` of a timm model. The meaning of the keys and their defaults are
//! those of `timm.data.resolve_data_config` and `transforms_imagenet_eval` (timm 1.0.31).

use serde::Deserialize;

use super::{
    ConfigError, Filter,
    transform::{
        ChannelOrder, Crop, CropRounding, IMAGENET_MEAN, IMAGENET_STD, Layout, Preprocessing,
        Resize, Scaling,
    },
};

/// The keys that bear on pixels.
#[derive(Debug, Default, Deserialize)]
pub(super) struct TimmConfig {
    input_size: Option<[u32; 3]>,
    interpolation: Option<String>,
    crop_pct: Option<f64>,
    crop_mode: Option<String>,
    mean: Option<[f64; 3]>,
    std: Option<[f64; 3]>,
}

impl TimmConfig {
    /// The steps that timm evaluates the model with.
    ///
    /// # Errors
    /// [`ConfigError::Unsupported`], naming the key.
    pub fn preprocessing(self) -> Result<Preprocessing, ConfigError> {
        let [channels, height, width] = self.input_size.unwrap_or([3, 224, 224]);
        if channels != 3 || height == 0 || width == 0 {
            return Err(ConfigError::Unsupported {
                key: "input_size",
                what: format!("[{channels}, {height}, {width}]; expected [3, height, width]"),
            });
        }
        let crop_pct = self.crop_pct.filter(|&pct| pct != 0.0).unwrap_or(0.875);
        if !(0.01..=10.0).contains(&crop_pct) {
            return Err(ConfigError::Unsupported {
                key: "crop_pct",
                what: format!("{crop_pct}; expected about 0.9"),
            });
        }
        let interpolation =
            self.interpolation.as_deref().filter(|name| !name.is_empty()).unwrap_or("bicubic");
        let filter = Filter::from_name(interpolation).ok_or_else(|| ConfigError::Unsupported {
            key: "interpolation",
            what: format!(
                "{interpolation:?}; expected nearest, bilinear, bicubic, lanczos, box or hamming"
            ),
        })?;
        let mean = self.mean.unwrap_or(IMAGENET_MEAN);
        let std = self.std.unwrap_or(IMAGENET_STD);
        if std.contains(&0.0) {
            return Err(ConfigError::Unsupported { key: "std", what: "it contains 0".to_owned() });
        }

        let enlarged = |side: u32| (f64::from(side) / crop_pct).floor() as u32;
        let (scaled_height, scaled_width) = (enlarged(height), enlarged(width));
        let keep_ratio =
            |cover| Resize::KeepRatio { height: scaled_height, width: scaled_width, cover };
        let mut fill = [0; 3];
        let resize = match self.crop_mode.as_deref().unwrap_or("center") {
            "squash" => Resize::Exact { height: scaled_height, width: scaled_width },
            "border" => {
                fill = mean.map(|mean| (255.0 * mean).round_ties_even() as u8);
                keep_ratio(false)
            }
            _ if height == width => Resize::ShortestEdge { edge: scaled_height, longest: None },
            _ => keep_ratio(true),
        };
        Ok(Preprocessing {
            resize: Some(resize),
            filter,
            crop: Some(Crop { height, width, rounding: CropRounding::Torchvision, fill }),
            channels: ChannelOrder::Rgb,
            layout: Layout::Chw,
            scaling: Scaling::normalize(1.0 / 255.0, mean, std),
            exact: false,
        })
    }
}
