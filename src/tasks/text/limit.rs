//! The most tokens of a text, and which file says so.

use super::super::note::{ASSUMED, Note, SHAPES};
use super::super::sentence_transformers;
use super::model_config::ModelConfig;
use super::tokenizer_config::TokenizerConfig;

/// Longest input when no file of the model names a limit.
const DEFAULT: usize = 512;

/// What each place says, if it says anything.
pub struct Places<'a> {
    /// `max_length` of `model.toml`.
    pub operator: Option<usize>,
    /// The network's own length.
    pub fixed: Option<usize>,
    /// Of sentence-transformers, which goes before the tokenizer's.
    pub sentence_transformers: Option<usize>,
    pub tokenizer: &'a TokenizerConfig,
    pub model: &'a ModelConfig,
}

pub struct Limit {
    pub tokens: usize,
    /// A file and its key.
    from: Option<(&'static str, &'static str)>,
    /// Most tokens of a row that a client may send by itself: what the model has room for, if that is known.
    pub room: usize,
    /// What the model has room for, if that is more.
    takes: Option<usize>,
}

impl Limit {
    pub fn of(places: &Places<'_>) -> Self {
        let declared = ["model_max_length", "max_len"];
        let declared = declared.iter().find_map(|key| places.tokenizer.count(key));
        let positions = places.model.max_positions();
        let of_files = [
            (places.sentence_transformers, (sentence_transformers::TRANSFORMER, "max_seq_length")),
            (declared, ("tokenizer_config.json", "model_max_length")),
        ];
        let of_files = of_files.into_iter().find(|(limit, _)| limit.is_some());
        let said = [
            (places.operator, ("model.toml", "max_length")),
            (places.fixed, (SHAPES, "")),
            of_files.unwrap_or((None, ("", ""))),
            (positions, ("config.json", "max_position_embeddings")),
        ];
        let smallest = said
            .iter()
            .filter_map(|(limit, from)| Some((limit.as_ref().copied()?, *from)))
            .min_by_key(|(limit, _)| *limit);
        let (tokens, from) = match smallest {
            Some((tokens, from)) => (tokens, Some(from)),
            None => (DEFAULT, None),
        };
        let room = places.fixed.into_iter().chain(positions).min();
        // What the operator chose is known to the operator.
        let takes = room.filter(|room| *room > tokens && places.operator != Some(tokens));
        let most = room.unwrap_or(tokens);
        Self { tokens, from, room: most, takes }
    }

    pub fn note(&self) -> Note {
        let from = match self.from {
            Some((place, "")) => place.to_owned(),
            Some((file, key)) => format!("{file} ({key})"),
            None => ASSUMED.to_owned(),
        };
        Note::new("max length", format!("{} tokens", self.tokens), from)
    }

    /// What whoever serves the model may not expect.
    pub fn assumption(&self) -> Option<String> {
        let tokens = self.tokens;
        match (self.from, self.takes) {
            (None, _) => Some(format!(
                "texts are cut at {tokens} tokens, since no file says how many the model takes: \
                 max_length = {tokens}"
            )),
            (Some((file, _)), Some(takes)) => Some(format!(
                "texts are cut at {tokens} tokens ({file}), though the model takes {takes}"
            )),
            _ => None,
        }
    }
}
