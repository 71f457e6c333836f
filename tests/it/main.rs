//! Integration tests: the real router, on port 0, asked by a real HTTP client.
//!
//! ONNX Runtime has one environment a process, so all of them are one test binary.

mod answers;
mod cli;
mod drain;
mod edge;
mod errors;
mod gpu;
mod logs;
mod metrics;
mod process;
mod reference;
mod repository;
mod support;
mod traces;
mod zero_config;
