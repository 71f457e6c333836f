//! [`Preprocessing`] in words.

use super::transform::{ChannelOrder, Crop, Layout, Preprocessing, Resize, Scaling};

impl Preprocessing {
    /// What is done, step by step, and how: `("resize", "shorter side to 256, bicubic")`.
    #[must_use]
    pub fn describe(&self) -> Vec<(&'static str, String)> {
        let filter = format!("{:?}", self.filter).to_lowercase();
        let resize = self.resize.map(|resize| match resize {
            Resize::Exact { height, width } => format!("to {height} × {width}, {filter}"),
            Resize::ShortestEdge { edge, longest: None } => {
                format!("shorter side to {edge}, {filter}")
            }
            Resize::ShortestEdge { edge, longest: Some(longest) } => {
                format!("shorter side to {edge}, longer one to {longest} at most, {filter}")
            }
            Resize::KeepRatio { height, width, cover } => {
                let how = if cover { "cover" } else { "fit into" };
                format!("to {how} {height} × {width}, {filter}")
            }
        });
        let crop =
            self.crop.map(|Crop { height, width, .. }| format!("centre, {height} × {width}"));
        let channels = match self.channels {
            ChannelOrder::Rgb => "RGB",
            ChannelOrder::Bgr => "BGR",
        };
        let layout = match self.layout {
            Layout::Chw => "channels first",
            Layout::Hwc => "channels last",
        };
        vec![
            ("resize", resize.unwrap_or_else(|| "none".to_owned())),
            ("crop", crop.unwrap_or_else(|| "none".to_owned())),
            ("channels", format!("{channels}, {layout}")),
            ("scaling", self.describe_scaling()),
        ]
    }

    /// As configurations write it: of values from 0 to 1.
    fn describe_scaling(&self) -> String {
        let list = |each: [f64; 3]| {
            let each = each.map(|number| ((number * 1e4).round() / 1e4).to_string());
            if each.iter().all(|number| *number == each[0]) {
                each[0].clone()
            } else {
                each.join(", ")
            }
        };
        let mul = self.scaling.map(|Scaling { mul, .. }| f64::from(mul));
        let add = self.scaling.map(|Scaling { add, .. }| f64::from(add));
        let std = mul.map(|mul| 1.0 / (mul * 255.0));
        let mean = [0, 1, 2].map(|channel| -add[channel] * std[channel]);
        if mean.iter().all(|mean| mean.abs() < 1e-6)
            && std.iter().all(|std| (std * 255.0 - 1.0).abs() < 1e-4)
        {
            return "none, from 0 to 255".to_owned();
        }
        format!("mean {}; deviation {}", list(mean), list(std))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imagenets_default_reads_as_it_is_written() {
        let told = Preprocessing::imagenet_default(224, 224).describe();
        let told: Vec<_> = told.iter().map(|(what, how)| format!("{what}: {how}")).collect();
        assert_eq!(
            told,
            [
                "resize: shorter side to 256, bilinear",
                "crop: centre, 224 × 224",
                "channels: RGB, channels first",
                "scaling: mean 0.485, 0.456, 0.406; deviation 0.229, 0.224, 0.225",
            ]
        );
        let mut plain = Preprocessing::imagenet_default(8, 8);
        plain.scaling = Scaling::normalize(1.0, [0.0; 3], [1.0; 3]);
        assert_eq!(plain.describe()[3].1, "none, from 0 to 255");
    }
}
