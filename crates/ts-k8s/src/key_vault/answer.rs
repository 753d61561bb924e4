//! From answers of a key vault, and from its silence, to the secret or to [`ts_core::Error`]: one table.
//!
//! Asking only reads, so that whatever may pass is worth another try.
//!
//! Source: Microsoft Learn, "Azure Key Vault REST API error codes" and "Authentication, requests, and responses"; the bodies are as
//! quoted in Azure/azure-sdk-for-js issues 24756 and 25489 and hashicorp/terraform-provider-azurerm issue 20742.

use super::{KEY, Place};
use crate::error::chain;
use azure_core::http::{
    RawResponse,
    headers::{HeaderName, Headers},
};
use serde::Deserialize;
use std::time::Duration;
use ts_core::{Error, ErrorKind, Result, Retry, Secret};

#[derive(Deserialize)]
struct Bundle {
    value: String,
}

#[derive(Deserialize)]
struct Refusal {
    error: Details,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    message: String,
    #[serde(default, alias = "innerError")]
    innererror: Option<Inner>,
}

#[derive(Deserialize)]
struct Inner {
    #[serde(default)]
    code: String,
}

/// The secret, or why there is none. `identity` asked for it.
pub(super) fn read(place: &Place, identity: &str, answer: azure_core::Result<RawResponse>) -> Result<Secret> {
    let answer = answer.map_err(|e| of_silence(place, &chain(&e)))?;
    let status = u16::from(answer.status());
    if status == 200 {
        // What the parser says may quote the secret.
        return match serde_json::from_slice::<Bundle>(answer.body()) {
            Ok(bundle) => Ok(Secret::new(bundle.value)),
            Err(_) => Err(foreign(place, status)),
        };
    }
    let error = of_status(place, identity, status, answer.headers(), answer.body());
    match header(answer.headers(), "x-ms-request-id") {
        Some(id) => Err(error.with_context("requestId", id)),
        None => Err(error),
    }
}

fn of_status(place: &Place, identity: &str, status: u16, headers: &Headers, body: &[u8]) -> Error {
    let host = &place.host;
    let error = |kind, text: String| Error::new(kind, text).with_key(KEY);
    let retry = Retry::NotApplied {
        after: retry_after(headers),
    };
    match status {
        429 => {
            return error(
                ErrorKind::RateLimited,
                format!("the key vault `{host}` asks to slow down"),
            )
            .with_retry(retry);
        }
        408 | 500..=599 => {
            return error(
                ErrorKind::Unreachable,
                format!("the key vault `{host}` failed to answer (HTTP {status})"),
            )
            .with_retry(retry);
        }
        _ => {}
    }
    let Ok(Refusal { error: said }) = serde_json::from_slice(body) else {
        let text: String = String::from_utf8_lossy(body).chars().take(500).collect();
        return foreign(place, status).with_context("answer", text);
    };
    let inner = said.innererror.map(|inner| inner.code).unwrap_or_default();
    let said = said.message.split_whitespace().collect::<Vec<_>>().join(" ");
    let said: String = said.chars().take(500).collect();
    match (status, &*inner) {
        (401, _) => error(
            ErrorKind::Auth,
            format!("the key vault `{host}` refused {identity} (HTTP 401): {said}"),
        )
        .with_help(match tenant(headers) {
            Some(tenant) => format!(
                "the vault trusts the tenant `{tenant}`: set `AZURE_TENANT_ID` to it, or run `az login --tenant {tenant}`"
            ),
            None => "log in again, to the tenant of the vault".to_owned(),
        }),
        (403, "SecretDisabled") => error(
            ErrorKind::Rejected,
            format!("the secret `{}` of the key vault `{host}` is disabled", place.secret),
        )
        .with_help("enable its newest version, or add a new one"),
        (403, _) => error(
            ErrorKind::Denied,
            format!("the key vault `{host}` denies the secret to {identity} (HTTP 403): {said}"),
        )
        .with_help(match &*inner {
            "ForbiddenByFirewall" | "ForbiddenByConnection" => {
                "the vault's firewall keeps this machine out: allow its address, or run where the vault can be reached"
            }
            "ForbiddenByPolicy" => "give this identity the permission `get` for secrets in the vault's access policies",
            _ => "give this identity the role `Key Vault Secrets User` on the vault, or `get` for secrets in its access policies",
        }),
        (404, _) => error(
            ErrorKind::NotFound,
            format!("the key vault `{host}` has no secret `{}`", place.secret),
        )
        .with_help("compare the name with `az keyvault secret list`; one that was deleted may be recovered"),
        (400..=499, _) => error(
            ErrorKind::Rejected,
            format!("the key vault `{host}` refused the request (HTTP {status}): {said}"),
        ),
        _ => foreign(place, status),
    }
}

/// Somebody answered in the vault's place.
fn foreign(place: &Place, status: u16) -> Error {
    Error::new(
        ErrorKind::Protocol,
        format!("what `{}` answered is not of a key vault (HTTP {status})", place.host),
    )
    .with_key(KEY)
    .with_help("something between here and Azure may answer in its place: a proxy, a login page")
}

/// No answer at all. A vault has its name in DNS, so a name that does not exist is a vault that does not.
///
/// Source: Rust 1.95, `library/std/src/sys/net/connection/socket/unix.rs` for the words before the resolver's own; glibc 2.36
/// `gai_strerror` and musl 1.2 for those of a resolver that could not ask.
fn of_silence(place: &Place, why: &str) -> Error {
    let host = &place.host;
    let is_name = why.contains("failed to lookup address information") || why.contains("dns error");
    let is_passing = why.contains("Temporary failure in name resolution") || why.contains("Try again");
    if is_name && !is_passing {
        return Error::new(ErrorKind::NotFound, format!("there is no key vault `{host}`: {why}"))
            .with_key(KEY)
            .with_help("correct the vault's name; outside the public cloud also set `AZURE_AUTHORITY_HOST`");
    }
    if why.contains("invalid peer certificate") {
        return Error::new(
            ErrorKind::Auth,
            format!("the certificate of `{host}` is not trusted: {why}"),
        )
        .with_key(KEY)
        .with_help("a proxy may open encrypted connections here: add its authority to those of this machine");
    }
    Error::new(
        ErrorKind::Unreachable,
        format!("the key vault `{host}` does not answer: {why}"),
    )
    .with_key(KEY)
    .with_help("look at the network and at `HTTPS_PROXY`")
    .with_retry(Retry::NotApplied { after: None })
}

fn header<'a>(headers: &'a Headers, name: &'static str) -> Option<&'a str> {
    headers.get_optional_str(&HeaderName::from_static(name))
}

/// The wait that was asked for, in whole seconds.
pub(super) fn retry_after(headers: &Headers) -> Option<Duration> {
    header(headers, "retry-after")?
        .trim()
        .parse()
        .ok()
        .map(Duration::from_secs)
}

/// The tenant in a challenge such as `Bearer authorization="https://login.windows.net/TENANT", resource="https://vault.azure.net"`.
fn tenant(headers: &Headers) -> Option<&str> {
    let (_, rest) = header(headers, "www-authenticate")?.split_once("authorization=\"")?;
    let (address, _) = rest.split_once('"')?;
    let tenant = address.trim_end_matches('/').rsplit('/').next()?;
    let is_id = !tenant.is_empty() && tenant.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    is_id.then_some(tenant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place::new("v", "s", None).unwrap()
    }

    #[test]
    fn every_code_has_an_error_and_only_passing_ones_are_tried_again() {
        let body = br#"{"error":{"code":"c","message":"m"}}"#;
        for status in (0..200).chain(201..=999) {
            for body in [&body[..], b"<html>"] {
                let error = of_status(&place(), "me", status, &Headers::new(), body);
                assert_eq!(error.key(), Some(KEY));
                assert_eq!(
                    error.is_retryable(),
                    matches!(status, 408 | 429 | 500..=599),
                    "{status}"
                );
            }
        }
    }

    #[test]
    fn silence_tells_a_wrong_name_from_a_bad_network() {
        let lookup = "error sending request: client error (Connect): dns error: failed to lookup address information";
        let table = [
            (
                format!("{lookup}: Name or service not known"),
                ErrorKind::NotFound,
                false,
            ),
            (format!("{lookup}: Name does not resolve"), ErrorKind::NotFound, false),
            (
                format!("{lookup}: Temporary failure in name resolution"),
                ErrorKind::Unreachable,
                true,
            ),
            (format!("{lookup}: Try again"), ErrorKind::Unreachable, true),
            (
                "tcp connect error: Connection refused".to_owned(),
                ErrorKind::Unreachable,
                true,
            ),
            (
                "invalid peer certificate: UnknownIssuer".to_owned(),
                ErrorKind::Auth,
                false,
            ),
        ];
        for (why, kind, is_retryable) in table {
            let error = of_silence(&place(), &why);
            assert_eq!((error.kind(), error.is_retryable()), (kind, is_retryable), "{why}");
        }
    }
}
