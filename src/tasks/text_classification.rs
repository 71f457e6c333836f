//! A text, or a pair of texts, to classes or a value.

use std::ops::Range;
use std::sync::Arc;

use super::head::Head;
use super::hugging_face::HfConfig;
use super::sentence_transformers::SentenceTransformer;
use super::text::{self, TextEncoder};
use super::{
    Input, InputKind, Material, Note, Parameters, Part, Piece, Prediction, Stages, Task, Unserved,
    varied,
};
use crate::error::Error;
use crate::rows::Rows;
use crate::signature::BatchAxis;
use crate::tensor::Tensors;

struct TextClassification {
    encoder: TextEncoder,
    head: Head,
    notes: Vec<Note>,
    batch_axis: BatchAxis,
    max_bytes: usize,
}

/// # Errors
/// What is missing for a text model.
pub fn build(material: Material<'_>, hf: &HfConfig) -> Result<Box<dyn Task>, Unserved> {
    let first = material.signature.inputs.first().ok_or("the model has no inputs")?;
    // A cross-encoder's folder.
    let around = SentenceTransformer::read(material.files)?;
    if let Some(module) = &around.unserved {
        return Err(Unserved::Unfit(format!("modules.json: a module {module} is not served")));
    }
    Ok(Box::new(TextClassification {
        encoder: TextEncoder::build(material, &around)?,
        notes: around.notes(),
        head: Head::build(material, hf, true)?,
        batch_axis: BatchAxis::of(first),
        max_bytes: material.limits.max_text_bytes,
    }))
}

impl Task for TextClassification {
    fn name(&self) -> &'static str {
        if self.head.classifies() { "text-classification" } else { "text-regression" }
    }

    fn input_kind(&self) -> InputKind {
        InputKind::Text
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

    fn most_tokens(&self) -> Option<usize> {
        self.encoder.room()
    }

    fn batch_axis(&self) -> BatchAxis {
        self.batch_axis
    }

    fn is_small(&self, input: &Input) -> bool {
        text::is_small(input)
    }

    fn encode(&self, input: &Input, parameters: &Parameters, _: &Stages) -> Result<Rows, Error> {
        self.encoder.encode(text::texts(input, self.max_bytes)?, parameters)
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
        self.encoder.encode_piece(texts, parameters)
    }

    fn join(&self, _: &Input, parts: Vec<Part>) -> Result<Rows, Error> {
        self.encoder.join(parts)
    }

    fn decode(&self, outputs: &Tensors, parameters: &Parameters) -> Result<Vec<Prediction>, Error> {
        self.head.decode(outputs, parameters)
    }

    fn sample(&self, count: usize) -> Input {
        text::sample(count)
    }

    fn varied(&self, count: usize) -> Input {
        varied::texts(count, &self.encoder)
    }

    fn calibrate(&mut self, runs: &[Tensors]) -> Result<(), Unserved> {
        self.head.calibrate(runs)
    }

    fn notes(&self) -> Vec<Note> {
        [self.encoder.notes(), self.notes.clone(), self.head.notes()].concat()
    }

    fn assumptions(&self) -> Vec<String> {
        [self.encoder.assumptions(), self.head.assumptions().to_vec()].concat()
    }
}
