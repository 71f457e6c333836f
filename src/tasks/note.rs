//! What a task tells of itself, for people who look at a model.

use serde::Serialize;

/// One thing that was inferred, and the file that says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// A few words, for example `image size`.
    pub what: &'static str,
    pub value: String,
    /// A file's name, with the key where that helps; or the network itself, or an assumption.
    pub from: String,
}

/// Where a value is from that no file says.
pub const ASSUMED: &str = "assumption";
/// Where a value is from that the network's inputs and outputs tell.
pub const SHAPES: &str = "the network's inputs and outputs";
/// Where a value is from that the network's own operators tell.
pub const GRAPH: &str = "the network's graph";
/// Where a value is from that a run of the network shows.
pub const WARM_UP: &str = "a run of the network";

impl Note {
    pub fn new(what: &'static str, value: impl Into<String>, from: impl Into<String>) -> Self {
        Self { what, value: value.into(), from: from.into() }
    }
}
