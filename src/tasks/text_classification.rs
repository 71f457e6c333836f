//! A text, or a pair of texts, to classes or a value.

use std::sync::Arc;

use super::head::Head;
use super::hugging_face::HfConfig;
use super::text::TextEncoder;
use super::{Input, InputKind, Material, Parameters, Prediction, Stages, Task, Text};
use crate::error::Error;
use crate::rows::Rows;
use crate::signature::BatchAxis;
use crate::tensor::Tensors;

struct TextClassification {
    encoder: TextEncoder,
    head: Head,
    batch_axis: BatchAxis,
    max_bytes: usize,
}

/// # Errors
/// What is missing for a text model.
pub fn build(material: Material<'_>, hf: &HfConfig) -> Result<Box<dyn Task>, String> {
    let first = material.signature.inputs.first().ok_or("the model has no inputs")?;
    Ok(Box::new(TextClassification {
        encoder: TextEncoder::build(material, hf)?,
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

    fn batch_axis(&self) -> BatchAxis {
        self.batch_axis
    }

    fn encode(&self, input: &Input, parameters: &Parameters, _: &Stages) -> Result<Rows, Error> {
        let Input::Texts(texts) = input else {
            return Err(Error::internal("a text task was given another kind of input"));
        };
        // Before a tokenizer sees it: its time and memory grow with the bytes, even when it truncates.
        for text in texts {
            let bytes = text.text.len() + text.pair.as_ref().map_or(0, String::len);
            if bytes > self.max_bytes {
                let limit = format!("at most {} bytes of UTF-8 text", self.max_bytes);
                return Err(Error::too_large(&text.field, limit, format!("{bytes} bytes")));
            }
        }
        self.encoder.encode(texts, parameters)
    }

    fn decode(&self, outputs: &Tensors, parameters: &Parameters) -> Result<Vec<Prediction>, Error> {
        self.head.decode(outputs, parameters)
    }

    fn sample(&self, count: usize) -> Input {
        let text = "The quick brown fox jumps over the lazy dog. ".repeat(3);
        Input::Texts(vec![Text { field: "text".into(), text, pair: None }; count])
    }

    fn calibrate(&mut self, outputs: &Tensors) -> Result<(), String> {
        self.head.calibrate(outputs)
    }

    fn assumptions(&self) -> Vec<String> {
        self.head.assumptions().to_vec()
    }
}
