//! Rows of features from JSON.

use super::inputs::from_json;
use crate::error::Error;
use crate::tasks::{CellsSeed, Features, Reading};

/// Rows (`[[..],..]`, or one row `[..]`), records (`[{"name": value}, ..]`) or named columns
/// (`{"name": [..]}`, or `{"name": value}`).
///
/// # Errors
/// Anything else, ragged rows or columns, text in a row without names, a name twice, too many rows.
pub fn features(field: &str, json: &str, reading: Reading<'_>) -> Result<Features, Error> {
    let seed = CellsSeed::new(field, json, reading);
    let cells = from_json(field, json, seed, reading.meter)?;
    Ok(Features { field: field.to_owned(), cells })
}
