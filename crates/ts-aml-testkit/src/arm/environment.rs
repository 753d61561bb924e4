//! Versions of environments: the image of a job.

use super::asset::{self, user_error};
use crate::{call::Call, reply::Reply, shared::Shared};
use serde_json::{Value, json};

/// Source: Azure/azure-rest-api-specs, `stable/2024-10-01/mfe.json`, `EnvironmentVersion`.
const PROPERTIES: &[&str] = &[
    "image",
    "condaFile",
    "build",
    "osType",
    "inferenceConfig",
    "autoRebuild",
    "isAnonymous",
    "isArchived",
    "description",
    "tags",
    "properties",
    "stage",
    "environmentType",
    "provisioningState",
];
/// What cannot change once it is registered: the create-only properties of the schema.
const FIXED: &[&str] = &["image", "condaFile", "build", "osType", "inferenceConfig"];

pub(super) fn list(shared: &Shared, name: &str) -> Reply {
    let world = shared.world();
    let found = world.environments.iter().filter(|((known, _), _)| known == name);
    let found =
        found.map(|((name, version), properties)| asset::view(shared, "environments", name, version, properties));
    let value: Vec<Value> = found.collect();
    Reply::json(200, &json!({"value": value}))
}

pub(super) fn get(shared: &Shared, name: &str, version: &str) -> Result<Reply, Reply> {
    let world = shared.world();
    let found = world.environments.get(&(name.to_owned(), version.to_owned()));
    let text = || format!("Environment {name}:{version} was not found.");
    let properties = found.ok_or_else(|| Reply::aml(404, "NotFound", text()))?;
    Ok(Reply::json(
        200,
        &asset::view(shared, "environments", name, version, properties),
    ))
}

pub(super) fn put(shared: &Shared, call: &Call, name: &str, version: &str) -> Result<Reply, Reply> {
    asset::check_name("environment name", name)?;
    asset::check_name("environment version", version)?;
    let mut properties = asset::properties(call, PROPERTIES)?;
    asset::texts(&mut properties, &["tags", "properties"])?;
    let has = |key: &str| properties.get(key).is_some_and(|value| value != "");
    if has("image") == has("build") {
        return Err(user_error("Exactly one of 'image' and 'build' must be given."));
    }
    let system = properties.get("osType").unwrap_or(&Value::Null);
    if !system.is_null() && system != "Linux" && system != "Windows" {
        return Err(user_error("The osType must be 'Linux' or 'Windows'."));
    }
    properties.insert("provisioningState".to_owned(), json!("Succeeded"));
    properties.insert("environmentType".to_owned(), json!("UserCreated"));
    properties.entry("osType").or_insert_with(|| json!("Linux"));
    let properties = Value::Object(properties);
    let mut world = shared.world();
    let key = (name.to_owned(), version.to_owned());
    let known = world.environments.get(&key);
    if let Some(known) = known {
        let changed = FIXED.iter().find(|field| known[**field] != properties[**field]);
        if let Some(changed) = changed {
            let text = format!("Environment {name}:{version} already exists, and its {changed} cannot be changed.");
            return Err(Reply::aml(409, "Conflict", text));
        }
    }
    let status = if known.is_some() { 200 } else { 201 };
    let reply = Reply::json(status, &asset::view(shared, "environments", name, version, &properties));
    world.environments.insert(key, properties);
    Ok(reply)
}
