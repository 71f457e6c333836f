//! What is asked: inputs from files, and the requests that carry them.

use std::path::PathBuf;

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use clap::ValueEnum;
use http::{HeaderName, HeaderValue, header};
use serde_json::json;

use crate::api::oip::binary;
use crate::cli::sources;
use crate::load::payload::{Mark, Payload};
use crate::model::load::Location;
use crate::model::{ByHand, Model};
use crate::rows::Rows;
use crate::tasks::image::Format;
use crate::tasks::{Cells, Column, Image, ImageSource, Input, InputKind};
use crate::tensor::{DataType, Tensors};

/// Most inputs that are taken; they and their tensors lie in memory.
const MOST: usize = 512;

/// One input, and what the network takes for it.
pub struct Item {
    /// `None` for a model of tensors.
    pub input: Option<Input>,
    pub rows: Rows,
}

/// The form of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Body {
    /// JSON with the field text, features, or image in base64.
    Json,
    /// The image's file as it is.
    Image,
    /// Open Inference Protocol v2: the network's own inputs as binary tensors.
    V2,
}

impl Body {
    /// The shortest form of a kind of input.
    pub fn of(kind: InputKind) -> Self {
        match kind {
            InputKind::Image => Self::Image,
            InputKind::Text | InputKind::Features => Self::Json,
            InputKind::Tensors => Self::V2,
        }
    }
}

/// The inputs that `model`, which lies there, is asked, and what its network takes for each.
///
/// # Errors
/// No such file, or an input that the model does not take.
pub fn read(
    model: &Model,
    hands: &ByHand,
    paths: &[PathBuf],
    location: &Location,
) -> anyhow::Result<Vec<Item>> {
    if model.input_kind() == InputKind::Tensors {
        return Ok(vec![Item { input: None, rows: model.sample_rows()? }]);
    }
    // A refusal names its input by itself.
    let item = |input| {
        let rows = hands.encode(&input)?.rows;
        Ok(Item { input: Some(input), rows })
    };
    sources::questions(model, location, paths, MOST)?.into_iter().map(item).collect()
}

/// The bodies that carry these inputs in this form.
///
/// # Errors
/// A form that is not for this kind of input.
pub fn payloads(model: &Model, items: &[Item], form: Body) -> anyhow::Result<Vec<Payload>> {
    items.iter().map(|item| payload(model, item, form)).collect()
}

fn payload(model: &Model, item: &Item, form: Body) -> anyhow::Result<Payload> {
    match (form, &item.input) {
        (Body::V2, _) => v2(&model.network_inputs(&item.rows)),
        (_, None) => bail!("a model of tensors is asked by v2 alone"),
        (Body::Image, Some(Input::Images(images))) => {
            let file = file(images)?;
            let format = Format::sniff(&file).context("no image")?;
            Ok(Payload {
                headers: vec![content_type(format.media_type())],
                before: file,
                // Decoders stop at an image's end.
                mark: Mark::Bytes,
                after: Bytes::new(),
            })
        }
        (Body::Image, Some(input)) => {
            bail!("image bodies carry no `{}`: use json or v2", input.kind().field())
        }
        (Body::Json, Some(input)) => {
            let (before, mark, after) = match input {
                Input::Images(images) => {
                    let mut file = file(images)?.to_vec();
                    file.resize(file.len().next_multiple_of(3), 0);
                    let base64 = BASE64_STANDARD.encode(file);
                    (format!("{{\"image\":\"{base64}"), Mark::Base64, "\"}".to_owned())
                }
                Input::Texts(texts) => {
                    let text = texts.first().map_or("", |text| &text.text);
                    let json = serde_json::to_string(text)?;
                    let open = json.strip_suffix('"').unwrap_or(&json);
                    (format!("{{\"text\":{open}"), Mark::Blanks, "\"}".to_owned())
                }
                Input::Features(features) => cells(&features.cells, &item.rows)?,
            };
            let headers = vec![content_type("application/json")];
            Ok(Payload { headers, before: before.into(), mark, after: after.into() })
        }
    }
}

fn content_type(media_type: &'static str) -> (HeaderName, HeaderValue) {
    (header::CONTENT_TYPE, HeaderValue::from_static(media_type))
}

fn file(images: &[Image]) -> anyhow::Result<Bytes> {
    match images.first().map(|image| &image.source) {
        Some(ImageSource::File(file, _)) => Ok(file.clone()),
        Some(ImageSource::Base64(text)) => Ok(BASE64_STANDARD.decode(text)?.into()),
        None => bail!("no image"),
    }
}

/// A row, with the mark at its first number where the network takes fractions.
fn cells(cells: &Cells, rows: &Rows) -> anyhow::Result<(String, Mark, String)> {
    let takes_fractions = |data_type: DataType| {
        use DataType::{BF16, F16, F32, F64, String};
        matches!(data_type, BF16 | F16 | F32 | F64 | String)
    };
    let marked = rows.tensors.0.iter().all(|(_, tensor)| takes_fractions(tensor.data_type()));
    let number = |value: f64| match value.fract() == 0.0 && value.abs() < 1e15 {
        true => format!("{}", value as i64),
        false => format!("{value:?}"),
    };
    match cells {
        Cells::Rows { values, .. } => {
            let first = *values.first().context("a row without numbers")?;
            let rest: Vec<String> = values[1..].iter().copied().map(number).collect();
            let rest = rest.iter().fold(String::new(), |text, number| text + "," + number);
            Ok(match marked {
                true => ("{\"features\":[[".to_owned(), Mark::Number(first), format!("{rest}]]}}")),
                false => {
                    let first = number(first);
                    (format!("{{\"features\":[[{first}{rest}]]}}"), Mark::None, String::new())
                }
            })
        }
        Cells::Columns { columns, .. } => {
            let first = columns.iter().position(|(_, cells)| matches!(cells, Column::Numbers(_)));
            let (mut before, mut mark, mut after) =
                ("{\"features\":{".to_owned(), Mark::None, String::new());
            for (index, (name, column)) in columns.iter().enumerate() {
                let mark_here = marked && first == Some(index);
                let part = if mark == Mark::None { &mut before } else { &mut after };
                let comma = if index == 0 { "" } else { "," };
                part.push_str(&format!("{comma}{}:[", serde_json::to_string(name)?));
                match column {
                    Column::Numbers(values) if mark_here => {
                        mark = Mark::Number(*values.first().context("an empty column")?);
                        after.push(']');
                    }
                    Column::Numbers(values) => {
                        let values: Vec<String> = values.iter().copied().map(number).collect();
                        part.push_str(&format!("{}]", values.join(",")));
                    }
                    Column::Strings(texts) => {
                        let texts = serde_json::to_string(texts)?;
                        part.push_str(texts.strip_prefix('[').unwrap_or(&texts));
                    }
                }
            }
            after.push_str("}}");
            Ok((before, mark, after))
        }
    }
}

/// A request of the Open Inference Protocol with binary tensors.
fn v2(tensors: &Tensors) -> anyhow::Result<Payload> {
    let (mut bytes, mut inputs) = (Vec::new(), Vec::new());
    for (name, tensor) in &tensors.0 {
        let start = bytes.len();
        binary::append(tensor, &mut bytes);
        inputs.push(json!({
            "name": name,
            "shape": tensor.shape(),
            "datatype": tensor.data_type().name(),
            "parameters": {"binary_data_size": bytes.len() - start},
        }));
    }
    let head = json!({"inputs": inputs, "parameters": {"binary_data_output": true}}).to_string();
    let length = HeaderValue::from_str(&head.len().to_string())?;
    Ok(Payload {
        headers: vec![
            content_type("application/octet-stream"),
            (HeaderName::from_static("inference-header-content-length"), length),
        ],
        before: head.into(),
        mark: Mark::None,
        after: bytes.into(),
    })
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;
    use crate::tensor::Tensor;

    fn rows(tensor: Tensor) -> Rows {
        Rows::alike(Tensors(vec![("x".into(), tensor)]))
    }

    fn written(cells: &Cells, rows: &Rows) -> (serde_json::Value, Mark) {
        let (before, mark, after) = super::cells(cells, rows).unwrap();
        let payload =
            Payload { headers: Vec::new(), before: before.into(), mark, after: after.into() };
        (serde_json::from_slice(&payload.body(0)).unwrap(), mark)
    }

    #[test]
    fn rows_and_columns_are_written_as_they_were_read() {
        let floats = rows(arr2(&[[0.0_f32]]).into_dyn().into());
        let whole = rows(arr2(&[[0_i64]]).into_dyn().into());
        let row = Cells::Rows { values: vec![5.1, 3.0], columns: 2, rows: 1 };
        assert_eq!(written(&row, &floats), (json!({"features": [[5.1, 3]]}), Mark::Number(5.1)));
        assert_eq!(written(&row, &whole), (json!({"features": [[5.1, 3]]}), Mark::None));
        let columns = vec![
            ("sex".to_owned(), Column::Strings(vec!["male".to_owned()])),
            ("age".to_owned(), Column::Numbers(vec![39.5])),
            ("pay".to_owned(), Column::Numbers(vec![7.0])),
        ];
        let columns = Cells::Columns { columns, rows: 1 };
        let (json, mark) = written(&columns, &floats);
        assert_eq!(json, json!({"features": {"sex": ["male"], "age": [39.5], "pay": [7]}}));
        assert_eq!(mark, Mark::Number(39.5));
    }
}
