//! The strategic merge of a user's pod template over ours: lists of named things are merged by name, others are replaced.
//!
//! Which key names the items of a list is as in Kubernetes' own types (kubernetes/api, `core/v1/types.go`, `patchMergeKey`).

use serde_json::{Map, Value};

/// Lists whose items are told apart by a key.
const MERGE_KEYS: &[(&str, &str)] = &[
    ("containers", "name"),
    ("env", "name"),
    ("ephemeralContainers", "name"),
    ("hostAliases", "ip"),
    ("imagePullSecrets", "name"),
    ("initContainers", "name"),
    ("ports", "containerPort"),
    ("topologySpreadConstraints", "topologyKey"),
    ("volumeDevices", "devicePath"),
    ("volumeMounts", "mountPath"),
    ("volumes", "name"),
];

/// Merges `patch` over `base`. `null` removes a key.
pub(super) fn strategic(base: &mut Value, patch: &Value) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => merge_map(base, patch),
        (base, patch) => *base = patch.clone(),
    }
}

fn merge_map(base: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, change) in patch {
        if change.is_null() {
            base.shift_remove(key);
            continue;
        }
        let merge_key = MERGE_KEYS.iter().find(|(list, _)| list == key).map(|(_, name)| *name);
        match (base.get_mut(key), merge_key, change) {
            (Some(Value::Array(items)), Some(name), Value::Array(changes)) => merge_list(items, changes, name),
            (Some(present), ..) => strategic(present, change),
            (None, ..) => {
                base.insert(key.clone(), change.clone());
            }
        }
    }
}

fn merge_list(items: &mut Vec<Value>, changes: &[Value], name: &str) {
    for change in changes {
        let present = items
            .iter_mut()
            .find(|item| item.get(name).is_some() && item.get(name) == change.get(name));
        match present {
            Some(item) => strategic(item, change),
            None => items.push(change.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn named_items_are_merged_and_other_lists_replaced() {
        let mut base = json!({"spec": {
            "containers": [{"name": "a", "image": "x", "args": ["1", "2"], "env": [{"name": "E", "value": "1"}]}],
            "tolerations": [{"key": "old"}],
            "nodeSelector": {"zone": "a"},
            "restartPolicy": "Never",
        }});
        strategic(
            &mut base,
            &json!({"spec": {
                "containers": [
                    {"name": "a", "args": ["3"], "env": [{"name": "F", "value": "2"}, {"name": "E", "value": "3"}]},
                    {"name": "b"},
                ],
                "tolerations": [{"key": "new"}],
                "nodeSelector": {"disk": "ssd"},
                "restartPolicy": null,
            }}),
        );
        assert_eq!(
            base,
            json!({"spec": {
                "containers": [
                    {"name": "a", "image": "x", "args": ["3"], "env": [{"name": "E", "value": "3"}, {"name": "F", "value": "2"}]},
                    {"name": "b"},
                ],
                "tolerations": [{"key": "new"}],
                "nodeSelector": {"zone": "a", "disk": "ssd"},
            }})
        );
    }
}
