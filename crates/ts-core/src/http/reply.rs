//! What came back, whatever its status, and the error that a status stands for.

use super::Request;
use crate::{Error, ErrorKind, Result, Retry, Secret};
use bytes::Bytes;
use reqwest::{StatusCode, header::HeaderMap};
use serde::de::DeserializeOwned;
use std::{borrow::Cow, time::Duration};

/// Most characters of an answer that an error repeats.
const MOST_SAID: usize = 500;
/// Headers that name a request on the server's side, for those who ask its operators.
///
/// Source: Microsoft Learn, "Request limits and throttling" and "Common error codes": ARM's `x-ms-request-id`, its correlation id.
const REQUEST_IDS: [&str; 3] = ["x-ms-correlation-request-id", "x-ms-request-id", "x-request-id"];

/// An answer with its whole body.
#[derive(Debug)]
pub struct Reply {
    pub(super) what: &'static str,
    pub(super) place: String,
    pub(super) is_repeatable: bool,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) secrets: Vec<Secret>,
}

impl Reply {
    pub(super) fn new(request: &Request, place: String, status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        Self {
            what: request.what,
            place,
            is_repeatable: request.is_repeatable,
            status,
            headers,
            body,
            secrets: request.secrets.clone(),
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// A header, if it is there and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as it is; it may repeat secrets.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body as a value of JSON, whatever its media type.
    ///
    /// # Errors
    /// `Protocol` if it is not of that form. What it is instead is not repeated: a successful answer may hold secrets.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|e| {
            let found = if self.is_page() {
                "a web page".to_owned()
            } else {
                format!("something else (line {}, column {})", e.line(), e.column())
            };
            let message = format!(
                "cannot {}: `{}` answered {} with {found} where JSON of a known form is expected",
                self.what,
                self.place,
                self.status()
            );
            self.noted(Error::new(ErrorKind::Protocol, message))
                .with_help("a proxy or a login page may answer in its place; compare the address with the platform's")
        })
    }

    /// What the body says to people: one line, at most 500 characters, secrets masked; of a web page its title.
    pub fn said(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let text = if self.is_page() { title(&text) } else { text };
        self.masked(&text)
    }

    /// `text` of this answer as people may see it: one line, at most 500 characters, secrets masked.
    pub fn masked(&self, text: &str) -> String {
        let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for secret in &self.secrets {
            let secret = secret.expose();
            if !secret.is_empty() {
                text = text.replace(secret, "***");
            }
        }
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        match text.char_indices().nth(MOST_SAID) {
            Some((at, _)) => format!("{}…", &text[..at]),
            None => text,
        }
    }

    /// The error of this status, with the advice that HTTP gives; `said` is the server's reason as its platform found it, or empty.
    pub fn refused(&self, said: &str) -> Error {
        let code = self.status();
        let said = self.masked(said);
        let reason = self.status.canonical_reason().unwrap_or("");
        let mut message = format!("cannot {}: `{}` answered {code} {reason}", self.what, self.place);
        message.truncate(message.trim_end().len());
        if !said.is_empty() {
            message = format!("{message}: {said}");
        }
        let after = self.wait_asked();
        let not_applied = Retry::NotApplied { after };
        let unknown = if self.is_repeatable {
            not_applied
        } else {
            Retry::MaybeApplied { after }
        };
        let (kind, retry) = match code {
            300..=399 => (ErrorKind::Config, Retry::Never),
            401 => (ErrorKind::Auth, Retry::Never),
            403 | 407 => (ErrorKind::Denied, Retry::Never),
            404 | 410 => (ErrorKind::NotFound, Retry::Never),
            408 | 425 => (ErrorKind::TimedOut, not_applied),
            409 | 412 => (ErrorKind::Conflict, Retry::Never),
            429 => (ErrorKind::RateLimited, not_applied),
            400..=499 | 501 | 505 => (ErrorKind::Rejected, Retry::Never),
            503 if after.is_some() => (ErrorKind::Unreachable, not_applied),
            500..=599 => (ErrorKind::Unreachable, unknown),
            _ => (ErrorKind::Protocol, Retry::Never),
        };
        let error = self.noted(Error::new(kind, message)).with_retry(retry);
        match self.header("location") {
            Some(to) if (300..400).contains(&code) => {
                let to = reqwest::Url::parse(to).map_or_else(|_| self.masked(to), |to| super::shown(&to));
                error.with_help(format!(
                    "the server sends us to `{to}`; no secret follows there: write that address"
                ))
            }
            _ => error,
        }
    }

    /// How long the server asks us to wait.
    ///
    /// Where it names the moment of a reset that counts, for its `Retry-After` may be the whole window. Moments are taken from the
    /// answer's own `Date`, so that our clock may be wrong.
    ///
    /// Sources: RFC 9110, 10.2.3; express-rate-limit 5.1.1; azure-core (Python) 1.41.0, `azure/core/pipeline/policies/_utils.py`.
    pub fn wait_asked(&self) -> Option<Duration> {
        let seconds = |text: &str| {
            text.trim()
                .parse::<f64>()
                .ok()
                .and_then(|s| Duration::try_from_secs_f64(s).ok())
        };
        let date = self.header("date").and_then(moment);
        let until = |moment: i64| date.map(|date| Duration::from_secs(u64::try_from(moment - date).unwrap_or(0)));
        if let Some(reset) = self
            .header("x-ratelimit-reset")
            .and_then(|text| text.trim().parse().ok())
            && let Some(wait) = until(reset)
        {
            // Seconds are cut off on both sides.
            return Some(wait + Duration::from_secs(1));
        }
        for name in ["retry-after-ms", "x-ms-retry-after-ms"] {
            if let Some(ms) = self.header(name).and_then(seconds) {
                return Some(ms / 1000);
            }
        }
        let text = self.header("retry-after")?;
        seconds(text).or_else(|| until(moment(text)?))
    }

    fn is_page(&self) -> bool {
        self.header("content-type").is_some_and(|t| t.contains("html"))
            || self.body.trim_ascii_start().starts_with(b"<")
    }

    fn noted(&self, error: Error) -> Error {
        match REQUEST_IDS.iter().find_map(|name| self.header(name)) {
            Some(id) => error.with_context("requestId", self.masked(id)),
            None => error,
        }
    }
}

/// Seconds since the epoch of an HTTP date.
fn moment(text: &str) -> Option<i64> {
    let parsed = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text.trim())
        .ok()?;
    Some(parsed.as_second())
}

fn title(page: &str) -> Cow<'_, str> {
    let lower = page.to_ascii_lowercase();
    let between = |open: &str, close: &str| {
        let from = lower.find(open)? + open.len();
        let to = from + lower[from..].find(close)?;
        Some(&page[from..to])
    };
    match between("<title>", "</title>").or_else(|| between("<message>", "</message>")) {
        Some(title) => format!("a page titled `{}`", title.trim()).into(),
        None => "a web page".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::{Method, Url};

    fn reply(status: u16, headers: &[(&'static str, &str)], body: &str) -> Reply {
        let request = Request::new("submit the job", Method::POST, Url::parse("http://h/j?p=1").unwrap());
        let request = request.with_secret(&Secret::new("hunter2"));
        let headers = headers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap()));
        let status = StatusCode::from_u16(status).unwrap();
        Reply::new(
            &request,
            "http://h/j".into(),
            status,
            headers.collect(),
            body.to_owned().into(),
        )
    }

    #[test]
    fn statuses_have_kinds_and_advice() {
        let now = Retry::NotApplied { after: None };
        let maybe = Retry::MaybeApplied { after: None };
        let cases = [
            (400, ErrorKind::Rejected, Retry::Never),
            (401, ErrorKind::Auth, Retry::Never),
            (403, ErrorKind::Denied, Retry::Never),
            (404, ErrorKind::NotFound, Retry::Never),
            (409, ErrorKind::Conflict, Retry::Never),
            (429, ErrorKind::RateLimited, now),
            (500, ErrorKind::Unreachable, maybe),
            (502, ErrorKind::Unreachable, maybe),
            (302, ErrorKind::Config, Retry::Never),
        ];
        for (status, kind, retry) in cases {
            let error = reply(status, &[], "").refused("");
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{status}");
        }
        let error = reply(503, &[("retry-after", "7"), ("x-ms-request-id", "r1")], "").refused("busy");
        let after = Some(Duration::from_secs(7));
        assert_eq!(error.retry(), Retry::NotApplied { after });
        assert_eq!(
            error.to_string(),
            "cannot submit the job: `http://h/j` answered 503 Service Unavailable: busy"
        );
        assert_eq!(error.context(), [("requestId", "r1".to_owned())]);
        let error = reply(302, &[("location", "https://h/j?sig=hunter2")], "").refused("");
        assert!(error.help().unwrap().contains("`https://h/j`"), "{error:?}");
    }

    #[test]
    fn the_wait_is_taken_from_the_servers_clock() {
        let date = ("date", "Mon, 30 Nov 2026 02:00:00 GMT");
        let secs = |headers: &[_]| reply(429, headers, "").wait_asked().map(|d| d.as_secs_f64());
        assert_eq!(secs(&[]), None);
        assert_eq!(secs(&[("retry-after", "60")]), Some(60.0));
        assert_eq!(secs(&[("retry-after", "x")]), None);
        assert_eq!(secs(&[("retry-after-ms", "1500"), ("retry-after", "60")]), Some(1.5));
        assert_eq!(
            secs(&[date, ("retry-after", "Mon, 30 Nov 2026 02:00:09 GMT")]),
            Some(9.0)
        );
        assert_eq!(
            secs(&[date, ("retry-after", "Mon, 30 Nov 2026 01:00:00 GMT")]),
            Some(0.0)
        );
        assert_eq!(
            secs(&[date, ("x-ratelimit-reset", "1796004004"), ("retry-after", "60")]),
            Some(5.0)
        );
        assert_eq!(
            secs(&[("x-ratelimit-reset", "1796004004"), ("retry-after", "60")]),
            Some(60.0)
        );
    }

    #[test]
    fn what_an_answer_says_is_short_and_without_secrets() {
        assert_eq!(reply(400, &[], "a\n hunter2\u{7} b").said(), "a *** b");
        assert_eq!(reply(400, &[], &"ä".repeat(600)).said().chars().count(), 501);
        let page = "<html><head><title>502 Bad Gateway</title></head></html>";
        assert_eq!(reply(502, &[], page).said(), "a page titled `502 Bad Gateway`");
        let error = reply(200, &[], page).json::<u32>().unwrap_err();
        assert!(error.to_string().contains("a web page"), "{error}");
        let error = reply(200, &[], "{\"token\": \"hunter2\"").json::<u32>().unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
