//! This document, and the page that shows it. Neither asks for a key.

use utoipa::openapi::ResponseBuilder;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::schema::{Object, Type};

use super::operation::Described;
use super::{parameters, schemas};
use crate::error::ErrorKind;

pub const TAG: &str = "reference";

pub fn operations() -> Vec<Described> {
    let object = ContentBuilder::new().schema(Some(Object::with_type(Type::Object))).build();
    let document =
        ResponseBuilder::new().description("OpenAPI 3.1").content("application/json", object);
    let text = || ContentBuilder::new().schema(Some(parameters::text())).build();
    let page = ResponseBuilder::new()
        .description("HTML")
        .content("text/html", text())
        .header_ref("content-security-policy", parameters::header("ContentSecurityPolicy"));
    let script = ContentBuilder::new().schema(Some(schemas::file())).build();
    let file = ResponseBuilder::new()
        .description("The file")
        .content("text/javascript", script)
        .content("text/css", text());
    vec![
        Described::get("/openapi.json", "openapi", TAG)
            .summary("This document")
            .response(200, document)
            .open(),
        Described::get("/docs", "docs", TAG)
            .summary("A page for people that shows this document")
            .response(200, page)
            .open(),
        Described::get("/docs/{file}", "docsFile", TAG)
            .summary("Script and style of the page")
            .response(200, file)
            .fails(&[ErrorKind::UnknownRoute])
            .open(),
    ]
}
