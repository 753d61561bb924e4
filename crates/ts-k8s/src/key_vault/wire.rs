//! The ways out: HTTP to Azure, HTTP to the metadata service of the machine, and the shell that runs `az`.
//!
//! What is asked there belongs to `credential` and the parent module. Nothing is tried again here, and nothing is tried again
//! below: the libraries' own loops never see an error that they would repeat.

use super::KEY;
use async_trait::async_trait;
use azure_core::{
    error::ErrorKind as AzureKind,
    http::{
        AsyncRawResponse, ClientOptions, HttpClient, Method, RawResponse, Request, StatusCode, Transport, Url,
        headers::AUTHORIZATION,
    },
};
use azure_identity::Executor;
use rustls_platform_verifier::BuilderVerifierExt;
use std::{ffi::OsStr, io, process::Output, process::Stdio, sync::Arc, time::Duration};
use ts_core::{Clock, Ctx, Error, ErrorKind, Result};

/// Longest time for one request, from connecting to the last byte.
const REQUEST: Duration = Duration::from_secs(30);
/// Longest time to connect to the metadata service, which is one hop away or nowhere.
const METADATA_CONNECT: Duration = Duration::from_secs(1);
/// Longest time for `az`, which starts Python and may renew its own token.
const SHELL: Duration = Duration::from_mins(1);

/// The ways out.
#[derive(Debug)]
pub(super) struct Outside {
    /// To the vault and to Entra.
    pub(super) azure: Arc<dyn HttpClient>,
    /// To the machine's metadata service.
    pub(super) metadata: Arc<dyn HttpClient>,
    /// Runs `az`.
    pub(super) shell: Arc<dyn Executor>,
}

impl Outside {
    pub(super) fn new(ctx: &Ctx) -> Result<Self> {
        Ok(Self {
            azure: Arc::new(client(reqwest::Client::builder())?),
            metadata: Arc::new(metadata_client(reqwest::Client::builder())?),
            shell: Arc::new(Shell(Arc::clone(&ctx.clock))),
        })
    }

    /// Asks the vault.
    pub(super) async fn get(&self, url: &Url, token: &str) -> azure_core::Result<RawResponse> {
        let mut request = Request::new(url.clone(), Method::Get);
        request.insert_header(AUTHORIZATION, format!("Bearer {token}"));
        request.insert_header("accept", "application/json");
        let answer = self.azure.execute_request(&request).await?;
        answer.try_into_raw_response().await
    }
}

/// A client without redirects: a token must not travel on to where an answer points.
fn client(builder: reqwest::ClientBuilder) -> Result<reqwest::Client> {
    let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorKind::Io, "cannot prepare encrypted connections to Azure")
            .with_key(KEY)
            .with_help("look at the certificate authorities of this machine, or at `SSL_CERT_FILE`")
            .with_source(e)
    };
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)
        .map_err(|e| failed(e.into()))?
        .with_no_client_auth();
    builder
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(REQUEST)
        .build()
        .map_err(|e| failed(e.into()))
}

/// A client for the machine's own metadata service, to which proxies know no way.
///
/// Source: Microsoft Learn, "Azure Instance Metadata Service", section "Proxies".
pub(super) fn metadata_client(builder: reqwest::ClientBuilder) -> Result<reqwest::Client> {
    client(builder.no_proxy().connect_timeout(METADATA_CONNECT))
}

/// Options for a credential that sends each request through `way` just once.
pub(super) fn once(way: &Arc<dyn HttpClient>) -> ClientOptions {
    ClientOptions {
        transport: Some(Transport::new(Arc::new(Once(Arc::clone(way))))),
        ..ClientOptions::default()
    }
}

/// Turns what azure_identity would try again by itself into final errors, which keep status and answer.
///
/// Source: azure_identity 1.0, `virtual_machine_managed_identity_credential.rs`: seven tries within 72 s whatever the options say,
/// also where another cloud's metadata service answers 404; typespec_client_core 1.1, `policies/retry/mod.rs`: which errors.
#[derive(Debug)]
struct Once(Arc<dyn HttpClient>);

#[async_trait]
impl HttpClient for Once {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let answer = async { self.0.execute_request(request).await?.try_into_raw_response().await };
        let answer = answer
            .await
            .map_err(|e| azure_core::Error::with_error(AzureKind::Other, e, "the request failed"))?;
        let status = answer.status();
        let is_repeated = matches!(
            status,
            StatusCode::NotFound | StatusCode::Gone | StatusCode::RequestTimeout | StatusCode::TooManyRequests
        );
        if is_repeated || status.is_server_error() {
            let kind = AzureKind::HttpResponse {
                status,
                error_code: None,
                raw_response: Some(Box::new(answer)),
            };
            return Err(azure_core::Error::with_message(
                kind,
                format!("the answer was HTTP {}", u16::from(status)),
            ));
        }
        let (status, headers, body) = answer.deconstruct();
        Ok(AsyncRawResponse::from_bytes(status, headers, body))
    }
}

/// Runs a command within its time. It reads nothing from the terminal.
#[derive(Debug)]
struct Shell(Arc<dyn Clock>);

#[async_trait]
impl Executor for Shell {
    async fn run(&self, program: &OsStr, args: &[&OsStr]) -> io::Result<Output> {
        let output = tokio::process::Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        tokio::select! {
            output = output => output,
            () = self.0.sleep(SHELL) => {
                let message = format!("no answer within {} s", SHELL.as_secs());
                Err(io::Error::new(io::ErrorKind::TimedOut, message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_vault::world::Waits;
    use ts_core::SystemClock;

    #[tokio::test]
    async fn a_command_gives_its_output_and_no_input() {
        let shell = Shell(Arc::new(SystemClock::new()));
        let script = [OsStr::new("-c"), OsStr::new("cat; echo out; echo err >&2; exit 3")];
        let output = shell.run(OsStr::new("/bin/sh"), &script).await.unwrap();
        assert_eq!((&*output.stdout, &*output.stderr), (&b"out\n"[..], &b"err\n"[..]));
        assert_eq!(output.status.code(), Some(3));
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_left_after_its_time() {
        let clock = Arc::new(Waits::default());
        let shell = Shell(Arc::clone(&clock) as Arc<dyn Clock>);
        let script = [OsStr::new("-c"), OsStr::new("exec sleep 600")];
        let error = shell.run(OsStr::new("/bin/sh"), &script).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(*clock.0.lock().unwrap(), [SHELL]);
    }
}
