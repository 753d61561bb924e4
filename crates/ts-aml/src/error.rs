//! Refusals of Resource Manager, Entra ID and blob storage in our own words: one row per code that has advice of its own.
//!
//! Sources: "Common error codes" of Resource Manager, "Blob service error codes", Microsoft Learn; RFC 6749, 5.2.

use serde_json::Value as Json;
use ts_core::{Error, ErrorKind, Retry, http::Reply};

/// Code and words of an answer, where it has any.
pub(crate) fn said(reply: &Reply) -> Option<(String, String)> {
    if let Ok(body) = serde_json::from_slice::<Json>(reply.body()) {
        // Entra ID.
        if let Some(code) = body["error"].as_str() {
            let text = body["error_description"].as_str().unwrap_or_default();
            return Some((code.to_owned(), text.to_owned()));
        }
        let code = body["error"]["code"].as_str()?;
        return Some((
            code.to_owned(),
            body["error"]["message"].as_str().unwrap_or_default().to_owned(),
        ));
    }
    let text = String::from_utf8_lossy(reply.body());
    let part = |name: &str| {
        let rest = text.split_once(&format!("<{name}>"))?.1;
        Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
    };
    Some((part("Code")?, part("Message").unwrap_or_default()))
}

/// The error of an answer that is no success.
pub(crate) fn of_reply(reply: &Reply) -> Error {
    let Some((code, text)) = said(reply) else {
        return reply.refused(&reply.said());
    };
    let error = reply.refused(&text);
    let Some((kind, help)) = advice(&code) else {
        return error.with_context("code", code);
    };
    let retry = if kind == error.kind() {
        error.retry()
    } else {
        Retry::Never
    };
    Error::new(kind, error.message())
        .with_retry(retry)
        .with_help(help)
        .with_context("code", code)
}

fn advice(code: &str) -> Option<(ErrorKind, &'static str)> {
    Some(match code {
        "AuthorizationFailed" => (
            ErrorKind::Denied,
            "give the identity the role `AzureML Data Scientist` in the workspace",
        ),
        "InvalidAuthenticationToken"
        | "ExpiredAuthenticationToken"
        | "AuthenticationFailed"
        | "AuthorizationFailure" => (ErrorKind::Auth, "log in again, or renew the credential"),
        "InvalidAuthenticationTokenAudience" | "InvalidAuthenticationTokenTenant" => (
            ErrorKind::Auth,
            "compare `cloud`, `armEndpoint` and the tenant with those of the workspace",
        ),
        "AuthorizationPermissionMismatch" => (
            ErrorKind::Denied,
            "give the identity the role `Storage Blob Data Contributor` in the storage account",
        ),
        "SubscriptionNotFound" => (
            ErrorKind::NotFound,
            "correct `subscriptionId`; `az account list` lists yours",
        ),
        "ResourceGroupNotFound" => (ErrorKind::NotFound, "correct `resourceGroup`"),
        "ResourceNotFound" => (
            ErrorKind::NotFound,
            "correct `workspaceName`, or what the message names",
        ),
        "invalid_client" | "unauthorized_client" | "invalid_grant" => (
            ErrorKind::Auth,
            "correct `tenantId`, `clientId` and the secret; secrets of applications expire",
        ),
        _ => return None,
    })
}
