//! Hugging Face's `preprocessor_config.json`, read into a [`Preprocessing`]. The keys mean what they mean in transformers'
//! image processors; whatever cannot be done as there is an error that names the key, so that a model is never served with
//! other pixels than it was trained on.

use serde::{Deserialize, Deserializer};

use super::{
    ConfigError, Filter,
    processor::{Processor, Size, Special},
    timm_config::TimmConfig,
    transform::{ChannelOrder, Crop, CropRounding, Layout, Preprocessing, Resize, Scaling},
};

/// Largest side that a configuration may ask for, in pixels.
const MAX_SIDE: u32 = 4096;

/// Reads a `preprocessor_config.json`, or a timm model's `config.json`.
///
/// `input_hw` is the height and width that the model takes, in pixels, where they are fixed. Keys that are unknown are
/// ignored; keys that are left out take the default of the processor class.
///
/// # Errors
/// Every [`ConfigError`].
pub fn from_hugging_face(
    json: &str,
    input_hw: Option<(u32, u32)>,
) -> Result<Preprocessing, ConfigError> {
    let file: File = serde_json::from_str(json)?;
    let preprocessing = match file.timm {
        Some(timm) => timm.preprocessing()?,
        None => file.keys.preprocessing()?,
    };
    if let Some(expected) = input_hw {
        let got = preprocessing.output_size().ok_or_else(|| ConfigError::Unsupported {
            key: "size",
            what:
                "it gives images of different sizes, and the model takes one; expected height and \
                 width, or do_center_crop = true and a crop_size"
                    .to_owned(),
        })?;
        if got != expected {
            return Err(ConfigError::SizeMismatch { expected, got });
        }
    }
    Ok(preprocessing)
}

/// The keys that are read, by name.
pub const KEYS: [&str; 18] = [
    "image_processor_type",
    "feature_extractor_type",
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "crop_pct",
    "do_rescale",
    "rescale_factor",
    "rescale_offset",
    "include_top",
    "do_normalize",
    "image_mean",
    "image_std",
    "do_flip_channel_order",
    "do_pad",
    "size_divisor",
];

#[derive(Deserialize)]
struct File {
    #[serde(alias = "pretrained_cfg", alias = "data_config")]
    timm: Option<TimmConfig>,
    #[serde(flatten)]
    keys: Keys,
}

/// The keys of `preprocessor_config.json` that bear on pixels. A `null` is a key left out.
#[derive(Debug, Default, Deserialize)]
struct Keys {
    image_processor_type: Option<String>,
    feature_extractor_type: Option<String>,
    do_resize: Option<bool>,
    size: Option<SizeValue>,
    resample: Option<ResampleValue>,
    do_center_crop: Option<bool>,
    crop_size: Option<SizeValue>,
    crop_pct: Option<f64>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    rescale_offset: Option<bool>,
    include_top: Option<bool>,
    do_normalize: Option<bool>,
    image_mean: Option<ChannelValue>,
    image_std: Option<ChannelValue>,
    do_flip_channel_order: Option<bool>,
    do_pad: Option<bool>,
    #[serde(default, deserialize_with = "positive_divisor")]
    size_divisor: Option<u32>,
}

/// `size` and `crop_size`: a bare number in old files, else named sides, or `[height, width]`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
enum SizeValue {
    Side(u32),
    Pair([u32; 2]),
    Sides {
        height: Option<u32>,
        width: Option<u32>,
        shortest_edge: Option<u32>,
        longest_edge: Option<u32>,
    },
}

/// `resample`: Pillow's code, or its name.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum ResampleValue {
    Code(i64),
    Name(String),
}

/// `image_mean` and `image_std`: one number a channel, or one for all.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
enum ChannelValue {
    Each([f64; 3]),
    /// Of an image of one channel.
    Only([f64; 1]),
    All(f64),
}

fn positive_divisor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Ok(Option::<u32>::deserialize(deserializer)?.filter(|&divisor| divisor > 1))
}

impl Keys {
    fn preprocessing(self) -> Result<Preprocessing, ConfigError> {
        let name = self.processor_name();
        let processor = match name.as_deref().map(Processor::named) {
            Some(None) => {
                return Err(ConfigError::Unsupported {
                    key: "image_processor_type",
                    what: format!(
                        "{:?}; the steps of that class are not known",
                        name.unwrap_or_default()
                    ),
                });
            }
            Some(processor) => processor,
            None => None,
        };
        let special = processor.map_or(Special::None, |processor| processor.special);
        if self.do_pad == Some(true) || self.size_divisor.is_some() {
            return Err(ConfigError::Unsupported {
                key: if self.size_divisor.is_some() { "size_divisor" } else { "do_pad" },
                what: "images are not padded to a common size; expected none".to_owned(),
            });
        }

        let resize_and_crop = Steps { keys: &self, processor, special };
        let (resize, crop) = resize_and_crop.resolve()?;
        let bgr = special == Special::MobileVit && self.do_flip_channel_order.unwrap_or(true)
            || self.do_flip_channel_order == Some(true);
        Ok(Preprocessing {
            resize,
            filter: if resize.is_some() { self.filter(processor)? } else { Filter::default() },
            crop,
            channels: if bgr { ChannelOrder::Bgr } else { ChannelOrder::Rgb },
            layout: Layout::Chw,
            scaling: self.scaling(processor, special)?,
            exact: false,
        })
    }

    /// The processor's class name, without the suffixes that tell its generation and backend.
    fn processor_name(&self) -> Option<String> {
        let class =
            self.image_processor_type.as_deref().or(self.feature_extractor_type.as_deref())?;
        let class =
            class.strip_suffix("Fast").or_else(|| class.strip_suffix("Pil")).unwrap_or(class);
        let name =
            class.strip_suffix("ImageProcessor").or_else(|| class.strip_suffix("FeatureExtractor"));
        Some(name.unwrap_or(class).to_owned())
    }

    fn missing(&self, key: &'static str) -> ConfigError {
        let processor = self
            .processor_name()
            .unwrap_or_else(|| "a file without `image_processor_type`".to_owned());
        ConfigError::Missing { key, processor }
    }

    fn filter(&self, processor: Option<Processor>) -> Result<Filter, ConfigError> {
        let (filter, got) = match &self.resample {
            None => return processor.map(|p| p.filter).ok_or_else(|| self.missing("resample")),
            Some(ResampleValue::Code(code)) => (Filter::from_pillow_code(*code), code.to_string()),
            Some(ResampleValue::Name(name)) => {
                (Filter::from_name(&name.to_lowercase()), format!("{name:?}"))
            }
        };
        filter.ok_or_else(|| ConfigError::Unsupported {
            key: "resample",
            what: format!("{got}; expected one of Pillow's codes 0 to 5"),
        })
    }

    fn scaling(
        &self,
        processor: Option<Processor>,
        special: Special,
    ) -> Result<[Scaling; 3], ConfigError> {
        let factor = if self.do_rescale.unwrap_or(true) {
            self.rescale_factor.unwrap_or(1.0 / 255.0)
        } else {
            1.0
        };
        let mut offset = 0.0;
        let (mut mean, mut std) = ([0.0; 3], [1.0; 3]);
        let normalize = self.do_normalize.unwrap_or(true) && special != Special::MobileVit;
        let include_top = special == Special::EfficientNet && self.include_top.unwrap_or(true);
        if normalize || include_top {
            let defaults = processor.map(|processor| processor.mean_std);
            let given = |value: Option<ChannelValue>| match value {
                Some(ChannelValue::Each(each)) => Some(each),
                Some(ChannelValue::All(all) | ChannelValue::Only([all])) => Some([all; 3]),
                None => None,
            };
            let image_mean = given(self.image_mean)
                .or(defaults.map(|d| d.0))
                .ok_or_else(|| self.missing("image_mean"))?;
            let image_std = given(self.image_std)
                .or(defaults.map(|d| d.1))
                .ok_or_else(|| self.missing("image_std"))?;
            if image_std.contains(&0.0) {
                return Err(ConfigError::Unsupported {
                    key: "image_std",
                    what: "it contains 0".to_owned(),
                });
            }
            if normalize {
                (mean, std) = (image_mean, image_std);
            }
            if include_top {
                for (std, image_std) in std.iter_mut().zip(image_std) {
                    *std *= image_std;
                }
            }
        }
        if special == Special::EfficientNet
            && self.do_rescale.unwrap_or(true)
            && self.rescale_offset == Some(true)
        {
            offset = 1.0;
        }
        Ok(Scaling::normalize(factor, mean.map(|mean| mean + offset), std))
    }
}

/// The geometric half of the keys.
struct Steps<'a> {
    keys: &'a Keys,
    processor: Option<Processor>,
    special: Special,
}

impl Steps<'_> {
    fn resolve(&self) -> Result<(Option<Resize>, Option<Crop>), ConfigError> {
        let default_crop = self.processor.and_then(|processor| processor.crop);
        let do_crop = self.keys.do_center_crop.unwrap_or(default_crop.is_some_and(|(_, on)| on));
        let mut crop = match (do_crop, self.keys.crop_size) {
            (false, _) => None,
            (true, Some(value)) => match self.size("crop_size", value, Some(true))? {
                Size::Exact(height, width) => Some(centre(height, width)),
                Size::Shortest(side) | Size::ShortestLongest(side, _) => Some(centre(side, side)),
            },
            (true, None) => {
                let (side, _) = default_crop.ok_or_else(|| self.keys.missing("crop_size"))?;
                Some(centre(side, side))
            }
        };
        if !self.keys.do_resize.unwrap_or(true) {
            return Ok((None, crop));
        }
        let size = match (self.keys.size, self.processor) {
            (Some(value), processor) => {
                self.size("size", value, processor.map(|p| p.default_to_square))?
            }
            (None, Some(processor)) => processor.size,
            (None, None) => return Err(self.keys.missing("size")),
        };
        let resize = match (self.special, size) {
            (Special::ConvNext, Size::Shortest(side)) if side < 384 => {
                // The class crops to the same square itself; a centre crop after that would only make it smaller.
                // The class on torchvision rounds as that does.
                let rounding = match self.keys.image_processor_type.as_deref() {
                    Some(class) if class.ends_with("Fast") => CropRounding::Torchvision,
                    _ => CropRounding::Transformers,
                };
                crop = crop.or(Some(Crop { rounding, ..centre(side, side) }));
                shortest(enlarge(side, self.crop_pct(224.0 / 256.0)?))
            }
            (Special::ConvNext, Size::Shortest(side)) => {
                Resize::Exact { height: side, width: side }
            }
            (Special::ConvNext, _) => {
                return Err(ConfigError::Unsupported {
                    key: "size",
                    what: "expected a shortest_edge".to_owned(),
                });
            }
            (Special::PoolFormer, Size::Shortest(side)) => {
                shortest(enlarge(side, self.crop_pct(0.9)?))
            }
            (Special::PoolFormer, Size::Exact(height, width)) => {
                let pct = self.crop_pct(0.9)?;
                match (enlarge(height, pct), enlarge(width, pct)) {
                    (height, width) if height == width => shortest(height),
                    (height, width) => Resize::Exact { height, width },
                }
            }
            (Special::Levit, Size::Shortest(side)) => {
                shortest((256.0 / 224.0 * f64::from(side)) as u32)
            }
            (_, Size::Shortest(side)) => shortest(side),
            (_, Size::ShortestLongest(edge, longest)) => {
                Resize::ShortestEdge { edge, longest: Some(longest) }
            }
            (_, Size::Exact(height, width)) => Resize::Exact { height, width },
        };
        Ok((Some(resize), crop))
    }

    fn crop_pct(&self, default: f64) -> Result<f64, ConfigError> {
        let pct = self.keys.crop_pct.unwrap_or(default);
        if (0.1..=10.0).contains(&pct) {
            Ok(pct)
        } else {
            Err(ConfigError::Unsupported {
                key: "crop_pct",
                what: format!("{pct}; expected about 0.9"),
            })
        }
    }

    fn size(
        &self,
        key: &'static str,
        value: SizeValue,
        square: Option<bool>,
    ) -> Result<Size, ConfigError> {
        let size = match value {
            SizeValue::Side(side) => match square {
                Some(true) => Size::Exact(side, side),
                Some(false) => Size::Shortest(side),
                None => return Err(self.keys.missing("image_processor_type")),
            },
            SizeValue::Pair([height, width]) => Size::Exact(height, width),
            SizeValue::Sides { shortest_edge: Some(edge), longest_edge: None, .. } => {
                Size::Shortest(edge)
            }
            SizeValue::Sides { shortest_edge: Some(edge), longest_edge: Some(longest), .. } => {
                Size::ShortestLongest(edge, longest)
            }
            SizeValue::Sides { height: Some(height), width: Some(width), .. } => {
                Size::Exact(height, width)
            }
            SizeValue::Sides { .. } => {
                return Err(ConfigError::Unsupported {
                    key,
                    what: "expected height and width, or shortest_edge".to_owned(),
                });
            }
        };
        let (Size::Exact(a, b) | Size::ShortestLongest(a, b)) = (match size {
            Size::Shortest(side) => Size::Exact(side, side),
            size => size,
        }) else {
            return Ok(size);
        };
        if (1..=MAX_SIDE).contains(&a) && (1..=MAX_SIDE).contains(&b) {
            Ok(size)
        } else {
            Err(ConfigError::Unsupported {
                key,
                what: format!("{a} and {b}; expected 1 to {MAX_SIDE} pixels"),
            })
        }
    }
}

fn centre(height: u32, width: u32) -> Crop {
    Crop { height, width, rounding: CropRounding::Transformers, fill: [0; 3] }
}

fn shortest(edge: u32) -> Resize {
    Resize::ShortestEdge { edge, longest: None }
}

/// `int(side / pct)`.
fn enlarge(side: u32, pct: f64) -> u32 {
    (f64::from(side) / pct) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Preprocessing {
        from_hugging_face(json, None).unwrap()
    }

    fn refusal(json: &str) -> String {
        from_hugging_face(json, None).unwrap_err().to_string()
    }

    fn cropped(edge: u32, side: u32) -> (Option<Resize>, Option<Crop>) {
        (Some(shortest(edge)), Some(centre(side, side)))
    }

    #[test]
    fn keys_left_out_take_the_defaults_of_the_class() {
        let vit = read(r#"{"image_processor_type": "ViTImageProcessorFast"}"#);
        assert_eq!(vit.resize, Some(Resize::Exact { height: 224, width: 224 }));
        assert_eq!((vit.filter, vit.crop), (Filter::Bilinear, None));
        assert_eq!(vit.scaling, Scaling::normalize(1.0 / 255.0, [0.5; 3], [0.5; 3]));
        let clip = read(r#"{"feature_extractor_type": "CLIPFeatureExtractor", "size": null}"#);
        assert_eq!((clip.resize, clip.crop), cropped(224, 224));
    }

    #[test]
    fn a_bare_size_means_what_the_class_takes_it_for() {
        let vit = read(r#"{"feature_extractor_type": "ViTFeatureExtractor", "size": 384}"#);
        assert_eq!(vit.resize, Some(Resize::Exact { height: 384, width: 384 }));
        let clip = read(
            r#"{"feature_extractor_type": "CLIPFeatureExtractor", "size": 336, "crop_size": 336}"#,
        );
        assert_eq!((clip.resize, clip.crop), cropped(336, 336));
        assert!(refusal(r#"{"size": 224, "resample": 2}"#).contains("image_processor_type"));
    }

    #[test]
    fn classes_that_enlarge_before_the_crop() {
        let with = |class: &str, keys: &str| {
            let read =
                read(&format!(r#"{{"image_processor_type": "{class}ImageProcessor", {keys}}}"#));
            (read.resize, read.crop)
        };
        assert_eq!(
            with("ConvNext", r#""size": {"shortest_edge": 224}, "crop_pct": 0.875"#),
            cropped(256, 224)
        );
        let warped = (Some(Resize::Exact { height: 384, width: 384 }), None);
        assert_eq!(with("ConvNext", r#""size": {"shortest_edge": 384}"#), warped);
        assert_eq!(with("PoolFormer", r#""crop_pct": 0.9"#), cropped(248, 224));
        assert_eq!(with("Levit", r#""size": {"shortest_edge": 224}"#), cropped(256, 224));
    }

    #[test]
    fn efficientnet_divides_by_the_deviation_twice_and_mobilevit_flips_without_normalising() {
        let efficientnet = read(
            r#"{"image_processor_type": "EfficientNetImageProcessor", "image_std": [0.5, 0.5, 0.5],
                "image_mean": [0.1, 0.2, 0.3], "rescale_offset": true, "rescale_factor": 0.00784313725490196}"#,
        );
        assert_eq!(
            efficientnet.scaling,
            Scaling::normalize(0.007_843_137_254_901_96, [1.1, 1.2, 1.3], [0.25; 3])
        );
        let mobilevit = read(
            r#"{"image_processor_type": "MobileViTImageProcessor", "do_flip_channel_order": true}"#,
        );
        assert_eq!(mobilevit.channels, ChannelOrder::Bgr);
        assert_eq!(mobilevit.scaling, [Scaling { mul: 1.0 / 255.0, add: 0.0 }; 3]);
    }

    #[test]
    fn timm_models_keep_their_settings_in_config_json() {
        let timm = read(
            r#"{"architecture": "resnet50", "pretrained_cfg": {"input_size": [3, 224, 224], "interpolation": "bicubic",
                "crop_pct": 0.95, "crop_mode": "center", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}}"#,
        );
        assert_eq!(timm.resize, Some(shortest(235)));
        assert_eq!((timm.filter, timm.output_size()), (Filter::Bicubic, Some((224, 224))));
        assert!(
            refusal(r#"{"pretrained_cfg": {"input_size": [1, 28, 28]}}"#).contains("input_size")
        );
    }

    #[test]
    fn what_cannot_be_done_names_the_key() {
        for (json, key) in [
            (r#"{"image_processor_type": "DetrImageProcessor"}"#, "image_processor_type"),
            (r#"{"image_processor_type": "ViTImageProcessor", "do_pad": true}"#, "do_pad"),
            (r#"{"image_processor_type": "ViTImageProcessor", "resample": 9}"#, "resample"),
            (
                r#"{"image_processor_type": "ViTImageProcessor", "size": {"longest_edge": 9}}"#,
                "size",
            ),
            (r#"{"image_processor_type": "ViTImageProcessor", "size": 0}"#, "size"),
            (r#"{"image_processor_type": "ViTImageProcessor", "image_std": 0}"#, "image_std"),
            (r#"{"size": {"height": 8, "width": 8}, "resample": 2}"#, "image_mean"),
        ] {
            assert!(refusal(json).contains(&format!("`{key}`")), "{json}: {}", refusal(json));
        }
    }

    #[test]
    fn the_size_must_be_the_models() {
        let vit = r#"{"image_processor_type": "ViTImageProcessor"}"#;
        assert!(from_hugging_face(vit, Some((224, 224))).is_ok());
        assert!(matches!(
            from_hugging_face(vit, Some((256, 256))),
            Err(ConfigError::SizeMismatch { .. })
        ));
    }
}
