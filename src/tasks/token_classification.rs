//! A text to the parts of it that have a label: names of people and places, for example. Adjacent tokens
//! of one label are joined as transformers' pipeline does with `aggregation_strategy="simple"`.

use std::ops::Range;
use std::sync::Arc;

use ndarray::{Array3, ArrayView1, Axis, Ix3};
use tokenizers::tokenizer::Encoding;

use super::head::{FLOATS, check_labels, class_names, labels_note, output_named, softmax, unnamed};
use super::hugging_face::HfConfig;
use super::note::SHAPES;
use super::sentence_transformers::SentenceTransformer;
use super::text::{self, Offsets, TokenEncoder};
use super::{
    Entity, Input, InputKind, Material, Note, Parameters, Part, Piece, Prediction, Stages, Task,
    Text, Unserved, piece, varied,
};
use crate::error::Error;
use crate::rows::Rows;
use crate::signature::{BatchAxis, Signature, TensorSpec};
use crate::tensor::{Tensor, Tensors};

/// The label of what is nothing.
const OUTSIDE: &str = "O";
/// Passes the network by: the texts, `[rows]`.
const TEXTS: &str = "texts";
/// Passes the network by: of each token its id, its start and end in the text in code points, and
/// whether it counts, `[rows, tokens, 4]`. Padding and special tokens do not count.
const TOKENS: &str = "tokens";

struct TokenClassification {
    encoder: TokenEncoder,
    output: String,
    /// Their names, and the file that gives them.
    labels: Option<(&'static str, Vec<Arc<str>>)>,
    batch_axis: BatchAxis,
    max_bytes: usize,
    notes: Vec<Note>,
    assumptions: Vec<String>,
}

/// One token and its best label.
struct Tagged {
    label: Arc<str>,
    score: f32,
    word: String,
    start: usize,
    end: usize,
}

/// # Errors
/// What is missing for a model that labels tokens.
pub fn build(material: Material<'_>, hf: &HfConfig) -> Result<Box<dyn Task>, Unserved> {
    let Material { signature, config, limits, .. } = material;
    let first = signature.inputs.first().ok_or("the model has no inputs")?;
    let output = choose_output(signature, config.output.as_deref())?;
    let labels = class_names(material, hf, material.graph)?;
    if let (Some((file, labels)), Some(width)) = (&labels, output.shape.last().copied().flatten()) {
        check_labels(file, labels.len(), width, &output.name)?;
    }
    let of_output = if config.output.is_some() { "model.toml" } else { SHAPES };
    let notes = vec![
        Note::new("output", output.name.clone(), of_output),
        labels_note(labels.as_ref().map(|(file, labels)| (*file, labels.as_slice()))),
        Note::new("scores", "softmax over the labels of each token", "the task"),
    ];
    Ok(Box::new(TokenClassification {
        notes,
        encoder: TokenEncoder::build(material, &SentenceTransformer::default())?,
        output: output.name.clone(),
        labels: labels.map(|(file, labels)| (file, labels.into_iter().map(Into::into).collect())),
        batch_axis: BatchAxis::of(first),
        max_bytes: limits.max_text_bytes,
        assumptions: Vec::new(),
    }))
}

/// The output `[N,tokens,labels]`.
fn choose_output<'a>(
    signature: &'a Signature,
    named: Option<&str>,
) -> Result<&'a TensorSpec, Unserved> {
    let mut fitting = signature.outputs.iter().filter(|spec| spec.is(3, &FLOATS));
    let found = match named {
        Some(name) => Some(output_named(signature, name)?).filter(|spec| spec.is(3, &FLOATS)),
        None => match (fitting.next(), fitting.next()) {
            (only, None) => only,
            _ => signature.outputs.iter().find(|spec| spec.name == "logits" && spec.is(3, &FLOATS)),
        },
    };
    found.ok_or_else(|| {
        Unserved::Unfit(format!(
            "no output holds a score for each token and label, [N,tokens,labels]: {}; if one does, \
             name it in model.toml: output = \"…\"",
            Signature::list(&signature.outputs)
        ))
    })
}

impl TokenClassification {
    /// What decoding has to know of the tokens.
    fn aside(&self, texts: &[Text], encodings: &[Encoding]) -> Tensors {
        let length = self.encoder.length(encodings);
        let mut tokens = Array3::<i64>::zeros((encodings.len(), length, 4));
        for (encoding, mut row) in encodings.iter().zip(tokens.outer_iter_mut()) {
            let start = self.encoder.start(encoding, length);
            let of_text = encoding.get_special_tokens_mask().iter().map(|special| *special == 0);
            let ids = encoding.get_ids().iter().zip(encoding.get_offsets()).zip(of_text);
            for (((id, (start, end)), of_text), mut token) in
                ids.zip(row.outer_iter_mut().skip(start))
            {
                let entries = [i64::from(*id), *start as i64, *end as i64, i64::from(of_text)];
                token.assign(&ArrayView1::from(&entries));
            }
        }
        let texts: ndarray::Array1<String> = texts.iter().map(|text| text.text.clone()).collect();
        Tensors(vec![
            (TOKENS.to_owned(), tokens.into_dyn().into()),
            (TEXTS.to_owned(), texts.into_dyn().into()),
        ])
    }

    fn label(&self, class: usize) -> Arc<str> {
        let named = self.labels.as_ref().and_then(|(_, labels)| labels.get(class)).cloned();
        named.unwrap_or_else(|| unnamed(class).into())
    }

    /// The token with its best label.
    fn tag(&self, text: &str, token: ArrayView1<'_, i64>, scores: &[f32]) -> Result<Tagged, Error> {
        // Minus infinity is the score of a label that is masked.
        if let Some(bad) = scores.iter().find(|score| score.is_nan() || **score == f32::INFINITY) {
            return Err(Error::internal(format!("output `{}` holds {bad}", self.output)));
        }
        let scores: Vec<f64> = scores.iter().map(|score| (*score).into()).collect();
        let scores = softmax(&scores);
        let best = scores.iter().enumerate().rev().max_by(|(_, a), (_, b)| a.total_cmp(b));
        let (class, score) = best.map_or((0, 0.0), |(class, score)| (class, *score as f32));
        let [id, start, end] = [0, 1, 2].map(|entry| token[entry] as usize);
        let id = id as u32;
        let of_text = || text.chars().skip(start).take(end.saturating_sub(start)).collect();
        let label = self.label(class);
        let word = match self.encoder.token(id) {
            _ if &*label == OUTSIDE => String::new(),
            Some(token) if !self.encoder.is_unknown(id) => token,
            _ => of_text(),
        };
        Ok(Tagged { label, score, word, start, end })
    }

    /// Adjacent tokens of one entity become one, and what is nothing is left out.
    fn entities(&self, tagged: Vec<Tagged>) -> Vec<Entity> {
        let mut groups: Vec<Vec<Tagged>> = Vec::new();
        for token in tagged {
            let (begins, tag) = split(&token.label);
            match groups.last_mut() {
                Some(group)
                    if !begins && group.last().is_some_and(|t| split(&t.label).1 == tag) =>
                {
                    group.push(token);
                }
                _ => groups.push(vec![token]),
            }
        }
        groups.into_iter().filter_map(|group| self.entity(group)).collect()
    }

    fn entity(&self, group: Vec<Tagged>) -> Option<Entity> {
        let (first, last) = (group.first()?, group.last()?);
        let (_, entity) = split(&first.label);
        if entity == OUTSIDE {
            return None;
        }
        // transformers names a group by what follows the first dash, whatever is before it (S-, E-, L-, U-).
        let name = first.label.split_once('-').map_or(entity, |(_, name)| name);
        let (entity, start, end) = (name.into(), first.start, last.end);
        let score = group.iter().map(|token| token.score).sum::<f32>() / group.len() as f32;
        let word = self.encoder.join(group.into_iter().map(|token| token.word).collect());
        Some(Entity { entity, score, word, start, end })
    }
}

/// Whether a label begins an entity, and the label without its `B-` or `I-`.
fn split(label: &str) -> (bool, &str) {
    match (label.strip_prefix("B-"), label.strip_prefix("I-")) {
        (Some(tag), _) => (true, tag),
        (None, Some(tag)) => (false, tag),
        (None, None) => (false, label),
    }
}

impl Task for TokenClassification {
    fn name(&self) -> &'static str {
        "token-classification"
    }

    fn input_kind(&self) -> InputKind {
        InputKind::Text
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.output.clone()]
    }

    fn most_tokens(&self) -> Option<usize> {
        Some(self.encoder.room())
    }

    fn batch_axis(&self) -> BatchAxis {
        self.batch_axis
    }

    fn is_small(&self, input: &Input) -> bool {
        text::is_small(input)
    }

    fn encode(
        &self,
        input: &Input,
        parameters: &Parameters,
        stages: &Stages,
    ) -> Result<Rows, Error> {
        self.join(input, vec![self.encode_piece(input, 0..input.len(), parameters, stages)?])
    }

    fn pieces(&self, input: &Input) -> Vec<Piece> {
        text::pieces(input)
    }

    fn encode_piece(
        &self,
        input: &Input,
        items: Range<usize>,
        parameters: &Parameters,
        _: &Stages,
    ) -> Result<Part, Error> {
        let texts = text::of_piece(text::texts(input, self.max_bytes)?, items)?;
        texts.iter().try_for_each(text::refuse_pair)?;
        self.encoder.encodings(texts, parameters, Offsets::CodePoints).map(Part::Tokens)
    }

    fn join(&self, input: &Input, parts: Vec<Part>) -> Result<Rows, Error> {
        let encodings = piece::tokens(parts)?;
        let aside = self.aside(text::texts(input, self.max_bytes)?, &encodings);
        let mut rows = self.encoder.rows(&encodings);
        rows.aside = aside;
        Ok(rows)
    }

    fn decode(&self, outputs: &Tensors, _: &Parameters) -> Result<Vec<Prediction>, Error> {
        let misfit =
            || Error::internal(format!("output `{}` does not fit the tokens", self.output));
        let scores = outputs.get(&self.output).and_then(Tensor::to_array).ok_or_else(misfit)?;
        let scores = scores.into_dimensionality::<Ix3>().map_err(|_| misfit())?;
        let (Some(Tensor::I64(tokens)), Some(Tensor::String(texts))) =
            (outputs.get(TOKENS), outputs.get(TEXTS))
        else {
            return Err(misfit());
        };
        let tokens = tokens.view().into_dimensionality::<Ix3>().map_err(|_| misfit())?;
        // A batch may have been padded to a neighbour's length.
        let wider =
            scores.len_of(Axis(1)).checked_sub(tokens.len_of(Axis(1))).ok_or_else(misfit)?;
        let skipped = if self.encoder.pads_left() { wider } else { 0 };
        let rows = texts.iter().zip(tokens.outer_iter()).zip(scores.outer_iter());
        rows.map(|((text, tokens), scores)| {
            let of_text = tokens.outer_iter().zip(scores.outer_iter().skip(skipped));
            let of_text = of_text.filter(|(token, _)| token[3] != 0);
            let tagged = of_text.map(|(token, scores)| self.tag(text, token, &scores.to_vec()));
            let entities = self.entities(tagged.collect::<Result<_, _>>()?);
            Ok(Prediction::Entities { entities })
        })
        .collect()
    }

    fn sample(&self, count: usize) -> Input {
        text::sample(count)
    }

    fn varied(&self, count: usize) -> Input {
        varied::tokens(count, &self.encoder)
    }

    fn calibrate(&mut self, runs: &[Tensors]) -> Result<(), Unserved> {
        let Some(tensor) = runs.first().and_then(|run| run.get(&self.output)) else {
            return Ok(());
        };
        let no_labels =
            || Unserved::Unfit(format!("output `{}` has no axis of labels", self.output));
        let width = tensor.shape().get(2).copied().ok_or_else(no_labels)?;
        match &self.labels {
            Some((file, labels)) => check_labels(file, labels.len(), width, &self.output)?,
            None => self.assumptions.push(
                "no names of the labels, so they are LABEL_0, LABEL_1, …; a labels.txt with one name a \
                 line would give them"
                    .to_owned(),
            ),
        }
        Ok(())
    }

    fn notes(&self) -> Vec<Note> {
        [self.encoder.notes(), self.notes.clone()].concat()
    }

    fn assumptions(&self) -> Vec<String> {
        [self.encoder.assumptions(), &self.assumptions].concat()
    }
}
