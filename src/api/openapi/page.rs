//! The page that shows the document: Swagger UI, from the binary itself.

use std::io::Read;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use flate2::read::GzDecoder;

use crate::api::App;
use crate::api::error::ApiError;
use crate::error::{Error, ErrorKind, excerpt};

const PAGE: &str = include_str!("page.html");
const START: &str = include_str!("start.js");
// Made by build.rs from the released files.
const SCRIPT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz"));
const STYLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz"));

/// Nothing but the page's own files; `data:` for the pictures within the style.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

pub fn routes() -> Router<App> {
    Router::new().route("/docs", get(page)).route("/docs/{file}", get(file))
}

async fn page() -> Response {
    secured(Html(PAGE).into_response())
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let (packed, media_type) = match name.as_str() {
        "start.js" => return Ok(secured(([JAVASCRIPT], START).into_response())),
        "swagger-ui-bundle.js" => (SCRIPT, JAVASCRIPT),
        "swagger-ui.css" => (STYLE, (header::CONTENT_TYPE, "text/css; charset=utf-8")),
        _ => {
            let expected = "`start.js`, `swagger-ui-bundle.js` or `swagger-ui.css`";
            let got = format!("`{}`", excerpt(&name));
            return Err(Error::field(ErrorKind::UnknownRoute, "path", expected, got).into());
        }
    };
    let headed = [media_type, (header::VARY, "accept-encoding")];
    if takes_gzip(&headers) {
        let encoded = (header::CONTENT_ENCODING, "gzip");
        return Ok(secured((headed, [encoded], packed).into_response()));
    }
    let mut unpacked = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut unpacked).map_err(Error::internal)?;
    Ok(secured((headed, unpacked).into_response()))
}

const JAVASCRIPT: (header::HeaderName, &str) =
    (header::CONTENT_TYPE, "text/javascript; charset=utf-8");

fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = accepted.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    codings.any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = quality
            .trim()
            .strip_prefix("q=0")
            .is_some_and(|rest| rest.trim_start_matches('.').chars().all(|digit| digit == '0'));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_those_who_take_it() {
        let takes = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
            takes_gzip(&headers)
        };
        assert!(takes("gzip, deflate, br") && takes("br;q=1, GZIP;q=0.5") && takes("gzip;q=0.01"));
        assert!(!takes("identity") && !takes("gzip;q=0") && !takes("gzip;q=0.0") && !takes(""));
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
