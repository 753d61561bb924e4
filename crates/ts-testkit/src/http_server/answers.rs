//! Answers that no server means to give.

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode},
    response::{IntoResponse as _, Response},
};
use std::io;

/// Length that an answer promises which breaks off.
const PROMISED: u16 = 4096;

/// An answer that breaks off behind `head`: it promises more, and hyper closes the connection when its body fails.
pub fn broken(head: &'static str) -> Response {
    let pieces = [Ok(Bytes::from_static(head.as_bytes())), Err(io::Error::other("cut"))];
    let mut response = Response::new(Body::from_stream(futures_util::stream::iter(pieces)));
    response
        .headers_mut()
        .insert("content-length", HeaderValue::from(PROMISED));
    response
}

/// The web page with which a proxy answers in the server's place.
///
/// # Panics
/// If that is no status.
pub fn page(status: u16) -> Response {
    let page = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>";
    (code(status), [("content-type", "text/html")], page).into_response()
}

/// Plain text.
///
/// # Panics
/// If that is no status.
pub fn plain(status: u16, text: &str) -> Response {
    (code(status), text.to_owned()).into_response()
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("a status of HTTP")
}
