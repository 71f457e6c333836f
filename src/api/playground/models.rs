//! What the page must know of the models to make a form for each.

use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::api::oip::metadata::TensorMetadata;
use crate::error::Error;
use crate::model::repository::Profile;
use crate::tasks::{Cells, FeatureColumn, ImageSource, Input, InputKind};
use crate::tensor::DataType;

/// The answer to `/playground/models`.
#[derive(Serialize, ToSchema)]
pub struct Playground {
    version: &'static str,
    limits: InputLimits,
    /// First those that answer when no model is named.
    models: Vec<PlaygroundModel>,
}

/// What an input may be; the page makes larger images smaller.
#[derive(Serialize, ToSchema)]
#[schema(as = PlaygroundLimits)]
#[expect(clippy::struct_field_names, reason = "the configuration's names")]
struct InputLimits {
    /// Bytes.
    max_body_size: usize,
    /// Pixels.
    max_image_side: u32,
    max_image_pixels: u64,
    /// UTF-8.
    max_text_bytes: usize,
}

/// A model and its form.
#[derive(Serialize, ToSchema)]
struct PlaygroundModel {
    name: String,
    version: String,
    /// Those that are loaded.
    versions: Vec<String>,
    task: &'static str,
    /// The field of `/predict` that it takes: `image`, `text`, `features`; or `inputs`, by the Open
    /// Inference Protocol.
    input: &'static str,
    /// Answers its kind of input when no model is named.
    default: bool,
    device: String,
    file: String,
    /// Number of classes; 0 if they are not known.
    labels: usize,
    /// Of features; empty where their number is open.
    columns: Vec<ColumnForm>,
    inputs: Vec<TensorMetadata>,
    examples: Vec<Example>,
}

/// A field of the form.
#[derive(Serialize, ToSchema)]
#[schema(as = PlaygroundColumn)]
struct ColumnForm {
    name: Option<String>,
    /// `number`, `integer`, `boolean` (0 or 1) or `text`.
    r#type: &'static str,
    datatype: &'static str,
}

impl From<FeatureColumn> for ColumnForm {
    fn from(FeatureColumn { name, data_type }: FeatureColumn) -> Self {
        let r#type = match data_type {
            DataType::String => "text",
            DataType::Bool => "boolean",
            DataType::F16 | DataType::BF16 | DataType::F32 | DataType::F64 => "number",
            _ => "integer",
        };
        Self { name, r#type, datatype: data_type.name() }
    }
}

/// An input that the model is known to answer well.
#[derive(Serialize, ToSchema)]
#[schema(as = PlaygroundExample)]
#[serde(rename_all = "lowercase")]
enum Example {
    Text(String),
    /// One row.
    Features(Vec<f64>),
    /// Its file is at `/playground/models/{model}/example`.
    Image,
}

impl Playground {
    /// # Errors
    /// [`crate::error::ErrorKind::Unavailable`] while the models are loading.
    pub fn of(app: &App) -> Result<Self, Error> {
        let repository = app.repository()?;
        let mut models: Vec<_> = repository
            .defaults()
            .iter()
            .map(|(model, default)| {
                let versions = repository.versions(&model.name);
                PlaygroundModel::of(model, &versions, *default)
            })
            .collect();
        // A sort that keeps the order by name.
        let last = InputKind::Tensors.field();
        models.sort_by_key(|model| (model.input == last, !model.default, order(model.input)));
        let limits = InputLimits {
            max_body_size: app.server.max_body_size,
            max_image_side: app.limits.max_image_side,
            max_image_pixels: app.limits.max_image_pixels,
            max_text_bytes: app.limits.max_text_bytes,
        };
        Ok(Self { version: env!("CARGO_PKG_VERSION"), limits, models })
    }
}

/// What people try first comes first.
fn order(input: &str) -> usize {
    ["image", "text", "features"].iter().position(|kind| *kind == input).unwrap_or(3)
}

impl PlaygroundModel {
    fn of(model: &Profile, versions: &[u64], default: bool) -> Self {
        let image = example_image(model).map(|_| Example::Image);
        let others = model.examples.iter().filter_map(Example::of);
        Self {
            name: model.name.clone(),
            version: model.version.to_string(),
            versions: versions.iter().map(ToString::to_string).collect(),
            task: model.task,
            input: model.kind.field(),
            default,
            device: model.provider.to_string(),
            file: model.file.clone(),
            labels: model.labels,
            columns: model.columns.iter().cloned().map(ColumnForm::from).collect(),
            inputs: TensorMetadata::list(&model.signature.inputs),
            examples: image.into_iter().chain(others).collect(),
        }
    }
}

impl Example {
    fn of(input: &Input) -> Option<Self> {
        match input {
            Input::Texts(texts) => texts.first().map(|text| Self::Text(text.text.clone())),
            Input::Features(features) => match &features.cells {
                Cells::Rows { values, rows: 1, .. } => {
                    Some(Self::Features(values.values().to_vec()))
                }
                _ => None,
            },
            Input::Images(_) => None,
        }
    }
}

/// The file of the first image that the model is known to answer well.
pub fn example_image(model: &Profile) -> Option<Bytes> {
    model.examples.iter().find_map(|input| match input {
        Input::Images(images) => match &images.first()?.source {
            ImageSource::File(file, _) => Some(file.clone()),
            ImageSource::Base64(_) => None,
        },
        _ => None,
    })
}
