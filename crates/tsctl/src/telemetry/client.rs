//! The product's own HTTP client as OpenTelemetry's exporter uses it: the same certificates, proxies and limits.
//!
//! The exporter's thread has no runtime, so the client brings one, which works while a request is under way and no longer.

use super::tally::Tally;
use crate::environment;
use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Response};
use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_TIMEOUT, OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT, OTEL_EXPORTER_OTLP_TRACES_TIMEOUT,
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::runtime::Runtime;
use ts_core::{
    Error, ErrorKind, Result, SystemClock,
    http::{self, HttpSettings, Method, Request, Url, shown},
};

/// Most bytes of a collector's answer, which says nearly nothing.
const MOST: usize = 1 << 20;

/// Sends one request at a time.
#[derive(Debug)]
pub(super) struct Client {
    http: http::HttpClient,
    runtime: Runtime,
    tally: Arc<Tally>,
}

impl Client {
    /// A client with the times and certificates that the environment names.
    ///
    /// # Errors
    /// Those of [`http::HttpClient::new`].
    pub(super) fn new(tally: Arc<Tally>) -> Result<Self> {
        let mut settings = HttpSettings::default();
        settings.max_body = MOST;
        settings.timeout = timeout(environment::text);
        // Source: OpenTelemetry specification, "OpenTelemetry Protocol Exporter".
        settings.ca_file = [
            "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
        ]
        .into_iter()
        .find_map(environment::text)
        .map(PathBuf::from);
        Ok(Self {
            http: http::HttpClient::new(Arc::new(SystemClock::new()), &settings)?,
            runtime: crate::session::runtime()?,
            tally,
        })
    }

    fn send(&self, request: opentelemetry_http::Request<Bytes>) -> Result<Response<Bytes>> {
        let (head, body) = request.into_parts();
        let url = Url::parse(&head.uri.to_string())
            .map_err(|e| Error::new(ErrorKind::Config, "the collector's address is none").with_source(e))?;
        let place = shown(&url);
        let mut request = Request::new("send traces", Method::POST, url).with_body("application/x-protobuf", body);
        for (name, value) in &head.headers {
            request = request.with_header(name.clone(), value.clone());
        }
        let reply = self.runtime.block_on(self.http.send_once(&request))?;
        if !reply.is_success() {
            self.tally.note(format!("`{place}` answered {}", reply.status()));
        }
        let mut response = Response::builder().status(reply.status());
        for name in ["content-type", "retry-after"] {
            if let Some(value) = reply.header(name) {
                response = response.header(name, value);
            }
        }
        response
            .body(reply.body().clone())
            .map_err(|e| Error::new(ErrorKind::Internal, "an answer cannot be passed on").with_source(e))
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(
        &self,
        request: opentelemetry_http::Request<Bytes>,
    ) -> std::result::Result<Response<Bytes>, HttpError> {
        self.send(request).map_err(|error| {
            self.tally.note(error.to_string());
            error.into()
        })
    }
}

/// The exporter reads the same variables, but bounds its tries by them and no single request.
fn timeout(read: impl Fn(&str) -> Option<String>) -> Duration {
    [OTEL_EXPORTER_OTLP_TRACES_TIMEOUT, OTEL_EXPORTER_OTLP_TIMEOUT]
        .into_iter()
        .find_map(|name| read(name)?.parse().ok())
        .map_or(OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT, Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::timeout;
    use std::time::Duration;

    #[test]
    fn a_request_takes_no_longer_than_the_user_says() {
        let of = |traces: &str, all: &str| {
            timeout(|name| Some(if name.contains("TRACES") { traces } else { all }.to_owned()))
        };
        assert_eq!(of("200", "5"), Duration::from_millis(200));
        assert_eq!(of("", "5"), Duration::from_millis(5));
        assert_eq!(timeout(|_| None), Duration::from_secs(10));
    }
}
