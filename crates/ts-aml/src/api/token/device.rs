//! Device code: a person lets us in with a browser, once; from then on the login renews itself.
//!
//! Sources: RFC 8628; "Microsoft identity platform and the OAuth 2.0 device authorization grant flow", Microsoft Learn.

use super::{Login, below, token_of};
use crate::error;
use serde_json::Value as Json;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Mutex, watch};
use ts_core::{
    Error, ErrorKind, Result, Secret,
    http::{Method, Reply, Request, Token},
};

/// Source: RFC 8628, 3.4.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Source: RFC 8628, 3.2 and 3.5.
const INTERVAL: Duration = Duration::from_secs(5);

/// What the logins for all resources share: a person is asked once.
#[derive(Debug, Clone)]
pub(crate) struct Devices {
    /// The newest token for renewing. Held while a person is asked.
    renewing: Arc<Mutex<Option<Secret>>>,
    /// What a person is asked to do, while we wait for it.
    pub(crate) asked: watch::Sender<Option<String>>,
}

impl Devices {
    pub(crate) fn new() -> Self {
        Self {
            renewing: Arc::default(),
            asked: watch::Sender::new(None),
        }
    }
}

/// An answer to the question whether somebody has entered the code.
enum Polled {
    Granted(Token, Option<Secret>),
    Pending,
    TooFast,
}

/// Renews the login, or asks a person for one.
pub(super) async fn log_in(login: &Login<'_>, tenant: &str, client: &str) -> Result<Token> {
    let mut renewing = login.account.devices.renewing.lock().await;
    // Source: "Refresh tokens in the Microsoft identity platform": one is good for all resources.
    let scope = format!("{}/.default offline_access", login.resource.trim_end_matches('/'));
    if let Some(secret) = renewing.clone() {
        match renew(login, tenant, client, &scope, &secret).await {
            Ok((token, next)) => {
                *renewing = next.or(Some(secret));
                return Ok(token);
            }
            Err(error) if error.kind() == ErrorKind::Auth => {
                tracing::debug!(%error, "the login cannot be renewed");
                *renewing = None;
            }
            Err(error) => return Err(error),
        }
    }
    let granted = ask(login, tenant, client, &scope).await;
    login.account.devices.asked.send_replace(None);
    let (token, next) = granted?;
    *renewing = next;
    Ok(token)
}

async fn renew(
    login: &Login<'_>,
    tenant: &str,
    client: &str,
    scope: &str,
    secret: &Secret,
) -> Result<(Token, Option<Secret>)> {
    let url = below(&login.cloud.login, &[tenant, "oauth2", "v2.0", "token"]);
    let request = Request::new("renew the login of `credential: deviceCode`", Method::POST, url)
        .repeatable()
        .with_secret(secret)
        .with_form(&[
            ("grant_type", "refresh_token"),
            ("client_id", client),
            ("refresh_token", secret.expose()),
            ("scope", scope),
        ]);
    login.account.client.send(&request, |reply| granted(&reply)).await
}

fn granted(reply: &Reply) -> Result<(Token, Option<Secret>)> {
    let token = token_of(reply)?;
    let body: Json = reply.json()?;
    Ok((token, body["refresh_token"].as_str().map(Secret::new)))
}

/// Asks a person, and waits until it is done or the code has expired.
async fn ask(login: &Login<'_>, tenant: &str, client: &str, scope: &str) -> Result<(Token, Option<Secret>)> {
    let url = below(&login.cloud.login, &[tenant, "oauth2", "v2.0", "devicecode"]);
    let request = Request::new("ask for a device code", Method::POST, url)
        .repeatable()
        .with_form(&[("client_id", client), ("scope", scope)]);
    let read = |reply: Reply| {
        if reply.is_success() {
            reply.json::<Json>()
        } else {
            Err(super::refused(&reply))
        }
    };
    let begun = login.account.client.send(&request, read).await?;
    let text = |name: &str| begun[name].as_str().unwrap_or_default();
    let seconds = |name: &str| begun[name].as_u64().map(Duration::from_secs);
    let code = Secret::new(text("device_code"));
    let message = match text("message") {
        "" => format!(
            "open {} and enter the code {}",
            text("verification_uri"),
            text("user_code")
        ),
        message => message.to_owned(),
    };
    let ends = login.account.clock.monotonic() + seconds("expires_in").unwrap_or(Duration::from_mins(15));
    let mut interval = seconds("interval").unwrap_or(INTERVAL);
    tracing::warn!("{message}");
    login.account.devices.asked.send_replace(Some(message));
    while login.account.clock.monotonic() < ends {
        login.account.clock.sleep(interval).await;
        match poll(login, tenant, client, &code).await? {
            Polled::Granted(token, next) => return Ok((token, next)),
            Polled::Pending => {}
            Polled::TooFast => interval += INTERVAL,
        }
    }
    Err(expired())
}

async fn poll(login: &Login<'_>, tenant: &str, client: &str, code: &Secret) -> Result<Polled> {
    let url = below(&login.cloud.login, &[tenant, "oauth2", "v2.0", "token"]);
    let request = Request::new("log in to Azure by `credential: deviceCode`", Method::POST, url)
        .with_secret(code)
        .with_form(&[
            ("grant_type", GRANT),
            ("client_id", client),
            ("device_code", code.expose()),
        ]);
    let read = |reply: Reply| {
        let code = error::said(&reply).map(|(code, _)| code).unwrap_or_default();
        match code.as_str() {
            _ if reply.is_success() => granted(&reply).map(|(token, next)| Polled::Granted(token, next)),
            "authorization_pending" => Ok(Polled::Pending),
            "slow_down" => Ok(Polled::TooFast),
            "expired_token" => Err(expired()),
            "authorization_declined" | "access_denied" => Err(Error::new(
                ErrorKind::Auth,
                "the person who entered the device code has declined the login",
            )
            .with_key("credential")
            .with_help("start again and let the login in, or use another `credential`")),
            _ => Err(super::refused(&reply)),
        }
    };
    match login.account.client.send(&request, read).await {
        // A connection that fails is asked again at the next turn. Source: RFC 8628, 3.5.
        Err(error) if error.is_retryable() => {
            tracing::debug!(%error, "whether the code was entered cannot be asked");
            Ok(Polled::Pending)
        }
        done => done,
    }
}

fn expired() -> Error {
    Error::new(ErrorKind::Auth, "nobody entered the device code before it expired")
        .with_key("credential")
        .with_help("start again and enter the new code, or use a `credential` that needs nobody")
}
