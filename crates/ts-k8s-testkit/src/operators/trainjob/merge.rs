//! Laying a partial pod template over another, as Kubernetes does for its own kinds.
//!
//! Source: kubernetes v1.31, `staging/src/k8s.io/api/core/v1/types.go`, the tags `patchStrategy` and `patchMergeKey`.

use crate::operators::value::text;
use serde_json::Value;

/// The key by which items of a list are told apart, for the lists that are merged. Others are replaced.
fn merge_key(list: &str) -> Option<&'static str> {
    match list {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" | "schedulingGates" => Some("name"),
        "volumeMounts" => Some("mountPath"),
        "ports" => Some("containerPort"),
        _ => None,
    }
}

/// Merges `patch` into `target`, which is the value of the field `field`.
pub(super) fn merge(target: &mut Value, patch: &Value, field: &str) {
    match (&mut *target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(key);
                } else {
                    merge(target.entry(key.clone()).or_insert(Value::Null), value, key);
                }
            }
        }
        (Value::Array(target), Value::Array(patch)) if merge_key(field).is_some() => {
            let key = merge_key(field).expect("just seen");
            for item in patch {
                let same = |known: &&mut Value| known.get(key).is_some_and(|value| Some(value) == item.get(key));
                match target.iter_mut().find(same) {
                    Some(known) => merge(known, item, ""),
                    None => target.push(item.clone()),
                }
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

/// The name of a container in `patch` that `target` does not have.
pub(super) fn unknown_container<'a>(target: &Value, patch: &'a Value) -> Option<&'a str> {
    let of = |value: &'a Value, list: &str| value.get(list).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    ["containers", "initContainers"]
        .into_iter()
        .flat_map(|list| of(patch, list))
        .map(|container| text(container, "/name"))
        .find(|wanted| {
            let lists = ["containers", "initContainers"].into_iter();
            let mut known = lists.filter_map(|list| target.get(list)?.as_array()).flatten();
            !known.any(|container| text(container, "/name") == *wanted)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_merge_by_their_key_or_are_replaced() {
        let mut target = json!({
            "containers": [{ "name": "node", "image": "i", "env": [{ "name": "A", "value": "1" }] }],
            "tolerations": [{ "key": "a" }],
            "nodeSelector": { "x": "1" },
        });
        let patch = json!({
            "containers": [{ "name": "node", "env": [{ "name": "A", "value": "2" }, { "name": "B", "value": "3" }],
                "volumeMounts": [{ "name": "v", "mountPath": "/v" }] }],
            "volumes": [{ "name": "v", "emptyDir": {} }],
            "tolerations": [{ "key": "b" }],
            "nodeSelector": { "y": "2" },
        });
        merge(&mut target, &patch, "spec");
        assert_eq!(
            target,
            json!({
                "containers": [{ "name": "node", "image": "i",
                    "env": [{ "name": "A", "value": "2" }, { "name": "B", "value": "3" }],
                    "volumeMounts": [{ "name": "v", "mountPath": "/v" }] }],
                "tolerations": [{ "key": "b" }],
                "nodeSelector": { "x": "1", "y": "2" },
                "volumes": [{ "name": "v", "emptyDir": {} }],
            })
        );
    }

    #[test]
    fn a_container_that_is_not_there_is_found() {
        let target = json!({ "containers": [{ "name": "node" }], "initContainers": [{ "name": "init" }] });
        assert_eq!(
            unknown_container(&target, &json!({ "containers": [{ "name": "node" }] })),
            None
        );
        assert_eq!(
            unknown_container(&target, &json!({ "initContainers": [{ "name": "other" }] })),
            Some("other")
        );
    }
}
