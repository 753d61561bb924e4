//! Replies of one piece.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use serde::Serialize;

/// JSON of our own API.
pub(super) const JSON: &str = "application/json";

/// A document.
pub(super) fn json(status: StatusCode, document: &impl Serialize) -> Response {
    match serde_json::to_vec(document) {
        Ok(text) => {
            let mut response = bytes(JSON, text.into());
            *response.status_mut() = status;
            response
        }
        Err(error) => {
            tracing::error!(%error, "a reply cannot be written as JSON");
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// Bytes of a type.
pub(super) fn bytes(content_type: &'static str, bytes: Bytes) -> Response {
    let mut response = Response::new(Body::from(bytes));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
