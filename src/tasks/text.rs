//! Text to tensors: by a tokenizer, or as strings for models that tokenise themselves.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ndarray::{Array2, ArrayD, IxDyn};
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use tokenizers::tokenizer::{Decoder, EncodeInput, Encoding, Tokenizer, TruncationParams};

use super::hugging_face::HfConfig;
use super::note::{ASSUMED, Note, SHAPES};
use super::{Input, Material, Parameters, Text};
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
    /// The token for what the vocabulary does not hold.
    unknown_id: Option<u32>,
    notes: Vec<Note>,
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
    unk_token: Option<Value>,
}

/// The texts of a request, none longer than `max_bytes` of UTF-8: a tokenizer's time and memory grow
/// with the bytes, even when it truncates.
///
/// # Errors
/// Another kind of input, or a text that is too long.
pub fn texts(input: &Input, max_bytes: usize) -> Result<&[Text], Error> {
    let Input::Texts(texts) = input else {
        return Err(Error::internal("a text task was given another kind of input"));
    };
    for text in texts {
        let bytes = text.bytes();
        if bytes > max_bytes {
            let limit = format!("at most {max_bytes} bytes of UTF-8 text");
            return Err(Error::too_large(&text.field, limit, format!("{bytes} bytes")));
        }
    }
    Ok(texts)
}

/// Bytes of UTF-8 that are tokenised within a quarter of a millisecond.
const FEW_BYTES: usize = 1024;

/// Whether the texts are so short that tokenising them takes little more than the way to another
/// thread and back.
pub fn is_small(input: &Input) -> bool {
    let Input::Texts(texts) = input else { return false };
    texts.iter().map(Text::bytes).sum::<usize>() <= FEW_BYTES
}

/// For models that take one text at a time.
///
/// # Errors
/// A pair.
pub fn refuse_pair(text: &Text) -> Result<(), Error> {
    match text.pair {
        None => Ok(()),
        Some(_) => Err(Error::invalid(&text.field, "one text, which this model takes", "a pair")),
    }
}

/// Texts for the warm-up.
pub fn sample(count: usize) -> Input {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(3);
    Input::Texts(vec![Text { field: "text".into(), text, pair: None }; count])
}

impl TextEncoder {
    /// `max_tokens`: what a file says that has the word over the tokenizer's own.
    ///
    /// # Errors
    /// No `tokenizer.json`, or inputs that tokens do not fill.
    pub fn build(
        material: Material<'_>,
        hf: &HfConfig,
        max_tokens: Option<usize>,
    ) -> Result<Self, String> {
        let inputs = &material.signature.inputs;
        match inputs.as_slice() {
            [only] if (1..=2).any(|rank| only.is(rank, &[DataType::String])) => {
                Ok(Self::Strings { input: only.name.clone(), rank: only.shape.len() })
            }
            _ => Ok(Self::Tokens(Box::new(TokenEncoder::build(material, hf, max_tokens)?))),
        }
    }

    /// How texts become tensors.
    pub fn notes(&self) -> Vec<Note> {
        match self {
            Self::Tokens(encoder) => encoder.notes(),
            Self::Strings { .. } => {
                vec![Note::new("tokenizer", "none: the network takes strings", SHAPES)]
            }
        }
    }

    /// One row a text.
    ///
    /// # Errors
    /// A text that the model cannot take, or that is too long while `truncate` is off.
    pub fn encode(&self, texts: &[Text], parameters: &Parameters) -> Result<Rows, Error> {
        match self {
            Self::Tokens(encoder) => {
                Ok(encoder.rows(&encoder.encodings(texts, parameters, Offsets::None)?))
            }
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

/// Kind and size of the vocabulary.
fn describe(tokenizer: &Tokenizer) -> String {
    use tokenizers::models::ModelWrapper;
    let kind = match tokenizer.get_model() {
        ModelWrapper::BPE(_) => "BPE",
        ModelWrapper::WordPiece(_) => "WordPiece",
        ModelWrapper::WordLevel(_) => "WordLevel",
        ModelWrapper::Unigram(_) => "Unigram",
    };
    format!("{kind}, {} tokens", tokenizer.get_vocab_size(true))
}

/// The text itself, for a model that takes strings.
fn plain_string(text: &Text) -> Result<String, Error> {
    refuse_pair(text)?;
    // ONNX Runtime takes strings that end at a NUL.
    if text.text.contains('\0') {
        return Err(Error::invalid(&text.field, "text without NUL characters", "a NUL character"));
    }
    Ok(text.text.clone())
}

/// Whether an encoding tells where each token is in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offsets {
    /// The fast form.
    None,
    /// In Unicode code points.
    CodePoints,
}

impl TokenEncoder {
    /// # Errors
    /// As [`TextEncoder::build`].
    pub fn build(
        material: Material<'_>,
        hf: &HfConfig,
        max_tokens: Option<usize>,
    ) -> Result<Self, String> {
        let Material { signature, files, config, .. } = material;
        let text = files.read("tokenizer.json")?.ok_or(
            "no tokenizer.json beside the model; save the tokenizer with it \
             (tokenizer.save_pretrained(FOLDER))",
        )?;
        let mut tokenizer =
            Tokenizer::from_bytes(text).map_err(|e| format!("tokenizer.json: {e}"))?;
        let own: TokenizerConfig = files.json("tokenizer_config.json")?.unwrap_or_default();

        let declared = own.model_max_length.filter(|n| (1.0..1e9).contains(n)).map(|n| n as usize);
        let in_tokenizer = tokenizer.get_truncation().map(|truncation| truncation.max_length);
        let ids = signature.input("input_ids").or(signature.inputs.first());
        let fixed_length = ids.and_then(|spec| spec.shape.get(1).copied().flatten());
        let of_files = max_tokens.or(declared.into_iter().chain(in_tokenizer).min());
        let limits = [of_files, hf.max_positions(), fixed_length, config.max_length];
        let max_length = limits.into_iter().flatten().min().unwrap_or(DEFAULT_MAX_LENGTH);
        let says = [
            (config.max_length, "model.toml (max_length)"),
            (fixed_length, SHAPES),
            (max_tokens, "sentence_bert_config.json"),
            (declared, "tokenizer_config.json (model_max_length)"),
            (in_tokenizer, "tokenizer.json (truncation)"),
            (hf.max_positions(), "config.json (max_position_embeddings)"),
        ];
        let of_length = says.iter().find(|(limit, _)| *limit == Some(max_length));
        let mut notes = vec![
            Note::new("tokenizer", describe(&tokenizer), "tokenizer.json"),
            Note::new(
                "max length",
                format!("{max_length} tokens"),
                of_length.map_or(ASSUMED, |(_, file)| file),
            ),
        ];
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

        let token_id = |token: &Option<Value>| {
            let token = match token.as_ref()? {
                Value::String(token) => token.as_str(),
                token => token.get("content").and_then(Value::as_str)?,
            };
            tokenizer.token_to_id(token)
        };
        let pad_id = padding
            .as_ref()
            .map(|padding| padding.pad_id)
            .or_else(|| token_id(&own.pad_token))
            .or(hf.pad_token_id)
            .unwrap_or(0);
        let usual_unknown = || ["[UNK]", "<unk>"].iter().find_map(|t| tokenizer.token_to_id(t));
        let unknown_id = token_id(&own.unk_token).or_else(usual_unknown);
        let pad_left = match (&padding, own.padding_side.as_deref()) {
            (_, Some(side)) => side == "left",
            (Some(padding), None) => {
                matches!(padding.direction, tokenizers::PaddingDirection::Left)
            }
            (None, None) => false,
        };
        let inputs = signature.inputs.iter().map(source).collect::<Result<_, _>>()?;
        let of_padding = match (&padding, &own.padding_side) {
            (_, Some(_)) => "tokenizer_config.json (padding_side)",
            (Some(_), None) => "tokenizer.json (padding)",
            (None, None) => ASSUMED,
        };
        let side = if pad_left { "left" } else { "right" };
        let to = match fixed_length {
            Some(length) => format!("{length} tokens"),
            None => "the longest text of a batch".to_owned(),
        };
        notes.push(Note::new("padding", format!("{side}, to {to}"), of_padding));
        let pad_type_id = padding.map_or(0, |padding| padding.pad_type_id);
        Ok(Self {
            tokenizer,
            max_length,
            fixed_length,
            pad_id,
            pad_type_id,
            pad_left,
            inputs,
            unknown_id,
            notes,
        })
    }

    pub fn notes(&self) -> Vec<Note> {
        self.notes.clone()
    }

    /// One encoding a text.
    ///
    /// # Errors
    /// As [`TextEncoder::encode`].
    pub fn encodings(
        &self,
        texts: &[Text],
        parameters: &Parameters,
        offsets: Offsets,
    ) -> Result<Vec<Encoding>, Error> {
        let tokenize = |text: &Text| self.tokenize(text, parameters, offsets);
        match texts {
            [only] => Ok(vec![tokenize(only)?]),
            many => many.par_iter().map(tokenize).collect(),
        }
    }

    /// Tokens of a row: those of the longest encoding, or the model's fixed number.
    pub fn length(&self, encodings: &[Encoding]) -> usize {
        let longest = encodings.iter().map(Encoding::len).max().unwrap_or(0);
        self.fixed_length.unwrap_or(longest).max(1)
    }

    /// Where an encoding's first token stands in a row of this length.
    pub fn start(&self, encoding: &Encoding, length: usize) -> usize {
        if self.pad_left { length.saturating_sub(encoding.len()) } else { 0 }
    }

    /// Padding stands before the tokens.
    pub fn pads_left(&self) -> bool {
        self.pad_left
    }

    /// Whether the vocabulary does not hold what this token stands for.
    pub fn is_unknown(&self, id: u32) -> bool {
        self.unknown_id == Some(id)
    }

    /// A token as the vocabulary writes it, `##ly` for example.
    pub fn token(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_token(id)
    }

    /// Tokens as text.
    pub fn join(&self, tokens: Vec<String>) -> String {
        let spaced = tokens.join(" ");
        match self.tokenizer.get_decoder() {
            Some(decoder) => decoder.decode(tokens).unwrap_or(spaced),
            None => spaced,
        }
    }

    /// The network's inputs.
    pub fn rows(&self, encodings: &[Encoding]) -> Rows {
        let length = self.length(encodings);
        let tensors = self.inputs.iter().map(|(name, source, data_type)| {
            let rows = self.input(encodings, *source, length).into_dyn();
            let tensor = match data_type {
                DataType::I32 => Tensor::I32(rows.mapv(|id| id as i32)),
                _ => Tensor::I64(rows),
            };
            (name.clone(), tensor)
        });
        let tensors = Tensors(tensors.collect());
        if self.fixed_length.is_some() {
            // A model of one fixed length takes every row as it is.
            return Rows::alike(tensors);
        }
        let lengths = Lengths {
            of_rows: encodings.iter().map(Encoding::len).collect(),
            padding: self.inputs.iter().map(|(_, source, _)| self.padding(*source)).collect(),
            left: self.pad_left,
        };
        Rows::sequences(tensors, lengths)
    }

    fn tokenize(
        &self,
        text: &Text,
        parameters: &Parameters,
        offsets: Offsets,
    ) -> Result<Encoding, Error> {
        let input: EncodeInput<'_> = match &text.pair {
            Some(pair) => (text.text.as_str(), pair.as_str()).into(),
            None => text.text.as_str().into(),
        };
        let refuse =
            |got: String| Error::invalid(&text.field, "text that the tokenizer takes", got);
        let encode = || match offsets {
            Offsets::None => self.tokenizer.encode_fast(input, true),
            Offsets::CodePoints => self.tokenizer.encode_char_offsets(input, true),
        };
        // A panic is this text's own.
        let encoding = catch_unwind(AssertUnwindSafe(encode))
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
    fn input(&self, encodings: &[Encoding], source: Source, length: usize) -> Array2<i64> {
        let mut rows = Array2::from_elem((encodings.len(), length), self.padding(source));
        for (encoding, mut row) in encodings.iter().zip(rows.rows_mut()) {
            let start = self.start(encoding, length);
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
