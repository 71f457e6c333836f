//! Parameters of requests and headers of answers, by the names under which operations refer to them.

use serde_json::{Value, json};
use utoipa::openapi::Required;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, ObjectBuilder, Ref, Type};

pub const REQUEST_ID: &str = "x-request-id";
/// What every request for an inference may bring.
pub const OF_INFERENCE: [&str; 3] = ["x-request-timeout-ms", "x-priority", "traceparent"];
/// What `/predict` reads from the query.
pub const OF_PREDICT: [&str; 3] = ["top_k", "raw_scores", "truncate"];
pub const HEADER_LENGTH: &str = "inference-header-content-length";

/// A reference to one of [`headers`].
pub fn header(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}

pub fn all() -> Vec<(&'static str, Parameter)> {
    vec![
        path("model", "The model's name: that of its folder", "sentiment-minilm"),
        path("version", "A version's number, or a label of the model's versions", "1"),
        path("label", "A label of the model's versions, or a number", "1"),
        path("file", "A file of the page", "start.js"),
        query("model_query", "model", "The model's name, in the place of the path", text()),
        query("top_k", "top_k", "How many classes to list for each input", top_k()),
        query(
            "raw_scores",
            "raw_scores",
            "The model's own scores, without softmax or sigmoid",
            flag(false),
        ),
        query(
            "truncate",
            "truncate",
            "Cut a text that is longer than the model takes; if false, that is an error",
            flag(true),
        ),
        header_parameter(
            REQUEST_ID,
            "Comes back in the answer and goes into the log, if it has 1 to 64 letters, digits, `.`, `_` and `-`",
            text(),
        ),
        header_parameter(
            "x-request-timeout-ms",
            "When the client stops waiting, in milliseconds; the answer is 504 by then, and what has not started does not run",
            whole(0, json!(10_000)),
        ),
        header_parameter(
            "x-priority",
            "`bulk` for work that may wait behind other requests",
            priority(),
        ),
        header_parameter(
            "traceparent",
            "The caller's span, by W3C Trace Context, where `trace.otlp_endpoint` is set",
            text(),
        ),
        header_parameter("if-none-match", "The entity tags of what the browser has", text()),
        header_parameter(
            HEADER_LENGTH,
            "Where bytes of tensors follow the JSON: its length in bytes. 0: the body is nothing but the only input",
            whole(0, Value::Null),
        ),
    ]
}

pub fn headers() -> Vec<(&'static str, Header)> {
    let header = |name, description: &str, schema: Object| {
        let header = HeaderBuilder::new().schema(Some(schema)).description(Some(description));
        (name, header.build())
    };
    vec![
        header("XRequestId", "The request's, or a new one", text()),
        header("RetryAfter", "When to try again, in seconds", whole(1, Value::Null)),
        header(
            "ServerTiming",
            "Milliseconds of each stage: `decode;dur=0.995, preprocess;dur=0.786, queue;dur=0.004, infer;dur=4.401, postprocess;dur=0.010`",
            text(),
        ),
        header("XDevice", "What ran the network: `cpu`, `cuda:0`, `tensorrt:0`", text()),
        header(
            "InferenceHeaderContentLength",
            "The length of the JSON in bytes, where bytes of tensors follow it",
            whole(0, Value::Null),
        ),
        header("ETag", "Tells this content from any other", text()),
        header("WwwAuthenticate", "`Bearer`", text()),
        header("Allow", "The methods that the path has", text()),
        header("ContentSecurityPolicy", "Lets the page load nothing but its own files", text()),
    ]
}

fn path(name: &'static str, description: &str, example: &'static str) -> (&'static str, Parameter) {
    let schema = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
    let parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(schema))
        .example(Some(json!(example)));
    (name, parameter.build())
}

fn query(
    key: &'static str,
    name: &str,
    description: &str,
    schema: Object,
) -> (&'static str, Parameter) {
    (key, optional(name, ParameterIn::Query, description, schema))
}

fn header_parameter(
    name: &'static str,
    description: &str,
    schema: Object,
) -> (&'static str, Parameter) {
    (name, optional(name, ParameterIn::Header, description, schema))
}

fn optional(name: &str, at: ParameterIn, description: &str, schema: Object) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(at)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

pub fn text() -> Object {
    Object::with_type(Type::String)
}

pub fn top_k() -> Object {
    let count = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
    count.default(Some(json!(5))).build()
}

pub fn flag(default: bool) -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).default(Some(json!(default))).build()
}

fn whole(least: i32, example: Value) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(least))
        .examples((!example.is_null()).then_some(example))
        .build()
}

fn priority() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(["interactive", "bulk"]))
        .default(Some(json!("interactive")))
        .build()
}
