//! ResourceQuotas: what a namespace uses, and whether one more object fits.
//!
//! Source: kubernetes v1.20, `pkg/quota/v1/evaluator/core/pods.go` and `plugin/pkg/admission/resourcequota`; compared with
//! answers of kube-apiserver v1.20.2. Scopes are not known here.

use super::failure::{Failure, qualified};
use super::kinds::Kind;
use super::quantity::Quantity;
use super::world::World;
use serde_json::{Value, json};

/// What does not fit.
struct Exceeded {
    resource: String,
    more: Quantity,
    used: Quantity,
    hard: String,
}

fn shown(resource: &str, amount: Quantity) -> String {
    amount.canonical(resource.ends_with("memory") || resource.ends_with("storage"))
}

/// Refuses an object that does not fit, or does not say how much it needs.
pub(crate) fn check(world: &World, kind: &Kind, namespace: &str, object: &Value) -> Result<(), Failure> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let refused = |why: String| Err(Failure::forbidden(&kind.group, &kind.plural, name, &why));
    for (_, quota) in world.store.list("resourcequotas", Some(namespace)) {
        let quota_name = quota["metadata"]["name"].as_str().unwrap_or_default();
        let mut exceeded: Vec<Exceeded> = Vec::new();
        let mut unsaid: Vec<&str> = Vec::new();
        for (resource, hard) in quota["spec"]["hard"].as_object().into_iter().flatten() {
            let hard = hard.as_str().unwrap_or_default();
            match need(kind, object, resource) {
                Need::None => {}
                Need::Unsaid => unsaid.push(resource),
                Need::Some(more) => {
                    let used = used(world, namespace, resource);
                    if Quantity::parse(hard).is_some_and(|hard| used.plus(more) > hard) {
                        exceeded.push(Exceeded {
                            resource: resource.clone(),
                            more,
                            used,
                            hard: hard.to_owned(),
                        });
                    }
                }
            }
        }
        if !unsaid.is_empty() {
            unsaid.sort_unstable();
            return refused(format!("failed quota: {quota_name}: must specify {}", unsaid.join(",")));
        }
        if !exceeded.is_empty() {
            exceeded.sort_by(|a, b| a.resource.cmp(&b.resource));
            let all = |amount: fn(&Exceeded) -> String| {
                let parts: Vec<String> = exceeded
                    .iter()
                    .map(|one| format!("{}={}", one.resource, amount(one)))
                    .collect();
                parts.join(",")
            };
            return refused(format!(
                "exceeded quota: {quota_name}, requested: {}, used: {}, limited: {}",
                all(|one| shown(&one.resource, one.more)),
                all(|one| shown(&one.resource, one.used)),
                all(|one| one.hard.clone())
            ));
        }
    }
    Ok(())
}

/// The status of a quota, as its controller writes it.
pub(crate) fn status(world: &World, quota: &Value) -> Value {
    let namespace = quota["metadata"]["namespace"].as_str().unwrap_or_default();
    let mut used = json!({});
    for resource in quota["spec"]["hard"].as_object().into_iter().flat_map(|all| all.keys()) {
        used[resource] = shown(resource, self::used(world, namespace, resource)).into();
    }
    json!({"hard": quota["spec"]["hard"], "used": used})
}

enum Need {
    None,
    /// The object would have to say how much.
    Unsaid,
    Some(Quantity),
}

/// What one more object takes of a resource.
fn need(kind: &Kind, object: &Value, resource: &str) -> Need {
    if resource == format!("count/{}", qualified(&kind.plural, &kind.group)) {
        return Need::Some(Quantity::whole(1));
    }
    if !kind.is("Pod") {
        let counted = [
            "configmaps",
            "secrets",
            "services",
            "persistentvolumeclaims",
            "resourcequotas",
        ];
        let ours = !kind.custom() && kind.group.is_empty() && resource == kind.plural && counted.contains(&resource);
        return if ours {
            Need::Some(Quantity::whole(1))
        } else {
            Need::None
        };
    }
    if resource == "pods" {
        return Need::Some(Quantity::whole(1));
    }
    let (side, name) = match resource.split_once('.') {
        Some(("requests", name)) => ("requests", name),
        Some(("limits", name)) => ("limits", name),
        _ if ["cpu", "memory", "ephemeral-storage"].contains(&resource) => ("requests", resource),
        _ => return Need::None,
    };
    // What only a claim requests is none of a pod's.
    if name == "storage" {
        return Need::None;
    }
    let mut sum = Quantity::ZERO;
    for container in object["spec"]["containers"].as_array().into_iter().flatten() {
        match container["resources"][side]
            .get(name)
            .and_then(Value::as_str)
            .and_then(Quantity::parse)
        {
            Some(amount) => sum = sum.plus(amount),
            // Extended resources may be left out, as most pods need none.
            None if !name.contains('/') => return Need::Unsaid,
            None => {}
        }
    }
    if sum == Quantity::ZERO {
        Need::None
    } else {
        Need::Some(sum)
    }
}

/// What the namespace uses; pods that have ended use nothing.
fn used(world: &World, namespace: &str, resource: &str) -> Quantity {
    let mut sum = Quantity::ZERO;
    for (key, object) in world.store.all().filter(|(key, _)| key.namespace == namespace) {
        let Some(kind) = world.kind_of(key) else { continue };
        let ended = kind.is("Pod")
            && ["Succeeded", "Failed"]
                .iter()
                .any(|phase| object["status"]["phase"] == *phase);
        let counted = resource.starts_with("count/");
        if let (true, Need::Some(amount)) = (!ended || counted, need(&kind, object, resource)) {
            sum = sum.plus(amount);
        }
    }
    sum
}
