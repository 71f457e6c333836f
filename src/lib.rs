//! onnxd: an HTTP inference server for ONNX models.
//!
//! # Layers
//! `cli → server → api → bulk → model → { tasks, runtime } → { signature, rows, tensor, onnx, metrics,
//! statistics, json, meter, error, config }`; nothing points back. `telemetry` needs `config` alone; `reload`, `load`,
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
//!    waits has a bound too: connections, bodies, unread answers, log lines, spans; and no client can
//!    take all of what clients share.
//! 6. One request cannot make another fail or change its answer.
//! 7. No globals but those of the process: the log, the panic hook and the allocator.
//! 8. Configuration never restates what the model's files say.
//! 9. Nothing leaves the machine: no telemetry but the spans that `trace.otlp_endpoint` asks for, and
//!    no URL of a request is ever fetched.
//! 10. Nothing that a client sends becomes a metric's label, and a refusal's log line does not quote
//!     its body.
//! 11. Load alone never makes the process not live, nor keeps the admin port from answering.
//! 12. What a network declares wins over what is inferred: its own label is the answer, its own classes
//!     are the names. Names come from `labels.txt` or `model.toml`, then `config.json`, then the graph, then
//!     the file's metadata.
//! 13. What scores are is read: from `model.toml`, from `config.json`, from the graph's last operators. Only
//!     where all are silent do several runs decide, and what they decide stands under "assumed". Nothing is
//!     squashed twice; margins and distances are passed on as they are.
//! 14. A classifier of one label answers its sigmoid, unless its files say otherwise.
//! 15. A row's answer does not depend on its neighbours: at the load rows are asked alone and together, and
//!     where that differs they run alone, or with rows of their own length.
//! 16. A missing value is a value: NaN in a column of floats, the empty string in one of text. What a
//!     network has no answer for is the client's error, with the cell named.
//! 17. Numbers keep their precision, in and out.
//! 18. A text becomes the tokens that transformers' fast tokenizer makes of it with the same folder.
//! 19. A network that ONNX Runtime loads never keeps the server from starting: what fits no task is served as
//!     tensors, with one sentence that says what it looks like.
//! 20. A photograph stands upright before the network sees it.
//! 21. A file that is not what its name says is named, with what it is and what helps; none is passed over
//!     in silence.
//! 22. The command line loses no input: a first line that is not understood is an error, never a header.

/// Chosen by measurement: docs/performance.md. ONNX Runtime has its own. Unit tests count with another.
#[cfg(not(test))]
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
pub mod json;
pub mod load;
pub mod meter;
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
