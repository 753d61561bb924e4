//! What is to be sent: everything that a second try needs too.

use super::RateLimit;
use crate::{Error, ErrorKind, Result, Secret};
use bytes::Bytes;
use reqwest::{
    Method, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde::Serialize;
use std::{sync::Arc, time::Duration};

/// A request. Cheap to send again: its body is shared.
#[derive(Debug, Clone)]
pub struct Request {
    pub(super) what: &'static str,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) is_repeatable: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) limits: Vec<Arc<RateLimit>>,
    pub(super) secrets: Vec<Secret>,
}

impl Request {
    /// A request without body; `what` continues `cannot …`, such as `submit the job`. GET, HEAD, PUT and DELETE count as repeatable
    /// (RFC 9110, 9.2.2), others not.
    pub fn new(what: &'static str, method: Method, url: Url) -> Self {
        Self {
            what,
            is_repeatable: method.is_idempotent(),
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: None,
            limits: Vec::new(),
            secrets: Vec::new(),
        }
    }

    /// Says that sending it twice does no more than once, whatever its method: it only reads, or the server knows it again.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.is_repeatable = true;
        self
    }

    /// Longest time for one try, to the last byte of the answer. Default: that of the client.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Counts against `limit`, too; the one given last is the most special, whose state the server tells.
    #[must_use]
    pub fn limited_by(mut self, limit: &Arc<RateLimit>) -> Self {
        self.limits.push(Arc::clone(limit));
        self
    }

    /// Sets a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds a pair to the query.
    #[must_use]
    pub fn with_query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Adds a pair to the query whose value must not show.
    #[must_use]
    pub fn with_secret_query(mut self, name: &str, value: &Secret) -> Self {
        self.url.query_pairs_mut().append_pair(name, value.expose());
        self.secrets.push(value.clone());
        self
    }

    /// Names a secret that the body or the query holds, so that an answer which repeats it is masked.
    #[must_use]
    pub fn with_secret(mut self, secret: &Secret) -> Self {
        self.secrets.push(secret.clone());
        self
    }

    /// Shows a bearer token.
    ///
    /// # Errors
    /// `Auth` if no header can carry it.
    pub fn with_bearer(mut self, token: &Secret) -> Result<Self> {
        self.headers
            .insert(AUTHORIZATION, secret_value(&format!("Bearer {}", token.expose()))?);
        self.secrets.push(token.clone());
        Ok(self)
    }

    /// A header with a secret.
    ///
    /// # Errors
    /// `Auth` if no header can carry it.
    pub fn with_secret_header(mut self, name: HeaderName, secret: &Secret) -> Result<Self> {
        self.headers.insert(name, secret_value(secret.expose())?);
        self.secrets.push(secret.clone());
        Ok(self)
    }

    /// Sends `value` as JSON.
    ///
    /// # Errors
    /// `Internal` if it is none.
    pub fn with_json(self, value: &impl Serialize) -> Result<Self> {
        let text = serde_json::to_vec(value)
            .map_err(|e| Error::new(ErrorKind::Internal, "a request is no JSON").with_source(e))?;
        Ok(self.with_body("application/json", text))
    }

    /// Sends pairs as a form.
    #[must_use]
    pub fn with_form(self, pairs: &[(&str, &str)]) -> Self {
        let mut form = self.url.clone();
        form.set_query(None);
        form.query_pairs_mut().extend_pairs(pairs);
        let text = form.query().unwrap_or_default().to_owned();
        self.with_body("application/x-www-form-urlencoded", text)
    }

    /// Sends these bytes.
    #[must_use]
    pub fn with_body(mut self, media_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        self.body = body.into();
        self
    }
}

fn secret_value(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Error::new(ErrorKind::Auth, "the token holds characters that no request can carry")
            .with_help("copy it again: one line, without blanks around it")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// An address as people may see it: without user, password, query and fragment, which may be secret.
pub fn shown(url: &Url) -> String {
    let mut plain = url.clone();
    plain.set_query(None);
    plain.set_fragment(None);
    // Fails for addresses that cannot have a user, which have none then.
    let _ = plain.set_username("");
    let _ = plain.set_password(None);
    plain.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_shows() {
        let token = Secret::new("hunter2");
        let url = Url::parse("https://u:hunter2@example.org/a?password=hunter2#hunter2").unwrap();
        assert_eq!(shown(&url), "https://example.org/a");
        let url = Url::parse("https://example.org/a").unwrap();
        let request = Request::new("look", Method::GET, url).with_bearer(&token).unwrap();
        assert!(!format!("{request:?}").contains("hunter2"), "{request:?}");
        let error = request.with_bearer(&Secret::new("hunter2\n")).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn a_form_is_encoded() {
        let url = Url::parse("https://example.org/token?x=1").unwrap();
        let request = Request::new("log in", Method::POST, url).with_form(&[("a", "b c&d"), ("e", "ü")]);
        assert_eq!(request.body, "a=b+c%26d&e=%C3%BC");
        assert!(!request.is_repeatable);
    }
}
