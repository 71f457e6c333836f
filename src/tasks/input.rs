//! What a client asks a prediction for, before any model has looked at it.

use bytes::Bytes;

use super::cells::Features;
use crate::tensor::DataType;

/// Which kind of input a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    Image,
    Text,
    Features,
    /// The network's own inputs: a model without a task.
    Tensors,
}

impl InputKind {
    /// The JSON field of this kind.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Text => "text",
            Self::Features => "features",
            Self::Tensors => "inputs",
        }
    }
}

/// Bytes of files and texts that are compared on an async thread, in half a millisecond at most.
const QUICK: usize = 4 << 20;

/// One or many inputs of one kind. Every item knows the field it came from, for error messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Input {
    Images(Vec<Image>),
    Texts(Vec<Text>),
    Features(Features),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Image {
    pub field: String,
    pub source: ImageSource,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ImageSource {
    /// The file as it is, and the media type that the client says it has.
    File(Bytes, Option<String>),
    /// The file in base64, bare or as a data URI.
    Base64(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Text {
    pub field: String,
    pub text: String,
    /// The second of a pair, for models that compare two texts.
    pub pair: Option<String>,
}

impl ImageSource {
    /// As it came.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::File(file, _) => file.len(),
            Self::Base64(text) => text.len(),
        }
    }
}

impl Text {
    /// Of UTF-8, a pair's second text included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len() + self.pair.as_ref().map_or(0, String::len)
    }
}

/// A column that a model of features takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureColumn {
    /// `None` if no file of the model names it.
    pub name: Option<String>,
    pub data_type: DataType,
}

impl Input {
    #[must_use]
    pub fn kind(&self) -> InputKind {
        match self {
            Self::Images(_) => InputKind::Image,
            Self::Texts(_) => InputKind::Text,
            Self::Features(_) => InputKind::Features,
        }
    }

    /// Number of inputs, which is the number of answers.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Images(images) => images.len(),
            Self::Texts(texts) => texts.len(),
            Self::Features(features) => features.cells.rows(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is known in a moment to be the same as another.
    #[must_use]
    pub fn is_quick_to_compare(&self) -> bool {
        match self {
            Self::Images(images) => images.iter().map(|i| i.source.bytes()).sum::<usize>() <= QUICK,
            Self::Texts(texts) => texts.iter().map(Text::bytes).sum::<usize>() <= QUICK,
            // Each by itself.
            Self::Features(features) => features.cells.len() <= QUICK / 1024,
        }
    }
}

/// What a client may ask for beside the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// How many classes to list for each input.
    pub top_k: usize,
    /// The model's own scores, without softmax or sigmoid.
    pub raw_scores: bool,
    /// Cut a text that is longer than the model takes; if not, it is an error.
    pub truncate: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { top_k: 5, raw_scores: false, truncate: true }
    }
}
