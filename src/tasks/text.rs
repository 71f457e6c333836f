//! Text to tensors: by a tokenizer, or as strings for models that tokenise themselves.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ndarray::{Array2, ArrayD, IxDyn};
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use tokenizers::tokenizer::{EncodeInput, Encoding, Tokenizer, TruncationParams};

use super::hugging_face::HfConfig;
use super::{Material, Parameters, Text};
use crate::error::Error;
use crate::rows::{Lengths, Rows};
use crate::signature::TensorSpec;
use crate::tensor::{DataType, Tensor, Tensors};

/// Longest input when no file of the model names a limit.
const DEFAULT_MAX_LENGTH: usize = 512;
const INTEGERS: [DataType; 2] = [DataType::I64, DataType::I32];

/// Turns texts into what the network takes.
pub enum TextEncoder {
    Tokens(Box<TokenEncoder>),
    /// A string tensor `[N]` or `[N,1]`.
    Strings {
        input: String,
        rank: usize,
    },
}

/// Tokenises and pads to the longest text of the batch.
pub struct TokenEncoder {
    tokenizer: Tokenizer,
    max_length: usize,
    /// Sequence length, where the model has a fixed one.
    fixed_length: Option<usize>,
    pad_id: u32,
    pad_type_id: u32,
    pad_left: bool,
    inputs: Vec<(String, Source, DataType)>,
}

/// Which part of an encoding an input takes.
#[derive(Clone, Copy)]
enum Source {
    Ids,
    Mask,
    Types,
    Positions,
}

/// The keys of `tokenizer_config.json` that matter here.
#[derive(Default, Deserialize)]
struct TokenizerConfig {
    /// A number, or a huge one (1e30) for "no limit".
    model_max_length: Option<f64>,
    padding_side: Option<String>,
    pad_token: Option<Value>,
}

impl TextEncoder {
    /// # Errors
    /// No `tokenizer.json`, or inputs that tokens do not fill.
    pub fn build(material: Material<'_>, hf: &HfConfig) -> Result<Self, String> {
        let inputs = &material.signature.inputs;
        match inputs.as_slice() {
            [only] if (1..=2).any(|rank| only.is(rank, &[DataType::String])) => {
                Ok(Self::Strings { input: only.name.clone(), rank: only.shape.len() })
            }
            _ => Ok(Self::Tokens(Box::new(TokenEncoder::build(material, hf)?))),
        }
    }

    /// One row a text.
    ///
    /// # Errors
    /// A text that the model cannot take, or that is too long while `truncate` is off.
    pub fn encode(&self, texts: &[Text], parameters: &Parameters) -> Result<Rows, Error> {
        match self {
            Self::Tokens(encoder) => encoder.encode(texts, parameters),
            Self::Strings { input, rank } => {
                let strings = texts.iter().map(plain_string).collect::<Result<Vec<_>, _>>()?;
                let shape = if *rank == 1 { vec![strings.len()] } else { vec![strings.len(), 1] };
                let array =
                    ArrayD::from_shape_vec(IxDyn(&shape), strings).map_err(Error::internal)?;
                Ok(Rows::alike(Tensors(vec![(input.clone(), Tensor::String(array))])))
            }
        }
    }
}

/// The text itself, for a model that takes strings.
fn plain_string(text: &Text) -> Result<String, Error> {
    if text.pair.is_some() {
        return Err(Error::invalid(&text.field, "one text, which this model takes", "a pair"));
    }
    // ONNX Runtime takes strings that end at a NUL.
    if text.text.contains('\0') {
        return Err(Error::invalid(&text.field, "text without NUL characters", "a NUL character"));
    }
    Ok(text.text.clone())
}

impl TokenEncoder {
    fn build(material: Material<'_>, hf: &HfConfig) -> Result<Self, String> {
        let Material { signature, files, config, .. } = material;
        let file = files.find("tokenizer.json").ok_or(
            "no tokenizer.json beside the model; save the tokenizer with it \
             (tokenizer.save_pretrained(FOLDER))",
        )?;
        let mut tokenizer =
            Tokenizer::from_file(file).map_err(|e| format!("tokenizer.json: {e}"))?;
        let own: TokenizerConfig = files.json("tokenizer_config.json")?.unwrap_or_default();

        let declared = own.model_max_length.filter(|n| (1.0..1e9).contains(n)).map(|n| n as usize);
        let in_tokenizer = tokenizer.get_truncation().map(|truncation| truncation.max_length);
        let ids = signature.input("input_ids").or(signature.inputs.first());
        let fixed_length = ids.and_then(|spec| spec.shape.get(1).copied().flatten());
        let limits = [declared, in_tokenizer, hf.max_positions(), fixed_length, config.max_length];
        let max_length = limits.into_iter().flatten().min().unwrap_or(DEFAULT_MAX_LENGTH);
        let needed = tokenizer.get_added_vocabulary().len().min(4) + 1;
        if max_length < needed {
            return Err(format!("the longest input is {max_length} tokens, which leaves no room"));
        }
        let truncation = tokenizer.get_truncation().cloned().unwrap_or_default();
        tokenizer
            .with_truncation(Some(TruncationParams { max_length, stride: 0, ..truncation }))
            .map_err(|e| format!("tokenizer.json: {e}"))?;
        let padding = tokenizer.get_padding().cloned();
        // Padding happens below, to the longest of the batch, whatever the file says.
        tokenizer.with_padding(None);

        let pad_token = match &own.pad_token {
            Some(Value::String(token)) => Some(token.as_str()),
            Some(token) => token.get("content").and_then(Value::as_str),
            None => None,
        };
        let pad_id = padding
            .as_ref()
            .map(|padding| padding.pad_id)
            .or_else(|| pad_token.and_then(|token| tokenizer.token_to_id(token)))
            .or(hf.pad_token_id)
            .unwrap_or(0);
        let pad_left = match (&padding, own.padding_side.as_deref()) {
            (_, Some(side)) => side == "left",
            (Some(padding), None) => {
                matches!(padding.direction, tokenizers::PaddingDirection::Left)
            }
            (None, None) => false,
        };
        let inputs = signature.inputs.iter().map(source).collect::<Result<_, _>>()?;
        let pad_type_id = padding.map_or(0, |padding| padding.pad_type_id);
        Ok(Self { tokenizer, max_length, fixed_length, pad_id, pad_type_id, pad_left, inputs })
    }

    fn encode(&self, texts: &[Text], parameters: &Parameters) -> Result<Rows, Error> {
        let encodings = match texts {
            [only] => vec![self.tokenize(only, parameters)?],
            many => many
                .par_iter()
                .map(|text| self.tokenize(text, parameters))
                .collect::<Result<Vec<_>, _>>()?,
        };
        let longest = encodings.iter().map(Encoding::len).max().unwrap_or(0);
        let length = self.fixed_length.unwrap_or(longest).max(1);
        let tensors = self.inputs.iter().map(|(name, source, data_type)| {
            let rows = self.rows(&encodings, *source, length).into_dyn();
            let tensor = match data_type {
                DataType::I32 => Tensor::I32(rows.mapv(|id| id as i32)),
                _ => Tensor::I64(rows),
            };
            (name.clone(), tensor)
        });
        let tensors = Tensors(tensors.collect());
        // A model of one fixed length takes every row as it is.
        let lengths = self.fixed_length.is_none().then(|| Lengths {
            of_rows: encodings.iter().map(Encoding::len).collect(),
            padding: self.inputs.iter().map(|(_, source, _)| self.padding(*source)).collect(),
            left: self.pad_left,
        });
        Ok(match lengths {
            Some(lengths) => Rows::sequences(tensors, lengths),
            None => Rows::alike(tensors),
        })
    }

    fn tokenize(&self, text: &Text, parameters: &Parameters) -> Result<Encoding, Error> {
        let input: EncodeInput<'_> = match &text.pair {
            Some(pair) => (text.text.as_str(), pair.as_str()).into(),
            None => text.text.as_str().into(),
        };
        let refuse =
            |got: String| Error::invalid(&text.field, "text that the tokenizer takes", got);
        // The fast form leaves out the offsets, which nobody reads here. A panic is this text's own.
        let encoding = catch_unwind(AssertUnwindSafe(|| self.tokenizer.encode_fast(input, true)))
            .map_err(|_| refuse("a text that it fails on".to_owned()))?
            .map_err(|error| refuse(error.to_string()))?;
        if !parameters.truncate && !encoding.get_overflowing().is_empty() {
            return Err(Error::invalid(
                &text.field,
                format!("at most {} tokens, since `truncate` is off", self.max_length),
                "a longer text",
            ));
        }
        Ok(encoding)
    }

    fn padding(&self, source: Source) -> i64 {
        i64::from(match source {
            Source::Ids => self.pad_id,
            Source::Types => self.pad_type_id,
            Source::Mask | Source::Positions => 0,
        })
    }

    /// `[texts, length]`, padded.
    fn rows(&self, encodings: &[Encoding], source: Source, length: usize) -> Array2<i64> {
        let mut rows = Array2::from_elem((encodings.len(), length), self.padding(source));
        for (encoding, mut row) in encodings.iter().zip(rows.rows_mut()) {
            let start = if self.pad_left { length.saturating_sub(encoding.len()) } else { 0 };
            let values: &[u32] = match source {
                Source::Ids | Source::Positions => encoding.get_ids(),
                Source::Mask => encoding.get_attention_mask(),
                Source::Types => encoding.get_type_ids(),
            };
            for (position, (cell, value)) in
                (0..).zip(row.iter_mut().skip(start).zip(values.iter().copied()))
            {
                *cell = match source {
                    Source::Positions => position,
                    _ => i64::from(value),
                };
            }
        }
        rows
    }
}

fn source(spec: &TensorSpec) -> Result<(String, Source, DataType), String> {
    let source = match spec.name.as_str() {
        "input_ids" => Source::Ids,
        "attention_mask" => Source::Mask,
        "token_type_ids" => Source::Types,
        "position_ids" => Source::Positions,
        _ => return Err(unknown_input(spec)),
    };
    match spec.data_type() {
        Some(data_type) if spec.is(2, &INTEGERS) => Ok((spec.name.clone(), source, data_type)),
        _ => Err(unknown_input(spec)),
    }
}

fn unknown_input(spec: &TensorSpec) -> String {
    format!(
        "input {spec} is none that a tokenizer fills: `input_ids`, `attention_mask`, \
         `token_type_ids` or `position_ids`, each INT64 or INT32 [N,tokens]"
    )
}
