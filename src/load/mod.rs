//! Load on a server, and what comes of it.

pub mod objective;
pub mod summary;
