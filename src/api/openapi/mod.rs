//! The HTTP API in OpenAPI 3.1, made from the types that it reads and writes, and a page that shows it.
//!
//! `predict.rs`, `v2.rs`, `v1.rs`, `hugging_face.rs`, `admin.rs`, `playground.rs` and `reference.rs` hold the
//! operations,
//! `operation.rs` what they have in common, `errors.rs` the answers of every [`ErrorKind`],
//! `parameters.rs` headers and parameters, `schemas.rs` the forms that are read by hand and so have no
//! type of their own, and `page.rs` serves the page.
//!
//! [`ErrorKind`]: crate::error::ErrorKind

mod admin;
mod errors;
mod hugging_face;
mod operation;
mod page;
mod parameters;
mod playground;
mod predict;
mod reference;
mod schemas;
mod v1;
mod v2;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use bytes::Bytes;
use utoipa::openapi::path::Paths;
use utoipa::openapi::schema::{AnyOfBuilder, ComponentsBuilder, Schema};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::{Tag, TagBuilder};
use utoipa::openapi::{Info, InfoBuilder, License, OpenApi, OpenApiBuilder, RefOr, Server};

use super::App;
use crate::config;

pub use schemas::{datatypes, problem_types};

/// The document and the page; nothing where they are switched off. They tell nothing of the models.
pub fn routes(server: &config::Server) -> Router<App> {
    if !server.openapi {
        return Router::new();
    }
    // Strings, numbers and maps of them: this cannot fail to serialise.
    let json = Bytes::from(document(server.playground).to_json().unwrap_or_default());
    let document = async move || ([(header::CONTENT_TYPE, "application/json")], json.clone());
    Router::new()
        .route("/openapi.json", get(document))
        .merge(page::routes())
        .method_not_allowed_fallback(super::method_not_allowed)
        .layer(super::compression::layer(server))
}

/// Every route of both ports but for gRPC's; those of the playground where that is on.
#[must_use]
pub fn document(playground: bool) -> OpenApi {
    let (mut paths, mut schemas) = (Paths::new(), schemas::by_hand());
    let all = [
        predict::operations(),
        v2::operations(),
        v1::operations(),
        hugging_face::operations(),
        if playground { playground::operations() } else { Vec::new() },
        reference::operations(),
        admin::operations(),
    ];
    for operation in all.into_iter().flatten() {
        operation.place(&mut paths, &mut schemas);
    }
    let mut components = ComponentsBuilder::new()
        .schemas_from_iter(schemas.into_iter().map(|(name, schema)| (name, relaxed(schema))))
        .responses_from_iter(errors::responses())
        .security_scheme("bearer", bearer())
        .security_scheme("x-api-key", api_key());
    for (name, parameter) in parameters::all() {
        components = components.parameter(name, parameter);
    }
    for (name, header) in parameters::headers() {
        components = components.header(name, header);
    }
    OpenApiBuilder::new()
        .info(info())
        .servers(Some([Server::new("/")]))
        .paths(paths)
        .components(Some(components.build()))
        .tags(Some(tags(playground)))
        .build()
}

/// `anyOf` in the place of `oneOf`, of which no two fit anyway: generators of clients check that by
/// libraries of their own.
fn relaxed(schema: RefOr<Schema>) -> RefOr<Schema> {
    let RefOr::T(Schema::OneOf(one)) = schema else { return schema };
    let any = AnyOfBuilder::new().description(one.description);
    one.items.into_iter().fold(any, AnyOfBuilder::item).into()
}

fn info() -> Info {
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    InfoBuilder::new()
        .title("onnxd")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(include_str!("about.md")))
        .license(Some(license))
        .build()
}

fn tags(playground: bool) -> Vec<Tag> {
    let tag = |name: &str, description: &str| {
        TagBuilder::new().name(name).description(Some(description)).build()
    };
    let mut tags = vec![
        tag(
            predict::TAG,
            "Images, texts and rows of features in; classes, values and vectors out.",
        ),
        tag(
            v2::TAG,
            "The Open Inference Protocol v2: the network's own tensors. Triton's clients speak it.",
        ),
        tag(v1::TAG, "As TensorFlow Serving and KServe have it."),
        tag(hugging_face::TAG, "As Hugging Face's clients and inference endpoints have it."),
        tag(reference::TAG, "This document, and the page that shows it."),
        tag(
            admin::TAG,
            "Probes, metrics and control of the models, on a port of their own (`admin.listen`).",
        ),
    ];
    if playground {
        let described =
            "A page for people, and what it asks beside predictions: for that page alone.";
        tags.push(tag(playground::TAG, described));
    }
    tags
}

fn bearer() -> SecurityScheme {
    let described = "One of the keys of `server.api_keys_file`, where that is set";
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
    SecurityScheme::Http(bearer.description(Some(described)).build())
}

fn api_key() -> SecurityScheme {
    let described = "The same key in a header of its own";
    SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description("x-api-key", described)))
}
