//! `onnxd tune`: finds sessions, threads, batch size and queue delay for a model on this machine.
//!
//! `candidates` says what is tried, `search` who goes on, `entrant` how good one is, `staircase` at which
//! rate it is asked next; `measure` asks the real engine, and `write` puts the result into `model.toml`.

pub mod candidates;
pub mod chart;
pub mod entrant;
pub mod inputs;
pub mod measure;
pub mod report;
pub mod search;
mod staircase;
pub mod trial;
pub mod write;
