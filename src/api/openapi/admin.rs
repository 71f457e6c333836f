//! The admin port.

use serde_json::{Value, json};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{ArrayBuilder, Object, ObjectBuilder, Type};
use utoipa::openapi::{Required, ResponseBuilder};

use super::operation::Described;
use super::parameters::{flag, text};
use crate::api::health::{Liveness, Readiness, Startup};
use crate::error::ErrorKind;
use crate::model::repository::IndexEntry;

pub const TAG: &str = "admin";

/// What a change of the models may end in.
const CHANGE: &[ErrorKind] = &[
    ErrorKind::Unauthorized,
    ErrorKind::Syntax,
    ErrorKind::InvalidInput,
    ErrorKind::UnknownModel,
    ErrorKind::TooLarge,
    ErrorKind::Unavailable,
    ErrorKind::Internal,
];
/// What a question about the models may end in.
const QUESTION: &[ErrorKind] = &[
    ErrorKind::Unauthorized,
    ErrorKind::Syntax,
    ErrorKind::InvalidInput,
    ErrorKind::TooLarge,
    ErrorKind::Unavailable,
];

pub fn operations() -> Vec<Described> {
    vec![
        Described::get("/health/startup", "startup", TAG)
            .summary("Whether every model is loaded")
            .answers::<Startup>(200, "Yes", Some(json!({"started": true})))
            .answers::<Startup>(503, "Not yet", Some(json!({"started": false})))
            .on_admin_port(),
        Described::get("/health/ready", "ready", TAG)
            .summary("Whether requests should be sent here")
            .answers::<Readiness>(200, "Yes", Some(json!({"ready": true})))
            .answers::<Readiness>(503, "No", Some(json!({"ready": false, "reason": "draining"})))
            .on_admin_port(),
        Described::get("/health/live", "live", TAG)
            .summary("Whether a restart is needed")
            .answers::<Liveness>(200, "No", Some(json!({"live": true})))
            .answers::<Liveness>(503, "Yes", Some(json!({"live": false, "stuck": ["iris"]})))
            .on_admin_port(),
        metrics(),
        index(),
        change("load", "Load a model, or what has changed of it, and wait until it serves"),
        change("unload", "Let a model go; what it has taken on is answered still"),
    ]
}

fn metrics() -> Described {
    let content = ContentBuilder::new().schema(Some(text())).build();
    let metrics = ResponseBuilder::new().description("Prometheus' text format");
    Described::get("/metrics", "metrics", TAG)
        .summary("Metrics for Prometheus")
        .response(200, metrics.content("text/plain", content))
        .fails(&[ErrorKind::Internal])
        .on_admin_port()
}

fn index() -> Described {
    let mut described = Described::post("/v2/repository/index", "repositoryIndex", TAG)
        .summary("Every version that is known, and how it stands")
        .body(optional(index_request(), json!({"ready": true})));
    let versions = ArrayBuilder::new().items(described.reference::<IndexEntry>());
    let example = json!([{"name": "iris", "version": "1", "state": "READY", "reason": ""}]);
    let content = ContentBuilder::new().schema(Some(versions)).example(Some(example)).build();
    let index = ResponseBuilder::new().description("Every version");
    described
        .response(200, index.content("application/json", content))
        .fails(QUESTION)
        .with_key()
        .on_admin_port()
}

fn change(verb: &str, summary: &str) -> Described {
    let path = format!("/v2/repository/models/{{model}}/{verb}");
    Described::post(&path, &format!("repository{}{}", verb[..1].to_uppercase(), &verb[1..]), TAG)
        .summary(summary)
        .description("Only with `models.control = \"explicit\"`.")
        .body(optional(change_request(), json!({})))
        .response(200, ResponseBuilder::new().description("Done; the body is empty"))
        .fails(CHANGE)
        .with_key()
        .on_admin_port()
}

fn optional(schema: Object, example: Value) -> RequestBody {
    let content = ContentBuilder::new().schema(Some(schema)).example(Some(example)).build();
    RequestBodyBuilder::new()
        .required(Some(Required::False))
        .content("application/json", content)
        .build()
}

fn index_request() -> Object {
    ObjectBuilder::new().property("ready", flag(false)).build()
}

/// `parameters` of Triton's clients, of which none has a meaning here.
fn change_request() -> Object {
    ObjectBuilder::new().property("parameters", Object::with_type(Type::Object)).build()
}
