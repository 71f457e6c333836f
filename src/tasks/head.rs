//! What a network's outputs mean: classes with scores, or values. Shared by all tasks.

use std::sync::Arc;

use super::hugging_face::HfConfig;
use super::note::{ASSUMED, SHAPES, WARM_UP};
use super::{ClassScore, Material, Note, Parameters, Prediction, Value};
use crate::config::Scores;
use crate::error::Error;
use crate::signature::{KEYS_SUFFIX, Kind, Signature, TensorSpec};
use crate::tensor::{DataType, Tensor, Tensors};

pub(super) const FLOATS: [DataType; 4] =
    [DataType::F32, DataType::F64, DataType::F16, DataType::BF16];

/// How a score becomes a probability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activation {
    /// One class of many.
    Softmax,
    /// Each class for itself.
    Sigmoid,
    /// The network has done it.
    None,
    /// Softmax, unless the warm-up's scores are probabilities already.
    SoftmaxOrNone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Classes(Activation),
    Values,
    /// Classes if the warm-up's scores are probabilities, else values.
    ClassesOrValues,
}

/// Reads predictions out of the one output that holds them.
#[derive(Debug)]
pub struct Head {
    output: String,
    labels: Option<Vec<Arc<str>>>,
    meaning: Meaning,
    /// What says so.
    meaning_from: &'static str,
    notes: Vec<Note>,
    assumptions: Vec<String>,
}

impl Head {
    /// `must_classify`: the task is known to be a classification even if no file names classes.
    ///
    /// # Errors
    /// The output cannot be told, or labels do not fit its width.
    pub fn build(
        material: Material<'_>,
        hf: &HfConfig,
        must_classify: bool,
    ) -> Result<Self, String> {
        let Material { signature, network, config, .. } = material;
        let output = choose_output(signature, config.output.as_deref())?;
        // A trailing axis of 1 (a pooled feature map) is no width.
        let width = output.shape.iter().skip(1).copied().reduce(|a, b| Some(a? * b?)).flatten();
        let tells_label = signature.outputs.iter().any(|other| {
            other.name != output.name
                && other.shape.len() <= 2
                && matches!(other.data_type(), Some(DataType::I64 | DataType::String))
        });
        let labels = match class_names(material, hf)? {
            // As scikit-learn's converter writes classifiers without a ZipMap.
            None if tells_label => {
                super::graph::class_labels(network).map(|labels| ("the network's graph", labels))
            }
            named => named,
        };
        if let (Some((file, labels)), Some(width)) = (&labels, width) {
            check_labels(file, labels.len(), width, &output.name)?;
        }
        let problem = config.problem_type.as_deref().or(hf.problem_type.as_deref());
        let values = problem == Some("regression") || width == Some(1) || output.shape.len() == 1;
        let meaning_from = match (config.scores, &config.problem_type, &hf.problem_type) {
            _ if output.kind == Kind::ClassMap => SHAPES,
            (Some(_), _, _) => "model.toml (scores)",
            (_, Some(_), _) => "model.toml (problem_type)",
            (_, _, Some(_)) => "config.json (problem_type)",
            _ if values => SHAPES,
            _ if hf.architectures.is_some() => "config.json (architectures)",
            _ => WARM_UP,
        };
        let meaning = match (config.scores, problem) {
            (_, _) if output.kind == Kind::ClassMap => Meaning::Classes(Activation::None),
            (Some(Scores::Values), _) => Meaning::Values,
            (Some(Scores::Probabilities), _) => Meaning::Classes(Activation::None),
            (_, Some("multi_label_classification")) => Meaning::Classes(Activation::Sigmoid),
            (None, _) if values => Meaning::Values,
            (Some(Scores::Logits), _) => Meaning::Classes(Activation::Softmax),
            // Hugging Face's classifiers give logits, always.
            (None, _) if hf.architectures.is_some() => Meaning::Classes(Activation::Softmax),
            (None, _) if must_classify || labels.is_some() || tells_label => {
                Meaning::Classes(Activation::SoftmaxOrNone)
            }
            (None, _) => Meaning::ClassesOrValues,
        };
        let of_output = if config.output.is_some() { "model.toml (output)" } else { SHAPES };
        let mut notes = vec![Note::new("output", output.name.clone(), of_output)];
        if meaning != Meaning::Values && output.kind != Kind::ClassMap {
            notes.push(labels_note(labels.as_ref().map(|(file, names)| (*file, names.as_slice()))));
        }
        Ok(Self {
            meaning_from,
            notes,
            output: output.name.clone(),
            labels: labels.map(|(_, labels)| labels.into_iter().map(Into::into).collect()),
            meaning,
            assumptions: Vec::new(),
        })
    }

    #[must_use]
    pub fn outputs(&self) -> Vec<String> {
        vec![self.output.clone()]
    }

    #[must_use]
    pub fn classifies(&self) -> bool {
        self.meaning != Meaning::Values
    }

    #[must_use]
    pub fn is_multi_label(&self) -> bool {
        self.meaning == Meaning::Classes(Activation::Sigmoid)
    }

    #[must_use]
    pub fn assumptions(&self) -> &[String] {
        &self.assumptions
    }

    /// The output, its classes, and what becomes of their scores.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        let told = match self.meaning {
            Meaning::Classes(Activation::Softmax) => "logits: softmax is applied",
            Meaning::Classes(Activation::Sigmoid) => "logits of each label: sigmoid is applied",
            Meaning::Classes(Activation::None) => "probabilities, as the network gives them",
            Meaning::Classes(Activation::SoftmaxOrNone) => "logits or probabilities",
            Meaning::Values => "values",
            Meaning::ClassesOrValues => "probabilities of classes, or values",
        };
        let mut notes = self.notes.clone();
        notes.push(Note::new("scores", told, self.meaning_from));
        notes
    }

    /// Settles from one warm-up run what the files leave open.
    ///
    /// # Errors
    /// Another number of classes than labels.
    pub fn calibrate(&mut self, outputs: &Tensors) -> Result<(), String> {
        let (scores, width) = self.scores(outputs).map_err(|error| error.to_string())?;
        let sums_to_one = |row: &[f32]| {
            row.iter().all(|score| (0.0..=1.0).contains(score))
                && (row.iter().sum::<f32>() - 1.0).abs() < 1e-3
        };
        let probabilities = width > 1 && scores.chunks_exact(width).all(sums_to_one);
        match self.meaning {
            Meaning::Classes(Activation::SoftmaxOrNone) => {
                let activation = if probabilities { Activation::None } else { Activation::Softmax };
                self.meaning = Meaning::Classes(activation);
            }
            Meaning::ClassesOrValues if probabilities => {
                self.meaning = Meaning::Classes(Activation::None);
            }
            Meaning::ClassesOrValues => {
                self.meaning = Meaning::Values;
                self.assumptions.push(format!(
                    "output `{}` holds values, since they do not add up to 1; if they are scores \
                     of classes: scores = \"logits\"",
                    self.output
                ));
            }
            Meaning::Classes(_) | Meaning::Values => {}
        }
        let named = outputs.get(&format!("{}{KEYS_SUFFIX}", self.output)).is_some();
        match &self.labels {
            Some(labels) if self.classifies() => {
                check_labels("the labels' file", labels.len(), width, &self.output)?;
            }
            None if self.classifies() && !named => self.assumptions.push(
                "no class names, so the classes are numbered from 0; a labels.txt with one name a \
                 line would give them"
                    .to_owned(),
            ),
            _ => {}
        }
        Ok(())
    }

    /// The classes by number, where they are known.
    pub fn labels(&self) -> &[Arc<str>] {
        self.labels.as_deref().unwrap_or_default()
    }

    /// One prediction a row.
    ///
    /// # Errors
    /// A score that is NaN or infinite.
    pub fn decode(
        &self,
        outputs: &Tensors,
        parameters: &Parameters,
    ) -> Result<Vec<Prediction>, Error> {
        let (scores, width) = self.scores(outputs)?;
        if let Some(bad) = scores.iter().find(|score| !score.is_finite()) {
            return Err(Error::internal(format!("output `{}` holds {bad}", self.output)));
        }
        let keys = outputs.get(&format!("{}{KEYS_SUFFIX}", self.output));
        let rows = scores.chunks_exact(width).enumerate();
        Ok(rows.map(|(row, scores)| self.predict(row, scores, keys, parameters)).collect())
    }

    fn predict(
        &self,
        row: usize,
        scores: &[f32],
        keys: Option<&Tensor>,
        parameters: &Parameters,
    ) -> Prediction {
        let Meaning::Classes(activation) = self.meaning else {
            let value = match scores {
                [one] => Value::One(*one),
                many => Value::Many(many.to_vec()),
            };
            return Prediction::Value { value };
        };
        let label = |class: usize| -> Arc<str> {
            match (&self.labels, keys) {
                (Some(labels), _) if class < labels.len() => labels[class].clone(),
                (_, Some(Tensor::String(keys))) => keys[[row, class].as_slice()].as_str().into(),
                _ => class.to_string().into(),
            }
        };
        let scores = match activation {
            _ if parameters.raw_scores => scores.to_vec(),
            Activation::None => scores.to_vec(),
            Activation::Sigmoid => scores.iter().map(|score| sigmoid(*score)).collect(),
            Activation::Softmax | Activation::SoftmaxOrNone => softmax(scores),
        };
        let classes: Vec<ClassScore> = top(&scores, parameters.top_k)
            .into_iter()
            .map(|class| ClassScore { label: label(class), score: scores[class], index: class })
            .collect();
        let best = classes.first().cloned();
        let best = best.unwrap_or_else(|| ClassScore { label: "".into(), score: 0.0, index: 0 });
        Prediction::Classes { label: best.label, score: best.score, classes }
    }

    /// All scores in row-major order, and how many a row has.
    fn scores(&self, outputs: &Tensors) -> Result<(Vec<f32>, usize), Error> {
        let tensor = outputs.get(&self.output);
        let scores = tensor.and_then(Tensor::to_f32).filter(|scores| !scores.is_empty());
        match (tensor, scores) {
            (Some(tensor), Some(scores)) => {
                let width = scores.len() / tensor.shape()[0];
                Ok((scores, width))
            }
            _ => Err(Error::internal(format!("output `{}` holds no numbers", self.output))),
        }
    }
}

/// How many classes there are and which come first.
pub(super) fn labels_note(labels: Option<(&str, &[String])>) -> Note {
    const FIRST: usize = 3;
    let Some((file, names)) = labels else {
        return Note::new("labels", "numbered from 0", ASSUMED);
    };
    let first: Vec<_> = names.iter().take(FIRST).map(String::as_str).collect();
    let rest = if names.len() > FIRST { ", …" } else { "" };
    Note::new("labels", format!("{}: {}{rest}", names.len(), first.join(", ")), file)
}

/// The classes' names that a file gives, and that file.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn class_names(
    Material { files, config, .. }: Material<'_>,
    hf: &HfConfig,
) -> Result<Option<(&'static str, Vec<String>)>, String> {
    Ok(match (&config.labels, files.labels()?, hf.labels()?) {
        (Some(labels), _, _) => Some(("model.toml", labels.clone())),
        (None, Some(labels), _) => Some(("labels.txt", labels)),
        (None, None, Some(labels)) => Some(("config.json", labels)),
        (None, None, None) => files.labels_json()?.map(|labels| ("labels.json", labels)),
    })
}

/// # Errors
/// Another number of names than classes.
pub(super) fn check_labels(
    file: &str,
    labels: usize,
    width: usize,
    output: &str,
) -> Result<(), String> {
    if labels == width {
        return Ok(());
    }
    Err(format!("{file} names {labels} classes, but output `{output}` has {width}"))
}

/// The output that holds scores or values.
fn choose_output<'a>(
    signature: &'a Signature,
    named: Option<&str>,
) -> Result<&'a TensorSpec, String> {
    let outputs = &signature.outputs;
    if let Some(name) = named {
        return output_named(signature, name);
    }
    if let Some(map) = outputs.iter().find(|output| output.kind == Kind::ClassMap) {
        return Ok(map);
    }
    let one_vector_a_row = |spec: &&TensorSpec| {
        spec.data_type().is_some_and(|data_type| FLOATS.contains(&data_type))
            && spec.shape.iter().skip(2).all(|axis| *axis == Some(1))
    };
    let likely: Vec<_> = outputs.iter().filter(one_vector_a_row).collect();
    let called = |part: &str| {
        likely.iter().copied().find(|output| output.name.to_lowercase().contains(part))
    };
    match likely.as_slice() {
        [only] => Ok(only),
        _ => called("logits").or_else(|| called("prob")).ok_or_else(|| {
            format!(
                "cannot tell which output holds the scores: {}. Name it in model.toml: \
                 output = \"…\"",
                Signature::list(outputs)
            )
        }),
    }
}

/// The output that `model.toml` names.
///
/// # Errors
/// There is none of that name.
pub(super) fn output_named<'a>(
    Signature { outputs, .. }: &'a Signature,
    name: &str,
) -> Result<&'a TensorSpec, String> {
    outputs.iter().find(|output| output.name == name).ok_or_else(|| {
        let known = outputs.iter().map(|output| output.name.as_str());
        format!("output = \"{name}\": {}", crate::error::one_of(name, known))
    })
}

/// Indices of the `k` largest scores, largest first; of equal ones the smaller index first.
fn top(scores: &[f32], k: usize) -> Vec<usize> {
    let falling = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
    let mut order: Vec<usize> = (0..scores.len()).collect();
    if k > 0 && k < order.len() {
        order.select_nth_unstable_by(k - 1, falling);
    }
    order.truncate(k);
    order.sort_unstable_by(falling);
    order
}

/// Stable for any finite logits: the largest is subtracted first.
pub(super) fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|x| f64::from(*x - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| (power / sum) as f32).collect()
}

/// Stable for any finite logit: only falling exponentials are taken.
fn sigmoid(logit: f32) -> f32 {
    let power = (-logit.abs()).exp();
    if logit >= 0.0 { 1.0 / (1.0 + power) } else { power / (1.0 + power) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_and_sigmoid_are_stable_for_any_logits() {
        assert_eq!(softmax(&[-1e30, 1e30]), vec![0.0, 1.0]);
        assert_eq!(softmax(&[f32::MAX, f32::MIN]), vec![1.0, 0.0]);
        assert_eq!(softmax(&[-900.0, -900.0]), vec![0.5, 0.5]);
        assert_eq!((sigmoid(1e30), sigmoid(-1e30), sigmoid(0.0)), (1.0, 0.0, 0.5));
    }

    #[test]
    fn the_best_come_first_and_ties_keep_their_order() {
        assert_eq!(top(&[0.1, 0.7, 0.1, 0.7], 3), vec![1, 3, 0]);
        assert_eq!(top(&[0.1, 0.7], 9), vec![1, 0]);
    }
}
