//! Images and texts as `BYTES`: the server does what is before and after the network.
//!
//! A model with a task takes, beside its network's own inputs, one input called after what it takes
//! (`image` or `text`; `BYTES [N]` or `[N,1]`): JPEG and other image files (in JSON: base64), or
//! strings. Its outputs are then `label` (`BYTES [N]`) and `score` (`FP32 [N]`) of the best class, or
//! `value` (`FP32 [N]` or `[N,M]`) of a regression, `embedding` (`FP32 [N,H]`), or `entities`
//! (`BYTES [N]`, a JSON list each).

use bytes::Bytes;
use ndarray::{ArrayD, IxDyn};

use super::infer::{InferAnswer, InputTensor, InputValue, RequestedOutput};
use super::missing::Missing;
use crate::api::App;
use crate::error::{Error, excerpt, one_of};
use crate::model::{Model, Terms};
use crate::tasks::image::Format;
use crate::tasks::{
    Image, ImageSource, Input, InputKind, Label, Parameters, Prediction, Scalar, Text, Value,
};
use crate::tensor::Tensor;

/// The name of the input that the model's task takes, if it takes one by `BYTES`.
#[must_use]
pub fn input_name(model: &Model) -> Option<&'static str> {
    let kind = model.input_kind();
    let takes = matches!(kind, InputKind::Image | InputKind::Text);
    Some(kind.field()).filter(|name| takes && model.signature.input(name).is_none())
}

/// The input for the model's task, or the inputs as they were if they are the network's own.
///
/// # Errors
/// Text that is not UTF-8, or elements that are not one column.
pub fn input(
    model: &Model,
    mut inputs: Vec<InputTensor>,
) -> Result<Result<Input, Vec<InputTensor>>, Error> {
    let kind = model.input_kind();
    let [InputTensor { name, value: InputValue::Bytes { shape, elements } }] =
        inputs.as_mut_slice()
    else {
        return Ok(Err(inputs));
    };
    if input_name(model) != Some(name) {
        return Ok(Err(inputs));
    }
    if !matches!(shape.as_slice(), [_] | [_, 1]) {
        let got = format!("BYTES {shape:?}");
        return Err(Error::invalid(kind.field(), "BYTES [N] or [N,1]", got));
    }
    let elements = std::mem::take(elements).into_iter().enumerate();
    let field = |index| format!("{}[{index}]", kind.field());
    Ok(Ok(match kind {
        InputKind::Image => Input::Images(
            elements.map(|(i, file)| Image { field: field(i), source: source(file) }).collect(),
        ),
        _ => Input::Texts(
            elements
                .map(|(index, bytes)| match String::from_utf8(bytes.into()) {
                    Ok(text) => Ok(Text { field: field(index), text, pair: None }),
                    Err(_) => Err(Error::invalid(field(index), "text in UTF-8", "other bytes")),
                })
                .collect::<Result<_, _>>()?,
        ),
    }))
}

/// An image's file, or its base64, which is how JSON carries it.
fn source(bytes: Bytes) -> ImageSource {
    match std::str::from_utf8(&bytes) {
        Ok(text) if Format::sniff(&bytes).is_none() => ImageSource::Base64(text.to_owned()),
        _ => ImageSource::File(bytes, None),
    }
}

/// # Errors
/// An output that the task does not give; those of [`Model::predict`].
pub async fn infer(
    app: &App,
    model: &Model,
    input: Input,
    asked: &[RequestedOutput],
    terms: Terms,
    pinned: bool,
) -> Result<InferAnswer, Error> {
    let classes = asked.iter().filter_map(|output| output.classification).max();
    let parameters = Parameters { top_k: classes.unwrap_or(1), ..Parameters::default() };
    let answered = app.predict(model, input, parameters, terms, pinned).await?;
    let all = outputs(&answered.predictions)?;
    let named = |(index, asked): (usize, &RequestedOutput)| {
        let RequestedOutput { name, classification } = asked;
        let found = all.iter().find(|(known, _)| known == name);
        let Some((_, tensor)) = found else {
            let expected = one_of(name, all.iter().map(|(name, _)| *name).collect::<Vec<_>>());
            let got = format!("`{}`", excerpt(name));
            return Err(Error::invalid(format!("outputs[{index}].name"), expected, got));
        };
        let tensor = match classification {
            Some(count) => best(&answered.predictions, model, *count, index)?,
            None => tensor.clone(),
        };
        Ok((name.clone(), tensor))
    };
    let outputs = match asked {
        [] => all.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect(),
        some => some.iter().enumerate().map(named).collect::<Result<_, _>>()?,
    };
    Ok(InferAnswer { outputs, missing: Missing::default(), timings: answered.timings })
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
            match model.labels().iter().position(|label| *label == class.label) {
                Some(number) => format!("{:.6}:{number}:{}", class.score.to_f64(), class.label),
                None => format!("{:.6}:{}", class.score.to_f64(), class.label),
            }
        }));
    }
    let shape = [predictions.len(), lines.len() / predictions.len().max(1)];
    ArrayD::from_shape_vec(IxDyn(&shape), lines).map(Into::into).map_err(Error::internal)
}
