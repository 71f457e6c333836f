//! The page to try the models on, and what it asks beside predictions.

use utoipa::openapi::ResponseBuilder;
use utoipa::openapi::content::ContentBuilder;

use super::operation::Described;
use super::parameters::{self, text};
use super::schemas::file;
use crate::api::playground::Playground;
use crate::error::ErrorKind;

pub const TAG: &str = "playground";

pub fn operations() -> Vec<Described> {
    let models = [ErrorKind::Unauthorized, ErrorKind::Unavailable];
    let example = ErrorKind::UnknownModel;
    vec![
        page("/", "playground", &["text/html"]).summary("A page to try the models on").open(),
        page(
            "/playground/{file}",
            "playgroundFile",
            &["text/css", "text/javascript", "image/svg+xml"],
        )
        .summary("Scripts and styles of the page")
        .fails(&[ErrorKind::UnknownRoute])
        .open(),
        Described::get("/playground/models", "playgroundModels", TAG)
            .summary("What the page must know of the models")
            .answers::<Playground>(200, "The models", None)
            .fails(&models)
            .on_data_port(),
        bytes(
            "/playground/models/{model}/example",
            "playgroundExample",
            "application/octet-stream",
        )
        .summary("An image that the model is known to answer well")
        .fails(&[models[0], models[1], example])
        .on_data_port(),
        bytes("/playground/metrics", "playgroundMetrics", "text/plain")
            .summary("The metrics of the admin port, at most a quarter of a second old")
            .fails(&[ErrorKind::Unauthorized, ErrorKind::Internal])
            .on_data_port(),
    ]
}

/// A file of the page, which a browser may have already.
fn page(path: &str, id: &str, media_types: &[&str]) -> Described {
    let content = || ContentBuilder::new().schema(Some(text())).build();
    let described = ResponseBuilder::new()
        .description("The file")
        .header_ref("etag", parameters::header("ETag"))
        .header_ref("content-security-policy", parameters::header("ContentSecurityPolicy"));
    let response = media_types
        .iter()
        .fold(described, |response, media_type| response.content(*media_type, content()));
    let known = ResponseBuilder::new()
        .description("The file is as the browser has it")
        .header_ref("etag", parameters::header("ETag"));
    Described::get(path, id, TAG)
        .parameter("if-none-match")
        .response(200, response)
        .response(304, known)
}

fn bytes(path: &str, id: &str, media_type: &str) -> Described {
    let content = ContentBuilder::new().schema(Some(file())).build();
    let response = ResponseBuilder::new().description("The file").content(media_type, content);
    Described::get(path, id, TAG).response(200, response)
}
