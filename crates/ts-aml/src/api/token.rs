//! Where tokens of Entra ID come from: an application's secret or certificate, another issuer's token, the machine's identity, a
//! person, the login of `az`.
//!
//! Sources: "Microsoft identity platform and the OAuth 2.0 client credentials flow"; "How to use managed identities on a VM to acquire
//! an access token"; azure-identity (Python) 1.27.0, `_credentials`.

mod certificate;
mod device;

pub(super) use device::Devices;

use super::clouds::Clouds;
use crate::{Cloud, Credential, error};
use async_trait::async_trait;
use serde_json::Value as Json;
use std::{process::Stdio, sync::Arc, time::Duration};
use ts_core::{
    Clock, Error, ErrorKind, IdSource, Result, Secret, SecretSource,
    config::SecretRef,
    http::{HttpClient, Method, Reply, Request, Token, TokenSource, Url, header},
};

const IMDS: &str = "http://169.254.169.254/";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const PEM_HELP: &str = "give a file with the key and the certificate in PEM, without a password; of a PFX file, \
                        `openssl pkcs12 -in FILE.pfx -out FILE.pem -nodes` makes one";
/// How long `az` may take. Source: azure-identity 1.27.0, `azure_cli.py`.
const AZ_PATIENCE: Duration = Duration::from_secs(10);

/// Gets tokens for one resource, once it is known where the cloud is.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) clouds: Arc<Clouds>,
    /// What tokens are for; `None`: Resource Manager.
    pub(super) resource: Option<String>,
    /// How to log in, wherever that is.
    pub(super) account: Account,
}

/// Who we are, and what it takes to show it.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) client: HttpClient,
    /// Uses no proxy.
    pub(super) direct: HttpClient,
    pub(super) credential: Credential,
    pub(super) secrets: Arc<dyn SecretSource>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<dyn IdSource>,
    pub(super) devices: Devices,
}

/// A login for one resource at one place.
#[derive(Debug)]
struct Login<'a> {
    account: &'a Account,
    cloud: &'a Cloud,
    resource: &'a str,
}

/// What proves who an application is.
#[derive(Debug)]
enum Proof {
    Secret(Secret),
    /// In PEM, with its key.
    Certificate(Secret),
    /// Of another issuer.
    Token(Secret),
}

#[async_trait]
impl TokenSource for Source {
    async fn fetch(&self) -> Result<Token> {
        let cloud = self.clouds.get().await?;
        let login = Login {
            account: &self.account,
            cloud,
            resource: self.resource.as_deref().unwrap_or(&cloud.audience),
        };
        login.token().await
    }
}

impl Login<'_> {
    async fn token(&self) -> Result<Token> {
        match &self.account.credential {
            Credential::ClientSecret { tenant, client, secret } => {
                let secret = self.secret(secret, "clientSecret").await?;
                self.by_form(tenant, client, Proof::Secret(secret)).await
            }
            Credential::ClientCertificate {
                tenant,
                client,
                certificate,
            } => {
                let pem = self.secret(certificate, "clientCertificate").await;
                let pem = pem.map_err(|e| if e.help().is_none() { e.with_help(PEM_HELP) } else { e })?;
                self.by_form(tenant, client, Proof::Certificate(pem)).await
            }
            Credential::Federated { tenant, client, token } => {
                let token = self.secret(token, "federatedToken").await?;
                self.by_form(tenant, client, Proof::Token(token)).await
            }
            Credential::DeviceCode { tenant, client } => device::log_in(self, tenant, client).await,
            Credential::ManagedIdentity { client } => self.of_machine(client.as_deref()).await,
            Credential::AzureCli => self.of_az().await,
            Credential::Default => self.of_surroundings().await,
        }
    }

    async fn secret(&self, secret: &SecretRef, key: &str) -> Result<Secret> {
        secret
            .resolve(&*self.account.secrets)
            .await
            .map_err(|e| e.with_key(key))
    }

    /// Asks Entra ID, by what proves who the application is.
    async fn by_form(&self, tenant: &str, client: &str, proof: Proof) -> Result<Token> {
        let url = below(&self.cloud.login, &[tenant, "oauth2", "v2.0", "token"]);
        let scope = format!("{}/.default", self.resource.trim_end_matches('/'));
        let (key, what, field, secret) = match proof {
            Proof::Secret(secret) => (
                "clientSecret",
                "log in to Azure by a client secret",
                "client_secret",
                Secret::new(secret.expose().trim()),
            ),
            Proof::Certificate(pem) => {
                let id = self.account.ids.trial();
                let claims = certificate::Claims {
                    audience: url.as_str(),
                    client,
                    id: id.as_str(),
                    now: self.account.clock.now(),
                };
                let signed = certificate::assertion(&pem, claims)?;
                let what = "log in to Azure by a client certificate";
                ("clientCertificate", what, "client_assertion", signed)
            }
            Proof::Token(token) => (
                "federatedToken",
                "log in to Azure by a federated token",
                "client_assertion",
                Secret::new(token.expose().trim()),
            ),
        };
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("scope", scope.as_str()),
            (field, secret.expose()),
        ];
        if field == "client_assertion" {
            form.push(("client_assertion_type", ASSERTION));
        }
        let request = Request::new(what, Method::POST, url)
            .repeatable()
            .with_secret(&secret)
            .with_form(&form);
        let told = |e: Error| {
            if e.kind() == ErrorKind::Auth {
                e.with_key(key)
            } else {
                e
            }
        };
        self.account
            .client
            .send(&request, |reply| token_of(&reply))
            .await
            .map_err(told)
    }

    /// Asks the identity service of the virtual machine, or of the compute instance.
    async fn of_machine(&self, client: Option<&str>) -> Result<Token> {
        let told = (
            self.variable("IDENTITY_ENDPOINT").await,
            self.variable("IDENTITY_HEADER").await,
        );
        let request = if let (Some(endpoint), Some(secret)) = told {
            let url = Url::parse(endpoint.expose())
                .map_err(|_| Error::new(ErrorKind::Config, "`IDENTITY_ENDPOINT` is no address of a server"))?;
            self.identity_request(url, "2019-08-01")
                .with_secret_header(header::HeaderName::from_static("x-identity-header"), &secret)?
        } else {
            let base = match &self.cloud.imds {
                Some(base) => base.clone(),
                None => Url::parse(IMDS).map_err(|_| Error::new(ErrorKind::Internal, "an address is none"))?,
            };
            let url = below(&base, &["metadata", "identity", "oauth2", "token"]);
            self.identity_request(url, "2018-02-01").with_header(
                header::HeaderName::from_static("metadata"),
                header::HeaderValue::from_static("true"),
            )
        };
        let request = client
            .iter()
            .fold(request, |request, id| request.with_query("client_id", id));
        let read = |reply: Reply| match reply.status() {
            // Not ready yet. Source: "Error handling" of the page above.
            404 | 410 => Err(
                Error::new(ErrorKind::Unreachable, reply.refused(&reply.said()).message())
                    .with_retry(ts_core::Retry::NotApplied { after: None }),
            ),
            400 => Err(Error::new(ErrorKind::Auth, reply.refused(&reply.said()).message())
                .with_help("this machine has no such identity; assign it one, or use another `credential`")),
            _ => token_of(&reply),
        };
        self.account.direct.send(&request, read).await
    }

    fn identity_request(&self, url: Url, version: &str) -> Request {
        Request::new("ask for the identity of the machine", Method::GET, url)
            .within(Duration::from_secs(10))
            .with_query("api-version", version)
            .with_query("resource", self.resource)
    }

    /// Asks the command line of Azure.
    async fn of_az(&self) -> Result<Token> {
        let mut command = tokio::process::Command::new("az");
        command
            .args([
                "account",
                "get-access-token",
                "--output",
                "json",
                "--resource",
                self.resource,
            ])
            .env("AZURE_CORE_NO_COLOR", "true")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::select! {
            output = command.output() => output,
            () = self.account.clock.sleep(AZ_PATIENCE) => {
                return Err(Error::new(ErrorKind::TimedOut, "`az account get-access-token` did not end within 10 s"));
            }
        };
        let output = output.map_err(|e| {
            Error::new(
                ErrorKind::Auth,
                "cannot log in to Azure: the program `az` cannot be started",
            )
            .with_source(e)
            .with_help("install the Azure command line and run `az login`, or set `credential`")
        })?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let line = text
                .lines()
                .map(str::trim)
                .find(|line| !line.is_empty())
                .unwrap_or("no reason");
            let line: String = line.chars().take(300).collect();
            return Err(Error::new(ErrorKind::Auth, format!("`az` gives no token: {line}")).with_help("run `az login`"));
        }
        // What it is instead is not repeated: it may hold a token.
        let wrong = || Error::new(ErrorKind::Protocol, "`az account get-access-token` printed no token");
        let value: Json = serde_json::from_slice(&output.stdout).map_err(|_| wrong())?;
        let expires = value["expires_on"]
            .as_i64()
            .map(|at| at.saturating_mul(1000) - self.account.clock.now().0);
        let life = expires.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        Ok(Token {
            value: Secret::new(value["accessToken"].as_str().ok_or_else(wrong)?),
            // Old versions tell a local time only.
            renew_after: Some(renewal(life.unwrap_or(Duration::from_mins(10)))),
        })
    }

    /// The variables of Azure's own tools, else `az`.
    async fn of_surroundings(&self) -> Result<Token> {
        let (tenant, client) = (
            self.variable("AZURE_TENANT_ID").await,
            self.variable("AZURE_CLIENT_ID").await,
        );
        if let (Some(tenant), Some(client)) = (&tenant, &client) {
            let (tenant, client) = (tenant.expose(), client.expose());
            if let Some(secret) = self.variable("AZURE_CLIENT_SECRET").await {
                return self.by_form(tenant, client, Proof::Secret(secret)).await;
            }
            if let Some(file) = self.variable("AZURE_CLIENT_CERTIFICATE_PATH").await {
                let pem = SecretRef::Reference(format!("file:{}", file.expose()));
                let pem = self.secret(&pem, "AZURE_CLIENT_CERTIFICATE_PATH").await?;
                return self.by_form(tenant, client, Proof::Certificate(pem)).await;
            }
            if let Some(file) = self.variable("AZURE_FEDERATED_TOKEN_FILE").await {
                let token = SecretRef::Reference(format!("file:{}", file.expose()));
                let token = self.secret(&token, "AZURE_FEDERATED_TOKEN_FILE").await?;
                return self.by_form(tenant, client, Proof::Token(token)).await;
            }
        }
        if self.variable("IDENTITY_ENDPOINT").await.is_some() {
            return self.of_machine(client.as_ref().map(Secret::expose)).await;
        }
        self.of_az().await
    }

    async fn variable(&self, name: &str) -> Option<Secret> {
        variable(&*self.account.secrets, name).await
    }
}

/// A variable of the environment, which only the source of secrets reads.
pub(super) async fn variable(secrets: &dyn SecretSource, name: &str) -> Option<Secret> {
    let found = secrets.resolve(&format!("${{env:{name}}}")).await.ok()?;
    (!found.expose().trim().is_empty()).then_some(found)
}

fn token_of(reply: &Reply) -> Result<Token> {
    if !reply.is_success() {
        return Err(refused(reply));
    }
    let value: Json = reply.json()?;
    let token = value["access_token"].as_str();
    let token = token.ok_or_else(|| Error::new(ErrorKind::Protocol, "the answer to the login holds no token"))?;
    // The identity of machines writes numbers as text.
    let seconds = |name: &str| value[name].as_u64().or_else(|| value[name].as_str()?.parse().ok());
    let life = Duration::from_secs(seconds("expires_in").unwrap_or(300));
    let told = seconds("refresh_in").map(Duration::from_secs);
    Ok(Token {
        value: Secret::new(token),
        renew_after: Some(told.unwrap_or_else(|| renewal(life))),
    })
}

/// A login that is refused for good is `Auth`, whatever the status says.
fn refused(reply: &Reply) -> Error {
    let error = error::of_reply(reply);
    let is_final = !error.is_retryable() && reply.status() < 500;
    if !is_final || error.kind() == ErrorKind::Auth {
        return error;
    }
    let help = error
        .help()
        .unwrap_or("compare `tenantId` and `clientId` with those of the application");
    Error::new(ErrorKind::Auth, error.message()).with_help(help)
}

/// Source: azure-core (Python) 1.41.0: five minutes before the end; at half of lives that are long or short.
fn renewal(life: Duration) -> Duration {
    const MARGIN: Duration = Duration::from_mins(5);
    if life >= Duration::from_hours(2) || life <= MARGIN * 2 {
        life / 2
    } else {
        life.saturating_sub(MARGIN)
    }
}

/// An address with more segments.
pub(super) fn below(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    // Fails for addresses without a host, which the configuration has not.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}
