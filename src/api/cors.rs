//! Which pages may ask from a browser.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::config::Server;

/// `None` if no origin is allowed: then browsers keep all pages of other origins out.
pub fn layer(server: &Server) -> Option<CorsLayer> {
    let origins = &server.cors_allowed_origins;
    let allowed = match origins.as_slice() {
        [] => return None,
        [any] if any == "*" => AllowOrigin::any(),
        // The configuration holds only what a header can.
        some => AllowOrigin::list(some.iter().filter_map(|o| HeaderValue::from_str(o).ok())),
    };
    let named = HeaderName::from_static;
    let asked = [
        header::CONTENT_TYPE,
        header::AUTHORIZATION,
        named("x-api-key"),
        named("x-request-id"),
        named("x-request-timeout-ms"),
        named("x-priority"),
    ];
    let answered =
        [header::RETRY_AFTER, named("x-request-id"), named("x-device"), named("server-timing")];
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(asked)
        .expose_headers(answered)
        .max_age(Duration::from_hours(1));
    Some(layer)
}
