//! What a controller manager does in every cluster: garbage collection by owner references, the end of namespaces, the status of
//! quotas. Controllers of jobs are not here.
//!
//! Source: kubernetes v1.20, `pkg/controller/garbagecollector/garbagecollector.go` (`attemptToDeleteItem`,
//! `processDeletingDependentsItem`, `orphanDependents`), `pkg/controller/namespace`, `pkg/controller/resourcequota`.

use super::delete::{self, Options};
use super::quota;
use super::store::Key;
use super::update;
use super::world::World;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;

/// One round over all objects. Whoever calls it does so until nothing changes any more.
pub(crate) fn round(world: &mut World) {
    collect(world);
    end_namespaces(world);
    count_quotas(world);
}

fn snapshot(world: &World) -> Vec<(Key, Arc<Value>)> {
    world
        .store
        .all()
        .map(|(key, object)| (key.clone(), Arc::clone(object)))
        .collect()
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

fn owners(object: &Value) -> &[Value] {
    object["metadata"]["ownerReferences"]
        .as_array()
        .map_or(&[], Vec::as_slice)
}

fn deleting(object: &Value) -> bool {
    object["metadata"].get("deletionTimestamp").is_some()
}

fn finalized_by(object: &Value, name: &str) -> bool {
    object["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|all| all.iter().any(|one| one == name))
}

fn collect(world: &mut World) {
    let all = snapshot(world);
    if !all
        .iter()
        .any(|(_, object)| !owners(object).is_empty() || deleting(object))
    {
        return;
    }
    for (key, object) in &all {
        if deleting(object) && finalized_by(object, "orphan") {
            orphan(world, key, object, &all);
        } else if deleting(object) && finalized_by(object, "foregroundDeletion") {
            delete_dependents(world, key, object, &all);
        } else if !deleting(object) && !owners(object).is_empty() {
            follow_owners(world, key, object, &all);
        }
    }
}

/// Whether an owner is there. One of a kind that is not served cannot be looked for, and counts as there.
fn exists(world: &World, namespace: &str, owner: &Value) -> bool {
    let field = |name: &str| owner[name].as_str().unwrap_or_default();
    let group = field("apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
    let found = world
        .kinds
        .iter()
        .find(|kind| kind.group == group && kind.kind == field("kind"));
    let Some(kind) = found else { return true };
    let namespace = if kind.namespaced { namespace } else { "" };
    let key = Key {
        kind: kind.id(),
        namespace: namespace.to_owned(),
        name: field("name").to_owned(),
    };
    world
        .store
        .get(&key)
        .is_some_and(|object| text(&object, "uid") == field("uid"))
}

/// Deletes an object without living owners; one with some left forgets the others.
fn follow_owners(world: &mut World, key: &Key, object: &Arc<Value>, all: &[(Key, Arc<Value>)]) {
    let (living, gone): (Vec<Value>, Vec<Value>) = owners(object)
        .iter()
        .cloned()
        .partition(|owner| exists(world, &key.namespace, owner));
    if gone.is_empty() {
        return;
    }
    if !living.is_empty() {
        change(world, key, object, |new| {
            new["metadata"]["ownerReferences"] = living.into();
        });
        return;
    }
    let has_dependents = all.iter().any(|(_, other)| owns(object, other));
    let policy = if finalized_by(object, "orphan") && has_dependents {
        "Orphan"
    } else {
        "Background"
    };
    delete_one(world, key, object, policy);
}

fn owns(owner: &Value, object: &Value) -> bool {
    owners(object)
        .iter()
        .any(|reference| reference["uid"] == owner["metadata"]["uid"])
}

fn delete_one(world: &mut World, key: &Key, object: &Value, policy: &str) {
    let Some(kind) = world.kind_of(key) else { return };
    let options = Options {
        uid: Some(text(object, "uid").to_owned()),
        ..Options::with_policy(policy)
    };
    if let Err(failure) = delete::remove(world, &kind, key, &options) {
        tracing::debug!(?key, message = failure.message, "garbage was gone already");
    }
}

/// Dependents stay, and no longer say that they belong to it.
fn orphan(world: &mut World, key: &Key, object: &Arc<Value>, all: &[(Key, Arc<Value>)]) {
    for (key, dependent) in all.iter().filter(|(_, other)| owns(object, other)) {
        let left: Vec<Value> = owners(dependent)
            .iter()
            .filter(|owner| owner["uid"] != object["metadata"]["uid"])
            .cloned()
            .collect();
        change(world, key, dependent, |new| {
            if let (true, Some(meta)) = (left.is_empty(), new["metadata"].as_object_mut()) {
                meta.remove("ownerReferences");
            } else {
                new["metadata"]["ownerReferences"] = left.into();
            }
        });
    }
    release(world, key, object, "orphan");
}

/// Dependents go first; those that block hold it until they are gone.
fn delete_dependents(world: &mut World, key: &Key, object: &Arc<Value>, all: &[(Key, Arc<Value>)]) {
    let dependents: Vec<&(Key, Arc<Value>)> = all.iter().filter(|(_, other)| owns(object, other)).collect();
    let blocks = |other: &Value| {
        let ours = |reference: &&Value| reference["uid"] == object["metadata"]["uid"];
        owners(other)
            .iter()
            .find(ours)
            .is_some_and(|reference| reference["blockOwnerDeletion"] == true)
    };
    let blocked = dependents.iter().any(|(_, other)| blocks(other));
    for (key, other) in dependents {
        if !deleting(other) {
            let has_own = all.iter().any(|(_, third)| owns(other, third));
            delete_one(world, key, other, if has_own { "Foreground" } else { "Background" });
        }
    }
    if !blocked {
        release(world, key, object, "foregroundDeletion");
    }
}

fn release(world: &mut World, key: &Key, object: &Arc<Value>, finalizer: &str) {
    change(world, key, object, |new| {
        if let Some(all) = new["metadata"]["finalizers"].as_array_mut() {
            all.retain(|one| one != finalizer);
        }
        let empty = new["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty);
        if let (true, Some(meta)) = (empty, new["metadata"].as_object_mut()) {
            meta.remove("finalizers");
        }
    });
}

/// Changes an object unless someone else did since it was looked at; the next round looks again.
fn change(world: &mut World, key: &Key, seen: &Arc<Value>, edit: impl FnOnce(&mut Value)) {
    let Some(now) = world.store.get(key).filter(|now| Arc::ptr_eq(now, seen)) else {
        return;
    };
    let mut new = (*now).clone();
    edit(&mut new);
    update::write(world, key, &now, new);
}

fn end_namespaces(world: &mut World) {
    let ending: HashSet<String> = world
        .store
        .list("namespaces", Some(""))
        .into_iter()
        .filter(|(_, object)| deleting(object))
        .map(|(key, _)| key.name)
        .collect();
    for namespace in ending {
        let inside: Vec<(Key, Arc<Value>)> = snapshot(world)
            .into_iter()
            .filter(|(key, _)| key.namespace == namespace)
            .collect();
        for (key, object) in inside.iter().filter(|(_, object)| !deleting(object)) {
            delete_one(world, key, object, "Background");
        }
        if inside.is_empty() {
            let key = Key {
                kind: "namespaces".to_owned(),
                namespace: String::new(),
                name: namespace,
            };
            if let Some(last) = world.store.get(&key) {
                world.store.remove(&key, (*last).clone());
            }
        }
    }
}

fn count_quotas(world: &mut World) {
    for (key, quota) in world.store.list("resourcequotas", None) {
        let status = quota::status(world, &quota);
        if quota["status"] != status {
            change(world, &key, &quota, |new| new["status"] = status);
        }
    }
}
