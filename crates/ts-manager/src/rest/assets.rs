//! Static files beside the API, for a portal: given by whoever has one, none by default.

use super::{
    answer,
    error::{Failure, nothing_here},
    state::State,
};
use axum::{
    extract,
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use std::fmt::Debug;

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
    let path = inside(uri.path(), &state.prefix);
    let found = match &state.assets {
        Some(assets) if !path.starts_with("api/") => assets.file(path).map(|asset| (asset, assets)),
        _ => None,
    };
    let Some((asset, assets)) = found else {
        return Failure(nothing_here(&uri)).into_response();
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

/// The path behind the prefix, which a nested router has taken off already, but not where nothing stands behind it.
fn inside<'a>(path: &'a str, prefix: &str) -> &'a str {
    let path = path.trim_start_matches('/');
    match path.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')) {
        Some(rest) if !prefix.is_empty() => rest,
        _ => path,
    }
}

/// The last word of the prefix, where a path is that without the slash: what the page refers to would be looked for beside it.
pub(super) fn folder<'a>(path: &str, prefix: &'a str) -> Option<&'a str> {
    let is_prefix = !prefix.is_empty() && path.trim_start_matches('/') == prefix;
    is_prefix.then(|| prefix.rsplit('/').next()).flatten()
}

#[cfg(test)]
mod tests {
    use super::{folder, inside};

    #[test]
    fn files_are_found_with_the_prefix_and_without() {
        for (path, prefix, file) in [
            ("/", "", ""),
            ("/js/app.js", "", "js/app.js"),
            ("/p/", "p", ""),
            ("/p/js/app.js", "p", "js/app.js"),
            ("/js/app.js", "p", "js/app.js"),
            ("/team/a/", "team/a", ""),
            ("/team/b", "team/a", "team/b"),
        ] {
            assert_eq!(inside(path, prefix), file, "{path} {prefix}");
        }
    }

    #[test]
    fn a_prefix_without_its_slash_leads_into_the_folder() {
        assert_eq!(folder("/p", "p"), Some("p"));
        assert_eq!(folder("/team/a", "team/a"), Some("a"));
        for (path, prefix) in [
            ("/p/", "p"),
            ("/", ""),
            ("", ""),
            ("/q", "p"),
            ("/p/x", "p"),
            ("/team", "team/a"),
        ] {
            assert_eq!(folder(path, prefix), None, "{path} {prefix}");
        }
    }
}
