//! What fills up the shorter texts of a batch.

use tokenizers::{PaddingDirection, PaddingParams, Tokenizer};

use super::super::note::{ASSUMED, Note};
use super::model_config::ModelConfig;
use super::tokenizer_config::TokenizerConfig;

pub struct Padding {
    /// `None` if no file names one: then texts of other lengths must not share a run.
    pub id: Option<u32>,
    pub type_id: u32,
    pub left: bool,
    /// Each row is as long as a multiple of this.
    multiple: usize,
    of_side: &'static str,
}

impl Padding {
    /// `own`: of `tokenizer.json`. Its length does not count, since a batch is padded to its longest.
    pub fn of(
        tokenizer: &Tokenizer,
        own: Option<&PaddingParams>,
        config: &TokenizerConfig,
        model: &ModelConfig,
    ) -> Self {
        let id = |token: &str| tokenizer.token_to_id(token);
        let named = || {
            if config.has("pad_token") {
                // A null says that there is none.
                return config.token("pad_token").and_then(id);
            }
            let of_class = config.class.pad_token.and_then(id);
            of_class.or_else(|| own.map(|own| id(&own.pad_token).unwrap_or(own.pad_id)))
        };
        let id = match model.reads_last_token() {
            // Any other token would be taken for the text's last.
            true => model.pad_token_id(),
            false => named().or_else(|| model.pad_token_id()),
        };
        let side = config
            .is_left("padding_side")
            .map(|left| (left, "tokenizer_config.json (padding_side)"));
        let of_tokenizer = own.map(|own| {
            (matches!(own.direction, PaddingDirection::Left), "tokenizer.json (padding)")
        });
        let of_class = (config.class.pads_left, ASSUMED);
        let (left, of_side) = side.or(of_tokenizer).unwrap_or(of_class);
        let type_id = own.map_or(config.class.pad_type_id, |own| own.pad_type_id);
        let multiple = model.window().unwrap_or(1);
        Self { id, type_id, left, multiple, of_side }
    }

    /// The length of a row that has so many tokens, where the network has none of its own.
    pub fn length(&self, tokens: usize) -> usize {
        tokens.max(1).next_multiple_of(self.multiple)
    }

    /// `fixed`: the network's own length.
    pub fn note(&self, fixed: Option<usize>) -> Note {
        let side = if self.left { "left" } else { "right" };
        let value = match (fixed, self.id) {
            (Some(length), _) => format!("{side}, to {length} tokens"),
            (None, _) if self.multiple > 1 => format!(
                "{side}, to whole windows of {} tokens (attention_window in config.json)",
                self.multiple
            ),
            (None, Some(_)) => format!("{side}, to the longest text of a batch"),
            (None, None) => {
                let why = "none, since no file names a padding token: only texts of one length \
                           share a run";
                return Note::new("padding", why, ASSUMED);
            }
        };
        Note::new("padding", value, self.of_side)
    }
}
