//! Changes objects: PUT and PATCH, of the object or of its status. What each of the two may touch is decided here; the rules of
//! the result are in `validate`.
//!
//! Source: kubernetes v1.20, `staging/src/k8s.io/apiserver/pkg/registry/rest/update.go`, the strategies in `pkg/registry`, and
//! `customresource/strategy.go` and `status_strategy.go` of apiextensions-apiserver.

use super::call::Call;
use super::create;
use super::decode;
use super::definitions;
use super::failure::{Cause, Failure};
use super::patch::{self, PatchType};
use super::store::Key;
use super::validate;
use super::world::World;
use serde_json::{Value, json};
use std::sync::Arc;

/// Answers a PUT.
pub(crate) fn update(world: &mut World, call: &Call) -> Result<(u16, Value), Failure> {
    let dry_run = call.dry_run()?;
    let kind = &call.kind;
    let key = call.key();
    let mut new = decode::body(call, world.minor)?;
    let name = new["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if name != key.name {
        let message = format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            key.name
        );
        return Err(Failure::bad_request(message));
    }
    check_namespace(call, &mut new)?;
    let old = world.find(kind, &key)?;
    let version = new["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if version.is_empty() && kind.custom() {
        let cause = Cause::invalid("metadata.resourceVersion", "0x0", "must be specified for an update");
        return Err(Failure::invalid(&kind.group, &kind.plural, &key.name, &[cause]));
    }
    let is_definition = kind.is("CustomResourceDefinition") && call.place.subresource.is_empty();
    if is_definition {
        definitions::check(&new)?;
    }
    let stored = store(world, call, &key, &old, new, dry_run)?;
    if is_definition && !dry_run {
        definitions::establish(world, &stored);
    }
    Ok((200, call.shown(&stored)))
}

/// Answers a PATCH.
pub(crate) fn patch(world: &mut World, call: &Call) -> Result<(u16, Value), Failure> {
    let dry_run = call.dry_run()?;
    let kind = &call.kind;
    let how = patch::type_of(kind, &call.content_type)?;
    let key = call.key();
    if how == PatchType::Apply && call.query.get("fieldManager").is_empty() {
        let cause = Cause::required("fieldManager", "is required for apply patch");
        return Err(Failure::invalid("meta.k8s.io", "PatchOptions", "", &[cause]));
    }
    let Some(old) = world.store.get(&key) else {
        if how != PatchType::Apply || !call.place.subresource.is_empty() {
            return Err(Failure::not_found(&kind.group, &kind.plural, &key.name));
        }
        let mut object = patch::parsed(&call.body)?;
        object["metadata"]["name"] = key.name.clone().into();
        let object = decode::typed(kind, &call.api_version(), world.minor, object)?;
        let stored = create::insert(world, call, object, dry_run)?;
        return Ok((201, call.shown(&stored)));
    };
    let patched = patch::apply(how, &call.shown(&old), &call.body)?;
    let mut new = decode::typed(kind, &call.api_version(), world.minor, patched)?;
    if new["metadata"]["name"] != old["metadata"]["name"] {
        let name = new["metadata"]["name"].as_str().unwrap_or_default();
        let cause = Cause::text("metadata.name", name, "field is immutable");
        return Err(Failure::invalid(&kind.group, &kind.kind, &key.name, &[cause]));
    }
    check_namespace(call, &mut new)?;
    let stored = store(world, call, &key, &old, new, dry_run)?;
    Ok((200, call.shown(&stored)))
}

fn check_namespace(call: &Call, new: &mut Value) -> Result<(), Failure> {
    let Some(namespace) = call.namespace().filter(|_| call.kind.namespaced) else {
        return Ok(());
    };
    let named = new["metadata"]["namespace"].as_str().unwrap_or_default();
    if !named.is_empty() && named != namespace {
        let message = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Failure::bad_request(message));
    }
    new["metadata"]["namespace"] = namespace.into();
    Ok(())
}

fn store(
    world: &mut World,
    call: &Call,
    key: &Key,
    old: &Arc<Value>,
    mut new: Value,
    dry_run: bool,
) -> Result<Arc<Value>, Failure> {
    let kind = &call.kind;
    let based_on = new["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if !based_on.is_empty() && old["metadata"]["resourceVersion"] != based_on {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Failure::conflict(&kind.group, &kind.plural, &key.name, why));
    }
    let uid = new["metadata"]["uid"].as_str().unwrap_or_default();
    if !uid.is_empty() && old["metadata"]["uid"] != uid {
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{}/{}/{}, ResourceVersion: 0, AdditionalErrorMsg: \
             Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            kind.plural,
            key.namespace,
            key.name,
            old["metadata"]["uid"].as_str().unwrap_or_default()
        );
        return Err(Failure::conflict(&kind.group, &kind.plural, &key.name, &why));
    }
    settle(call, old, &mut new);
    validate::update(kind, &call.place.subresource, old, &new)?;
    if call.place.subresource.is_empty() {
        create::refuse_by_webhook(world, kind)?;
    }
    create::check_size(&new)?;
    if dry_run {
        return Ok(Arc::new(new));
    }
    Ok(write(world, key, old, new))
}

/// Takes back what the path may not touch, and keeps what belongs to the server.
fn settle(call: &Call, old: &Value, new: &mut Value) {
    let kind = &call.kind;
    let keep = |new: &mut Value, field: &str| match old.get(field) {
        Some(value) => new[field] = value.clone(),
        None => {
            if let Some(fields) = new.as_object_mut() {
                fields.remove(field);
            }
        }
    };
    match (call.place.subresource.as_str(), kind.custom()) {
        ("status", true) => {
            let status = new.get("status").cloned();
            *new = old.clone();
            match status {
                Some(status) => new["status"] = status,
                None => keep(new, "status"),
            }
        }
        // Labels of an object of Kubernetes itself can be written with its status; observed.
        ("status", false) => keep(new, "spec"),
        _ if kind.status => keep(new, "status"),
        _ => {}
    }
    let meta = &mut new["metadata"];
    for field in [
        "uid",
        "creationTimestamp",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "resourceVersion",
    ] {
        match old["metadata"].get(field) {
            Some(value) => meta[field] = value.clone(),
            None => {
                if let Some(fields) = meta.as_object_mut() {
                    fields.remove(field);
                }
            }
        }
    }
    if kind.custom() && call.place.subresource.is_empty() && body_changed(kind.status, old, new) {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or_default();
        new["metadata"]["generation"] = json!(generation + 1);
    }
}

/// Whether more than metadata changed; status counts where it is no subresource.
fn body_changed(status_apart: bool, old: &Value, new: &Value) -> bool {
    let part = |object: &Value| {
        let mut object = object.clone();
        if let Some(fields) = object.as_object_mut() {
            fields.retain(|name, _| name != "metadata" && name != "apiVersion" && (name != "status" || !status_apart));
        }
        object
    };
    part(old) != part(new)
}

/// Stores a changed object. One that is being deleted goes with its last finalizer; one that did not change keeps its version.
pub(crate) fn write(world: &mut World, key: &Key, old: &Arc<Value>, new: Value) -> Arc<Value> {
    let meta = &new["metadata"];
    let held = meta["finalizers"].as_array().is_some_and(|all| !all.is_empty());
    let namespace = key.kind == "namespaces";
    if meta.get("deletionTimestamp").is_some() && meta["deletionGracePeriodSeconds"] == 0 && !held && !namespace {
        world.store.remove(key, new.clone());
        return Arc::new(new);
    }
    if **old == new {
        return Arc::clone(old);
    }
    world.store.put(key.clone(), new)
}
