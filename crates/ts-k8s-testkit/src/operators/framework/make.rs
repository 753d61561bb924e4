//! The ConfigMap of an attempt and the pods of its tasks.
//!
//! Source: microsoft/frameworkcontroller, `pkg/apis/frameworkcontroller/v1/funcs.go`, `NewConfigMap`, `NewPod`, and
//! `constants.go`. The ConfigMap has no finalizer here: this operator itself waits for the pods before it goes on.

use super::types::{FrameworkStatus, TaskRoleStatus, TaskStatus};
use crate::operators::{
    pods,
    value::{controller_reference, name, namespace, text, uid},
};
use serde_json::{Value, json};
use std::hash::{DefaultHasher, Hash, Hasher};

/// The annotation by which a child of an earlier attempt is told apart.
pub(super) const FRAMEWORK_ATTEMPT_ID: &str = "FC_FRAMEWORK_ATTEMPT_ID";
/// The same for pods and attempts of their task.
pub(super) const TASK_ATTEMPT_ID: &str = "FC_TASK_ATTEMPT_ID";

/// The ConfigMap that stands for an attempt.
pub(super) fn config_map(framework: &Value, status: &FrameworkStatus) -> Value {
    let attempt = &status.attempt_status;
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": attempt.config_map_name,
            "namespace": namespace(framework),
            "labels": { "FC_FRAMEWORK_NAME": name(framework) },
            "annotations": {
                "FC_FRAMEWORK_NAMESPACE": namespace(framework),
                "FC_FRAMEWORK_NAME": name(framework),
                "FC_CONFIGMAP_NAME": attempt.config_map_name,
                "FC_FRAMEWORK_UID": uid(framework),
                FRAMEWORK_ATTEMPT_ID: attempt.id.to_string(),
            },
            "ownerReferences": [controller_reference(framework)],
        },
    })
}

/// The pod of a task.
pub(super) fn pod(
    framework: &Value,
    config_map: &Value,
    status: &FrameworkStatus,
    role: &TaskRoleStatus,
    task: &TaskStatus,
    template: &Value,
) -> Value {
    let attempt = &status.attempt_status;
    let index = task.index.to_string();
    let known = [
        ("FC_FRAMEWORK_NAMESPACE", namespace(framework)),
        ("FC_FRAMEWORK_NAME", name(framework)),
        ("FC_TASKROLE_NAME", &role.name),
        ("FC_TASK_INDEX", &index),
        ("FC_CONFIGMAP_NAME", &attempt.config_map_name),
        ("FC_POD_NAME", &task.attempt_status.pod_name),
    ];
    let template = replace_placeholders(template, &known);
    let mut pod = pods::from_template(&template, config_map, &task.attempt_status.pod_name);
    pods::set_labels(
        &mut pod,
        [
            ("FC_FRAMEWORK_NAME", name(framework).to_owned()),
            ("FC_TASKROLE_NAME", role.name.clone()),
            ("FC_TASK_INDEX", index.clone()),
        ],
    );
    let ids = [
        ("FC_FRAMEWORK_UID", uid(framework).to_owned()),
        (FRAMEWORK_ATTEMPT_ID, attempt.id.to_string()),
        (
            "FC_FRAMEWORK_ATTEMPT_INSTANCE_UID",
            attempt.instance_uid.clone().unwrap_or_default(),
        ),
        ("FC_CONFIGMAP_UID", uid(config_map).to_owned()),
        ("FC_TASKROLE_UID", role.instance_uid.clone().unwrap_or_default()),
        ("FC_TASK_UID", task.instance_uid.clone().unwrap_or_default()),
        (TASK_ATTEMPT_ID, task.attempt_status.id.to_string()),
    ];
    let annotations = known
        .iter()
        .map(|(key, value)| (*key, (*value).to_owned()))
        .chain(ids.clone());
    pods::set_annotations(&mut pod, annotations);
    let mut variables: Vec<Value> = known
        .iter()
        .map(|(key, value)| (*key, (*value).to_owned()))
        .chain(ids)
        .map(|(key, value)| json!({ "name": key, "value": value }))
        .collect();
    variables.push(json!({ "name": "FC_POD_UID", "valueFrom": { "fieldRef": { "fieldPath": "metadata.uid" } } }));
    let instance = format!("{}_$(FC_POD_UID)", task.attempt_status.id);
    variables.push(json!({ "name": "FC_TASK_ATTEMPT_INSTANCE_UID", "value": instance }));
    for container in pods::containers_mut(&mut pod) {
        // In front, so that the variables of the template can refer to them.
        let env = crate::operators::value::list_mut(container, "env");
        env.splice(0..0, variables.iter().cloned());
        if text(container, "/terminationMessagePolicy").is_empty() {
            container["terminationMessagePolicy"] = json!("FallbackToLogsOnError");
        }
    }
    pod
}

/// Replaces `{{NAME}}` in all texts of a template.
fn replace_placeholders(template: &Value, known: &[(&str, &str)]) -> Value {
    match template {
        Value::String(text) => {
            let replaced = known.iter().fold(text.clone(), |text, (key, value)| {
                text.replace(&format!("{{{{{key}}}}}"), value)
            });
            json!(replaced)
        }
        Value::Array(items) => items.iter().map(|item| replace_placeholders(item, known)).collect(),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(key, value)| (key.clone(), replace_placeholders(value, known)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

/// An id of the form of a uid for a part of an object that has none of its own, always the same for the same part.
pub(super) fn part_uid(framework: &Value, attempt: i64, role: &str, index: Option<i64>) -> String {
    let hash = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, uid(framework), attempt, role, index).hash(&mut hasher);
        hasher.finish()
    };
    let hex = format!("{:016x}{:016x}", hash(0), hash(1));
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_in_texts_and_unknown_ones_stay() {
        let template = json!({ "a": ["{{FC_TASK_INDEX}}-{{FC_POD_NAME}}", 1], "b": "{{FC_OTHER}}" });
        let known = [("FC_TASK_INDEX", "3"), ("FC_POD_NAME", "p")];
        assert_eq!(
            replace_placeholders(&template, &known),
            json!({ "a": ["3-p", 1], "b": "{{FC_OTHER}}" })
        );
    }

    #[test]
    fn ids_of_parts_are_stable_and_differ() {
        let framework = json!({ "metadata": { "uid": "u" } });
        let id = part_uid(&framework, 0, "r", None);
        assert_eq!(id.len(), 36);
        assert_eq!(id, part_uid(&framework, 0, "r", None));
        assert_ne!(id, part_uid(&framework, 1, "r", None));
        assert_ne!(id, part_uid(&framework, 0, "r", Some(0)));
    }
}
