//! What all operations have in common: identifiers, parameters of the path, answers and errors.

use std::collections::BTreeSet;

use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::content::{Content, ContentBuilder};
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, Paths};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::{Ref, Schema};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::server::{ServerBuilder, ServerVariableBuilder};
use utoipa::openapi::{RefOr, Response, ResponseBuilder, Server};

use super::{errors, parameters};
use crate::api::error::status;
use crate::error::ErrorKind;

/// Schemas by their names.
pub type Schemas = Vec<(String, RefOr<Schema>)>;

/// What a request may end in before a handler sees it.
pub const ANY: &[ErrorKind] =
    &[ErrorKind::Unauthorized, ErrorKind::Overloaded, ErrorKind::Internal];
/// The same of a request that asks about models.
pub const OF_MODELS: &[ErrorKind] =
    &[ErrorKind::Unauthorized, ErrorKind::Overloaded, ErrorKind::Internal, ErrorKind::Unavailable];
/// The same where the path names a model.
pub const OF_MODEL: &[ErrorKind] = &[
    ErrorKind::Unauthorized,
    ErrorKind::UnknownModel,
    ErrorKind::UnknownRoute,
    ErrorKind::Overloaded,
    ErrorKind::Internal,
    ErrorKind::Unavailable,
];
/// Whatever an inference may end in.
pub const INFERENCE: &[ErrorKind] = &[
    ErrorKind::Unauthorized,
    ErrorKind::Syntax,
    ErrorKind::InvalidInput,
    ErrorKind::UnknownModel,
    ErrorKind::UnknownRoute,
    ErrorKind::TooLarge,
    ErrorKind::UnsupportedMediaType,
    ErrorKind::BodyTimeout,
    ErrorKind::Overloaded,
    ErrorKind::Unavailable,
    ErrorKind::DeadlineExceeded,
    ErrorKind::Internal,
];

/// An operation on its way into the document.
pub struct Described {
    path: String,
    method: HttpMethod,
    operation: OperationBuilder,
    schemas: Schemas,
}

impl Described {
    pub fn get(path: &str, id: &str, tag: &str) -> Self {
        Self::new(HttpMethod::Get, path, id, tag)
    }

    pub fn post(path: &str, id: &str, tag: &str) -> Self {
        Self::new(HttpMethod::Post, path, id, tag)
    }

    fn new(method: HttpMethod, path: &str, id: &str, tag: &str) -> Self {
        let operation = OperationBuilder::new().operation_id(Some(id)).tag(tag);
        let described = Self { path: path.to_owned(), method, operation, schemas: Vec::new() };
        let of_path = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let names: Vec<_> = of_path.map(ToOwned::to_owned).collect();
        names.iter().fold(described, |described, name| described.parameter(name))
    }

    pub fn summary(mut self, summary: &str) -> Self {
        self.operation = self.operation.summary(Some(summary));
        self
    }

    /// In Markdown.
    pub fn description(mut self, description: &str) -> Self {
        self.operation = self.operation.description(Some(description));
        self
    }

    /// One of [`parameters::all`].
    pub fn parameter(mut self, name: &str) -> Self {
        let reference = Ref::new(format!("#/components/parameters/{name}"));
        self.operation = self.operation.parameter_ref(reference);
        self
    }

    pub fn body(mut self, body: RequestBody) -> Self {
        self.operation = self.operation.request_body(Some(body));
        self
    }

    /// A content of this type.
    pub fn content<T: ToSchema>(&mut self, example: Option<Value>) -> Content {
        let reference = self.reference::<T>();
        ContentBuilder::new().schema(Some(reference)).example(example).build()
    }

    /// A reference to this type, whose schema goes into the document.
    pub fn reference<T: ToSchema>(&mut self) -> Ref {
        let name = T::name().into_owned();
        self.schemas.push((name.clone(), T::schema()));
        T::schemas(&mut self.schemas);
        Ref::from_schema_name(name)
    }

    /// Answers this type as JSON.
    pub fn answers<T: ToSchema>(
        mut self,
        status: u16,
        description: &str,
        example: Option<Value>,
    ) -> Self {
        let content = self.content::<T>(example);
        let response = ResponseBuilder::new().description(description);
        self.response(status, response.content("application/json", content))
    }

    /// Any other answer.
    pub fn response(mut self, status: u16, response: ResponseBuilder) -> Self {
        let response: Response =
            response.header_ref("x-request-id", parameters::header("XRequestId")).build();
        self.operation = self.operation.response(status.to_string(), response);
        self
    }

    /// May fail in these ways.
    pub fn fails(mut self, kinds: &[ErrorKind]) -> Self {
        // Several kinds may share a status.
        let statuses: BTreeSet<_> = kinds.iter().map(|kind| status(*kind)).collect();
        for status in statuses {
            let response = Ref::from_response_name(errors::name(status, &self.path));
            self.operation = self.operation.response(status.as_str(), response);
        }
        self
    }

    /// On the data port, where a key is asked for if keys are configured.
    pub fn on_data_port(self) -> Self {
        self.with_key().open()
    }

    /// On the data port, without a key.
    pub fn open(mut self) -> Self {
        let too_large = Ref::from_response_name(errors::HEAD_TOO_LARGE);
        self.operation = self.operation.response("431", too_large);
        self
    }

    /// Asks for a key where keys are configured.
    pub fn with_key(mut self) -> Self {
        let none: [&str; 0] = [];
        self.operation = self
            .operation
            .security(SecurityRequirement::default())
            .security(SecurityRequirement::new("bearer", none))
            .security(SecurityRequirement::new("x-api-key", none));
        self
    }

    pub fn on_admin_port(mut self) -> Self {
        self.operation = self.operation.server(admin_port());
        self
    }

    pub fn place(self, paths: &mut Paths, schemas: &mut Schemas) {
        let this = self.parameter(parameters::REQUEST_ID);
        paths.add_path_operation(this.path, vec![this.method], this.operation);
        schemas.extend(this.schemas);
    }
}

fn admin_port() -> Server {
    let variable = |value: &str| ServerVariableBuilder::new().default_value(value).build();
    ServerBuilder::new()
        .url("http://{host}:{port}")
        .description(Some("The admin port, `admin.listen`"))
        .parameter("host", variable("127.0.0.1"))
        .parameter("port", variable("9090"))
        .build()
}

/// Contents of this schema with an example for each name.
pub fn with_examples(
    schema: impl Into<RefOr<Schema>>,
    examples: impl IntoIterator<Item = (&'static str, &'static str, Value)>,
) -> Content {
    let example = |(name, summary, value)| {
        (name, ExampleBuilder::new().summary(summary).value(Some(value)).build())
    };
    let examples = examples.into_iter().map(example);
    ContentBuilder::new().schema(Some(schema)).examples_from_iter(examples).build()
}
