//! What is asked: inputs from files, and the requests that carry them.

use std::borrow::Cow;
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
use crate::tasks::{Cells, Column, Image, ImageSource, Input, InputKind, Number, Numbers};
use crate::tensor::{DataType, Tensor, Tensors};

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
    // A missing value stays one.
    let mark_of = |numbers: &Numbers| {
        let first = *numbers.values().first().context("a row without numbers")?;
        anyhow::Ok(Some(Mark::Number(first)).filter(|_| marked && !first.is_nan()))
    };
    let numbers = |numbers: &Numbers| -> Vec<String> {
        (0..numbers.len()).map(|place| numbers.told(place)).collect()
    };
    match cells {
        Cells::Rows { values, .. } => {
            let mark = mark_of(values)?;
            let row = numbers(values);
            Ok(match mark {
                Some(mark) => {
                    let rest =
                        row[1..].iter().fold(String::new(), |text, number| text + "," + number);
                    ("{\"features\":[[".to_owned(), mark, format!("{rest}]]}}"))
                }
                None => {
                    (format!("{{\"features\":[[{}]]}}", row.join(",")), Mark::None, String::new())
                }
            })
        }
        Cells::Columns { columns, .. } => {
            let (mut before, mut mark, mut after) =
                ("{\"features\":{".to_owned(), Mark::None, String::new());
            for (index, (name, column)) in columns.iter().enumerate() {
                let part = if mark == Mark::None { &mut before } else { &mut after };
                let comma = if index == 0 { "" } else { "," };
                part.push_str(&format!("{comma}{}:[", serde_json::to_string(name)?));
                let column = typed(column, rows.tensors.get(name));
                match &*column {
                    Column::Numbers(values) => match mark_of(values)? {
                        Some(here) if mark == Mark::None => {
                            mark = here;
                            after.push(']');
                        }
                        _ => part.push_str(&format!("{}]", numbers(values).join(","))),
                    },
                    Column::Texts(texts) => {
                        let texts = serde_json::to_string(texts)?;
                        part.push_str(texts.strip_prefix('[').unwrap_or(&texts));
                    }
                    Column::Written(_) | Column::Lacking(_) => part.push(']'),
                }
            }
            after.push_str("}}");
            Ok((before, mark, after))
        }
    }
}

/// A column as JSON has words for it: cells of CSV are texts where the network takes them as such.
fn typed<'a>(column: &'a Column, taken: Option<&Tensor>) -> Cow<'a, Column> {
    let Column::Written(cells) = column else { return Cow::Borrowed(column) };
    let is_text = taken.is_some_and(|tensor| tensor.data_type() == DataType::String);
    let numbers = || cells.iter().map(|cell| Number::of_cell(cell)).collect::<Option<Numbers>>();
    Cow::Owned(match numbers().filter(|_| !is_text) {
        Some(numbers) => Column::Numbers(numbers),
        None => Column::Texts(cells.iter().cloned().map(Some).collect()),
    })
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
        let row = Cells::row(vec![5.1, 3.0].into());
        assert_eq!(written(&row, &floats), (json!({"features": [[5.1, 3]]}), Mark::Number(5.1)));
        assert_eq!(written(&row, &whole), (json!({"features": [[5.1, 3]]}), Mark::None));
        let columns = vec![
            ("sex".to_owned(), Column::Texts(vec![Some("male".to_owned())])),
            ("weight".to_owned(), Column::Written(vec![String::new()])),
            ("age".to_owned(), Column::Written(vec!["39.5".to_owned()])),
            ("pay".to_owned(), Column::Numbers(vec![7.0].into())),
        ];
        let columns = Cells::Columns { columns, rows: 1, records: false };
        let (json, mark) = written(&columns, &floats);
        let expected = json!({"sex": ["male"], "weight": [null], "age": [39.5], "pay": [7]});
        assert_eq!(json, json!({ "features": expected }));
        assert_eq!(mark, Mark::Number(39.5));
    }
}
