//! What a network's outputs mean: classes with scores, or values. Shared by all tasks.
//!
//! What the network declares wins over what is inferred: an output with labels is the answer, and the last
//! operators tell what the scores are. Runs decide only where files and graph are silent.

mod calibrate;
mod math;
mod meaning;
mod names;
mod outputs;
mod read;
mod scale;

use std::borrow::Cow;
use std::sync::Arc;

pub use math::softmax;
pub use names::{check_labels, class_names, labels_note, unnamed};
pub use outputs::output_named;

use self::meaning::{Meaning, meaning};
use self::names::Named;
use self::outputs::Outputs;
use self::read::{floats, number, numbers, texts};
use self::scale::Scale;
use super::graph::Ending;
use super::hugging_face::HfConfig;
use super::note::{ASSUMED, GRAPH, SHAPES};
use super::unserved::Unserved;
use super::{ClassScore, Label, Material, Note, Parameters, Prediction, Scalar, Value};
use crate::error::Error;
use crate::signature::KEYS_SUFFIX;
use crate::tensor::{DataType, Tensor, Tensors};

pub(super) const FLOATS: [DataType; 4] =
    [DataType::F32, DataType::F64, DataType::F16, DataType::BF16];

/// How scores go with classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A score a class.
    Each,
    /// One score, the second class's of two.
    Second,
    /// The label alone, beside numbers that are no single class's, if there are any.
    Label,
}

/// Reads predictions out of the outputs that hold them.
#[derive(Debug)]
pub struct Head {
    outputs: Outputs,
    meaning: Meaning,
    /// What says so.
    meaning_from: &'static str,
    form: Form,
    /// The classes' names in a file.
    named: Option<Named>,
    /// The classes as the network's own label says them.
    declared: Option<Vec<String>>,
    /// The integer that the network's own label has for the first class.
    first_class: i64,
    /// What classes are answered as; empty until it is known how many there are.
    labels: Vec<Arc<str>>,
    output_from: &'static str,
    assumptions: Vec<String>,
}

impl Head {
    /// `must_classify`: the task is known to be a classification even if no file names classes.
    ///
    /// # Errors
    /// The outputs cannot be told, or labels do not fit them.
    pub fn build(
        material: Material<'_>,
        hf: &HfConfig,
        must_classify: bool,
    ) -> Result<Self, Unserved> {
        let Material { signature, config, graph, .. } = material;
        let mut outputs = Outputs::choose(signature, config.output.as_deref())?;
        let label = outputs.label.as_ref().map(|label| label.output.name.clone());
        let first = outputs.scores.first().map(|output| output.name.clone());
        let (label, first) = (label.as_deref(), first.as_deref());
        let mut ending = match (graph, first) {
            (Some(graph), Some(first)) => graph.ending(first),
            _ => Ending::Unknown,
        };
        if outputs.scores.len() > 1 && ending == Ending::EachProbability {
            // A column of probabilities of all.
            ending = Ending::Unknown;
        }
        if must_classify && label.is_none() && ending == Ending::Normalized {
            return Err(Unserved::unfit("its output is a vector of length 1, as embeddings are"));
        }
        let is_said = config.scores.is_some() || config.problem_type.is_some();
        if let Some(name) = hf.unserved_activation().filter(|_| !is_said) {
            return Err(Unserved::Unfit(format!(
                "its files name the activation {name} (activation_fn), which is none of Identity, Sigmoid \
                 and Softmax"
            )));
        }
        let named = class_names(material, hf, graph)?;
        let declared = graph.and_then(|graph| graph.classes(label, first));
        if let (Some((file, names)), Some(declared)) = (&named, &declared) {
            check_labels(file, names.len(), declared.len(), label.or(first).unwrap_or_default())?;
        }
        let names_classes = named.is_some() || declared.is_some();
        outputs.read_integers_as_values(must_classify || names_classes);
        let is_class =
            must_classify || names_classes || outputs.label.is_some() || outputs.is_map();
        let (meaning, meaning_from) =
            meaning(material, hf, &outputs, ending, is_class, names_classes);
        let mut head = Self {
            outputs,
            meaning,
            meaning_from,
            form: Form::Each,
            named,
            declared,
            first_class: 0,
            labels: Vec::new(),
            output_from: if config.output.is_some() { "model.toml (output)" } else { SHAPES },
            assumptions: Vec::new(),
        };
        if (meaning, meaning_from) == (Meaning::Classes(Scale::Logits), ASSUMED) {
            let output = first.unwrap_or_default();
            head.assumptions.push(format!(
                "output `{output}` holds logits, since a linear operator gives it, so softmax is applied; \
                 scores = \"logits\" says that this is meant"
            ));
        }
        if must_classify && (meaning, meaning_from) == (Meaning::Values, SHAPES) {
            let output = first.unwrap_or_default();
            head.assumptions.push(format!(
                "output `{output}` holds a value, since it is one number and nothing names classes; if it \
                 is a class's score: scores = \"logits\" (or \"probabilities\")"
            ));
        }
        if head.outputs.scores.is_empty() {
            head.settle(0)?;
        } else if let Some(width) = head.outputs.width()
            && !head.outputs.is_map()
        {
            let settled = head.settle(width);
            // Exporters of classical models may declare another width than they give.
            if head.outputs.label.is_none() {
                settled?;
            }
        }
        Ok(head)
    }

    #[must_use]
    pub fn outputs(&self) -> Vec<String> {
        self.outputs.names().map(str::to_owned).collect()
    }

    #[must_use]
    pub fn classifies(&self) -> bool {
        self.meaning != Meaning::Values
    }

    #[must_use]
    pub fn is_multi_label(&self) -> bool {
        let several = self.outputs.label.as_ref().map(|label| label.several);
        let of_each = matches!(self.meaning, Meaning::Classes(scale) if scale.is_of_each());
        of_each && self.form == Form::Each && several.unwrap_or(self.labels.len() != 1)
    }

    #[must_use]
    pub fn assumptions(&self) -> &[String] {
        &self.assumptions
    }

    /// The outputs, their classes, and what becomes of the scores.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        let mut notes = vec![Note::new("output", self.outputs().join(", "), self.output_from)];
        if self.classifies() {
            let declared = || Some((GRAPH, self.declared.as_deref()?));
            let named = self.named.as_ref().map(|(file, names)| (*file, names.as_slice()));
            notes.push(match named.or_else(declared) {
                None if self.outputs.label.is_some() => {
                    Note::new("labels", "the integers that the network gives", GRAPH)
                }
                named => labels_note(named),
            });
        }
        if let Some(label) = &self.outputs.label
            && self.classifies()
        {
            notes.push(Note::new(
                "label",
                format!("as output `{}` says", label.output.name),
                SHAPES,
            ));
        }
        let told = match self.meaning {
            _ if self.outputs.scores.is_empty() => "none: the network gives labels alone",
            Meaning::Values => "values",
            Meaning::Classes(_) if self.form == Form::Label => {
                "numbers that belong to no single class, as the network gives them"
            }
            Meaning::Classes(scale) => scale.described(),
            Meaning::Open => "probabilities of classes, or values",
        };
        notes.push(Note::new("scores", told, self.meaning_from));
        notes
    }

    /// How many scores a row has is known: which classes they go with.
    ///
    /// # Errors
    /// Another number of names than classes.
    fn settle(&mut self, width: usize) -> Result<(), Unserved> {
        let Meaning::Classes(scale) = self.meaning else { return Ok(()) };
        let output = self.outputs.names().next().unwrap_or_default();
        let several = self.outputs.label.as_ref().is_some_and(|label| label.several);
        let has_label = self.outputs.label.is_some();
        let declared = self.declared.as_ref().map(Vec::len);
        let named = self.named.as_ref().map(|(_, names)| names.len());
        self.form = match (declared, named) {
            _ if width == 0 => Form::Label,
            _ if several => Form::Each,
            (Some(2), _) | (None, Some(2)) if width == 1 && scale.is_probability() => Form::Second,
            (Some(classes), _) if classes != width => Form::Label,
            // One number a row beside a label, as detectors of outliers give, is no class's.
            (None, _) if has_label && width == 1 => Form::Label,
            _ => Form::Each,
        };
        let classes = match self.form {
            Form::Each => width,
            Form::Second => 2,
            Form::Label => declared.or(named).unwrap_or(0),
        };
        if let Some((file, names)) = &self.named {
            check_labels(file, names.len(), classes, output)?;
        }
        let labels: Vec<String> = match (&self.named, &self.declared) {
            (Some((_, names)), _) => names.clone(),
            (None, Some(declared)) if declared.len() == classes => declared.clone(),
            (None, _) if has_label => {
                (0..classes).map(|class| (class as i64 + self.first_class).to_string()).collect()
            }
            (None, _) => (0..classes).map(unnamed).collect(),
        };
        self.labels = labels.into_iter().map(Into::into).collect();
        Ok(())
    }

    /// The classes by number, where they are known.
    pub fn labels(&self) -> &[Arc<str>] {
        &self.labels
    }

    /// One prediction a row.
    ///
    /// # Errors
    /// A score that is NaN or infinite. Minus infinity is the score of a class that is masked.
    pub fn decode(
        &self,
        outputs: &Tensors,
        parameters: &Parameters,
    ) -> Result<Vec<Prediction>, Error> {
        if !self.classifies() {
            return self.values(outputs);
        }
        let labels = self.label_texts(outputs)?;
        if self.outputs.scores.is_empty() {
            return Ok(labels
                .into_iter()
                .map(|label| Prediction::Label { label, value: None })
                .collect());
        }
        let (scores, width, data_type) = self.scores(outputs)?;
        self.check(scores.iter().find(|score| score.is_nan() || **score == f64::INFINITY))?;
        let keys = self.keys(outputs).filter(|_| self.labels.is_empty());
        let number = |score: f64| number(score, data_type);
        let mut labels = labels.into_iter();
        let rows = scores.chunks_exact(width).enumerate();
        rows.map(|(row, scores)| match (self.form, labels.next()) {
            (Form::Label, Some(label)) => {
                let values = scores.iter().map(|score| number(*score)).collect();
                Ok(Prediction::Label { label, value: Some(Value::of(values)) })
            }
            (_, label) => self.classes(row, scores, label.as_ref(), keys, parameters, &number),
        })
        .collect()
    }

    fn check(&self, bad: Option<&f64>) -> Result<(), Error> {
        let output = self.outputs.names().next().unwrap_or_default();
        bad.map_or(Ok(()), |bad| Err(Error::internal(format!("output `{output}` holds {bad}"))))
    }

    fn values(&self, outputs: &Tensors) -> Result<Vec<Prediction>, Error> {
        let [output] = self.outputs.scores.as_slice() else {
            return Err(Error::internal("values come in one output"));
        };
        let (numbers, width) = outputs
            .get(&output.name)
            .and_then(numbers)
            .ok_or_else(|| Error::internal(format!("output `{}` holds no numbers", output.name)))?;
        let as_floats = numbers.iter().map(|number| number.to_f64());
        self.check(as_floats.clone().find(|number| !number.is_finite()).as_ref())?;
        let value = |row: &[Scalar]| Prediction::Value { value: Value::of(row.to_vec()) };
        Ok(numbers.chunks_exact(width).map(value).collect())
    }

    fn classes(
        &self,
        row: usize,
        scores: &[f64],
        label: Option<&Label>,
        keys: Option<&[String]>,
        parameters: &Parameters,
        number: &impl Fn(f64) -> Scalar,
    ) -> Result<Prediction, Error> {
        let scale = match self.meaning {
            Meaning::Classes(scale) if !parameters.raw_scores => scale,
            _ => Scale::Scores,
        };
        let mut scores = Cow::from(scale.apply(scores));
        if self.form == Form::Second
            && let [second] = *scores
        {
            let is_logit = self.meaning == Meaning::Classes(Scale::LogitsOfEach);
            let first = if parameters.raw_scores && is_logit { -second } else { 1.0 - second };
            scores = vec![first, second].into();
        }
        if let Some(bad) = scores.iter().find(|score| score.is_nan()) {
            self.check(Some(bad))?;
        }
        let own = match label {
            Some(Label::One(label)) => self.labels.iter().position(|other| other == label),
            _ => None,
        };
        let mut order = match self.meaning {
            Meaning::Classes(Scale::Distances) => Scale::Distances.best(&scores, parameters.top_k),
            _ => scale.best(&scores, parameters.top_k),
        };
        if let Some(own) = own {
            order.retain(|class| *class != own);
            order.insert(0, own);
            order.truncate(parameters.top_k);
        }
        let name = |class: usize| -> Arc<str> {
            let key = || keys.and_then(|keys| keys.get(row * scores.len() + class));
            match self.labels.get(class) {
                Some(label) => label.clone(),
                None => key().map_or_else(|| unnamed(class).into(), |key| key.as_str().into()),
            }
        };
        let class = |class: usize| ClassScore {
            label: name(class),
            score: number(scores[class]),
            index: class,
        };
        let classes: Vec<ClassScore> = order.into_iter().map(class).collect();
        let best = classes.first().cloned();
        let best =
            best.unwrap_or_else(|| ClassScore { label: "".into(), score: number(0.0), index: 0 });
        let label = match label {
            // An integer that is none of the declared classes is an exporter's mistake.
            Some(Label::One(label))
                if own.is_some()
                    || self.declared.is_none()
                    || self.outputs.labels_are_strings() =>
            {
                label.clone()
            }
            _ => best.label,
        };
        Ok(Prediction::Classes { label, score: best.score, classes })
    }

    /// The label of each row, by the names of the files where these name it; empty if no output holds labels.
    fn label_texts(&self, outputs: &Tensors) -> Result<Vec<Label>, Error> {
        let Some(label) = &self.outputs.label else { return Ok(Vec::new()) };
        let name = &label.output.name;
        let texts = outputs.get(name).and_then(texts);
        let (texts, width) =
            texts.ok_or_else(|| Error::internal(format!("output `{name}` holds no labels")))?;
        let labels = texts.into_iter().map(|text| self.name_of(text));
        if !label.several {
            return Ok(labels.map(Label::One).collect());
        }
        let labels: Vec<_> = labels.collect();
        Ok(labels.chunks_exact(width.max(1)).map(|row| Label::Several(row.to_vec())).collect())
    }

    fn name_of(&self, text: String) -> Arc<str> {
        if self.outputs.label.as_ref().is_some_and(|label| label.several) {
            return text.into();
        }
        let declared = match &self.declared {
            Some(declared) => declared.iter().position(|class| *class == text),
            None => text
                .parse::<i64>()
                .ok()
                .and_then(|own| usize::try_from(own - self.first_class).ok()),
        };
        declared.and_then(|class| self.labels.get(class).cloned()).unwrap_or_else(|| text.into())
    }

    /// The classes of a map's rows.
    fn keys<'a>(&self, outputs: &'a Tensors) -> Option<&'a [String]> {
        let [output] = self.outputs.scores.as_slice() else { return None };
        match outputs.get(&format!("{}{KEYS_SUFFIX}", output.name))? {
            Tensor::String(keys) => keys.as_slice(),
            _ => None,
        }
    }

    /// All scores in row-major order, how many a row has, and what type they have.
    fn scores(&self, outputs: &Tensors) -> Result<(Vec<f64>, usize, DataType), Error> {
        let mut columns = Vec::with_capacity(self.outputs.scores.len());
        let mut data_type = DataType::F32;
        for output in &self.outputs.scores {
            let tensor = outputs.get(&output.name);
            let found = tensor.and_then(|tensor| Some((floats(tensor)?, tensor)));
            let (values, tensor) =
                found.filter(|(values, _)| !values.is_empty()).ok_or_else(|| {
                    Error::internal(format!("output `{}` holds no numbers", output.name))
                })?;
            if tensor.shape().iter().skip(2).any(|axis| *axis != 1) {
                let (name, shape) = (&output.name, tensor.shape());
                return Err(Error::internal(format!(
                    "output `{name}` has the shape {shape:?}, which is not one vector a row"
                )));
            }
            let rows = tensor.shape().first().copied().unwrap_or(1);
            data_type = tensor.data_type();
            columns.push((values, rows));
        }
        match <[_; 1]>::try_from(columns) {
            Ok([(values, rows)]) => {
                let width = values.len() / rows.max(1);
                Ok((values, width, data_type))
            }
            Err(columns) => {
                let rows = columns.iter().map(|(_, rows)| *rows).min().unwrap_or(0);
                let of_row = |row: usize| columns.iter().map(move |(values, _)| values[row]);
                Ok(((0..rows).flat_map(of_row).collect(), columns.len(), data_type))
            }
        }
    }
}
