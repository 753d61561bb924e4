//! Which identity asks the vault: that of the environment, of the machine, or of `az login`; and a token for it.
//!
//! Variables come from the experiment's secret source, as every `${env:NAME}` does. The protocols of Entra belong to
//! azure_identity.
//!
//! Source of the order: Microsoft Learn, "Credential chains in the Azure Identity library", `DefaultAzureCredential`:
//! environment, workload identity, managed identity, tools of developers.

use super::{
    KEY, answer,
    wire::{Outside, once},
};
use crate::error::chain;
use azure_core::{
    cloud::{CloudConfiguration, CustomConfiguration},
    credentials::{AccessToken, TokenCredential},
    error::ErrorKind as AzureKind,
    http::{ClientOptions, StatusCode, Url},
};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use std::{error::Error as StdError, sync::Arc};
use ts_core::{Ctx, Error, ErrorKind, Result, Retry, Secret};

/// Of the service principal with a secret, in messages.
const CLIENT_SECRET: &str = "the client secret of the environment";
/// Of a pod whose service account Entra trusts.
const WORKLOAD: &str = "the workload identity of the environment";
/// Of the machine.
const MANAGED: &str = "the managed identity of this machine";
/// Of the user.
const CLI: &str = "the login of `az`";

/// The identities to try, in this order; never empty.
#[derive(Debug)]
pub(super) struct Identities {
    all: Vec<(&'static str, Arc<dyn TokenCredential>)>,
    /// What must not show, should somebody's answer repeat it.
    hidden: Option<Secret>,
}

async fn variable(ctx: &Ctx, name: &str) -> Result<Option<Secret>> {
    match ctx.secrets.resolve(&format!("${{env:{name}}}")).await {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Where Entra is, if `AZURE_AUTHORITY_HOST` says so; sovereign clouds have their own. The scheme may be missing there.
pub(super) async fn authority(ctx: &Ctx) -> Result<Option<Url>> {
    let Some(text) = variable(ctx, "AZURE_AUTHORITY_HOST").await? else {
        return Ok(None);
    };
    let text = text.expose().trim();
    let text = if text.contains("://") {
        text.to_owned()
    } else {
        format!("https://{text}")
    };
    match Url::parse(&text) {
        Ok(url) if url.scheme() == "https" => Ok(Some(url)),
        _ => Err(
            Error::new(ErrorKind::Config, "`AZURE_AUTHORITY_HOST` is no address of Entra")
                .with_key(KEY)
                .with_help("set it to a host with `https://`, such as `https://login.microsoftonline.us`, or unset it"),
        ),
    }
}

/// The identities that this environment has.
///
/// One that the environment spells out is the only one: were it refused, another would ask for rights that nobody meant.
pub(super) async fn choose(ctx: &Ctx, outside: &Outside, authority: Option<Url>) -> Result<Identities> {
    let cloud = authority.map(|url| {
        let mut custom = CustomConfiguration::default();
        url.as_str().clone_into(&mut custom.authority_host);
        Arc::new(CloudConfiguration::from(custom))
    });
    let client_options = ClientOptions {
        cloud,
        ..once(&outside.azure)
    };
    let (tenant, client) = (
        variable(ctx, "AZURE_TENANT_ID").await?,
        variable(ctx, "AZURE_CLIENT_ID").await?,
    );
    if let Some(secret) = variable(ctx, "AZURE_CLIENT_SECRET").await? {
        let (tenant, client) = both(tenant, client, "AZURE_CLIENT_SECRET")?;
        let key = azure_core::credentials::Secret::new(secret.expose().to_owned());
        let options = Some(ClientSecretCredentialOptions { client_options });
        let made = ClientSecretCredential::new(&tenant, client, key, options);
        return Identities::only(CLIENT_SECRET, made, Some(secret));
    }
    if let Some(file) = variable(ctx, "AZURE_FEDERATED_TOKEN_FILE").await? {
        let (tenant, client) = both(tenant, client, "AZURE_FEDERATED_TOKEN_FILE")?;
        let made = WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
            credential_options: ClientAssertionCredentialOptions { client_options },
            client_id: Some(client),
            tenant_id: Some(tenant),
            token_file_path: Some(file.expose().into()),
        }));
        return Identities::only(WORKLOAD, made, None);
    }
    let managed = ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
        user_assigned_id: client.map(|id| UserAssignedId::ClientId(id.expose().to_owned())),
        client_options: once(&outside.metadata),
    }));
    let cli = AzureCliCredential::new(Some(AzureCliCredentialOptions {
        tenant_id: tenant.map(|id| id.expose().to_owned()),
        executor: Some(Arc::clone(&outside.shell)),
        ..AzureCliCredentialOptions::default()
    }));
    let mut identities = Identities::only(CLI, cli, None)?;
    match managed {
        Ok(managed) => identities.all.insert(0, (MANAGED, managed)),
        Err(error) => tracing::debug!(error = chain(&error), "no managed identity"),
    }
    Ok(identities)
}

/// Tenant and client, which this variable of the environment cannot do without.
fn both(tenant: Option<Secret>, client: Option<Secret>, because: &str) -> Result<(String, String)> {
    let missing = match (tenant, client) {
        (Some(tenant), Some(client)) => return Ok((tenant.expose().to_owned(), client.expose().to_owned())),
        (None, Some(_)) => "`AZURE_TENANT_ID`",
        (Some(_), None) => "`AZURE_CLIENT_ID`",
        (None, None) => "`AZURE_TENANT_ID` and `AZURE_CLIENT_ID`",
    };
    let message = format!("`{because}` is set in the environment, but {missing} is missing");
    Err(Error::new(ErrorKind::Config, message)
        .with_key(KEY)
        .with_help(format!("set all three, or unset `{because}` to use the login of `az`")))
}

impl Identities {
    fn only<T: TokenCredential + 'static>(
        name: &'static str,
        made: azure_core::Result<Arc<T>>,
        hidden: Option<Secret>,
    ) -> Result<Self> {
        let made = made.map_err(|e| {
            Error::new(ErrorKind::Config, format!("{name} cannot be used: {}", chain(&e)))
                .with_key(KEY)
                .with_help("look at the variables `AZURE_…` of the environment")
        })?;
        Ok(Self {
            all: vec![(name, made)],
            hidden,
        })
    }

    /// A token of the first identity that gets one, and whose it is.
    pub(super) async fn token(&self, scope: &str) -> Result<(&'static str, AccessToken)> {
        let mut refusals: Vec<Error> = Vec::new();
        for (name, credential) in &self.all {
            match credential.get_token(&[scope], None).await {
                Ok(token) => return Ok((name, token)),
                Err(error) => refusals.push(self.refusal(name, &error)),
            }
        }
        Err(match refusals.pop() {
            Some(only) if refusals.is_empty() => only,
            Some(last) => all_refused(&refusals, &last),
            None => Error::new(ErrorKind::Internal, "no identity was tried"),
        })
    }

    /// Why this identity got no token. The library's own error is not kept: it holds whole answers.
    fn refusal(&self, name: &'static str, error: &azure_core::Error) -> Error {
        let failure = Failure::of(error);
        let mut text = match name {
            MANAGED if failure.is_silence => "no metadata service answers".to_owned(),
            // What the parser says may quote a token.
            CLI if failure.is_unreadable => "it printed no token; version 2.54 or newer is needed".to_owned(),
            _ if failure.is_unreadable => "the answer is not one of Entra".to_owned(),
            _ => plain(&chain(error)),
        };
        if let Some(hidden) = &self.hidden {
            text = text.replace(hidden.expose(), "***");
        }
        let (kind, retry) = match failure.status {
            Some(StatusCode::TooManyRequests) => (ErrorKind::RateLimited, Some(failure.after)),
            Some(status) if status.is_server_error() || status == StatusCode::Gone => {
                (ErrorKind::Unreachable, Some(failure.after))
            }
            None if failure.is_silence => (ErrorKind::Unreachable, Some(None)),
            None if failure.is_unreadable => (ErrorKind::Protocol, None),
            _ => (ErrorKind::Auth, None),
        };
        // That no metadata service answers is how most machines are, and no news.
        let retry = retry.filter(|_| !(failure.is_silence && name == MANAGED));
        let help = match (name, kind) {
            (_, ErrorKind::Protocol | ErrorKind::Unreachable) => {
                "look at the network and its proxy, which must let requests to Entra through"
            }
            (CLIENT_SECRET, _) => {
                "compare `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET` with the application"
            }
            (WORKLOAD, _) => "compare the application's federated credential with this pod's service account",
            _ => "run `az login`, or set `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET`",
        };
        let error = Error::new(kind, format!("no token for the key vault from {name}: {text}"))
            .with_key(KEY)
            .with_help(help);
        match retry {
            Some(after) => error.with_retry(Retry::NotApplied { after }),
            None => error,
        }
    }
}

/// One error of several: all are told; to try again is worth it if it is for one of them.
fn all_refused(before: &[Error], last: &Error) -> Error {
    let all = || before.iter().chain([last]);
    let message = all().map(Error::message).collect::<Vec<_>>().join("; ");
    let error = Error::new(ErrorKind::Auth, message)
        .with_key(KEY)
        .with_retry(all().find(|e| e.is_retryable()).unwrap_or(last).retry());
    match last.help() {
        Some(help) => error.with_help(help),
        None => error,
    }
}

/// What an error of the library is made of.
struct Failure {
    status: Option<StatusCode>,
    after: Option<std::time::Duration>,
    /// Nobody answered.
    is_silence: bool,
    /// What was answered is not Entra's.
    is_unreadable: bool,
}

impl Failure {
    fn of(error: &azure_core::Error) -> Self {
        let mut failure = Self {
            status: None,
            after: None,
            is_silence: false,
            is_unreadable: false,
        };
        let mut next: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(cause) = next {
            match cause.downcast_ref::<azure_core::Error>().map(azure_core::Error::kind) {
                Some(AzureKind::HttpResponse {
                    status, raw_response, ..
                }) => {
                    failure.status = Some(*status);
                    failure.after = raw_response.as_ref().and_then(|raw| answer::retry_after(raw.headers()));
                }
                Some(AzureKind::Connection | AzureKind::Io) => failure.is_silence = true,
                Some(AzureKind::DataConversion) => failure.is_unreadable = true,
                _ => {}
            }
            next = cause.source();
        }
        failure.is_unreadable &= failure.status.is_none();
        failure
    }
}

/// The text on one line and without the library's advertisement of its guide.
fn plain(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("To troubleshoot, visit"));
    let line = lines.collect::<Vec<_>>().join(" ");
    line.chars().take(500).collect()
}
