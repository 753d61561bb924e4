//! What an experiment has in the cluster beside its trials: one ConfigMap that owns all else, and the Secrets that pods need.
//!
//! Deleting the ConfigMap has the cluster's garbage collector remove everything.

use crate::{
    AzureKey, StorageKind,
    access::Cluster,
    core::Core,
    error,
    key_vault::{self, account_key},
    names,
    object::{Owner, azure_secret, registry_secret},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use std::fs;
use ts_core::{Error, ErrorKind, Result};

/// Labels of what belongs to the experiment as a whole.
pub(crate) fn labels(core: &Core) -> Value {
    json!({
        names::APP.0: names::APP.1,
        names::EXPERIMENT: names::label(core.experiment.as_str()),
        names::MANAGED_BY.0: names::MANAGED_BY.1,
    })
}

/// Finds the owner or makes it.
pub(crate) async fn ensure(core: &Core, cluster: &Cluster) -> Result<Owner> {
    let api: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let name = names::shared(&core.experiment, "");
    let what = format!("create ConfigMap `{name}`");
    let wanted = object(json!({
        "metadata": {"name": name, "labels": labels(core)},
        "data": {"experiment": core.experiment.as_str()},
    }))?;
    let made = match api.create(&PostParams::default(), &wanted).await {
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => api.get(&name).await,
        made => made,
    };
    let made = made.map_err(|e| error::of_api(&what, e))?;
    Ok(Owner {
        name,
        uid: made.metadata.uid.unwrap_or_default(),
    })
}

/// Finds the owner, and makes none.
pub(crate) async fn find(core: &Core, cluster: &Cluster) -> Result<Option<Owner>> {
    let api: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let name = names::shared(&core.experiment, "");
    let found = api.get_opt(&name).await;
    let found = found.map_err(|e| error::of_api(&format!("look at ConfigMap `{name}`"), e))?;
    let uid = found
        .filter(|found| found.metadata.deletion_timestamp.is_none())
        .and_then(|found| found.metadata.uid);
    Ok(uid.map(|uid| Owner { name, uid }))
}

/// Makes the Secrets anew if one of them is gone: without it no pod can mount the storage, or be pulled. Whether one is there is
/// told by a creation that is only tried, since reading Secrets is no right that we ask for.
pub(crate) async fn restore_secrets(core: &Core, cluster: &Cluster) -> Result<()> {
    let api: Api<Secret> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    for name in secret_names(core) {
        let empty: Secret = object(json!({"metadata": {"name": name}}))?;
        match api.create(&dry, &empty).await {
            Ok(_) => return ensure_secrets(core, cluster).await,
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {}
            // The quota is asked first: another one would not be admitted either.
            Err(kube::Error::Api(status)) if error::is_quota(&status.message) => {}
            Err(e) => return Err(error::of_api(&format!("look whether Secret `{name}` is there"), e)),
        }
    }
    Ok(())
}

/// Makes the Secrets that pods of this experiment need. One that is there is replaced: keys are renewed.
pub(crate) async fn ensure_secrets(core: &Core, cluster: &Cluster) -> Result<()> {
    let owner = core.owner(cluster).await?.reference();
    let mut secrets = Vec::new();
    for role in &core.config.roles {
        let Some(path) = &role.private_registry_auth else {
            continue;
        };
        let text = fs::read(path).map_err(|e| Error::io("read", path, e).with_key("privateRegistryAuthPath"))?;
        secrets.push(json!({
            "metadata": {"name": registry_secret(&core.experiment, role)},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": STANDARD.encode(text)},
        }));
    }
    if let Some(storage) = &core.config.storage
        && let StorageKind::AzureFiles { account, key, .. } = &storage.kind
        && let Some(key) = azure_key(core, key).await?
    {
        secrets.push(json!({
            "metadata": {"name": azure_secret(&core.experiment)},
            "type": "Opaque",
            "data": {
                "azurestorageaccountname": STANDARD.encode(account),
                "azurestorageaccountkey": STANDARD.encode(key.expose()),
            },
        }));
    }
    let api: Api<Secret> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    for mut secret in secrets {
        secret["metadata"]["labels"] = labels(core);
        secret["metadata"]["ownerReferences"] = json!([owner]);
        let name = secret["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let secret: Secret = object(secret)?;
        let made = match api.create(&PostParams::default(), &secret).await {
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
                api.replace(&name, &PostParams::default(), &secret).await
            }
            made => made,
        };
        made.map_err(|e| error::of_api(&format!("create Secret `{name}`"), e))?;
    }
    Ok(())
}

async fn azure_key(core: &Core, key: &AzureKey) -> Result<Option<ts_core::Secret>> {
    match key {
        AzureKey::Existing(_) => Ok(None),
        AzureKey::Given(secret) => {
            let given = secret.resolve(&*core.ctx.secrets).await?;
            let checked = account_key::check(&given, "the value of `azureStorageKey`");
            checked.map_err(|e| e.with_key("azureStorageKey")).map(Some)
        }
        AzureKey::KeyVault { vault, secret } => key_vault::fetch(&core.ctx, vault, secret).await.map(Some),
    }
}

/// JSON as one of Kubernetes' own types.
pub(crate) fn object<T: for<'de> serde::Deserialize<'de>>(value: Value) -> Result<T> {
    serde_json::from_value(value)
        .map_err(|e| Error::new(ErrorKind::Internal, "an object of ours is not what Kubernetes expects").with_source(e))
}

/// Names of the Secrets that [`ensure_secrets`] may have made.
pub(crate) fn secret_names(core: &Core) -> Vec<String> {
    let roles = core
        .config
        .roles
        .iter()
        .filter(|role| role.private_registry_auth.is_some());
    let mut names: Vec<String> = roles.map(|role| registry_secret(&core.experiment, role)).collect();
    let has_azure = core.config.storage.as_ref().is_some_and(
        |storage| matches!(&storage.kind, StorageKind::AzureFiles { key, .. } if !matches!(key, AzureKey::Existing(_))),
    );
    if has_azure {
        names.push(azure_secret(&core.experiment));
    }
    names
}
