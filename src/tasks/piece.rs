//! The pieces in which an input is encoded, so that requests take turns, and what each is expected to take.

use std::ops::Range;
use std::time::Duration;

use tokenizers::Encoding;

use crate::error::Error;
use crate::rows::Rows;
use crate::tensor::Tensors;

/// Items of an input that are encoded at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub items: Range<usize>,
    /// What is alike in what it takes: how far the estimate is off is learnt for each kind.
    pub kind: Kind,
    /// Of one thread, as far as it can be seen without doing it.
    pub estimate: Duration,
}

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Other,
    Text,
    Jpeg,
    /// One that is large enough to be decoded at a smaller scale.
    LargeJpeg,
    Png,
    WebP,
    Gif,
    Bmp,
}

impl Kind {
    pub const COUNT: usize = Self::Bmp as usize + 1;
}

/// What comes of a piece.
pub enum Part {
    Rows(Rows),
    Tokens(Vec<Encoding>),
}

/// Rows that are all alike, as one.
///
/// # Errors
/// Parts of another kind, or none.
pub fn rows(parts: Vec<Part>) -> Result<Rows, Error> {
    let misfit = || Error::internal("pieces of one input do not fit together");
    let mut rows = Vec::with_capacity(parts.len());
    for part in parts {
        let Part::Rows(part) = part else { return Err(misfit()) };
        rows.push(part);
    }
    if rows.len() == 1 {
        return rows.pop().ok_or_else(misfit);
    }
    let tensors = rows.into_iter().map(|rows| rows.tensors).collect();
    Tensors::gather(tensors).map(Rows::alike).ok_or_else(misfit)
}

/// The tokens of all texts, in order.
///
/// # Errors
/// Parts of another kind.
pub fn tokens(parts: Vec<Part>) -> Result<Vec<Encoding>, Error> {
    let mut tokens = Vec::new();
    for part in parts {
        let Part::Tokens(part) = part else {
            return Err(Error::internal("pieces of one input do not fit together"));
        };
        tokens.extend(part);
    }
    Ok(tokens)
}
