//! Who may ask: the token, and what a browser must not be made to do by a page from elsewhere.

use super::{assets, error::Failure, state::State, v1};
use axum::{
    extract::{self, Request},
    http::{HeaderMap, HeaderValue, Method, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse as _, Redirect, Response},
};
use std::net::IpAddr;
use ts_core::{Error, ErrorKind, Result};

/// Lets a request through, or answers it.
pub(super) async fn guard(extract::State(state): extract::State<State>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = match check(&state, &request) {
        Ok(()) => match assets::folder(request.uri().path(), &state.prefix) {
            Some(name) => Redirect::permanent(&format!("{name}/")).into_response(),
            None => next.run(request).await,
        },
        Err(error) if path.contains(v1::ROOT) => v1::Failure(error).into_response(),
        Err(error) => Failure(error).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

fn check(state: &State, request: &Request) -> Result<()> {
    let headers = request.headers();
    if state.bound.ip().is_loopback() && !names_this_machine(headers) {
        return Err(
            Error::new(ErrorKind::Denied, "the address names another host than this machine").with_help(
                "open it as `localhost` or `127.0.0.1`; a page from elsewhere must not reach it by a name of its own",
            ),
        );
    }
    if let Some(token) = &state.token
        && is_guarded(request.uri().path(), &state.prefix)
        && !bearer(headers).is_some_and(|given| token.is_same(given))
    {
        return Err(Error::new(ErrorKind::Auth, "the token is missing or wrong")
            .with_help("send `Authorization: Bearer` with the content of `rest.token` in the experiment's directory"));
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes && is_foreign(headers) {
        return Err(Error::new(
            ErrorKind::Denied,
            "a page from elsewhere may not change anything here",
        ));
    }
    Ok(())
}

/// Files of the portal are for everybody: they hold nothing, and a browser asks for them without a token.
fn is_guarded(path: &str, prefix: &str) -> bool {
    let path = path.trim_start_matches('/');
    let path = match path.strip_prefix(prefix) {
        Some(rest) if !prefix.is_empty() && rest.starts_with('/') => rest.trim_start_matches('/'),
        _ => path,
    };
    let first = path.split('/').next().unwrap_or_default();
    matches!(first, "api" | "logs" | "metrics")
}

/// Whether `Host` is a name of the loopback interface; a page that was rebound to it by DNS comes with its own.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let Some(authority) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else {
        return false;
    };
    let host = authority.host();
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || literal.is_ok_and(|ip| ip.is_loopback())
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

/// Whether a browser says that the request comes from another page. What is no browser says nothing.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if matches!(
        text(header::HeaderName::from_static("sec-fetch-site")),
        Some("cross-site" | "same-site")
    ) {
        return true;
    }
    if !headers.contains_key(header::ORIGIN) {
        return false;
    }
    let origin = text(header::ORIGIN)
        .and_then(|origin| origin.split_once("://"))
        .map(|(_, authority)| authority);
    origin.is_none() || origin != text(header::HOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_names_of_the_loopback_interface_are_this_machine() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.2:8080",
            "127.0.0.1",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:8080",
        ] {
            assert!(names_this_machine(&headers(&[("host", host)])), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
            "",
            "10.0.0.1",
            "::1",
        ] {
            assert!(!names_this_machine(&headers(&[("host", host)])), "{host}");
        }
        assert!(!names_this_machine(&headers(&[])));
        assert!(!names_this_machine(&headers(&[
            ("host", "localhost"),
            ("host", "evil.example")
        ])));
    }

    #[test]
    fn a_page_from_elsewhere_is_foreign() {
        let own = ("host", "localhost:8080");
        assert!(!is_foreign(&headers(&[own])));
        assert!(!is_foreign(&headers(&[own, ("origin", "http://localhost:8080")])));
        assert!(!is_foreign(&headers(&[own, ("sec-fetch-site", "same-origin")])));
        for origin in [
            "http://localhost:9090",
            "http://evil.example",
            "null",
            "http://localhost",
            "",
        ] {
            assert!(is_foreign(&headers(&[own, ("origin", origin)])), "{origin}");
        }
        assert!(is_foreign(&headers(&[own, ("sec-fetch-site", "cross-site")])));
    }

    #[test]
    fn everything_but_the_portals_files_wants_the_token() {
        for path in ["/api/v2/experiment", "/metrics", "/api", "//api/v1/nni/version"] {
            assert!(is_guarded(path, ""), "{path}");
        }
        for path in ["/p/api/v2/experiment", "/p/metrics", "/p//api/x", "/api/v2/experiment"] {
            assert!(is_guarded(path, "p"), "{path}");
        }
        for path in ["/", "/index.html", "/apix"] {
            assert!(!is_guarded(path, ""), "{path}");
        }
    }

    #[test]
    fn the_scheme_is_bearer_in_any_case() {
        assert_eq!(bearer(&headers(&[("authorization", "bearer x y")])), Some(&b"x y"[..]));
        assert_eq!(bearer(&headers(&[("authorization", "Basic abcdef")])), None);
        assert_eq!(bearer(&headers(&[("authorization", "Bear")])), None);
    }
}
