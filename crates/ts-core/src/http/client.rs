//! Sends requests: within limits and times, again where that is safe, and never along a redirect.

use super::{Reply, Request, Tokens, shown, tls};
use crate::{Clock, Error, ErrorKind, Result, Retry, RetryPolicy, retry};
use bytes::{Bytes, BytesMut};
use std::{error::Error as _, path::PathBuf, sync::Arc, time::Duration};

/// How a client connects.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HttpSettings {
    /// Longest time until a connection stands. Default 10 s.
    pub connect_timeout: Duration,
    /// Longest silence within an answer. Default 30 s.
    pub read_timeout: Duration,
    /// Longest time for one try, to the last byte. Default 2 min.
    pub timeout: Duration,
    /// Certificate authorities in PEM, trusted beside the machine's.
    pub ca_file: Option<PathBuf>,
    /// Whether the proxies of `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` are used. Default true.
    pub uses_proxies: bool,
    /// Most bytes of an answer. Default 64 MiB.
    pub max_body: usize,
    /// How often and how long one request is tried.
    pub retry: RetryPolicy,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            timeout: Duration::from_mins(2),
            ca_file: None,
            uses_proxies: true,
            max_body: 64 << 20,
            retry: RetryPolicy::new(),
        }
    }
}

/// A client for one platform; cheap to clone, its connections are shared.
///
/// Redirects are not followed: a token must not travel to where an answer points, and a POST must not become a GET.
#[derive(Debug, Clone)]
pub struct HttpClient {
    inner: reqwest::Client,
    clock: Arc<dyn Clock>,
    max_body: usize,
    policy: RetryPolicy,
}

impl HttpClient {
    /// A client with these settings. Nothing is connected yet.
    ///
    /// # Errors
    /// `Config`, `NotFound` or `Io` if the file of authorities cannot be used.
    pub fn new(clock: Arc<dyn Clock>, settings: &HttpSettings) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(settings.ca_file.as_deref())?)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!("training-service/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(settings.connect_timeout)
            .read_timeout(settings.read_timeout)
            .timeout(settings.timeout);
        if !settings.uses_proxies {
            builder = builder.no_proxy();
        }
        let inner = builder
            .build()
            .map_err(|e| Error::new(ErrorKind::Internal, "cannot make a client for HTTP").with_source(e))?;
        Ok(Self {
            inner,
            clock,
            max_body: settings.max_body,
            policy: settings.retry,
        })
    }

    /// Sends it until `read` makes a value of the answer, of whatever status, or an error that another try does not mend.
    ///
    /// An error that leaves open whether the request took effect comes back ([`Retry::MaybeApplied`]) unless the request is
    /// repeatable: the caller looks first. A wait longer than the budget comes back too, as `RateLimited` or `Unreachable`.
    ///
    /// # Cancel safety
    /// Dropping it may leave a request that took effect.
    pub async fn send<T>(&self, request: &Request, read: impl Fn(Reply) -> Result<T>) -> Result<T> {
        retry(&*self.clock, self.policy, false, async |_| {
            let reply = self.send_once(request).await?;
            read(reply)
        })
        .await
    }

    /// As [`HttpClient::send`], with a bearer token. One that the server refuses (`Auth`) is renewed once.
    ///
    /// # Errors
    /// Those of `read` and of the source of tokens.
    pub async fn send_as<T>(&self, tokens: &Tokens, request: &Request, read: impl Fn(Reply) -> Result<T>) -> Result<T> {
        let token = tokens.get().await?;
        let with_token = request.clone().with_bearer(&token)?;
        match self.send(&with_token, &read).await {
            Err(error) if error.kind() == ErrorKind::Auth => {
                tokens.forget(&token);
                tracing::debug!(%error, "renewing the token");
                let with_token = request.clone().with_bearer(&tokens.get().await?)?;
                self.send(&with_token, read).await
            }
            done => done,
        }
    }

    /// One try: the whole answer, of whatever status.
    ///
    /// # Errors
    /// `Unreachable`, `TimedOut` or `Auth` (certificate) without an answer; `Protocol` if it is too large.
    pub async fn send_once(&self, request: &Request) -> Result<Reply> {
        for limit in &request.limits {
            limit.admit(&*self.clock).await;
        }
        let began = self.clock.monotonic();
        let reply = self.exchange(request).await;
        let ms = self.clock.monotonic().saturating_sub(began).as_millis();
        let place = shown(&request.url);
        match &reply {
            Ok(reply) => tracing::debug!(method = %request.method, place, status = reply.status(), ms, "request"),
            Err(error) => tracing::debug!(method = %request.method, place, %error, ms, "request"),
        }
        let reply = reply?;
        if let Some(limit) = request.limits.last() {
            limit.observe(&reply, &*self.clock);
        }
        Ok(reply)
    }

    async fn exchange(&self, request: &Request) -> Result<Reply> {
        let mut builder = self
            .inner
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone());
        if !request.body.is_empty() {
            builder = builder.body(request.body.clone());
        }
        if let Some(timeout) = request.timeout {
            builder = builder.timeout(timeout);
        }
        let mut answer = builder.send().await.map_err(|e| of_silence(request, e))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = BytesMut::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(e) => return Err(of_silence(request, e)),
            }
            if body.len() > self.max_body {
                let message = format!(
                    "cannot {}: `{}` answered with more than {} bytes",
                    request.what,
                    shown(&request.url),
                    self.max_body
                );
                return Err(Error::new(ErrorKind::Protocol, message));
            }
        }
        Ok(Reply::new(
            request,
            shown(&request.url),
            status,
            headers,
            Bytes::from(body),
        ))
    }
}

/// The error of a request without an answer, or with a part of one.
fn of_silence(request: &Request, error: reqwest::Error) -> Error {
    let (is_unsent, is_late) = (error.is_connect(), error.is_timeout());
    let error = error.without_url();
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        why = inner.to_string();
        cause = inner.source();
    }
    let place = shown(&request.url);
    let message = format!("cannot {}: `{place}` gave no answer: {why}", request.what);
    if error.is_builder() {
        return Error::new(ErrorKind::Internal, format!("cannot {}: {why}", request.what));
    }
    if why.contains("invalid peer certificate") {
        return Error::new(ErrorKind::Auth, message).with_help(
            "add the certificate authority of the server, or of the proxy between, to those that are trusted",
        );
    }
    let kind = if is_late {
        ErrorKind::TimedOut
    } else {
        ErrorKind::Unreachable
    };
    let retry = if is_unsent || request.is_repeatable {
        Retry::NotApplied { after: None }
    } else {
        Retry::MaybeApplied { after: None }
    };
    Error::new(kind, message).with_retry(retry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Secret,
        http::{RateLimit, test_server::Server},
    };
    use reqwest::{Method, Url};

    fn client() -> HttpClient {
        let settings = HttpSettings {
            uses_proxies: false,
            max_body: 1000,
            retry: RetryPolicy {
                first_wait: Duration::from_millis(1),
                ..RetryPolicy::new()
            },
            ..HttpSettings::default()
        };
        HttpClient::new(Arc::new(crate::SystemClock::new()), &settings).unwrap()
    }

    #[expect(clippy::needless_pass_by_value, reason = "the form that `send` takes")]
    fn read(reply: Reply) -> Result<String> {
        if reply.is_success() {
            return Ok(String::from_utf8_lossy(reply.body()).into_owned());
        }
        Err(reply.refused(&reply.said()))
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    const BUSY: &str = "HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    const BROKEN: &str = "HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nok";
    const REFUSED: &str = "HTTP/1.1 401 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn what_is_safe_is_sent_again() {
        let server = Server::start(&["", CUT, BROKEN, BUSY, OK]).await;
        let request = Request::new("look", Method::GET, server.url("/a"));
        assert_eq!(client().send(&request, read).await.unwrap(), "ok");
        assert_eq!(server.requests().len(), 5);
    }

    #[tokio::test]
    async fn what_may_have_been_done_is_not_sent_again() {
        for answer in [BROKEN, CUT, ""] {
            let server = Server::start(&[answer, OK]).await;
            let request = Request::new("submit", Method::POST, server.url("/a")).with_body("text/plain", "x");
            let error = client().send(&request, read).await.unwrap_err();
            assert_eq!(error.retry(), Retry::MaybeApplied { after: None }, "{answer}");
            assert_eq!(server.requests().len(), 1);
        }
        let server = Server::start(&[BUSY, OK]).await;
        let request = Request::new("submit", Method::POST, server.url("/a"));
        client().send(&request, read).await.unwrap();
        let nobody = Url::parse("http://127.0.0.1:1/").unwrap();
        let error = client()
            .send(&Request::new("submit", Method::POST, nobody), read)
            .await
            .unwrap_err();
        assert_eq!(error.retry(), Retry::NotApplied { after: None });
    }

    #[tokio::test]
    async fn redirects_and_floods_are_refused() {
        let answer = "HTTP/1.1 301 M\r\nlocation: https://else/a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let server = Server::start(&[answer, OK]).await;
        let request = Request::new("submit", Method::POST, server.url("/a?sig=hunter2"));
        let error = client().send(&request, read).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        let flood = format!("HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n{}", "x".repeat(2000));
        let server = Server::start(&[&flood]).await;
        let error = client()
            .send(&Request::new("look", Method::GET, server.url("/")), read)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
    }

    #[tokio::test]
    async fn a_refused_token_is_renewed_once() {
        let server = Server::start(&[REFUSED, OK, REFUSED, REFUSED]).await;
        let tokens = Tokens::counting();
        let request = Request::new("look", Method::GET, server.url("/"));
        let client = client();
        client.send_as(&tokens, &request, read).await.unwrap();
        let error = client.send_as(&tokens, &request, read).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Auth);
        let shown: Vec<bool> = ["t0", "t1", "t1", "t2"]
            .iter()
            .zip(server.requests())
            .map(|(token, request)| request.contains(&format!("Bearer {token}\r\n")))
            .collect();
        assert_eq!(shown, [true; 4]);
    }

    #[tokio::test]
    async fn a_limit_that_the_server_tells_is_kept() {
        let last = "HTTP/1.1 200 OK\r\ndate: Mon, 30 Nov 2026 02:00:00 GMT\r\nx-ratelimit-limit: 7\r\n\
                    x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 1796004060\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let server = Server::start(&[last]).await;
        let limit = Arc::new(RateLimit::new(60, Duration::from_mins(1)));
        let request = Request::new("look", Method::GET, server.url("/")).limited_by(&limit);
        let client = client();
        client.send(&request, read).await.unwrap();
        assert!(limit.wait(&*client.clock) > Duration::from_secs(50));
    }

    #[tokio::test]
    async fn a_secret_that_the_answer_repeats_is_masked() {
        let body = "HTTP/1.1 400 No\r\ncontent-length: 15\r\nconnection: close\r\n\r\n{\"p\":\"hunter2\"}";
        let server = Server::start(&[body]).await;
        let secret = Secret::new("hunter2");
        let request = Request::new("log in", Method::GET, server.url("/")).with_secret_query("password", &secret);
        let error = client().send(&request, read).await.unwrap_err();
        assert!(error.to_string().contains("{\"p\":\"***\"}"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
