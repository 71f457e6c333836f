//! onnxd: an HTTP inference server for ONNX models.
//!
//! # Layers
//! `api → model → { tasks, runtime } → { signature, rows, tensor, metrics, error, config }`; nothing
//! points back. `telemetry` needs `config` alone; `api` and `cli` use it.
//!
//! # The path of one request
//! 1. `api` admits it, reads the body and parses the envelope, then finds the [`model::Model`].
//! 2. A compute thread decodes, resizes or tokenises: [`tasks::Task::encode`].
//! 3. The rows wait in the model's bounded queue: [`runtime::queue`].
//! 4. An idle session's own thread takes a batch and runs the network: [`runtime::pool`].
//! 5. A compute thread reads the scores: [`tasks::Task::decode`]; `api` answers.
//!
//! # Invariants
//! 1. Only `runtime` names `ort` and `cudarc`.
//! 2. Only `api` (and the server that holds it) names axum, http or a status code; `telemetry::otlp` is a client.
//! 3. `tasks` is synchronous, and pure once loaded.
//! 4. Async threads never touch pixels, tokens or tensor elements.
//! 5. One queue a model, bounded; a full queue is an answer, never a panic.
//! 6. One request cannot make another fail or change its answer.
//! 7. No globals.
//! 8. Configuration never restates what the model's files say.
//! 9. Nothing leaves the machine: no telemetry but the spans that `trace.otlp_endpoint` asks for, and
//!    no URL of a request is ever fetched.

pub mod api;
pub mod cli;
pub mod config;
pub mod error;
pub mod metrics;
pub mod model;
pub mod reload;
pub mod rows;
pub mod runtime;
pub mod server;
pub mod signature;
pub mod tasks;
pub mod telemetry;
pub mod tensor;
