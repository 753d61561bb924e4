//! From errors to replies: one table of statuses, and the shape of the body.

use axum::{
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::json;
use ts_core::{Error, ErrorKind};

/// An error as `/api/v2` gives it: `{"error":{"kind","message","help"}}`.
#[derive(Debug)]
pub(super) struct Failure(pub(super) Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let body = json!({"error": {"kind": error.kind(), "message": error.message(), "help": error.help()}});
        let mut response = super::answer::json(status(error.kind()), &body);
        if error.kind() == ErrorKind::Auth {
            let scheme = axum::http::HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(axum::http::header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// The status that says the same as the kind of an error.
pub(super) fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Config => StatusCode::BAD_REQUEST,
        ErrorKind::Auth => StatusCode::UNAUTHORIZED,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Rejected => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::NoCapacity => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Unreachable | ErrorKind::Protocol => StatusCode::BAD_GATEWAY,
        ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An address at which nothing is.
pub(super) fn nothing_here(uri: &Uri) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("there is no `{}` here", uri.path().escape_debug()),
    )
    .with_help("`/api/v2/openapi.json` lists what there is")
}

/// A trial that the experiment does not have.
pub(super) fn no_trial(id: &str) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("the experiment has no trial `{}`", id.escape_debug()),
    )
}
