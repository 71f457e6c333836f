//! Open Inference Protocol v2. `infer.rs` answers a request whatever carried it; `rest.rs` carries it
//! by HTTP.
//!
//! Source: the Open Inference Protocol's specification and its extensions as Triton has them.

mod answer;
pub mod binary;
mod classification;
pub mod data;
pub mod elements;
pub mod infer;
pub mod json;
pub mod metadata;
pub mod missing;
mod preprocessed;
pub mod request;
mod rest;

pub use answer::Body as InferAnswerBody;
pub use request::Body as InferRequestBody;
pub use rest::{HEADER_LENGTH, health, routes};

/// As in the metrics.
pub const PROTOCOL: &str = "v2";
