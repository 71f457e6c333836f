//! Which of a network's outputs hold the scores, and which the label.

use super::super::unserved::Unserved;
use super::FLOATS;
use crate::error::one_of;
use crate::signature::{Kind, Signature, TensorSpec};
use crate::tensor::DataType;

const INTEGERS: [DataType; 5] =
    [DataType::I64, DataType::I32, DataType::U8, DataType::Bool, DataType::String];

/// The outputs that a head reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outputs {
    /// One `[N,classes]`, or one `[N]` or `[N,1]` for each class; none where only labels come out.
    pub scores: Vec<TensorSpec>,
    pub label: Option<Label>,
}

/// The output that holds the network's own answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub output: TensorSpec,
    /// It is `[N,labels]`: each of several labels by itself.
    pub several: bool,
}

impl Outputs {
    /// The output that `named` says, else the one that looks like scores.
    ///
    /// # Errors
    /// There is none, or it cannot be told.
    pub fn choose(signature: &Signature, named: Option<&str>) -> Result<Self, Unserved> {
        let outputs = &signature.outputs;
        let scores = match named {
            Some(name) => vec![vector_named(signature, name)?],
            None => scores(outputs)?,
        };
        let is_score = |spec: &TensorSpec| scores.iter().any(|score| score.name == spec.name);
        let labels: Vec<_> =
            outputs.iter().filter(|spec| is_label(spec) && !is_score(spec)).collect();
        let called = |word: &str| {
            labels.iter().copied().find(|spec| spec.name.to_lowercase().contains(word))
        };
        let label = called("label").or_else(|| called("class")).or(labels.first().copied());
        let label = label.map(|output| Label {
            several: output.shape.len() == 2 && output.shape[1] != Some(1),
            output: output.clone(),
        });
        if scores.is_empty() && label.is_none() {
            return Err(Unserved::Unfit(format!(
                "no output holds one vector of scores or values a row: {}",
                Signature::list(outputs)
            )));
        }
        Ok(Self { scores, label })
    }

    /// Integers that stand alone are values, unless something says that they are classes.
    pub fn read_integers_as_values(&mut self, classifies: bool) {
        let is_called = |label: &Label| {
            let name = label.output.name.to_lowercase();
            name.contains("label") || name.contains("class")
        };
        if let Some(label) = &self.label
            && self.scores.is_empty()
            && !classifies
            && !is_called(label)
            && !self.labels_are_strings()
        {
            self.scores = vec![label.output.clone()];
            self.label = None;
        }
    }

    #[must_use]
    pub fn labels_are_strings(&self) -> bool {
        self.label.as_ref().is_some_and(|label| label.output.data_type() == Some(DataType::String))
    }

    /// How many scores a row has, where the network declares it.
    #[must_use]
    pub fn width(&self) -> Option<usize> {
        match self.scores.as_slice() {
            // A trailing axis of 1 (a pooled feature map) is no width.
            [one] if one.shape.len() > 1 => {
                one.shape.iter().skip(1).copied().reduce(|a, b| Some(a? * b?)).flatten()
            }
            several => Some(several.len()),
        }
    }

    /// The scores come as maps from class to score.
    #[must_use]
    pub fn is_map(&self) -> bool {
        self.scores.iter().any(|output| output.kind == Kind::ClassMap)
    }

    /// Of all that are read.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let label = self.label.iter().map(|label| &label.output);
        self.scores.iter().chain(label).map(|output| output.name.as_str())
    }
}

fn scores(outputs: &[TensorSpec]) -> Result<Vec<TensorSpec>, Unserved> {
    if let Some(map) = outputs.iter().find(|output| output.kind == Kind::ClassMap) {
        return Ok(vec![map.clone()]);
    }
    let likely: Vec<_> = outputs.iter().filter(|spec| is_vector(spec)).collect();
    let called = |word: &str| {
        likely.iter().copied().find(|output| output.name.to_lowercase().contains(word))
    };
    match likely.as_slice() {
        [] => Ok(Vec::new()),
        [only] => Ok(vec![(*only).clone()]),
        several => {
            if let Some(found) =
                ["logits", "prob", "predict", "score"].iter().find_map(|word| called(word))
            {
                return Ok(vec![found.clone()]);
            }
            // As scikit-learn's converter writes them with `zipmap="columns"`.
            let is_column =
                |spec: &&TensorSpec| spec.shape.iter().skip(1).all(|axis| *axis == Some(1));
            if outputs.iter().any(is_label) && several.iter().all(is_column) {
                return Ok(several.iter().map(|spec| (*spec).clone()).collect());
            }
            let names: Vec<_> =
                several.iter().map(|spec| format!("output = \"{}\"", spec.name)).collect();
            Err(Unserved::Unfit(format!(
                "several outputs could hold its scores: {}; name the one in model.toml: {}",
                Signature::list(outputs),
                names.join(" or ")
            )))
        }
    }
}

/// One vector of numbers a row.
fn is_vector(spec: &TensorSpec) -> bool {
    spec.data_type().is_some_and(|data_type| FLOATS.contains(&data_type))
        && spec.shape.iter().skip(2).all(|axis| *axis == Some(1))
}

/// `[N]`, `[N,1]` or `[N,labels]` of integers or strings.
fn is_label(spec: &TensorSpec) -> bool {
    (1..=2).any(|rank| spec.is(rank, &INTEGERS))
}

/// The output that `model.toml` names, if it holds a vector a row.
fn vector_named(signature: &Signature, name: &str) -> Result<TensorSpec, Unserved> {
    let found = output_named(signature, name)?;
    match is_vector(found) || is_label(found) || found.kind == Kind::ClassMap {
        true => Ok(found.clone()),
        false => Err(Unserved::Files(format!(
            "model.toml: output = \"{name}\": {found} does not hold one vector of scores or values a row"
        ))),
    }
}

/// The output that `model.toml` names.
///
/// # Errors
/// There is none of that name.
pub fn output_named<'a>(
    Signature { outputs, .. }: &'a Signature,
    name: &str,
) -> Result<&'a TensorSpec, String> {
    outputs.iter().find(|output| output.name == name).ok_or_else(|| {
        let known = outputs.iter().map(|output| output.name.as_str());
        format!("output = \"{name}\": {}", one_of(name, known))
    })
}
