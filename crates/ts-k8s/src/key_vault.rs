//! The key of a storage account from Azure Key Vault: asks for the secret and checks that it is such a key.
//!
//! Which identity asks is decided in `credential`, what the vault's answers mean in `answer`, how bytes travel in `wire`.
//! Without the feature `azure` none of these is built, and asking is refused.

pub(crate) mod account_key;
#[cfg(feature = "azure")]
mod answer;
#[cfg(feature = "azure")]
mod credential;
#[cfg(all(test, feature = "azure"))]
mod fake;
#[cfg(all(test, feature = "azure"))]
mod tests;
#[cfg(feature = "azure")]
mod wire;
#[cfg(all(test, feature = "azure"))]
mod world;

use ts_core::{Ctx, Error, Result, Secret};

/// Key of the configuration that errors of this module name.
const KEY: &str = "keyVault";

/// Gets the newest value of `secret` in `vault`, the key of a storage account.
///
/// `vault` is the vault's name, or its whole host name if there is a dot in it.
#[cfg(feature = "azure")]
pub(crate) async fn fetch(ctx: &Ctx, vault: &str, secret: &str) -> Result<Secret> {
    let outside = wire::Outside::new(ctx)?;
    fetch_through(ctx, &outside, vault, secret).await
}

/// Refuses: this build cannot ask.
#[cfg(not(feature = "azure"))]
pub(crate) async fn fetch(_ctx: &Ctx, _vault: &str, _secret: &str) -> Result<Secret> {
    let refusal = Error::unsupported("this build cannot ask Azure Key Vault: it was made without the feature `azure`")
        .with_key(KEY)
        .with_help("put the key into a Secret of the namespace and name that with `secretName`");
    std::future::ready(Err(refusal)).await
}

#[cfg(feature = "azure")]
async fn fetch_through(ctx: &Ctx, outside: &wire::Outside, vault: &str, secret: &str) -> Result<Secret> {
    let authority = credential::authority(ctx).await?;
    let place = Place::new(vault, secret, authority.as_ref())?;
    let identities = credential::choose(ctx, outside, authority).await?;
    let policy = ts_core::RetryPolicy::new();
    let value = ts_core::retry(&*ctx.clock, policy, true, async |_| {
        let (identity, token) = identities.token(&place.scope).await?;
        let answer = outside.get(&place.url, token.token.secret()).await;
        answer::read(&place, identity, answer)
    })
    .await?;
    let named = format!("the secret `{secret}` of the key vault `{vault}`");
    account_key::check(&value, &named).map_err(|e| e.with_key(KEY))
}

/// Where the secret lies, and what a token must be for.
#[cfg(feature = "azure")]
#[derive(Debug)]
struct Place {
    host: String,
    secret: String,
    url: azure_core::http::Url,
    scope: String,
}

#[cfg(feature = "azure")]
impl Place {
    /// The scope is that of the host's cloud, so that a token shown to a foreign host is of no use at Azure's own.
    ///
    /// Source: Azure REST API, "Get Secret", version 7.4: `GET {vaultBaseUrl}/secrets/{secret-name}/{secret-version}`; without
    /// a version the newest is meant.
    fn new(vault: &str, secret: &str, authority: Option<&azure_core::http::Url>) -> Result<Self> {
        let host = if vault.contains('.') {
            vault.to_ascii_lowercase()
        } else {
            format!("{}.{}", vault.to_ascii_lowercase(), suffix(authority))
        };
        let wrong = || {
            Error::new(
                ts_core::ErrorKind::Config,
                format!("`{vault}` with the secret `{secret}` is no address in a key vault"),
            )
            .with_key(KEY)
            .with_help(
                "give the name of the vault, such as `my-vault`, and the name of the secret, such as `storage-key`",
            )
        };
        let is_name = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let cloud = host.split_once('.').map_or("", |(_, cloud)| cloud);
        if !host.split('.').all(is_name) || !is_name(secret) || cloud.is_empty() {
            return Err(wrong());
        }
        let url = format!("https://{host}/secrets/{secret}?api-version=7.4");
        Ok(Self {
            url: url.parse().map_err(|_| wrong())?,
            scope: format!("https://{cloud}/.default"),
            secret: secret.to_owned(),
            host,
        })
    }
}

/// How hosts of vaults end in the cloud of this authority.
///
/// Source: azure-cli 2.60, `azure/cli/core/cloud.py`: `active_directory` and `keyvault_dns` of `AzureCloud`,
/// `AzureUSGovernment` and `AzureChinaCloud`. The second name of China's authority is of MSAL.
#[cfg(feature = "azure")]
fn suffix(authority: Option<&azure_core::http::Url>) -> &'static str {
    match authority.and_then(azure_core::http::Url::host_str) {
        Some("login.microsoftonline.us") => "vault.usgovcloudapi.net",
        Some("login.chinacloudapi.cn" | "login.partner.microsoftonline.cn") => "vault.azure.cn",
        _ => "vault.azure.net",
    }
}
