//! What all operators ask of pods and do to pod templates.

use super::value::{controller_reference, deleting, list, list_mut, name, namespace, number, section, text};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// The phase, `Pending` before anybody has set one.
pub(super) fn phase(pod: &Value) -> &str {
    match text(pod, "/status/phase") {
        "" => "Pending",
        phase => phase,
    }
}

/// Neither ended nor about to be deleted.
///
/// Source: kubernetes v1.20, `pkg/controller/controller_utils.go`, `IsPodActive`.
pub(super) fn is_active(pod: &Value) -> bool {
    !is_terminal(pod) && !deleting(pod)
}

/// Ended, well or not.
pub(super) fn is_terminal(pod: &Value) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether its condition `Ready` holds.
pub(super) fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|ready| text(ready, "/status") == "True")
}

/// A condition of a pod.
pub(super) fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    list(pod, "/status/conditions")
        .iter()
        .find(|condition| text(condition, "/type") == kind)
}

/// States of the init containers, then of the containers.
pub(super) fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    list(pod, "/status/initContainerStatuses")
        .iter()
        .chain(list(pod, "/status/containerStatuses"))
}

/// How often its containers were started again, in all.
pub(super) fn restarts(pod: &Value) -> i64 {
    containers(pod)
        .filter_map(|container| number(container, "/restartCount"))
        .sum()
}

/// The exit code of a container that has ended.
pub(super) fn exit_code(pod: &Value, container: &str) -> Option<i64> {
    let mut states = list(pod, "/status/containerStatuses").iter();
    let state = states.find(|state| text(state, "/name") == container)?;
    number(state, "/state/terminated/exitCode")
}

/// When its last container ended.
pub(super) fn finished_at(pod: &Value) -> Option<Timestamp> {
    containers(pod)
        .filter_map(|container| text(container, "/state/terminated/finishedAt").parse().ok())
        .max()
}

/// A pod from a template, owned by `owner`.
pub(super) fn from_template(template: &Value, owner: &Value, pod_name: &str) -> Value {
    let mut metadata = json!({ "name": pod_name, "namespace": namespace(owner) });
    for key in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template
            .pointer(&format!("/metadata/{key}"))
            .filter(|value| !value.is_null())
        {
            metadata[key] = value.clone();
        }
    }
    metadata["ownerReferences"] = json!([controller_reference(owner)]);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": template.get("spec").cloned().unwrap_or_else(|| json!({})),
    })
}

/// Sets labels of an object.
pub(super) fn set_labels<'a>(object: &mut Value, labels: impl IntoIterator<Item = (&'a str, String)>) {
    let map = section(object, &["metadata", "labels"]);
    map.extend(labels.into_iter().map(|(key, value)| (key.to_owned(), json!(value))));
}

/// Sets annotations of an object.
pub(super) fn set_annotations<'a>(object: &mut Value, annotations: impl IntoIterator<Item = (&'a str, String)>) {
    let map = section(object, &["metadata", "annotations"]);
    map.extend(
        annotations
            .into_iter()
            .map(|(key, value)| (key.to_owned(), json!(value))),
    );
}

/// The containers of a pod, init containers first, for changing.
pub(super) fn containers_mut(pod: &mut Value) -> Vec<&mut Value> {
    let spec = section(pod, &["spec"]);
    let mut init = Vec::new();
    let mut main = Vec::new();
    for (key, value) in spec {
        match key.as_str() {
            "initContainers" => init.extend(value.as_array_mut().into_iter().flatten()),
            "containers" => main.extend(value.as_array_mut().into_iter().flatten()),
            _ => {}
        }
    }
    init.extend(main);
    init
}

/// Sets an environment variable of a container, in place if it is already there.
pub(super) fn set_env(container: &mut Value, variable: Value) {
    let list = list_mut(container, "env");
    let key = text(&variable, "/name").to_owned();
    match list.iter_mut().find(|existing| text(existing, "/name") == key) {
        Some(existing) => *existing = variable,
        None => list.push(variable),
    }
}

/// A headless service by whose name DNS finds pods.
pub(super) fn headless_service(owner: &Value, service_name: &str, labels: &Value, selector: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": service_name,
            "namespace": namespace(owner),
            "labels": labels,
            "ownerReferences": [controller_reference(owner)],
        },
        "spec": { "clusterIP": "None", "selector": selector },
    })
}

/// Whether one of the objects has this name.
pub(super) fn named<'a>(objects: &'a [std::sync::Arc<Value>], wanted: &str) -> Option<&'a Value> {
    objects.iter().map(AsRef::as_ref).find(|object| name(object) == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_without_a_status_is_pending_and_active() {
        let pod = json!({});
        assert_eq!(
            (phase(&pod), is_active(&pod), is_terminal(&pod), is_ready(&pod)),
            ("Pending", true, false, false)
        );
        let pod = json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } });
        assert!(!is_active(&pod));
    }

    #[test]
    fn restarts_of_all_containers_count() {
        let pod = json!({ "status": {
            "initContainerStatuses": [{ "restartCount": 1 }],
            "containerStatuses": [{ "restartCount": 2 }, { "name": "x", "state": { "terminated": { "exitCode": 3 } } }],
        } });
        assert_eq!(
            (restarts(&pod), exit_code(&pod, "x"), exit_code(&pod, "y")),
            (3, Some(3), None)
        );
    }

    #[test]
    fn a_template_keeps_its_labels_and_gets_an_owner() {
        let owner =
            json!({ "apiVersion": "a/v1", "kind": "K", "metadata": { "name": "o", "namespace": "n", "uid": "u" } });
        let template = json!({ "metadata": { "name": "ignored", "labels": { "a": "b" } }, "spec": { "x": 1 } });
        let pod = from_template(&template, &owner, "p");
        assert_eq!(pod["metadata"]["name"], "p");
        assert_eq!(pod["metadata"]["labels"], json!({ "a": "b" }));
        assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], "u");
        assert_eq!(pod["spec"]["x"], 1);
    }

    #[test]
    fn a_variable_replaces_its_namesake() {
        let mut container = json!({ "env": [{ "name": "A", "value": "1" }] });
        set_env(&mut container, json!({ "name": "A", "value": "2" }));
        set_env(&mut container, json!({ "name": "B", "value": "3" }));
        assert_eq!(
            container["env"],
            json!([{ "name": "A", "value": "2" }, { "name": "B", "value": "3" }])
        );
    }
}
