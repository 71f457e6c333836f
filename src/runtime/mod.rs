//! Tensors in, tensors out. The only place that names `ort` and `cudarc`.

mod arena;
pub mod by_size;
pub mod cancel;
pub mod compute;
pub mod cost;
pub mod crowd;
pub mod device;
pub mod initializers;
pub mod job;
pub mod library;
pub mod memory;
pub mod patience;
pub mod pool;
pub mod provider;
pub mod queue;
mod region;
pub mod run;
pub mod session;
mod shared_run;
mod sync;
mod told;
