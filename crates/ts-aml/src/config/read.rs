//! Reads `amlConfig` and `trial` of schema 1, and `trainingService` of schema 2, with every problem at its place.

use super::{AmlConfig, Cloud, Credential};
use ts_core::{
    config::{Key, PlatformSection, Problems, Schema, SecretRef, Section},
    http::Url,
};

/// Keys of schema 1's `trial` that are ours. Source: nni v1.9, `tools/nni_cmd/config_schema.py`.
pub(crate) const TRIAL_KEYS: &[&str] = &["image"];

/// Named as for OpenPAI, in schema 2 and 1.
const REUSE: (&str, &str) = ("reuseMode", "reuse");
const IMAGE: (&str, &str) = ("dockerImage", "image");
const PER_GPU: (&str, &str) = ("maxTrialNumberPerGpu", "maxTrialNumPerGpu");
/// Source: nni v2.10, `nni/experiment/config/aml.py`.
const DEFAULT_IMAGE: &str = "msranni/nni:latest";
/// The public client of Azure's own tools. Source: azure-identity (Python) 1.27.0, `_constants.py`, `DEVELOPER_SIGN_ON_CLIENT_ID`.
const PUBLIC_CLIENT: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
/// Whichever tenant of a company the person belongs to. Source: azure-identity 1.27.0, `_credentials/device_code.py`.
const ANY_TENANT: &str = "organizations";

pub(super) fn read(section: &PlatformSection, problems: &mut Problems) -> Option<AmlConfig> {
    section.read(problems, |s| match s.schema() {
        Schema::V1 => {
            let config = s.required_section("amlConfig", workspace).flatten();
            let image = s.section("trial", image);
            if !s.has("trial") {
                s.problem("trial", "the trial has no image", "add `image` to `trial`");
            }
            Some(AmlConfig {
                image: image?,
                ..config?
            })
        }
        Schema::V2 => {
            let config = workspace(s);
            let image = image(s);
            Some(AmlConfig { image, ..config? })
        }
    })
}

fn image(s: &mut Section<'_>) -> String {
    let image = match s.schema() {
        Schema::V1 => s.required_string(IMAGE),
        Schema::V2 => s.string_or(IMAGE, DEFAULT_IMAGE),
    };
    if image.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let message = format!("`{}` is no name of an image", image.escape_debug());
        s.problem(IMAGE, message, "write a name such as `python:3.12`, without blanks");
    }
    image
}

fn workspace(s: &mut Section<'_>) -> Option<AmlConfig> {
    let subscription = name(s, "subscriptionId", "-", "`az account show` tells it");
    let group = name(s, "resourceGroup", "-_.()", "the portal shows it beside the workspace");
    let workspace = name(s, "workspaceName", "-_", "the portal lists the workspaces");
    let compute = name(s, "computeTarget", "-_", "name a compute cluster of the workspace");
    if s.u32(PER_GPU, 1..=99_999).is_some_and(|n| n > 1) {
        let message = "each trial is a job of its own, which has its node for itself";
        s.problem(PER_GPU, message, "remove the key, or write 1");
    }
    if s.schema() == Schema::V1 {
        s.bool(Key::without_successor("useActiveGpu"));
    }
    let reuse = s.bool_or(REUSE, false);
    let credential = credential(s);
    let cloud = cloud(s);
    let ca_file = s.path("caFile");
    if let Some(path) = ca_file.as_ref().filter(|path| !path.is_file()) {
        let message = format!("the file `{}` does not exist", path.display());
        s.problem(
            "caFile",
            message,
            "name a file with `-----BEGIN CERTIFICATE-----` blocks (PEM)",
        );
    }
    let mut config = AmlConfig::new(subscription, group, workspace, compute, "", cloud?);
    config.credential = credential?;
    config.ca_file = ca_file;
    config.reuse = reuse;
    Some(config)
}

/// A name within an address.
fn name(s: &mut Section<'_>, key: &'static str, others: &str, help: &str) -> String {
    let text = s.required_string(key);
    let is_legal = text.chars().all(|c| c.is_alphanumeric() || others.contains(c));
    if !is_legal {
        s.problem(
            key,
            format!("`{}` cannot be a name in Azure", text.escape_debug()),
            help,
        );
    }
    text
}

fn cloud(s: &mut Section<'_>) -> Option<Cloud> {
    let names = ["AzureCloud", "AzureChinaCloud", "AzureUSGovernment"];
    let mut cloud = Cloud::named(s.choice("cloud", &names).unwrap_or(names[0]))?;
    if let Some(url) = url(s, "armEndpoint") {
        cloud.arm = url;
    }
    if let Some(url) = url(s, "loginEndpoint") {
        cloud.login = url;
    }
    Some(cloud)
}

fn url(s: &mut Section<'_>, key: &'static str) -> Option<Url> {
    let text = s.string(key)?;
    match Url::parse(text.trim()) {
        Ok(url) if url.has_host() && matches!(url.scheme(), "http" | "https") && url.query().is_none() => Some(url),
        _ => {
            let message = format!("`{}` is no address of a server", text.escape_debug());
            s.problem(key, message, "write an address such as `https://management.azure.com`");
            None
        }
    }
}

fn credential(s: &mut Section<'_>) -> Option<Credential> {
    const METHODS: [&str; 7] = [
        "default",
        "clientSecret",
        "clientCertificate",
        "federatedToken",
        "managedIdentity",
        "azureCli",
        "deviceCode",
    ];
    let mut proofs: Vec<(&str, SecretRef)> = ["clientSecret", "clientCertificate", "federatedToken"]
        .into_iter()
        .filter_map(|key| Some((key, s.secret(key)?)))
        .collect();
    let (tenant, client) = (s.string("tenantId"), s.string("clientId"));
    if let [(first, _), (second, _), ..] = proofs[..] {
        let message = format!("`{first}` and `{second}` exclude each other");
        s.problem(second, message, "keep one of the two");
        return None;
    }
    let proof = proofs.pop();
    let told = proof.as_ref().map_or("default", |(key, _)| *key);
    let method = s.choice("credential", &METHODS).unwrap_or(told);
    if told != "default" && told != method {
        let message = format!("`{told}` is not used with `credential: {method}`");
        s.problem(Key::from("credential"), message, "remove one of the two");
        return None;
    }
    match method {
        "managedIdentity" => return Some(Credential::ManagedIdentity { client }),
        "azureCli" => return Some(Credential::AzureCli),
        "default" => return Some(Credential::Default),
        "deviceCode" => {
            return Some(Credential::DeviceCode {
                tenant: tenant.unwrap_or_else(|| ANY_TENANT.to_owned()),
                client: client.unwrap_or_else(|| PUBLIC_CLIENT.to_owned()),
            });
        }
        _ => {}
    }
    for (key, value) in [("tenantId", &tenant), ("clientId", &client)] {
        if value.is_none() && !s.has(key) {
            s.problem(
                key,
                format!("the key `{key}` is missing"),
                format!("add `{key}: …`; it belongs to `{method}`"),
            );
        }
    }
    let (tenant, client) = (tenant?, client?);
    let Some((key, secret)) = proof else {
        s.problem(
            "credential",
            format!("the key `{method}` is missing"),
            format!("add `{method}: …`"),
        );
        return None;
    };
    Some(match key {
        "clientSecret" => Credential::ClientSecret { tenant, client, secret },
        "clientCertificate" => Credential::ClientCertificate {
            tenant,
            client,
            certificate: secret,
        },
        _ => Credential::Federated {
            tenant,
            client,
            token: secret,
        },
    })
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
