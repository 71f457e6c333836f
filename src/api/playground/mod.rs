//! A page for people: `GET /` to try the models on, and to watch the server by its own metrics. All of it
//! comes out of the binary.

mod models;

use std::sync::{Arc, LazyLock};

use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::error::ApiError;
use super::scrape::{self, Scrape};
use super::{App, compression, method_not_allowed, unknown_route};
use crate::config::Server;
use crate::error::{Error, ErrorKind, excerpt};
pub use models::Playground;

/// Nothing from elsewhere, no script or style within the page, and no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");

/// A file of the page.
struct File {
    name: &'static str,
    media_type: &'static str,
    content: &'static str,
}

macro_rules! files {
    ($($name:literal: $media_type:expr),+ $(,)?) => {
        &[$(File { name: $name, media_type: $media_type, content: include_str!($name) }),+]
    };
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The page first.
const FILES: &[File] = files![
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "live.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "api.js": SCRIPT,
    "camera.js": SCRIPT,
    "chart.js": SCRIPT,
    "dom.js": SCRIPT,
    "features.js": SCRIPT,
    "image.js": SCRIPT,
    "json.js": SCRIPT,
    "live.js": SCRIPT,
    "main.js": SCRIPT,
    "problem.js": SCRIPT,
    "prometheus.js": SCRIPT,
    "result.js": SCRIPT,
    "snippets.js": SCRIPT,
    "text.js": SCRIPT,
    "timing.js": SCRIPT,
    "try.js": SCRIPT,
    "window.js": SCRIPT,
];

/// The files' entity tags, in their order. Weak, since a file may be sent compressed.
static TAGS: LazyLock<Vec<HeaderValue>> = LazyLock::new(|| {
    let tag = |file: &File| {
        let hash: [u8; 32] = Sha256::digest(file.content).into();
        let digits = URL_SAFE_NO_PAD.encode(&hash[..12]);
        HeaderValue::try_from(format!("W/\"{digits}\"")).ok()
    };
    FILES.iter().filter_map(tag).collect()
});

/// The page and its files, which everybody may read; nothing if it is switched off.
pub fn page(server: &Server) -> Router<App> {
    if !server.playground {
        return Router::new();
    }
    Router::new()
        .route("/playground/{file}", get(file))
        .method_not_allowed_fallback(method_not_allowed)
        // Other methods of this path are another router's.
        .route("/", get(index))
        .layer(compression::layer(server))
}

/// What the page asks beside predictions; nothing if it is switched off.
pub fn data(server: &Server, scrape: Arc<Scrape>) -> Router<App> {
    if !server.playground {
        return Router::new();
    }
    Router::new()
        .route("/playground/models", get(models))
        .route("/playground/models/{model}/example", get(example))
        .route("/playground/metrics", get(metrics))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(Extension(scrape))
        .layer(compression::layer(server))
}

async fn index(headers: HeaderMap) -> Response {
    send(0, &headers)
}

async fn file(state: State<App>, uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    let name = uri.path().rsplit('/').next().unwrap_or_default();
    match FILES.iter().skip(1).position(|file| file.name == name) {
        Some(index) => Ok(send(index + 1, &headers)),
        None => Err(unknown_route(state, uri).await),
    }
}

/// The file of this number, or that the browser has it already.
fn send(index: usize, headers: &HeaderMap) -> Response {
    let (file, tag) = (&FILES[index], &TAGS[index]);
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|given| has_tag(given, tag));
    let mut response = match known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => file.content.into_response(),
    };
    let named = HeaderValue::from_static;
    let headers = response.headers_mut();
    if known {
        headers.remove(header::CONTENT_TYPE);
    } else {
        headers.insert(header::CONTENT_TYPE, named(file.media_type));
    }
    headers.insert(header::ETAG, tag.clone());
    // A new release is seen at the next visit.
    headers.insert(header::CACHE_CONTROL, named("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, named(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, named("nosniff"));
    headers.insert(header::REFERRER_POLICY, named("no-referrer"));
    headers.insert(PERMISSIONS, named("camera=(self), microphone=(), geolocation=()"));
    response
}

/// Whether `if-none-match` names the tag, or any.
fn has_tag(given: &HeaderValue, tag: &HeaderValue) -> bool {
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    match (given.to_str(), tag.to_str()) {
        (Ok(given), Ok(tag)) => {
            given.trim() == "*" || given.split(',').any(|one| strong(one) == strong(tag))
        }
        _ => false,
    }
}

async fn models(State(app): State<App>) -> Result<Json<Playground>, ApiError> {
    Ok(Json(Playground::of(&app)?))
}

/// The file of the first image that the model is known to answer well.
async fn example(
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(name) = name.map_err(|_| {
        Error::field(ErrorKind::UnknownModel, "model", "a name in UTF-8", "other bytes")
    })?;
    let (_, version) = app.repository()?.ready(&name, None)?;
    let model = app.repository()?.profile(&name, version);
    let image = model.as_ref().and_then(|model| models::example_image(model)).ok_or_else(|| {
        let got = format!("`{}`", excerpt(&name));
        Error::field(ErrorKind::UnknownModel, "model", "one with an image in its golden.json", got)
    })?;
    let octets = HeaderValue::from_static("application/octet-stream");
    Ok(([(header::CONTENT_TYPE, octets)], image).into_response())
}

async fn metrics(Extension(scrape): Extension<Arc<Scrape>>) -> Result<Response, ApiError> {
    scrape::answer(scrape.shared().await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_a_tag_of_its_own_and_is_found_by_it() {
        assert_eq!(TAGS.len(), FILES.len());
        let given = HeaderValue::try_from(format!("\"x\", {}", TAGS[1].to_str().unwrap())).unwrap();
        assert!(has_tag(&given, &TAGS[1]) && !has_tag(&given, &TAGS[2]));
        assert!(has_tag(&HeaderValue::from_static("*"), &TAGS[2]));
    }

    #[test]
    fn every_module_that_a_file_imports_is_served() {
        for file in FILES {
            for line in file.content.lines().filter(|line| line.starts_with("import ")) {
                let name = line.split("\"./").nth(1).and_then(|rest| rest.split('"').next());
                let served = FILES.iter().any(|other| Some(other.name) == name);
                assert!(served, "{}: {line}", file.name);
            }
        }
    }
}
