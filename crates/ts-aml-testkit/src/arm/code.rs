//! Versions of code: where to upload, and the registration of what was uploaded.

use super::asset::{self, user_error};
use crate::{
    blob::sas::{self, Grant},
    call::{Call, encode_path},
    reply::Reply,
    shared::Shared,
    world::{ACCOUNT, uuid},
};
use serde_json::{Value, json};

/// Source: Azure/azure-rest-api-specs, `stable/2024-10-01/mfe.json`, `CodeVersion`.
const PROPERTIES: &[&str] = &[
    "codeUri",
    "isAnonymous",
    "isArchived",
    "description",
    "tags",
    "properties",
    "provisioningState",
];

/// Versions of a name, or those of any name that have this content.
///
/// Source: azure-ai-ml 1.35.2, `operations/_code_operations.py` and `_utils/_asset_utils.py`, `_get_existing_asset_name_and_version`:
/// it asks with `hash` under a fresh random name, and takes name and version of what is found from its id.
pub(super) fn list(shared: &Shared, call: &Call, name: &str) -> Reply {
    let hash = call.query("hash");
    let hash_version = call.query("hashVersion");
    let world = shared.world();
    let found = world.codes.iter().filter(|((known, _), properties)| {
        let inner = &properties["properties"];
        let same = |wanted: Option<&str>, key: &str| wanted.is_none_or(|wanted| inner[key] == wanted);
        (known == name || hash.is_some()) && same(hash, "hash_sha256") && same(hash_version, "hash_version")
    });
    let found = found.map(|((name, version), properties)| asset::view(shared, "codes", name, version, properties));
    let value: Vec<Value> = found.collect();
    Reply::json(200, &json!({"value": value}))
}

pub(super) fn get(shared: &Shared, name: &str, version: &str) -> Result<Reply, Reply> {
    let world = shared.world();
    let found = world.codes.get(&(name.to_owned(), version.to_owned()));
    let properties =
        found.ok_or_else(|| Reply::aml(404, "NotFound", format!("Code {name}:{version} was not found.")))?;
    Ok(Reply::json(
        200,
        &asset::view(shared, "codes", name, version, properties),
    ))
}

pub(super) fn put(shared: &Shared, call: &Call, name: &str, version: &str) -> Result<Reply, Reply> {
    asset::check_name("code name", name)?;
    asset::check_name("code version", version)?;
    let mut properties = asset::properties(call, PROPERTIES)?;
    asset::texts(&mut properties, &["tags", "properties"])?;
    let uri = properties
        .get("codeUri")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if uri.is_empty() {
        return Err(user_error("The property 'codeUri' is required."));
    }
    properties.insert("provisioningState".to_owned(), json!("Succeeded"));
    let mut world = shared.world();
    let key = (name.to_owned(), version.to_owned());
    let known = world.codes.get(&key);
    // Source: azure-ai-ml 1.35.2, `_artifacts/_constants.py`, `ASSET_PATH_ERROR`.
    if known.is_some_and(|known| known["codeUri"] != uri) {
        return Err(user_error("Asset paths cannot be updated."));
    }
    let status = if known.is_some() { 200 } else { 201 };
    let prefix = format!("{}/{ACCOUNT}/", shared.base);
    let place = uri.strip_prefix(&prefix).filter(|place| !place.contains('?'));
    let place = place.ok_or_else(|| {
        user_error(format!(
            "The code URI {uri} is not in a storage account of the workspace."
        ))
    })?;
    let (container, folder) = place.split_once('/').unwrap_or((place, ""));
    if world.blobs.names(container, folder).next().is_none() {
        return Err(user_error(format!("No code was found at {uri}.")));
    }
    let properties = Value::Object(properties);
    let reply = Reply::json(status, &asset::view(shared, "codes", name, version, &properties));
    world.codes.insert(key, properties);
    Ok(reply)
}

/// Each call gives a new place.
///
/// Source: azure-ai-ml 1.35.2, `_utils/_asset_utils.py`, `get_storage_info_for_non_registry_asset`.
pub(super) fn start_pending_upload(shared: &Shared, call: &Call, name: &str, version: &str) -> Result<Reply, Reply> {
    asset::check_name("code name", name)?;
    asset::check_name("code version", version)?;
    let body = call
        .json()
        .map_err(|why| Reply::arm(400, "InvalidRequestContent", why))?;
    if let Some(object) = body.as_object() {
        asset::refuse_unknown("", object, &["pendingUploadType", "pendingUploadId"])?;
    }
    if !body["pendingUploadType"].is_null() && body["pendingUploadType"] != "TemporaryBlobReference" {
        return Err(user_error("The pendingUploadType must be 'TemporaryBlobReference'."));
    }
    let container = format!("{}-{}", &uuid()[..8], uuid());
    let mut world = shared.world();
    world.blobs.create_container(&container);
    let uri = format!("{}/{ACCOUNT}/{}", shared.base, encode_path(&container));
    let mut place = json!({
        "blobUri": uri,
        "storageAccountArmId": format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Storage/storageAccounts/{ACCOUNT}",
            shared.setting.subscription, shared.setting.resource_group
        ),
    });
    if !shared.setting.identity_storage {
        let grant = Grant::container(&container, "racwl", shared.setting.sas_life);
        let sas = sas::sign(&world.blobs, &grant);
        place["credential"] = json!({"credentialType": "SAS", "sasUri": format!("{uri}?{sas}")});
    }
    let id = body["pendingUploadId"].as_str().map_or_else(uuid, str::to_owned);
    Ok(Reply::json(
        200,
        &json!({
            "pendingUploadId": id,
            "pendingUploadType": "TemporaryBlobReference",
            "blobReferenceForConsumption": place,
        }),
    ))
}
