//! Which rows lack a value, for a model that has no answer without it.

use ndarray::{ArrayD, IxDyn};

use crate::error::Error;
use crate::tensor::{Tensor, Tensors};

/// A name that no network gives an output.
const ASIDE: &str = "\0missing";

/// For each row the field of its first missing value, or an empty text.
pub struct Missing<'a>(&'a ArrayD<String>);

impl<'a> Missing<'a> {
    /// What goes by the network beside rows of which one lacks a value at least.
    pub fn aside(fields: impl Iterator<Item = Option<String>>) -> Tensors {
        let fields: ndarray::Array1<String> = fields.map(Option::unwrap_or_default).collect();
        Tensors(vec![(ASIDE.to_owned(), fields.into_dyn().into())])
    }

    /// `None` if no row lacks a value.
    pub fn of(outputs: &'a Tensors) -> Option<Self> {
        match outputs.get(ASIDE)? {
            Tensor::String(fields) => Some(Self(fields)),
            _ => None,
        }
    }

    /// Why this row has no answer: it lacks a value. `None` if it does not.
    pub fn blame(&self, row: usize) -> Option<Error> {
        let field = self.0.get(IxDyn(&[row])).filter(|field| !field.is_empty())?;
        let expected = "a value: without it the model's answer is not a number";
        Some(Error::invalid(field, expected, "none (a missing value)"))
    }
}
