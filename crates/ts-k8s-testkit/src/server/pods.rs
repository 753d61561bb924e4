//! The subresources of pods that are objects themselves: a binding puts a pod on a node, an eviction deletes it.
//!
//! Source: kubernetes v1.20, `pkg/registry/core/pod/storage/{storage,eviction}.go`; compared with kube-apiserver v1.20.2.

use super::call::Call;
use super::delete::{self, Options};
use super::failure::Failure;
use super::world::World;
use serde_json::{Value, json};

fn done() -> (u16, Value) {
    (
        201,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    )
}

fn body(call: &Call, kind: &str) -> Result<Value, Failure> {
    let body: Value = serde_json::from_slice(&call.body).map_err(|error| Failure::bad_request(error.to_string()))?;
    if body["metadata"]["name"] != call.place.name {
        return Err(Failure::bad_request(format!(
            "name in URL does not match name in {kind} object"
        )));
    }
    Ok(body)
}

/// Answers `POST …/binding`.
pub(crate) fn bind(world: &mut World, call: &Call) -> Result<(u16, Value), Failure> {
    let binding = body(call, "Binding")?;
    let node = binding["target"]["name"].as_str().unwrap_or_default();
    if node.is_empty() {
        let cause = super::failure::Cause::required("target.name", "");
        return Err(Failure::invalid("", "Binding", &call.place.name, &[cause]));
    }
    let old = world.find(&call.kind, &call.key())?;
    let conflict = |why: &str| Err(Failure::conflict("", "pods/binding", &call.place.name, why));
    let name = &call.place.name;
    if old["metadata"].get("deletionTimestamp").is_some() {
        return conflict(&format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    if let Some(taken) = old["spec"]["nodeName"].as_str().filter(|taken| !taken.is_empty()) {
        return conflict(&format!("pod {name} is already assigned to node {taken:?}"));
    }
    let mut new = (*old).clone();
    new["spec"]["nodeName"] = node.into();
    let scheduled =
        json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": world.now()});
    let mut conditions = old["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.retain(|condition| condition["type"] != "PodScheduled");
    conditions.push(scheduled);
    new["status"]["conditions"] = conditions.into();
    world.store.put(call.key(), new);
    Ok(done())
}

/// Answers `POST …/eviction`. Disruption budgets are not known here.
pub(crate) fn evict(world: &mut World, call: &Call) -> Result<(u16, Value), Failure> {
    let eviction = body(call, "Eviction")?;
    let grace = eviction["deleteOptions"]["gracePeriodSeconds"].as_i64();
    delete::remove(
        world,
        &call.kind,
        &call.key(),
        &Options {
            grace,
            ..Options::default()
        },
    )?;
    Ok(done())
}
