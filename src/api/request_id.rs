//! Gives every request an id, writes the body of every error, and logs each failed request once.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use super::error::render;
use crate::error::{Error, ErrorKind};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The outermost layer.
pub async fn assign(request: Request, next: Next) -> Response {
    let given = request.headers().get(&X_REQUEST_ID).and_then(|id| id.to_str().ok());
    let id = match given {
        Some(id) if is_valid(id) => id.to_owned(),
        _ => uuid::Uuid::new_v4().simple().to_string(),
    };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<Arc<Error>>() {
        render(&mut response, &error, &id);
        let status = response.status().as_u16();
        match error.kind {
            ErrorKind::Internal => {
                tracing::error!(request_id = id, %method, ?path, status, %error, "failed");
            }
            _ => tracing::info!(request_id = id, %method, ?path, status, %error, "refused"),
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

/// Ids go into logs and headers, so only harmless ones are taken over.
fn is_valid(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn only_harmless_ids_are_taken_over() {
        assert!(is_valid("4bf92f35-77b3.4da6_a3"));
        assert!(
            !is_valid("") && !is_valid("a b") && !is_valid("a\nb") && !is_valid(&"a".repeat(65))
        );
    }
}
