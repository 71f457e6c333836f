//! A photo to classes.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ndarray::{ArrayD, IxDyn};

use super::graph::Graph;
use super::head::Head;
use super::hugging_face::HfConfig;
use super::image::{
    self, ConfigError, DecodedImage, Format, ImageError, ImageLimits, Layout, Preprocessing,
    RgbImage, Scaling, TransformError, advice, decode, from_hugging_face, probe,
};
use super::note::ASSUMED;
use super::{
    FLOATS_AND_BYTES, Image, ImageSource, Input, InputKind, Kind, Material, Note, Parameters, Part,
    Piece, Prediction, Stages, Task, Unserved, varied,
};
use crate::error::{Error, ErrorKind, excerpt, one_of};
use crate::rows::Rows;
use crate::signature::{BatchAxis, Signature};
use crate::tensor::{DataType, Tensor, Tensors};

/// Standard base64, with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

struct ImageClassification {
    input: String,
    data_type: DataType,
    /// Of the model's input, in pixels.
    height: usize,
    width: usize,
    /// 3, or 1 for a model of grey images.
    channels: usize,
    preprocessing: Preprocessing,
    limits: ImageLimits,
    head: Head,
    batch_axis: BatchAxis,
    /// What says how images are prepared.
    from: String,
    assumptions: Vec<String>,
}

/// # Errors
/// What is missing for a model of images.
pub fn build(material: Material<'_>, hf: &HfConfig) -> Result<Box<dyn Task>, Unserved> {
    let Material { signature, limits, .. } = material;
    let [spec] = signature.inputs.as_slice() else {
        return Err(Unserved::Unfit(format!(
            "an image model has one input, this one has {}",
            Signature::list(&signature.inputs)
        )));
    };
    let data_type = spec.data_type().filter(|_| spec.is(4, &FLOATS_AND_BYTES));
    let data_type = data_type.ok_or_else(|| {
        Unserved::Unfit(format!("an image model's input is [N,3,H,W] or [N,H,W,3], not {spec}"))
    })?;
    let is_channels = |axis: Option<usize>| matches!(axis, Some(1 | 3));
    let (layout, channels, height, width) = match spec.shape.as_slice() {
        [_, c, h, w] if is_channels(*c) => (Layout::Chw, *c, *h, *w),
        [_, h, w, c] if is_channels(*c) => (Layout::Hwc, *c, *h, *w),
        // Exporters that leave every axis open write planes first.
        [_, None, h, w] => (Layout::Chw, Some(3), *h, *w),
        _ => return Err(Unserved::Unfit(format!("input {spec} has neither 1 nor 3 channels"))),
    };
    let channels = channels.unwrap_or(3);
    let (mut preprocessing, from, assumptions) =
        preprocessing(material, (height, width), channels, data_type)?;
    if data_type == DataType::U8 {
        preprocessing.scaling = AS_THEY_ARE;
    }
    preprocessing.layout = layout;
    preprocessing.exact = exact(material)?;
    let (height, width) = preprocessing.output_size().ok_or_else(|| {
        Unserved::unfit(
            "images would come out in different sizes; say the size in model.toml: [preprocess] \
             do_center_crop = true and crop_size = {height = 224, width = 224}",
        )
    })?;
    Ok(Box::new(ImageClassification {
        input: spec.name.clone(),
        data_type,
        height: height as usize,
        width: width as usize,
        channels,
        preprocessing,
        limits: ImageLimits {
            max_side: limits.max_image_side,
            max_pixels: limits.max_image_pixels,
        },
        head: Head::build(material, hf, true)?,
        batch_axis: BatchAxis::of(spec),
        from,
        assumptions,
    }))
}

/// The key of `[preprocess]` in `model.toml` that is not one of `preprocessor_config.json`: whether
/// every pixel of a JPEG counts, however much smaller it is resized.
const EXACT: &str = "exact";

fn exact(Material { config, .. }: Material<'_>) -> Result<bool, String> {
    let value = config.preprocess.as_ref().and_then(|own| own.get(EXACT));
    value.map_or(Ok(false), |value| {
        let flag = value.as_bool();
        flag.ok_or(format!("model.toml: preprocess.{EXACT}: expected true or false, got {value}"))
    })
}

/// Values from 0 to 255, which is all that a network of bytes can take.
const AS_THEY_ARE: [Scaling; 3] = [Scaling { mul: 1.0, add: 0.0 }; 3];

const PREPROCESSOR: &str = "preprocessor_config.json";
const OWN: &str = "model.toml ([preprocess])";

/// From `preprocessor_config.json` and `[preprocess]` in `model.toml`, else from timm's part of
/// `config.json`, else as torchvision's models are evaluated.
fn preprocessing(
    Material { files, config, graph, .. }: Material<'_>,
    sides: (Option<usize>, Option<usize>),
    channels: usize,
    data_type: DataType,
) -> Result<(Preprocessing, String, Vec<String>), Unserved> {
    let pixels = |side: usize| u32::try_from(side).map_err(|_| "the input is too large");
    let size = match sides.0.zip(sides.1) {
        Some((height, width)) => Some((pixels(height)?, pixels(width)?)),
        None => None,
    };
    let mut keys: Option<serde_json::Map<String, serde_json::Value>> = files.json(PREPROCESSOR)?;
    let mut from = vec![PREPROCESSOR];
    if keys.is_none() {
        from.clear();
    }
    let mut own = config.preprocess.clone().unwrap_or_default();
    own.remove(EXACT);
    if keys.is_none() && own.is_empty() {
        keys = files.json("config.json")?;
        keys = keys.filter(|keys| keys.contains_key("pretrained_cfg"));
        from = vec!["config.json (pretrained_cfg)"];
    }
    if keys.is_none()
        && own.is_empty()
        && let Some(graph) = graph
        && let Some(ultralytics) = of_ultralytics(graph, size)
    {
        keys = Some(ultralytics);
        from = vec!["the network's metadata (Ultralytics)"];
    }
    let of_own = |key: &str| own.contains_key(key);
    if !own.is_empty() {
        // That file's own unknown keys are none of our business; these were written for us.
        if let Some(key) = own.keys().find(|key| !image::KEYS.contains(&key.as_str())) {
            return Err(
                format!("model.toml: preprocess.{key}: {}", one_of(key, image::KEYS)).into()
            );
        }
        let own = serde_json::to_value(&own).map_err(|e| format!("model.toml: preprocess: {e}"))?;
        from.push(OWN);
        let keys = keys.get_or_insert_default();
        keys.extend(own.as_object().cloned().unwrap_or_default());
    }
    if let Some(keys) = keys {
        let json = serde_json::Value::from(keys.clone()).to_string();
        let preprocessing = from_hugging_face(&json, size).map_err(|error| match error.key() {
            _ if from == [OWN] && matches!(error, ConfigError::Missing { .. }) => {
                Unserved::Files(advice::missing(keys, size, channels))
            }
            Some(key) if of_own(key) => {
                Unserved::Files(format!("model.toml: preprocess.{key}: {error}"))
            }
            _ => Unserved::Unfit(format!("{}: {error}", from.join(", "))),
        })?;
        return Ok((preprocessing, from.join(", "), Vec::new()));
    }
    let Some((height, width)) = size else {
        return Err(Unserved::Unfit(advice::open_size(sides, channels)));
    };
    let mut preprocessing = Preprocessing::imagenet_default(height, width);
    if channels == 1 {
        preprocessing.scaling = Scaling::normalize(1.0 / 255.0, [0.0; 3], [1.0; 3]);
    }
    let values = match (data_type, channels) {
        (DataType::U8, _) => "values from 0 to 255",
        (_, 1) => "grey from 0 to 1",
        _ => "RGB, ImageNet's mean and deviation",
    };
    let assumption = format!(
        "no preprocessor_config.json, so images are resized to cover 1/0.875 of the input, its centre \
         cut out, {values}; [preprocess] in model.toml takes that file's keys (size, crop_size, resample, \
         image_mean, image_std, …)"
    );
    Ok((preprocessing, ASSUMED.to_owned(), vec![assumption]))
}

/// How Ultralytics' classifiers take images, whose network says no more than that it is one: the shorter
/// side resized, the centre cut out, from 0 to 1.
fn of_ultralytics(
    graph: &Graph,
    size: Option<(u32, u32)>,
) -> Option<serde_json::Map<String, serde_json::Value>> {
    graph.metadata.get("task").filter(|task| *task == "classify")?;
    // As Python writes a list: [height, width].
    let of_metadata = || {
        let sides = graph.metadata.get("imgsz")?.trim_matches(['[', ']']).split(',');
        let sides: Vec<u32> = sides.filter_map(|side| side.trim().parse().ok()).collect();
        <[u32; 2]>::try_from(sides).ok().map(Into::into)
    };
    let (height, width): (u32, u32) = size.or_else(of_metadata)?;
    let whole = serde_json::json!({"height": height, "width": width});
    let resized =
        if height == width { serde_json::json!({"shortest_edge": height}) } else { whole.clone() };
    let keys = serde_json::json!({
        "do_resize": true, "size": resized, "resample": 2, "do_center_crop": true, "crop_size": whole,
        "do_rescale": true, "rescale_factor": 1.0 / 255.0, "do_normalize": false,
    });
    keys.as_object().cloned()
}

impl ImageClassification {
    fn pixels(&self, image: &Image) -> Result<DecodedImage, Error> {
        let field = &image.field;
        let bytes: Cow<'_, [u8]> = match &image.source {
            ImageSource::File(bytes, declared) => {
                check_media_type(field, declared.as_deref(), bytes)?;
                bytes.as_ref().into()
            }
            ImageSource::Base64(text) => from_base64(field, text)?.into(),
        };
        let reduction = |width, height| self.preprocessing.reduction(width, height);
        let decoded = decode(&bytes, &self.limits, reduction);
        let mut decoded = decoded.map_err(|error| refuse(field, error))?;
        if self.channels == 1 {
            make_grey(&mut decoded.pixels);
        }
        Ok(decoded)
    }

    /// Writes one image's numbers to `out`, which holds `channels × height × width` of them.
    fn write<T: Copy + Default>(
        &self,
        image: &Image,
        stages: &Stages,
        out: &mut [T],
        apply: impl Fn(&Preprocessing, &DecodedImage, &mut [T]) -> Result<(), TransformError>,
    ) -> Result<(), Error> {
        let pixels = stages.decoding(|| self.pixels(image))?;
        let done = if self.channels == 3 {
            apply(&self.preprocessing, &pixels, out)
        } else {
            // Grey pixels have three equal channels, of which the first plane is the answer.
            let mut planes = vec![T::default(); out.len() * 3];
            let layout = Preprocessing { layout: Layout::Chw, ..self.preprocessing.clone() };
            let done = apply(&layout, &pixels, &mut planes);
            out.copy_from_slice(&planes[..out.len()]);
            done
        };
        done.map_err(|error| match error {
            TransformError::TooElongated { .. } => {
                Error::invalid(&image.field, "an image that is less elongated", error.to_string())
            }
            TransformError::BufferLength { .. } => Error::internal(error),
        })
    }

    /// All images' numbers, `[images, …]` in the model's layout.
    fn fill<T: Copy + Default>(
        &self,
        images: &[Image],
        stages: &Stages,
        apply: impl Fn(&Preprocessing, &DecodedImage, &mut [T]) -> Result<(), TransformError>,
    ) -> Result<ArrayD<T>, Error> {
        let (height, width) = (self.height, self.width);
        let size = self.channels * height * width;
        let mut values = vec![T::default(); images.len() * size];
        for (out, image) in values.chunks_exact_mut(size).zip(images) {
            self.write(image, stages, out, &apply)?;
        }
        let shape = match self.preprocessing.layout {
            Layout::Chw => [images.len(), self.channels, height, width],
            Layout::Hwc => [images.len(), height, width, self.channels],
        };
        ArrayD::from_shape_vec(IxDyn(&shape), values).map_err(Error::internal)
    }

    /// A row for each image.
    fn rows(&self, images: &[Image], stages: &Stages) -> Result<Rows, Error> {
        let tensor = if self.data_type == DataType::U8 {
            Tensor::U8(self.fill(images, stages, Preprocessing::apply_u8)?)
        } else {
            let values = self.fill(images, stages, Preprocessing::apply)?;
            match self.data_type {
                DataType::F16 => Tensor::F16(values.mapv(half::f16::from_f32)),
                DataType::F64 => Tensor::F64(values.mapv(f64::from)),
                _ => Tensor::F32(values),
            }
        };
        Ok(Rows::alike(Tensors(vec![(self.input.clone(), tensor)])))
    }

    /// What an image takes, by its header.
    fn effort(&self, image: &Image) -> (Kind, Duration) {
        let reduction = |width, height| self.preprocessing.reduction(width, height);
        match &image.source {
            ImageSource::File(bytes, _) => probe::effort(&bytes.as_ref(), &self.limits, reduction),
            ImageSource::Base64(text) => {
                let uri = text.strip_prefix("data:").and_then(|uri| uri.split_once(','));
                let text = uri.map_or(text.as_str(), |(_, data)| data);
                probe::effort(&probe::Encoded { text, engine: &BASE64 }, &self.limits, reduction)
            }
        }
    }
}

fn images(input: &Input) -> Result<&[Image], Error> {
    match input {
        Input::Images(images) => Ok(images),
        _ => Err(Error::internal("an image task was given another kind of input")),
    }
}

/// The magic bytes decide; a client that says otherwise is told.
fn check_media_type(field: &str, declared: Option<&str>, bytes: &[u8]) -> Result<(), Error> {
    let (Some(declared), Some(format)) = (declared, Format::sniff(bytes)) else { return Ok(()) };
    // Spellings that are in use beside the registered ones.
    let registered = match declared {
        "image/jpg" | "image/pjpeg" => "image/jpeg",
        "image/x-ms-bmp" | "image/x-bmp" => "image/bmp",
        other => other,
    };
    if registered == format.media_type() || registered == "image/*" {
        return Ok(());
    }
    Err(Error::field(
        ErrorKind::UnsupportedMediaType,
        field,
        format!("`{declared}`, as the content type says"),
        format!("`{}`", format.media_type()),
    ))
}

/// The bytes of a bare base64 string or of a data URI.
fn from_base64(field: &str, text: &str) -> Result<Vec<u8>, Error> {
    let data = match text.strip_prefix("data:") {
        Some(uri) => match uri.split_once(',') {
            Some((media, data)) if media.ends_with(";base64") => data,
            _ => {
                let expected = "a data URI in base64 (data:image/…;base64,…)";
                return Err(Error::invalid(field, expected, format!("\"{}\"", excerpt(text))));
            }
        },
        None if text.starts_with("http://") || text.starts_with("https://") => {
            let expected = "an image in base64; addresses are never fetched";
            return Err(Error::invalid(field, expected, format!("\"{}\"", excerpt(text))));
        }
        None => text,
    };
    // Line breaks, which encoders put in, are no part of the data.
    let data: Cow<'_, str> = if data.contains(['\n', '\r']) {
        data.replace(['\n', '\r'], "").into()
    } else {
        data.into()
    };
    BASE64
        .decode(data.as_bytes())
        .map_err(|error| Error::invalid(field, "base64", error.to_string()))
}

fn refuse(field: &str, error: ImageError) -> Error {
    const FORMATS: &str = "a JPEG, PNG, WebP, GIF or BMP image";
    match error {
        ImageError::Empty => Error::invalid(field, FORMATS, "no bytes"),
        ImageError::NotAnImage { first_bytes } => {
            Error::invalid(field, FORMATS, format!("data that starts with {first_bytes:02x?}"))
        }
        ImageError::TooLarge { width, height, max_side, max_pixels } => Error::too_large(
            field,
            format!("at most {max_side} pixels a side and {max_pixels} in all"),
            format!("{width} × {height}"),
        ),
        ImageError::Unsupported { format, what } => Error::field(
            ErrorKind::UnsupportedMediaType,
            field,
            "a still image in a common encoding",
            format!("a {format} file with {what}"),
        ),
        ImageError::Corrupt { format, detail } => Error::invalid(
            field,
            format!("a valid {format} file"),
            format!("a corrupt one ({detail})"),
        ),
        ImageError::Truncated { format } => {
            Error::invalid(field, format!("a whole {format} file"), "one that ends early")
        }
    }
}

/// Pillow's `convert("L")`, in all three channels.
fn make_grey(image: &mut RgbImage) {
    for pixel in image.pixels_mut() {
        let [r, g, b] = pixel.0.map(u32::from);
        let grey = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
        pixel.0 = [u8::try_from(grey).unwrap_or(u8::MAX); 3];
    }
}

impl Task for ImageClassification {
    fn name(&self) -> &'static str {
        if self.head.classifies() { "image-classification" } else { "image-regression" }
    }

    fn input_kind(&self) -> InputKind {
        InputKind::Image
    }

    fn outputs(&self) -> Vec<String> {
        self.head.outputs()
    }

    fn labels(&self) -> &[Arc<str>] {
        self.head.labels()
    }

    fn is_multi_label(&self) -> bool {
        self.head.is_multi_label()
    }

    fn batch_axis(&self) -> BatchAxis {
        self.batch_axis
    }

    fn encode(&self, input: &Input, _: &Parameters, stages: &Stages) -> Result<Rows, Error> {
        self.rows(images(input)?, stages)
    }

    fn pieces(&self, input: &Input) -> Vec<Piece> {
        let images = images(input).unwrap_or_default().iter().enumerate();
        let piece = |(index, image): (usize, &Image)| {
            let (kind, estimate) = self.effort(image);
            Piece { items: index..index + 1, kind, estimate }
        };
        images.map(piece).collect()
    }

    fn encode_piece(
        &self,
        input: &Input,
        items: Range<usize>,
        _: &Parameters,
        stages: &Stages,
    ) -> Result<Part, Error> {
        let beyond = || Error::internal("a piece beyond the images");
        self.rows(images(input)?.get(items).ok_or_else(beyond)?, stages).map(Part::Rows)
    }

    fn decode(&self, outputs: &Tensors, parameters: &Parameters) -> Result<Vec<Prediction>, Error> {
        self.head.decode(outputs, parameters)
    }

    fn sample(&self, count: usize) -> Input {
        // A GIF of one grey pixel.
        const PIXEL: &[u8] =
            b"GIF89a\x01\0\x01\0\x80\0\0\x80\x80\x80\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
        let source = ImageSource::File(bytes::Bytes::from_static(PIXEL), None);
        Input::Images(vec![Image { field: "image".into(), source }; count])
    }

    fn varied(&self, count: usize) -> Input {
        varied::images(count)
    }

    fn calibrate(&mut self, runs: &[Tensors]) -> Result<(), Unserved> {
        self.head.calibrate(runs)
    }

    fn notes(&self) -> Vec<Note> {
        let Self { height, width, channels, from, preprocessing, .. } = self;
        let size = format!("{height} × {width}, {channels} channels");
        let mut notes = vec![Note::new("image size", size, from.clone())];
        let steps = preprocessing.describe().into_iter();
        notes.extend(steps.map(|(what, how)| Note::new(what, how, from.clone())));
        let (how, from) = match preprocessing.exact {
            true => ("every pixel", "model.toml (preprocess.exact)"),
            false => ("large ones at a smaller scale", ASSUMED),
        };
        notes.push(Note::new("JPEG decoding", how, from));
        notes.extend(self.head.notes());
        notes
    }

    fn assumptions(&self) -> Vec<String> {
        self.assumptions.iter().chain(self.head.assumptions()).cloned().collect()
    }
}
