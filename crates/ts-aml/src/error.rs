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
    let Some((kind, help)) = of_login(&text).or_else(|| advice(&code)) else {
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

/// Refusals of Entra ID, which tells what is wrong by a number within its words.
///
/// Source: "Microsoft Entra authentication and authorization error codes", Microsoft Learn.
fn of_login(text: &str) -> Option<(ErrorKind, &'static str)> {
    let number = text.strip_prefix("AADSTS")?;
    let number = number.split(|c: char| !c.is_ascii_digit()).next()?;
    let help = match number {
        "7000215" | "7000222" => {
            "make a new client secret: Entra ID, App registrations, the application, Certificates & secrets; set `clientSecret` to its \
             value, not its id"
        }
        "700027" => {
            "upload the certificate to the application: Entra ID, App registrations, the application, Certificates & secrets; then \
             compare its thumbprint"
        }
        "700024" => "set the clock of this machine: the login is outside of its time",
        "70021" => {
            "compare issuer, subject and audience of the token with the federated credential: Entra ID, App registrations, the \
             application, Certificates & secrets"
        }
        "700016" => "correct `clientId`: App registrations in Entra ID shows it as application id",
        "90002" => "correct `tenantId`: the overview of Entra ID shows it",
        "50173" | "70008" | "700082" => "log in again: the login was revoked or is too old",
        _ => return None,
    };
    Some((ErrorKind::Auth, help))
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
