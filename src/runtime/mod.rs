//! Tensors in, tensors out. The only place that names `ort` and `cudarc`.

pub mod compute;
pub mod device;
pub mod library;
pub mod pool;
pub mod provider;
pub mod session;
