//! Integration tests: the real router, on port 0, asked by a real HTTP client.
//!
//! ONNX Runtime has one environment a process, so all of them are one test binary.

mod abuse;
mod answers;
mod bench;
mod bulk;
mod cli;
mod compressed;
mod disk;
mod drain;
mod edge;
mod errors;
mod evaluate;
mod evaluate_reference;
mod fairness;
mod formats;
mod gpu;
mod graph_cache;
mod grpc;
mod grpc_streams;
mod inspect;
mod labels;
mod logs;
mod max_memory;
mod memory;
mod metrics;
mod misplaced;
mod neighbours;
mod network;
mod openapi;
mod other_forms;
mod playground;
mod process;
mod reference;
mod repository;
mod resume;
mod shared_session;
mod support;
mod text_tasks;
mod tokenizers;
mod traces;
mod tune;
mod v2;
mod values;
mod zero_config;
