//! Creates objects: names, stamps, admission, then the store. The rules themselves are in `validate` and `quota`.
//!
//! Source: kubernetes v1.20, order of steps in `staging/src/k8s.io/apiserver/pkg/registry/generic/registry/store.go`, `Create`.

use super::call::Call;
use super::failure::{Failure, qualified};
use super::kinds::Kind;
use super::store::Key;
use super::world::{self, Denial, World};
use super::{decode, defaults, definitions, limits, quota, validate};
use serde_json::{Value, json};
use std::sync::Arc;

/// Most bytes of a stored object.
///
/// Source: etcd 3.4, `--max-request-bytes` of 1.5 MiB, observed through kube-apiserver v1.20.2.
const MOST_BYTES: usize = 1536 << 10;

/// Answers a create.
pub(crate) fn create(world: &mut World, call: &Call) -> Result<(u16, Value), Failure> {
    let dry_run = call.dry_run()?;
    let object = decode::body(call, world.minor)?;
    let stored = insert(world, call, object, dry_run)?;
    if call.kind.is("CustomResourceDefinition") && !dry_run {
        definitions::establish(world, &stored);
    }
    Ok((201, call.shown(&stored)))
}

/// Checks an object and stores it.
pub(crate) fn insert(world: &mut World, call: &Call, mut object: Value, dry_run: bool) -> Result<Arc<Value>, Failure> {
    let kind = &call.kind;
    let namespace = call.namespace().unwrap_or_default().to_owned();
    if kind.namespaced {
        let named = object["metadata"]["namespace"].as_str().unwrap_or_default();
        if !named.is_empty() && named != namespace {
            let message = "the namespace of the provided object does not match the namespace sent on the request";
            return Err(Failure::bad_request(message));
        }
        object["metadata"]["namespace"] = namespace.clone().into();
    } else if let Some(meta) = object["metadata"].as_object_mut() {
        meta.remove("namespace");
    }
    let asked = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if kind.namespaced {
        check_namespace(world, kind, &namespace, &asked)?;
    }
    admit(world, kind, &namespace, &mut object)?;
    stamp(world, kind, &mut object);
    validate::create(kind, &object)?;
    if kind.is("CustomResourceDefinition") {
        definitions::check(&object)?;
    }
    if kind.is("Job") {
        defaults::job_labels(&mut object);
    }
    let key = Key::of(&kind.id(), &object);
    refuse_by_webhook(world, kind)?;
    quota::check(world, kind, &namespace, &object)?;
    if object["metadata"]["resourceVersion"]
        .as_str()
        .is_some_and(|version| !version.is_empty())
    {
        return Err(Failure::new(
            500,
            "",
            "resourceVersion should not be set on objects to be created",
        ));
    }
    if let Some(old) = world.store.get(&key) {
        let deleted = old["metadata"].get("deletionTimestamp").is_some();
        return Err(Failure::already_exists(&kind.group, &kind.plural, &key.name, deleted));
    }
    check_size(&object)?;
    if dry_run {
        return Ok(Arc::new(object));
    }
    let stored = world.store.put(key, object);
    if kind.is("Namespace") {
        let name = stored["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        world.add_service_account(&name);
    }
    Ok(stored)
}

/// What etcd refuses.
pub(crate) fn check_size(object: &Value) -> Result<(), Failure> {
    if object.to_string().len() > MOST_BYTES {
        return Err(Failure::new(500, "", "etcdserver: request is too large"));
    }
    Ok(())
}

fn check_namespace(world: &World, kind: &Kind, namespace: &str, name: &str) -> Result<(), Failure> {
    let key = Key {
        kind: "namespaces".to_owned(),
        namespace: String::new(),
        name: namespace.to_owned(),
    };
    let Some(found) = world.store.get(&key) else {
        return Err(Failure::not_found("", "namespaces", namespace));
    };
    if found["status"]["phase"] == "Terminating" {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let cause = json!({"reason": "NamespaceTerminating", "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace"});
        return Err(Failure::forbidden(&kind.group, &kind.plural, name, &why).because(&cause));
    }
    Ok(())
}

/// What admission changes and refuses before the rules are looked at.
fn admit(world: &World, kind: &Kind, namespace: &str, object: &mut Value) -> Result<(), Failure> {
    if !kind.is("Pod") {
        return Ok(());
    }
    let account = object["spec"]["serviceAccountName"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let key = Key {
        kind: "serviceaccounts".to_owned(),
        namespace: namespace.to_owned(),
        name: account.clone(),
    };
    if world.store.get(&key).is_none() {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let why =
            format!("error looking up service account {namespace}/{account}: serviceaccount {account:?} not found");
        return Err(Failure::forbidden("", "pods", name, &why));
    }
    tolerate(&mut object["spec"]);
    limits::admit(world, namespace, object)
}

/// Source: kubernetes v1.20, `plugin/pkg/admission/{defaulttolerationseconds,priority}`.
fn tolerate(spec: &mut Value) {
    defaults::default(spec, "priority", json!(0));
    defaults::default(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
    defaults::default(spec, "tolerations", json!([]));
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let Some(all) = spec["tolerations"].as_array_mut() else {
            return;
        };
        let tolerated = all.iter().any(|one| {
            let this = one["key"] == key || one["key"].as_str().unwrap_or_default().is_empty();
            this && (one["effect"] == "NoExecute" || one["effect"].as_str().unwrap_or_default().is_empty())
        });
        if !tolerated {
            all.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
}

/// What a new object gets from the server.
fn stamp(world: &World, kind: &Kind, object: &mut Value) {
    let now = world.now();
    let meta = &mut object["metadata"];
    let named = meta["name"].as_str().is_some_and(|name| !name.is_empty());
    if let (false, Some(prefix)) = (named, meta["generateName"].as_str().filter(|prefix| !prefix.is_empty())) {
        // Source: kubernetes v1.20, `apiserver/pkg/storage/names/generate.go`: 63 characters at most.
        let short: String = prefix.chars().take(58).collect();
        meta["name"] = format!("{short}{}", world::suffix()).into();
    }
    meta["uid"] = world::uid().into();
    meta["creationTimestamp"] = now.into();
    if let Some(fields) = meta.as_object_mut() {
        for field in [
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
            "selfLink",
        ] {
            fields.remove(field);
        }
    }
    if kind.custom() {
        meta["generation"] = json!(1);
        if kind.status
            && let Some(fields) = object.as_object_mut()
        {
            fields.remove("status");
        }
        return;
    }
    defaults::first_status(kind, object);
    if kind.is("Job") {
        defaults::job_selector(object);
    }
}

/// What webhooks that a test set up refuse.
pub(crate) fn refuse_by_webhook(world: &World, kind: &Kind) -> Result<(), Failure> {
    let webhook = "validator.webhook.example";
    let Some(Denial { code, message, .. }) = world.denials.iter().find(|denial| denial.plural == kind.plural) else {
        return Ok(());
    };
    if let Some(message) = message {
        let reason = if *code == 403 { "Forbidden" } else { "" };
        let message = format!("admission webhook {webhook:?} denied the request: {message}");
        return Err(Failure::new(*code, reason, message));
    }
    let cause = format!(
        "failed calling webhook {webhook:?}: Post \"https://webhook.default.svc:443/validate-{}?timeout=10s\": dial tcp \
         10.0.0.9:443: connect: connection refused",
        qualified(&kind.plural, &kind.group).replace('.', "-")
    );
    let failure = Failure::new(500, "InternalError", format!("Internal error occurred: {cause}"));
    Err(failure.with(json!({"causes": [{"message": cause}]})))
}
