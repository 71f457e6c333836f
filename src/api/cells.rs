//! Rows of features from JSON.

use super::inputs::from_json;
use crate::error::Error;
use crate::tasks::Features;

/// Rows (`[[..],..]`, or one row `[..]`), records (`[{"name": value}, ..]`) or named columns
/// (`{"name": [..]}`, or `{"name": value}`).
///
/// # Errors
/// Anything else, ragged rows or columns, text in a row without names, a name twice.
pub fn features(field: &str, json: &str) -> Result<Features, Error> {
    Ok(Features { field: field.to_owned(), cells: from_json(field, json)? })
}
