//! Compresses answers where it pays.

use axum::body::HttpBody;
use axum::http::Response;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::Predicate;

use super::grpc;
use crate::config::Server;

/// The fastest level: it runs on an async thread, and more gains little with JSON.
pub fn layer(server: &Server) -> CompressionLayer<FromSize> {
    let least = match server.compression_min_size {
        0 => u64::MAX,
        some => some,
    };
    let layer = CompressionLayer::new().gzip(true).quality(CompressionLevel::Fastest);
    layer.compress_when(FromSize(least))
}

/// Bodies of at least this many bytes, but for gRPC's, which would have its own compression.
#[derive(Clone, Copy)]
pub struct FromSize(u64);

impl Predicate for FromSize {
    fn should_compress<B: HttpBody>(&self, response: &Response<B>) -> bool {
        !grpc::is_grpc(response.headers())
            && response.body().size_hint().exact().is_some_and(|size| size >= self.0)
    }
}
