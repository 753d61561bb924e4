//! Static files beside the API, for a portal: given by whoever has one, none by default.

use super::{answer, error::Failure, state::State};
use axum::{
    extract,
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use std::fmt::Debug;
use ts_core::{Error, ErrorKind};

/// A file of a portal.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "what a file is to a browser")]
pub struct Asset {
    /// Value of `Content-Type`.
    pub content_type: &'static str,
    /// The file.
    pub bytes: Bytes,
    /// Value of `ETag`, with its quotes.
    pub etag: Option<String>,
}

/// The files of a portal.
pub trait Assets: Debug + Send + Sync + 'static {
    /// The file of a path of the address, without the leading slash; the empty path is the page itself.
    fn file(&self, path: &str) -> Option<Asset>;
    /// Value of `Content-Security-Policy` for all of them.
    fn content_security_policy(&self) -> &'static str;
}

/// What is neither API nor known otherwise.
pub(super) async fn file(
    extract::State(state): extract::State<State>,
    uri: Uri,
    headers: axum::http::HeaderMap,
) -> Response {
    let path = uri.path().trim_start_matches('/');
    let found = match &state.assets {
        Some(assets) if !path.starts_with("api/") => assets.file(path).map(|asset| (asset, assets)),
        _ => None,
    };
    let Some((asset, assets)) = found else {
        let error = Error::new(
            ErrorKind::NotFound,
            format!("there is no `{}` here", uri.path().escape_debug()),
        );
        return Failure(error.with_help("`/api/v2/openapi.json` lists what there is")).into_response();
    };
    let etag = asset.etag.as_deref().and_then(|etag| HeaderValue::from_str(etag).ok());
    let is_known = etag.is_some() && headers.get(header::IF_NONE_MATCH) == etag.as_ref();
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        answer::bytes(asset.content_type, asset.bytes)
    };
    let out = response.headers_mut();
    out.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(assets.content_security_policy()),
    );
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Some(etag) = etag {
        out.insert(header::ETAG, etag);
    }
    response
}
