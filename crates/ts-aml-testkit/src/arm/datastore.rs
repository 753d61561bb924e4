//! Datastores: the containers of the workspace's storage, and the secrets to them.

use crate::{
    blob::sas::{self, Grant},
    call::Call,
    reply::Reply,
    shared::Shared,
    world::{ACCOUNT, ARTIFACTS, BLOBSTORE},
};
use serde_json::{Value, json};
use std::time::Duration;

/// The default datastore.
pub(super) const DEFAULT: &str = "workspaceblobstore";

/// Names and containers.
const DATASTORES: &[(&str, &str)] = &[(DEFAULT, BLOBSTORE), ("workspaceartifactstore", ARTIFACTS)];

/// The container of a datastore.
pub(crate) fn container(name: &str) -> Option<&'static str> {
    let found = DATASTORES.iter().find(|(known, _)| *known == name);
    found.map(|(_, container)| *container)
}

pub(super) fn list(shared: &Shared, call: &Call) -> Reply {
    let wanted = call.query("isDefault");
    let all = DATASTORES.iter().filter(|(name, _)| match wanted {
        Some(wanted) => (*name == DEFAULT).to_string().eq_ignore_ascii_case(wanted),
        None => true,
    });
    let all: Vec<Value> = all.map(|(name, container)| view(shared, name, container)).collect();
    Reply::json(200, &json!({"value": all}))
}

pub(super) fn get(shared: &Shared, name: &str) -> Result<Reply, Reply> {
    let container = container(name).ok_or_else(|| unknown(name))?;
    Ok(Reply::json(200, &view(shared, name, container)))
}

/// Source: Azure/azure-rest-api-specs, `stable/2024-10-01/mfe.json`, `DatastoreSecrets`, and `SecretExpiry` for the body.
pub(super) fn list_secrets(shared: &Shared, call: &Call, name: &str) -> Result<Reply, Reply> {
    let container = container(name).ok_or_else(|| unknown(name))?;
    let body = call
        .json()
        .map_err(|why| Reply::arm(400, "InvalidRequestContent", why))?;
    if shared.setting.identity_storage {
        return Ok(Reply::json(200, &json!({"secretsType": "None"})));
    }
    let world = shared.world();
    if body["expirableSecret"] != true {
        return Ok(Reply::json(
            200,
            &json!({"secretsType": "AccountKey", "key": world.blobs.key_text()}),
        ));
    }
    let asked = body["expireAfterHours"]
        .as_u64()
        .map(|hours| Duration::from_secs(hours * 3600));
    // The shorter life is a test's wish to see renewal.
    let life = asked.map_or(shared.setting.sas_life, |asked| asked.min(shared.setting.sas_life));
    let grant = Grant::container(container, "racwdl", life);
    let sas = sas::sign(&world.blobs, &grant);
    Ok(Reply::json(200, &json!({"secretsType": "Sas", "sasToken": sas})))
}

fn view(shared: &Shared, name: &str, container: &str) -> Value {
    // On the real platform endpoint and protocol make the host `{account}.blob.{endpoint}`; here the account is in the path.
    let (protocol, host) = shared.base.split_once("://").unwrap_or(("http", ""));
    let kind = if shared.setting.identity_storage {
        "None"
    } else {
        "AccountKey"
    };
    json!({
        "id": format!("{}/datastores/{name}", shared.scope()),
        "name": name,
        "type": "Microsoft.MachineLearningServices/workspaces/datastores",
        "properties": {
            "datastoreType": "AzureBlob",
            "accountName": ACCOUNT,
            "containerName": container,
            "endpoint": host,
            "protocol": protocol,
            "isDefault": name == DEFAULT,
            "credentials": {"credentialsType": kind},
            "subscriptionId": shared.setting.subscription,
            "resourceGroup": shared.setting.resource_group,
            "serviceDataAccessAuthIdentity": "None",
            "tags": {},
            "properties": {},
        },
    })
}

fn unknown(name: &str) -> Reply {
    Reply::aml(404, "NotFound", format!("Could not find datastore: {name}"))
}
