//! Images and texts as `BYTES`: the server does what is before and after the network.
//!
//! A model with a task takes, beside its network's own inputs, one input called after what it takes
//! (`image` or `text`; `BYTES [N]` or `[N,1]`): JPEG and other image files (in JSON: base64), or
//! strings. Its outputs are then `label` (`BYTES [N]`) and `score` (`FP32 [N]`) of the best class, or
//! `value` (`FP32 [N]` or `[N,M]`) of a regression, `embedding` (`FP32 [N,H]`), or `entities`
//! (`BYTES [N]`, a JSON list each).

use std::sync::Arc;

use bytes::Bytes;
use ndarray::{ArrayD, IxDyn};

use super::elements::Elements;
use super::infer::{InferAnswer, InputTensor, InputValue, RequestedOutput};
use super::missing::Missing;
use crate::api::App;
use crate::api::asker::Asker;
use crate::error::{Error, excerpt, one_of, told_shape};
use crate::meter::Meter;
use crate::model::{Answered, Model, Terms};
use crate::tasks::image::Format;
use crate::tasks::{
    Image, ImageSource, Input, InputKind, Label, Parameters, Prediction, Scalar, Text, Value,
};
use crate::tensor::Tensor;

/// Bytes of an image or a text, beside its content: itself, and the field that it came from.
const ITEM: usize = 2 * size_of::<Image>() + 32;

/// The name of the input that the model's task takes, if it takes one by `BYTES`.
#[must_use]
pub fn input_name(model: &Model) -> Option<&'static str> {
    let kind = model.input_kind();
    let takes = matches!(kind, InputKind::Image | InputKind::Text);
    Some(kind.field()).filter(|name| takes && model.signature.input(name).is_none())
}

/// Whether these are the input for the model's task, rather than the network's own.
#[must_use]
pub fn is_for_task(model: &Model, inputs: &[InputTensor]) -> bool {
    let [InputTensor { name, value: InputValue::Bytes { .. } }] = inputs else { return false };
    input_name(model).is_some_and(|known| known == name)
}

/// The input for the model's task.
///
/// # Errors
/// Text that is not UTF-8, elements that are not one column, too many of them.
pub fn input(
    model: &Model,
    shape: &[usize],
    elements: Elements,
    meter: &Meter<'_>,
) -> Result<Input, Error> {
    let kind = model.input_kind();
    if !matches!(shape, [_] | [_, 1]) {
        let got = format!("BYTES {}", told_shape(shape));
        return Err(Error::invalid(kind.field(), "BYTES [N] or [N,1]", got));
    }
    let (most, count) = (model.most_items(), elements.count());
    if count > most {
        let expected = format!("at most {most} items in one request");
        return Err(Error::too_large(kind.field(), expected, count.to_string()));
    }
    meter.take(count.saturating_mul(ITEM))?;
    let field = |index| format!("{}[{index}]", kind.field());
    Ok(match kind {
        InputKind::Image => {
            let image = |(index, source)| Image { field: field(index), source };
            Input::Images(sources(elements, meter)?.into_iter().enumerate().map(image).collect())
        }
        _ => {
            let text = |(index, text)| Text { field: field(index), text, pair: None };
            let texts = elements.into_texts(kind.field(), meter)?;
            Input::Texts(texts.into_iter().enumerate().map(text).collect())
        }
    })
}

/// Images' files, or their base64, which is how JSON carries them.
fn sources(elements: Elements, meter: &Meter<'_>) -> Result<Vec<ImageSource>, Error> {
    let is_file = |bytes: &[u8]| Format::sniff(bytes).is_some();
    match elements {
        Elements::Texts(texts) => {
            let source = |text: String| match is_file(text.as_bytes()) {
                true => ImageSource::File(text.into(), None),
                false => ImageSource::Base64(text),
            };
            Ok(texts.into_iter().map(source).collect())
        }
        framed @ Elements::Framed { .. } => {
            let source = |bytes: Bytes| match std::str::from_utf8(&bytes) {
                Ok(text) if !is_file(&bytes) => {
                    meter.take(text.len())?;
                    Ok(ImageSource::Base64(text.to_owned()))
                }
                _ => Ok(ImageSource::File(bytes, None)),
            };
            framed.into_bytes().map(source).collect()
        }
    }
}

/// # Errors
/// An output that the task does not give; those of [`Model::predict`].
pub async fn infer(
    app: &App,
    model: &Arc<Model>,
    input: Input,
    asked: Vec<RequestedOutput>,
    terms: (&Asker, Terms),
    pinned: bool,
) -> Result<InferAnswer, Error> {
    let classes = asked.iter().filter_map(|output| output.classification).max();
    let parameters = Parameters { top_k: classes.unwrap_or(1), ..Parameters::default() };
    let Answered { predictions, timings } =
        app.predict(model, input, parameters, terms, pinned).await?;
    let select = move |model: &Model, predictions: &[Prediction]| {
        let all = outputs(predictions)?;
        let named = |(index, asked): (usize, &RequestedOutput)| {
            let RequestedOutput { name, classification } = asked;
            let found = all.iter().find(|(known, _)| known == name);
            let Some((_, tensor)) = found else {
                let expected = one_of(name, all.iter().map(|(name, _)| *name).collect::<Vec<_>>());
                let got = format!("`{}`", excerpt(name));
                return Err(Error::invalid(format!("outputs[{index}].name"), expected, got));
            };
            let tensor = match classification {
                Some(count) => best(predictions, model, *count, index)?,
                None => tensor.clone(),
            };
            Ok((name.clone(), tensor))
        };
        let outputs = match &*asked {
            [] => all.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect(),
            some => some.iter().enumerate().map(named).collect::<Result<_, _>>()?,
        };
        Ok(InferAnswer { outputs, missing: Missing::default(), timings })
    };
    app.write(model.clone(), predictions, parameters, select).await
}

/// What the task gives, as tensors with a row for each prediction.
fn outputs(predictions: &[Prediction]) -> Result<Vec<(&'static str, Tensor)>, Error> {
    let (mut labels, mut scores, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for prediction in predictions {
        match prediction {
            Prediction::Classes { label, score, .. } => {
                labels.push(label.to_string());
                scores.push(*score);
            }
            Prediction::Label { label, value } => {
                match label {
                    Label::One(label) => labels.push(label.to_string()),
                    Label::Several(several) => {
                        labels.extend(several.iter().map(ToString::to_string));
                    }
                }
                values.extend(value.iter().flat_map(Value::numbers));
            }
            Prediction::Value { value } => values.extend(value.numbers()),
            Prediction::Embedding { embedding } => {
                values.extend(embedding.iter().map(|number| Scalar::F32(*number)));
            }
            Prediction::Entities { entities } => {
                labels.push(serde_json::to_string(entities).map_err(Error::internal)?);
            }
        }
    }
    let rows = predictions.len();
    Ok(match predictions.first() {
        Some(Prediction::Classes { .. }) => {
            vec![("label", column(labels, rows)?), ("score", numbers(scores, rows)?)]
        }
        Some(Prediction::Label { value: Some(_), .. }) => {
            vec![("label", column(labels, rows)?), ("value", numbers(values, rows)?)]
        }
        Some(Prediction::Label { .. }) => vec![("label", column(labels, rows)?)],
        Some(Prediction::Entities { .. }) => vec![("entities", column(labels, rows)?)],
        Some(Prediction::Embedding { .. }) => vec![("embedding", numbers(values, rows)?)],
        Some(Prediction::Value { .. }) | None => vec![("value", numbers(values, rows)?)],
    })
}

/// Numbers of one type as a tensor of that type.
fn numbers(values: Vec<Scalar>, rows: usize) -> Result<Tensor, Error> {
    match values.first() {
        Some(Scalar::F64(_)) => column(values.iter().map(|value| value.to_f64()).collect(), rows),
        Some(Scalar::I64(_)) => {
            let integer = |value: &Scalar| if let Scalar::I64(value) = value { *value } else { 0 };
            column(values.iter().map(integer).collect::<Vec<i64>>(), rows)
        }
        _ => column(values.iter().map(|value| value.to_f32()).collect(), rows),
    }
}

/// `[rows]`, or `[rows, columns]` where there are several values a row.
fn column<T>(values: Vec<T>, rows: usize) -> Result<Tensor, Error>
where
    Tensor: From<ArrayD<T>>,
{
    let columns = values.len().checked_div(rows).unwrap_or(1);
    let shape = if columns == 1 { vec![rows] } else { vec![rows, columns] };
    ArrayD::from_shape_vec(IxDyn(&shape), values).map(Into::into).map_err(Error::internal)
}

/// The best classes of each prediction, as the classification extension writes them.
fn best(
    predictions: &[Prediction],
    model: &Model,
    count: usize,
    output: usize,
) -> Result<Tensor, Error> {
    let mut lines = Vec::new();
    for prediction in predictions {
        let Prediction::Classes { classes, .. } = prediction else {
            let field = format!("outputs[{output}].parameters.classification");
            return Err(Error::invalid(field, "a model with classes", model.task()));
        };
        lines.extend(classes.iter().take(count).map(|class| {
            let (number, score) = (class.index, class.score.to_f64());
            match model.labels().get(number).is_some_and(|label| *label == class.label) {
                true => format!("{score:.6}:{number}:{}", class.label),
                false => format!("{score:.6}:{}", class.label),
            }
        }));
    }
    let shape = [predictions.len(), lines.len() / predictions.len().max(1)];
    ArrayD::from_shape_vec(IxDyn(&shape), lines).map(Into::into).map_err(Error::internal)
}
