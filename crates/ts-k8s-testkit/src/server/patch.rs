//! The four kinds of patches, applied to an object. Which are accepted, and what is stored afterwards, is `update`'s matter.

use super::failure::Failure;
use super::kinds::Kind;
use serde_json::{Map, Value};

/// How a patch is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatchType {
    Json,
    Merge,
    Strategic,
    Apply,
}

/// What the header `Content-Type` says, if the kind takes it.
pub(crate) fn type_of(kind: &Kind, content_type: &str) -> Result<PatchType, Failure> {
    let found = match content_type.split(';').next().unwrap_or_default().trim() {
        "application/json-patch+json" => PatchType::Json,
        "application/merge-patch+json" => PatchType::Merge,
        "application/strategic-merge-patch+json" => PatchType::Strategic,
        "application/apply-patch+yaml" => PatchType::Apply,
        _ => {
            let mut failure = Failure::new(415, "UnsupportedMediaType", "415: Unsupported Media Type");
            failure = failure.with(Value::Object(Map::new()));
            return Err(failure);
        }
    };
    if found == PatchType::Strategic && kind.custom() {
        let message = "the body of the request was in an unknown format - accepted media types include: \
                       application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
        return Err(Failure::new(415, "UnsupportedMediaType", message));
    }
    Ok(found)
}

/// The object with the patch applied.
pub(crate) fn apply(how: PatchType, object: &Value, patch: &[u8]) -> Result<Value, Failure> {
    let mut result = object.clone();
    match how {
        PatchType::Json => {
            let operations: json_patch::Patch = serde_json::from_slice(patch).map_err(|_| {
                Failure::bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
            })?;
            json_patch::patch(&mut result, &operations).map_err(|_| {
                let message = "the server rejected our request due to an error in our request";
                let mut failure = Failure::new(422, "Invalid", message);
                failure = failure.with(Value::Object(Map::new()));
                failure
            })?;
        }
        PatchType::Merge => json_patch::merge(&mut result, &parsed(patch)?),
        PatchType::Strategic | PatchType::Apply => merge(&mut result, parsed(patch)?, ""),
    }
    Ok(result)
}

/// The body of a patch that is an object. JSON is YAML, and clients that apply send JSON.
pub(crate) fn parsed(patch: &[u8]) -> Result<Value, Failure> {
    match serde_json::from_slice(patch) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) | Err(_) => Err(Failure::bad_request(
            "error decoding patch: the body is not a JSON object",
        )),
    }
}

/// By what the entries of a list are the same entry; `None` where the whole list is replaced.
///
/// Source: kubernetes v1.20, tags `patchMergeKey` of `staging/src/k8s.io/api/core/v1/types.go` and of `meta/v1`.
fn merge_key(list: &str) -> Option<&'static str> {
    Some(match list {
        "containers" | "initContainers" | "ephemeralContainers" | "volumes" | "env" | "imagePullSecrets" => "name",
        "volumeMounts" => "mountPath",
        "volumeDevices" => "devicePath",
        "ports" => "containerPort",
        "conditions" | "addresses" => "type",
        "ownerReferences" => "uid",
        "hostAliases" => "ip",
        "topologySpreadConstraints" => "topologyKey",
        _ => return None,
    })
}

/// A service's ports are told apart by another field than a container's.
fn key_of(list: &str, entries: &[Value]) -> Option<&'static str> {
    let key = merge_key(list)?;
    let is_service = list == "ports" && entries.iter().all(|entry| entry.get(key).is_none());
    Some(if is_service { "port" } else { key })
}

fn merge(target: &mut Value, patch: Value, name: &str) {
    match patch {
        Value::Object(mut fields) => {
            if fields.remove("$patch").is_some_and(|directive| directive == "replace") || !target.is_object() {
                *target = Value::Object(Map::new());
            }
            let kept: Option<Vec<String>> = fields
                .remove("$retainKeys")
                .and_then(|keys| serde_json::from_value(keys).ok());
            let Some(object) = target.as_object_mut() else { return };
            if let Some(kept) = kept {
                object.retain(|key, _| kept.contains(key));
            }
            for (key, value) in fields {
                if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
                    if let (Some(Value::Array(target)), Value::Array(gone)) = (object.get_mut(list), &value) {
                        target.retain(|entry| !gone.contains(entry));
                    }
                } else if key.starts_with("$setElementOrder/") {
                    // Only the order of what is merged; the order of the patch serves as well.
                } else if value.is_null() {
                    object.remove(&key);
                } else {
                    merge(object.entry(key.clone()).or_insert(Value::Null), value, &key);
                }
            }
        }
        Value::Array(entries) => merge_list(target, entries, name),
        other => *target = other,
    }
}

fn merge_list(target: &mut Value, entries: Vec<Value>, name: &str) {
    let mut merged = target.as_array().cloned().unwrap_or_default();
    let replaced = entries.iter().any(|entry| entry["$patch"] == "replace");
    let key = key_of(name, &entries);
    if replaced || (key.is_none() && name != "finalizers") {
        *target = entries
            .into_iter()
            .filter(|entry| entry["$patch"] != "replace")
            .collect();
        return;
    }
    for entry in entries {
        let Some(key) = key else {
            if !merged.contains(&entry) {
                merged.push(entry);
            }
            continue;
        };
        let place = merged
            .iter()
            .position(|one| one.get(key).is_some() && one.get(key) == entry.get(key));
        match (place, entry["$patch"] == "delete") {
            (Some(place), true) => {
                merged.remove(place);
            }
            (None, true) => {}
            (Some(place), false) => merge(&mut merged[place], entry, ""),
            (None, false) => {
                let mut new = Value::Null;
                merge(&mut new, entry, "");
                merged.push(new);
            }
        }
    }
    *target = Value::Array(merged);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn strategic(object: Value, patch: &Value) -> Value {
        apply(PatchType::Strategic, &object, patch.to_string().as_bytes()).unwrap_or(object)
    }

    #[test]
    fn containers_and_their_environment_merge_by_name() {
        let object = json!({"spec": {"containers": [
            {"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "1"}]}});
        let patch =
            json!({"spec": {"containers": [{"name": "a", "image": "2", "env": [{"name": "Y", "value": "2"}]}]}});
        assert_eq!(
            strategic(object, &patch),
            json!({"spec": {"containers": [
                {"name": "a", "image": "2", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
                {"name": "b", "image": "1"}]}})
        );
    }

    #[test]
    fn directives_delete_replace_and_retain() {
        let object =
            json!({"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "emptyDir": {}}], "finalizers": ["x/y"]});
        let patch = json!({"volumes": [{"name": "a", "$patch": "delete"},
            {"name": "b", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}], "finalizers": ["z/y"]});
        assert_eq!(
            strategic(object, &patch),
            json!({"volumes": [{"name": "b", "hostPath": {"path": "/"}}], "finalizers": ["x/y", "z/y"]})
        );
    }

    #[test]
    fn lists_without_a_key_are_replaced_and_null_removes() {
        let object = json!({"args": ["a", "b"], "labels": {"x": "1", "y": "2"}});
        assert_eq!(
            strategic(object, &json!({"args": ["c"], "labels": {"x": null}})),
            json!({"args": ["c"], "labels": {"y": "2"}})
        );
    }
}
