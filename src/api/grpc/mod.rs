//! gRPC, on the data port beside everything else: the Open Inference Protocol v2, gRPC's own health
//! service, and reflection.
//!
//! `wire.rs` is the framing, `call.rs` one call, `status.rs` how errors are told. `service.rs` and
//! `control.rs` hold the methods with one answer, `infer.rs` inference: `question.rs`, `contents.rs` and
//! `fields.rs` read what is asked within the bounds of its bytes, `convert.rs` makes the answer.
//! `stream.rs` streams, `health.rs` the health service. The layers are those of HTTP: an error is an `ApiError` here as
//! well, and the outermost layer renders it as its client reads it.

pub(super) mod call;
mod contents;
mod control;
mod convert;
mod fields;
mod health;
mod infer;
mod question;
mod service;
pub mod status;
mod stream;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use axum::routing::post;
use axum::{Router, middleware};
use tonic_reflection::server::Builder;
use tower::util::option_layer;

use super::App;
use super::auth::{self, Keys};
use super::health::Health;
use crate::reload::Reloading;
use call::{Service, unary};

#[cfg(test)]
pub(super) use infer::{meter, parse};
pub use wire::is_grpc;

/// The messages of `proto/`.
#[allow(clippy::pedantic)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/inference.rs"));

    pub mod health {
        include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
    }
}

/// For reflection: what `proto/` defines.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The service of the Open Inference Protocol.
const INFERENCE: &str = "inference.GRPCInferenceService";
const HEALTH: &str = "grpc.health.v1.Health";

/// Bytes of a question of reflection, which comes back with its answer.
const MAX_REFLECTED: usize = 256;

/// Longer than any model loads.
const LOAD_TIMEOUT: Duration = Duration::from_hours(24);

/// As in the metrics.
const PROTOCOL: &str = "grpc";

/// Whether a route is of gRPC, but not for one inference. The questions of a stream are counted one by
/// one.
pub fn is_other(route: &str) -> bool {
    let is_grpc = ["/inference.", "/grpc."].iter().any(|package| route.starts_with(package));
    is_grpc && !route.ends_with("/ModelInfer")
}

/// The services of the data port.
pub fn routes<S>(app: App, health: Arc<Health>) -> Router<S> {
    Router::new()
        .route(&inference("ServerLive"), unary(service::server_live))
        .route(&inference("ServerReady"), unary(service::server_ready))
        .route(&inference("ModelReady"), unary(service::model_ready))
        .route(&inference("ServerMetadata"), unary(service::server_metadata))
        .route(&inference("ModelMetadata"), unary(service::model_metadata))
        .route(&inference("ModelConfig"), unary(service::model_config))
        .route(&inference("ModelStatistics"), unary(service::model_statistics))
        .route(&inference("ModelInfer"), post(infer::unary))
        .route(&inference("ModelStreamInfer"), post(stream::infer))
        .route(&inference("RepositoryIndex"), unary(control::index))
        .route(&inference("RepositoryModelLoad"), unary(control::refuse_load))
        .route(&inference("RepositoryModelUnload"), unary(control::refuse_unload))
        .with_state(Service { app, health })
}

/// The services of the admin port; with `keys` the control of the models asks for one.
pub fn admin<S>(mut app: App, health: Arc<Health>, keys: Option<Arc<Reloading<Keys>>>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    // A large model loads for longer than a prediction may take; the client's own deadline counts.
    app.server.request_timeout = LOAD_TIMEOUT;
    let keys = keys.map(|keys| middleware::from_fn_with_state(keys, auth::check));
    Router::new()
        .route(&inference("RepositoryIndex"), unary(control::index))
        .route(&inference("RepositoryModelLoad"), unary(control::load))
        .route(&inference("RepositoryModelUnload"), unary(control::unload))
        .route_layer(option_layer(keys))
        .route(&inference("ServerLive"), unary(service::server_live))
        .route(&inference("ServerReady"), unary(service::server_ready))
        .route(&inference("ModelReady"), unary(service::model_ready))
        .with_state(Service { app: app.clone(), health: health.clone() })
        .merge(self::health(app, health))
        .merge(reflection())
}

fn inference(method: &str) -> String {
    format!("/{INFERENCE}/{method}")
}

/// Which services there are, for clients that ask the server itself.
pub fn reflection<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let builder = || Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS);
    let v1 = builder().build_v1();
    let v1 = v1.unwrap_or_else(|error| unreachable!("what was compiled in: {error}"));
    let v1 = v1.max_decoding_message_size(MAX_REFLECTED);
    let v1alpha = builder().build_v1alpha();
    let v1alpha = v1alpha.unwrap_or_else(|error| unreachable!("what was compiled in: {error}"));
    let v1alpha = v1alpha.max_decoding_message_size(MAX_REFLECTED);
    Router::new()
        .route_service("/grpc.reflection.v1.ServerReflection/{method}", v1)
        .route_service("/grpc.reflection.v1alpha.ServerReflection/{method}", v1alpha)
}

/// gRPC's health service, which no limit of the data port may refuse.
pub fn health<S>(app: App, health: Arc<Health>) -> Router<S> {
    Router::new()
        .route(&format!("/{HEALTH}/Check"), unary(health::check))
        .route(&format!("/{HEALTH}/Watch"), post(health::watch))
        .with_state(Service { app, health })
}
