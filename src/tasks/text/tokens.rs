//! Tokens of texts, padded to the longest of the batch.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use ndarray::Array2;
use tokenizers::PostProcessorWrapper;
use tokenizers::tokenizer::{
    Decoder, Encoding, PostProcessor, Tokenizer, TruncationDirection, TruncationParams,
    TruncationStrategy, truncate_encodings,
};

use super::super::note::Note;
use super::super::sentence_transformers::SentenceTransformer;
use super::super::{Material, Parameters, Text, Unserved};
use super::limit::{Limit, Places};
use super::model_config::ModelConfig;
use super::padding::Padding;
use super::preparation::Preparation;
use super::settings;
use super::tokenizer_config::TokenizerConfig;
use crate::error::Error;
use crate::rows::{Lengths, Rows};
use crate::signature::TensorSpec;
use crate::tensor::{DataType, Tensor, Tensors};

const INTEGERS: [DataType; 2] = [DataType::I64, DataType::I32];

/// Tokenises and pads to the longest text of the batch.
pub struct TokenEncoder {
    tokenizer: Tokenizer,
    /// The same without truncation and without special tokens, made for the first pair.
    uncut: OnceLock<Tokenizer>,
    preparation: Preparation,
    max_length: usize,
    /// Most tokens in a row, also in rows that a client sends as tensors.
    room: usize,
    /// Tokens that stand around and between the texts of a pair.
    of_pair: usize,
    /// Sequence length, where the model has a fixed one.
    fixed_length: Option<usize>,
    padding: Padding,
    inputs: Vec<(String, Source, DataType)>,
    /// The token for what the vocabulary does not hold.
    unknown_id: Option<u32>,
    notes: Vec<Note>,
    assumptions: Vec<String>,
}

/// Which part of an encoding an input takes.
#[derive(Clone, Copy)]
enum Source {
    Ids,
    Mask,
    Types,
    Positions,
    /// 1 for the first token, which sees all others, 0 for the rest: Longformer's.
    First,
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
    /// As [`super::TextEncoder::build`].
    pub fn build(material: Material<'_>, around: &SentenceTransformer) -> Result<Self, Unserved> {
        let Material { signature, files, config, .. } = material;
        let file = files.read("tokenizer.json")?.ok_or_else(|| {
            Unserved::unfit(
                "no tokenizer.json beside the model (save the tokenizer with it: \
                 tokenizer.save_pretrained(FOLDER))",
            )
        })?;
        let mut tokenizer =
            Tokenizer::from_bytes(file).map_err(|e| format!("tokenizer.json: {e}"))?;
        let model = ModelConfig::read(files)?;
        let own = TokenizerConfig::read(files, &model)?;
        let changed = settings::apply(&mut tokenizer, &own)?;

        let ids = signature.input("input_ids").or(signature.inputs.first());
        let fixed_length = ids.and_then(|spec| spec.shape.get(1).copied().flatten());
        let limit = Limit::of(&Places {
            operator: config.max_length,
            fixed: fixed_length,
            sentence_transformers: around.max_tokens,
            tokenizer: &own,
            model: &model,
        });
        let max_length = limit.tokens;
        let added = |pair| tokenizer.get_post_processor().map_or(0, |it| it.added_tokens(pair));
        let of_pair = added(true);
        if max_length <= added(false) {
            return Err(
                format!("the longest input is {max_length} tokens, which leaves no room").into()
            );
        }
        let of_tokenizer = tokenizer.get_truncation().map(|truncation| truncation.direction);
        let direction = match own.is_left("truncation_side") {
            Some(true) => TruncationDirection::Left,
            Some(false) => TruncationDirection::Right,
            None => of_tokenizer.unwrap_or_default(),
        };
        // All else that tokenizer.json says of truncation is left over from training.
        let strategy = TruncationStrategy::LongestFirst;
        let truncation = TruncationParams { direction, max_length, strategy, stride: 0 };
        tokenizer.with_truncation(Some(truncation)).map_err(|e| format!("tokenizer.json: {e}"))?;
        let padding = Padding::of(&tokenizer, tokenizer.get_padding(), &own, &model);
        // Padding happens below, to the longest of the batch, whatever the file says.
        tokenizer.with_padding(None);

        let usual_unknown = || ["[UNK]", "<unk>"].iter().find_map(|t| tokenizer.token_to_id(t));
        let unknown = own.token("unk_token").and_then(|token| tokenizer.token_to_id(token));
        let mut notes =
            vec![Note::new("tokenizer", settings::describe(&tokenizer), "tokenizer.json")];
        notes.extend(changed);
        notes.push(limit.note());
        if direction == TruncationDirection::Left {
            let from = match own.is_left("truncation_side") {
                Some(_) => "tokenizer_config.json (truncation_side)",
                None => "tokenizer.json (truncation)",
            };
            notes.push(Note::new("cut", "at the beginning of a text", from));
        }
        notes.push(padding.note(fixed_length));
        Ok(Self {
            unknown_id: unknown.or_else(usual_unknown),
            inputs: signature.inputs.iter().map(source).collect::<Result<_, _>>()?,
            assumptions: limit.assumption().into_iter().collect(),
            preparation: around.preparation.clone(),
            tokenizer,
            uncut: OnceLock::new(),
            max_length,
            room: limit.room,
            of_pair,
            fixed_length,
            padding,
            notes,
        })
    }

    pub fn notes(&self) -> Vec<Note> {
        self.notes.clone()
    }

    pub fn assumptions(&self) -> &[String] {
        &self.assumptions
    }

    /// The texts as sentence-transformers tokenises them.
    pub fn prepared<'a>(&self, texts: &'a [Text]) -> Cow<'a, [Text]> {
        self.preparation.of(texts)
    }

    /// # Errors
    /// As [`super::TextEncoder::prompt_length`].
    pub fn prompt_length(&self, prompt: &str) -> Result<usize, String> {
        let encoding = self.tokenizer.encode_fast(prompt, true).map_err(|e| e.to_string())?;
        let ends = encoding.get_special_tokens_mask().last() == Some(&1);
        Ok(encoding.len() - usize::from(ends))
    }

    /// Most tokens in a row that a client sends as tensors.
    pub fn room(&self) -> usize {
        self.room
    }

    /// One encoding a text.
    ///
    /// # Errors
    /// As [`super::TextEncoder::encode`].
    pub fn encodings(
        &self,
        texts: &[Text],
        parameters: &Parameters,
        offsets: Offsets,
    ) -> Result<Vec<Encoding>, Error> {
        texts.iter().map(|text| self.tokenize(text, parameters, offsets)).collect()
    }

    /// Tokens of a row: those of the longest encoding, or the model's fixed number.
    pub fn length(&self, encodings: &[Encoding]) -> usize {
        let longest = encodings.iter().map(Encoding::len).max().unwrap_or(0);
        self.fixed_length.unwrap_or_else(|| self.padding.length(longest)).max(1)
    }

    /// Where an encoding's first token stands in a row of this length.
    pub fn start(&self, encoding: &Encoding, length: usize) -> usize {
        if self.padding.left { length.saturating_sub(encoding.len()) } else { 0 }
    }

    /// Padding stands before the tokens.
    pub fn pads_left(&self) -> bool {
        self.padding.left
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
            of_rows: encodings.iter().map(|row| self.padding.length(row.len())).collect(),
            padding: match self.padding.id {
                Some(_) => self.inputs.iter().map(|(_, source, _)| self.filling(*source)).collect(),
                None => Vec::new(),
            },
            left: self.padding.left,
        };
        Rows::sequences(tensors, lengths)
    }

    /// A pair, and whether it was cut, by the whole lengths of both texts: tokenizers' own early cut hides which
    /// is the longer, and so may give the odd place to the other text than transformers does.
    fn encode_pair(&self, first: &str, second: &str) -> tokenizers::Result<(Encoding, bool)> {
        let uncut = self.uncut.get_or_init(|| {
            let mut tokenizer = self.tokenizer.clone();
            // Only setting one can fail.
            let _ = tokenizer.with_truncation(None);
            tokenizer.with_post_processor(None::<PostProcessorWrapper>);
            tokenizer
        });
        let part = |text: &str| uncut.encode_fast(text, false);
        let (mut first, mut second) = (part(first)?, part(second)?);
        let before = first.len() + second.len();
        if let Some(truncation) = self.tokenizer.get_truncation() {
            let max_length = self.max_length - self.of_pair;
            let params = TruncationParams { max_length, ..truncation.clone() };
            let (one, other) = truncate_encodings(first, Some(second), &params)?;
            (first, second) = (one, other.unwrap_or_default());
            // What was cut off comes in pieces of this length, which would be paired each with each.
            first.take_overflowing();
            second.take_overflowing();
        }
        let is_cut = first.len() + second.len() < before;
        Ok((self.tokenizer.post_process(first, Some(second), true)?, is_cut))
    }

    /// One text, and whether it was cut.
    fn encode_one(&self, text: &str, offsets: Offsets) -> tokenizers::Result<(Encoding, bool)> {
        let mut encoding = match offsets {
            Offsets::None => self.tokenizer.encode_fast(text, true)?,
            Offsets::CodePoints => self.tokenizer.encode_char_offsets(text, true)?,
        };
        let is_cut = !encoding.take_overflowing().is_empty();
        Ok((encoding, is_cut))
    }

    fn tokenize(
        &self,
        text: &Text,
        parameters: &Parameters,
        offsets: Offsets,
    ) -> Result<Encoding, Error> {
        if text.pair.is_some() && self.of_pair >= self.max_length {
            return Err(Error::invalid(
                &text.field,
                format!("one text, since the model takes {} tokens", self.max_length),
                "a pair",
            ));
        }
        let refuse =
            |got: String| Error::invalid(&text.field, "text that the tokenizer takes", got);
        let encode = || match &text.pair {
            Some(pair) => self.encode_pair(&text.text, pair),
            None => self.encode_one(&text.text, offsets),
        };
        // A panic is this text's own.
        let (encoding, is_cut) = catch_unwind(AssertUnwindSafe(encode))
            .map_err(|_| refuse("a text that it fails on".to_owned()))?
            .map_err(|error| refuse(error.to_string()))?;
        if !parameters.truncate && is_cut {
            return Err(Error::invalid(
                &text.field,
                format!("at most {} tokens, since `truncate` is off", self.max_length),
                "a longer text",
            ));
        }
        Ok(encoding)
    }

    fn filling(&self, source: Source) -> i64 {
        i64::from(match source {
            Source::Ids => self.padding.id.unwrap_or(0),
            Source::Types => self.padding.type_id,
            Source::Mask | Source::Positions | Source::First => 0,
        })
    }

    /// `[texts, length]`, padded.
    fn input(&self, encodings: &[Encoding], source: Source, length: usize) -> Array2<i64> {
        let mut rows = Array2::from_elem((encodings.len(), length), self.filling(source));
        for (encoding, mut row) in encodings.iter().zip(rows.rows_mut()) {
            let start = self.start(encoding, length);
            let values: &[u32] = match source {
                Source::Ids | Source::Positions | Source::First => encoding.get_ids(),
                Source::Mask => encoding.get_attention_mask(),
                Source::Types => encoding.get_type_ids(),
            };
            for (position, (cell, value)) in
                (0..).zip(row.iter_mut().skip(start).zip(values.iter().copied()))
            {
                *cell = match source {
                    Source::Positions => position,
                    Source::First => i64::from(position == 0),
                    _ => i64::from(value),
                };
            }
        }
        rows
    }
}

fn source(spec: &TensorSpec) -> Result<(String, Source, DataType), Unserved> {
    let source = match spec.name.as_str() {
        "input_ids" => Source::Ids,
        "attention_mask" => Source::Mask,
        "token_type_ids" => Source::Types,
        "position_ids" => Source::Positions,
        "global_attention_mask" => Source::First,
        _ => return Err(unknown_input(spec)),
    };
    match spec.data_type() {
        Some(data_type) if spec.is(2, &INTEGERS) => Ok((spec.name.clone(), source, data_type)),
        _ => Err(unknown_input(spec)),
    }
}

fn unknown_input(spec: &TensorSpec) -> Unserved {
    Unserved::Unfit(format!(
        "input {spec} is none that a tokenizer fills: `input_ids`, `attention_mask`, \
         `token_type_ids` or `position_ids`, each INT64 or INT32 [N,tokens]"
    ))
}
