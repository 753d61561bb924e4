//! Deletes objects: at once, after a grace period, or once their finalizers are gone; one or a collection. What follows for their
//! dependents is the garbage collector's, in `controllers`.
//!
//! Source: kubernetes v1.20, `BeforeDelete` in `apiserver/pkg/registry/rest/delete.go`, `deletionFinalizersForGarbageCollection`
//! in `registry/generic/registry/store.go`, `CheckGracefulDelete` in `pkg/registry/core/pod/strategy.go`.

use super::call::Call;
use super::failure::{Cause, Failure};
use super::kinds::Kind;
use super::read;
use super::store::Key;
use super::world::World;
use serde_json::{Value, json};
use std::sync::Arc;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// How to delete.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) policy: Option<String>,
    pub(crate) grace: Option<i64>,
    pub(crate) uid: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) dry_run: bool,
}

impl Options {
    /// Everything by default, but for what happens to dependents.
    pub(crate) fn with_policy(policy: &str) -> Self {
        Self {
            policy: Some(policy.to_owned()),
            ..Self::default()
        }
    }

    /// From the body, or without one from the query.
    fn of(call: &Call) -> Result<Self, Failure> {
        let mut options = Self {
            dry_run: call.dry_run()?,
            ..Self::default()
        };
        if call.body.iter().all(u8::is_ascii_whitespace) {
            let policy = call.query.get("propagationPolicy");
            options.policy = Some(policy.to_owned()).filter(|policy| !policy.is_empty());
            options.grace = call.query.number("gracePeriodSeconds")?;
        } else {
            let typed: k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions =
                serde_json::from_slice(&call.body)
                    .map_err(|error| Failure::new(500, "", format!("v1.DeleteOptions: {error}")))?;
            let preconditions = typed.preconditions.unwrap_or_default();
            options.policy = typed.propagation_policy.or_else(|| {
                typed.orphan_dependents.map(|orphan| {
                    if orphan {
                        "Orphan".to_owned()
                    } else {
                        "Background".to_owned()
                    }
                })
            });
            options.grace = typed.grace_period_seconds;
            options.uid = preconditions.uid;
            options.version = preconditions.resource_version;
            options.dry_run |= typed.dry_run.is_some_and(|all| !all.is_empty());
        }
        let known = ["Foreground", "Background", "Orphan", "nil"];
        if let Some(policy) = options
            .policy
            .as_deref()
            .filter(|policy| !known.contains(policy) || *policy == "nil")
        {
            let cause = Cause::not_supported("propagationPolicy", policy, &known);
            return Err(Failure::invalid("meta.k8s.io", "DeleteOptions", "", &[cause]));
        }
        Ok(options)
    }
}

/// What became of the object.
pub(crate) enum Deleted {
    Gone(Arc<Value>),
    Pending(Arc<Value>),
}

/// Answers the deletion of one object.
pub(crate) fn delete(world: &mut World, call: &Call) -> Result<(u16, Value), Failure> {
    let kind = &call.kind;
    let options = Options::of(call)?;
    if kind.is("Namespace") && ["default", "kube-system"].contains(&call.place.name.as_str()) {
        world.find(kind, &call.key())?;
        return Err(Failure::forbidden(
            "",
            "namespaces",
            &call.place.name,
            "this namespace may not be deleted",
        ));
    }
    let object = match remove(world, kind, &call.key(), &options)? {
        Deleted::Pending(object) => return Ok((200, call.shown(&object))),
        Deleted::Gone(object) if kind.returns_deleted() => return Ok((200, call.shown(&object))),
        Deleted::Gone(object) => object,
    };
    let mut details = json!({"name": object["metadata"]["name"]});
    if !kind.group.is_empty() {
        details["group"] = kind.group.clone().into();
    }
    details["kind"] = kind.plural.clone().into();
    details["uid"] = object["metadata"]["uid"].clone();
    Ok((
        200,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}),
    ))
}

/// Answers the deletion of a collection: the list of what it matched.
pub(crate) fn delete_collection(world: &mut World, call: &Call) -> Result<(u16, Value), Failure> {
    if !call.kind.deletes_collections() {
        return Err(Failure::method_not_allowed());
    }
    let options = Options::of(call)?;
    let selector = call.selector()?;
    let matched: Vec<(Key, Arc<Value>)> = world
        .store
        .list(&call.kind.id(), call.namespace())
        .into_iter()
        .filter(|(_, object)| selector.matches(object))
        .collect();
    let version = world.store.version();
    for (key, _) in &matched {
        remove(world, &call.kind, key, &options)?;
    }
    let items = matched.iter().map(|(_, object)| object);
    Ok((200, read::list_body(call, items, version, None)))
}

/// Deletes an object as far as its kind, its finalizers and its grace period let it.
pub(crate) fn remove(world: &mut World, kind: &Kind, key: &Key, options: &Options) -> Result<Deleted, Failure> {
    let old = world.find(kind, key)?;
    check_preconditions(kind, key, &old, options)?;
    if kind.is("Namespace") {
        return Ok(Deleted::Pending(terminate(world, key, &old, options)));
    }
    let mut new = (*old).clone();
    set_finalizers(kind, &mut new, options);
    let deleting = old["metadata"].get("deletionTimestamp").is_some();
    if !deleting && kind.custom() {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or_default();
        new["metadata"]["generation"] = json!(generation + 1);
    }
    let grace = grace_of(kind, &old, options);
    let before = old["metadata"]["deletionGracePeriodSeconds"].as_i64();
    // A second request can shorten the grace period, never lengthen it.
    let shorter = before.is_none_or(|before| grace < before);
    if shorter {
        new["metadata"]["deletionTimestamp"] = world.later(grace).into();
        new["metadata"]["deletionGracePeriodSeconds"] = grace.into();
    }
    let held = new["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|all| !all.is_empty());
    let gone = grace == 0 && !held;
    // Only what has grace periods at all says in its last state that it was deleted.
    if gone && !kind.is("Pod") && !deleting {
        new = (*old).clone();
    }
    if options.dry_run {
        return Ok(if gone {
            Deleted::Gone(Arc::new(new))
        } else {
            Deleted::Pending(Arc::new(new))
        });
    }
    if gone {
        world.store.remove(key, new.clone());
        return Ok(Deleted::Gone(Arc::new(new)));
    }
    if new == *old {
        return Ok(Deleted::Pending(old));
    }
    Ok(Deleted::Pending(world.store.put(key.clone(), new)))
}

fn check_preconditions(kind: &Kind, key: &Key, old: &Value, options: &Options) -> Result<(), Failure> {
    let text = |field: &str| old["metadata"][field].as_str().unwrap_or_default();
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != text("uid")) {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and \
             then recreated",
            text("uid")
        );
        return Err(Failure::conflict(&kind.group, &kind.kind, &key.name, &why));
    }
    if let Some(version) = options
        .version
        .as_deref()
        .filter(|version| *version != text("resourceVersion"))
    {
        let why = format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). The object \
             might have been modified",
            text("resourceVersion")
        );
        return Err(Failure::conflict(&kind.group, &kind.kind, &key.name, &why));
    }
    Ok(())
}

/// Only pods that run somewhere have a grace period.
fn grace_of(kind: &Kind, object: &Value, options: &Options) -> i64 {
    let ended = ["Succeeded", "Failed"]
        .iter()
        .any(|phase| object["status"]["phase"] == *phase);
    let somewhere = object["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
    if !kind.is("Pod") || ended || !somewhere {
        return 0;
    }
    let own = object["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    options.grace.unwrap_or(own).max(0)
}

/// Notes in the finalizers what is to become of dependents. Jobs keep theirs by default, as the first version of their API did.
fn set_finalizers(kind: &Kind, object: &mut Value, options: &Options) {
    let mut finalizers: Vec<Value> = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let had = |name: &str, all: &[Value]| all.iter().any(|one| one == name);
    let (orphan, foreground) = match options.policy.as_deref() {
        Some(policy) => (policy == "Orphan", policy == "Foreground"),
        None if had(ORPHAN, &finalizers) || had(FOREGROUND, &finalizers) => return,
        None => (kind.is("Job"), false),
    };
    finalizers.retain(|one| one != ORPHAN && one != FOREGROUND);
    if orphan {
        finalizers.push(ORPHAN.into());
    }
    if foreground {
        finalizers.push(FOREGROUND.into());
    }
    if !finalizers.is_empty() {
        object["metadata"]["finalizers"] = finalizers.into();
    } else if let Some(meta) = object["metadata"].as_object_mut() {
        meta.remove("finalizers");
    }
}

/// A namespace goes once it is empty.
fn terminate(world: &mut World, key: &Key, old: &Arc<Value>, options: &Options) -> Arc<Value> {
    let mut new = (**old).clone();
    if new["metadata"].get("deletionTimestamp").is_none() {
        new["metadata"]["deletionTimestamp"] = world.now().into();
    }
    new["status"]["phase"] = "Terminating".into();
    if options.dry_run || new == **old {
        return Arc::new(new);
    }
    world.store.put(key.clone(), new)
}
