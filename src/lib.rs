//! onnxd: an HTTP inference server for ONNX models.
//!
//! # Layers
//! `cli → server → api → bulk → model → { tasks, runtime } → { signature, rows, tensor, onnx, metrics,
//! statistics, error, config }`; nothing points back. `telemetry` needs `config` alone; `reload`, `load`,
//! `plot` and `impostor` need nothing. `tune`, `inspect` and `evaluate` stand beside `server`: `cli → tune → { model,
//! load, plot }`, `cli → inspect → model`, `cli → evaluate → { model, tasks, plot }`.
//!
//! # The path of one request
//! 1. `server` reads its head; `api` admits it, reads the body and parses the envelope, then
//!    finds the [`model::Model`].
//! 2. The model takes it on or refuses it, by the wait that is predicted.
//! 3. A compute thread decodes, resizes or tokenises: [`tasks::Task::encode`]. What is smaller than
//!    the way to another thread is done where it is: [`tasks::Task::is_small`].
//! 4. The rows wait in the model's bounded queue: [`runtime::queue`].
//! 5. An idle session's own thread takes a batch and runs the network: [`runtime::pool`].
//! 6. A compute thread reads the scores: [`tasks::Task::decode`]; `api` answers.
//!
//! # Invariants
//! 1. Only `runtime` names `ort` and `cudarc`.
//! 2. Only `api`, and the `server` that holds it, name axum, hyper, tonic or a status
//!    code; `telemetry::otlp` and `load` are clients.
//! 3. `tasks` is synchronous, and pure once loaded.
//! 4. Async threads never touch pixels or tokens, and tensor elements only where there are a few.
//! 5. One queue a model, bounded; a full queue is an answer, never a panic. Everything else that
//!    waits has a bound too: connections, bodies, log lines, spans.
//! 6. One request cannot make another fail or change its answer.
//! 7. No globals but those of the process: the log, the panic hook and the allocator.
//! 8. Configuration never restates what the model's files say.
//! 9. Nothing leaves the machine: no telemetry but the spans that `trace.otlp_endpoint` asks for, and
//!    no URL of a request is ever fetched.
//! 10. Nothing that a client sends becomes a metric's label, and a refusal's log line does not quote
//!     its body.
//! 11. Load alone never makes the process not live, nor keeps the admin port from answering.

/// Chosen by measurement: docs/performance.md. ONNX Runtime has its own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod api;
pub mod bulk;
pub mod cli;
pub mod config;
pub mod error;
pub mod evaluate;
pub mod impostor;
pub mod inspect;
pub mod load;
pub mod metrics;
pub mod model;
pub mod onnx;
pub mod plot;
pub mod reload;
pub mod rows;
pub mod runtime;
pub mod server;
pub mod shared;
pub mod signature;
pub mod statistics;
pub mod tasks;
pub mod telemetry;
pub mod tensor;
pub mod tune;
