//! Text to tensors: by a tokenizer, or as strings for models that tokenise themselves.

mod limit;
mod model_config;
mod padding;
mod preparation;
mod settings;
mod tokenizer_class;
mod tokenizer_config;
mod tokens;

use std::ops::Range;
use std::time::Duration;

use ndarray::{ArrayD, IxDyn};
use serde_json::Value;

use super::note::{Note, SHAPES};
use super::piece::{self, Kind, Part, Piece};
use super::sentence_transformers::SentenceTransformer;
use super::{Input, Material, Parameters, Text, Unserved};
use crate::error::Error;
use crate::rows::Rows;
use crate::tensor::{DataType, Tensor, Tensors};

pub use preparation::Preparation;
pub use tokens::{Offsets, TokenEncoder};

/// Turns texts into what the network takes.
pub enum TextEncoder {
    Tokens(Box<TokenEncoder>),
    /// A string tensor `[N]` or `[N,1]`.
    Strings {
        input: String,
        rank: usize,
    },
}

/// A number of tokens; `None` of whatever says nothing, such as -1, or 1e30 for "no limit".
pub(super) fn count(value: &Value) -> Option<usize> {
    value.as_f64().filter(|count| (1.0..1e9).contains(count)).map(|count| count as usize)
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

/// Bytes of UTF-8 from which on texts are a piece of their own: some two milliseconds.
const PIECE_BYTES: usize = 8 * 1024;
/// What a byte takes of a thread, about.
const A_BYTE: Duration = Duration::from_nanos(250);

/// Texts in pieces: short ones together.
pub fn pieces(input: &Input) -> Vec<Piece> {
    let Input::Texts(texts) = input else { return Vec::new() };
    let (mut pieces, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (index, text) in texts.iter().enumerate() {
        bytes += text.bytes();
        if bytes >= PIECE_BYTES || index + 1 == texts.len() {
            let estimate = A_BYTE * u32::try_from(bytes).unwrap_or(u32::MAX);
            pieces.push(Piece { items: start..index + 1, kind: Kind::Text, estimate });
            (start, bytes) = (index + 1, 0);
        }
    }
    pieces
}

/// Some of the texts.
///
/// # Errors
/// There are fewer.
pub fn of_piece(texts: &[Text], items: Range<usize>) -> Result<&[Text], Error> {
    texts.get(items).ok_or_else(|| Error::internal("a piece beyond the texts"))
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
    /// # Errors
    /// No `tokenizer.json`, or inputs that tokens do not fill.
    pub fn build(material: Material<'_>, around: &SentenceTransformer) -> Result<Self, Unserved> {
        let inputs = &material.signature.inputs;
        match inputs.as_slice() {
            [only] if (1..=2).any(|rank| only.is(rank, &[DataType::String])) => {
                Ok(Self::Strings { input: only.name.clone(), rank: only.shape.len() })
            }
            _ => Ok(Self::Tokens(Box::new(TokenEncoder::build(material, around)?))),
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

    /// What whoever serves the model may not expect.
    pub fn assumptions(&self) -> Vec<String> {
        match self {
            Self::Tokens(encoder) => encoder.assumptions().to_vec(),
            Self::Strings { .. } => Vec::new(),
        }
    }

    /// Most tokens of a row, where rows are of tokens.
    pub fn room(&self) -> Option<usize> {
        match self {
            Self::Tokens(encoder) => Some(encoder.room()),
            Self::Strings { .. } => None,
        }
    }

    /// Tokens that a prompt takes at the beginning of a row.
    ///
    /// # Errors
    /// A prompt that the tokenizer does not take.
    pub fn prompt_length(&self, prompt: &str) -> Result<usize, String> {
        match self {
            Self::Tokens(encoder) => encoder.prompt_length(prompt),
            Self::Strings { .. } => Ok(0),
        }
    }

    /// One row a text.
    ///
    /// # Errors
    /// A text that the model cannot take, or that is too long while `truncate` is off.
    pub fn encode(&self, texts: &[Text], parameters: &Parameters) -> Result<Rows, Error> {
        self.join(vec![self.encode_piece(texts, parameters)?])
    }

    /// Some of a request's texts.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_piece(&self, texts: &[Text], parameters: &Parameters) -> Result<Part, Error> {
        match self {
            Self::Tokens(encoder) => {
                let texts = encoder.prepared(texts);
                Ok(Part::Tokens(encoder.encodings(&texts, parameters, Offsets::None)?))
            }
            Self::Strings { input, rank } => {
                let strings = texts.iter().map(plain_string).collect::<Result<Vec<_>, _>>()?;
                let shape = if *rank == 1 { vec![strings.len()] } else { vec![strings.len(), 1] };
                let array =
                    ArrayD::from_shape_vec(IxDyn(&shape), strings).map_err(Error::internal)?;
                let tensors = Tensors(vec![(input.clone(), Tensor::String(array))]);
                Ok(Part::Rows(Rows::alike(tensors)))
            }
        }
    }

    /// One row a text.
    ///
    /// # Errors
    /// Parts of another encoder.
    pub fn join(&self, parts: Vec<Part>) -> Result<Rows, Error> {
        match self {
            Self::Tokens(encoder) => Ok(encoder.rows(&piece::tokens(parts)?)),
            Self::Strings { .. } => piece::rows(parts),
        }
    }
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
