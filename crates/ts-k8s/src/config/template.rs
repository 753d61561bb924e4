//! Checks of what a user writes in Kubernetes' own words: pod templates, containers, volumes, mounts, tolerations.
//!
//! Such trees go to the cluster as they are, so their keys match exactly in both schemas. What is refused: what the types of
//! Kubernetes do not take, what it would silently drop or reject, and what is ours to set. A Framework of the user's is read
//! in `read/framework.rs`.

use super::read::{
    Report,
    names::{self, Check},
    types::typed,
};
use k8s_openapi::api::core::v1::{Container, PodSpec, Toleration, Volume, VolumeMount};
use ts_core::config::{Entry, Node, Value, nearest};

/// Directs a strategic merge; it is no part of the merged object.
///
/// Source: kubernetes v1.20, `staging/src/k8s.io/apimachinery/pkg/util/strategicpatch/patch.go`.
const DIRECTIVE: &str = "$patch";

/// What the volume of a pod can be.
///
/// Source: kubernetes v1.31, `staging/src/k8s.io/api/core/v1/types.go`, `VolumeSource`.
const VOLUME_SOURCES: &[&str] = &[
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "glusterfs",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "persistentVolumeClaim",
    "photonPersistentDisk",
    "portworxVolume",
    "projected",
    "quobyte",
    "rbd",
    "scaleIO",
    "secret",
    "storageos",
    "vsphereVolume",
];

/// A template that is merged over ours; `container` is the one that runs the trial.
pub(super) fn check_pod_template(template: &Node, key: &str, container: &str, report: &mut Report<'_>) {
    let Some(entries) = entries_of(template, key, report) else {
        return;
    };
    for entry in entries {
        let key = format!("{key}.{}", entry.key);
        match entry.key.as_str() {
            "metadata" => check_metadata(&entry.value, &key, report),
            "spec" => {
                check_pod_spec(&entry.value, &key, report);
                check_ours(&entry.value, &key, container, report);
            }
            _ => {
                let message = format!("the key `{}` is unknown", entry.key);
                report.problem(&entry.value, &key, message, "a pod template has `metadata` and `spec`");
            }
        }
    }
}

fn check_metadata(metadata: &Node, key: &str, report: &mut Report<'_>) {
    let Some(entries) = entries_of(metadata, key, report) else {
        return;
    };
    for entry in entries {
        let key = format!("{key}.{}", entry.key);
        let check_value: Check = match entry.key.as_str() {
            "labels" => names::label_value,
            "annotations" => |_| Ok(()),
            _ => {
                let message = format!("`{}` of a pod is not for a template to set", entry.key);
                report.problem(&entry.value, &key, message, "keep `labels` and `annotations`");
                continue;
            }
        };
        for entry in entries_of(&entry.value, &key, report).unwrap_or_default() {
            check_pair(entry, &key, check_value, report);
        }
    }
}

/// A label or an annotation; gives its text.
pub(super) fn check_pair<'a>(
    entry: &'a Entry,
    key: &str,
    check_value: Check,
    report: &mut Report<'_>,
) -> Option<&'a str> {
    let key = format!("{key}.{}", entry.key);
    if let Err(rule) = names::label_key(&entry.key) {
        let message = format!("`{}` cannot be the key of a label", entry.key.escape_debug());
        report.problem(&entry.value, &key, message, rule);
    }
    let Value::String(text) = &entry.value.value else {
        let message = format!("a text is expected, found {}", entry.value.describe());
        report.problem(&entry.value, &key, message, "put it in quotes to make it a text");
        return None;
    };
    if let Err(rule) = check_value(text) {
        let message = format!("`{}` cannot be the value of a label", text.escape_debug());
        report.problem(&entry.value, &key, message, rule);
    }
    Some(text)
}

/// Containers, volumes and types of a pod's specification, wherever it stands.
pub(super) fn check_pod_spec(spec: &Node, key: &str, report: &mut Report<'_>) {
    if entries_of(spec, key, report).is_none() {
        return;
    }
    for list in ["containers", "initContainers"] {
        let key = format!("{key}.{list}");
        for (at, item) in items_of(spec.get(list), &key, report).iter().enumerate() {
            let key = format!("{key}[{at}]");
            check_name(item, &key, "a container", report);
            typed::<Container>(item, &key, &[], report);
        }
        check_unique(spec.get(list), &key, "name", report);
    }
    check_volumes(spec.get("volumes"), &format!("{key}.volumes"), report);
    typed::<PodSpec>(spec, key, &["containers", "initContainers", "volumes"], report);
}

/// What a trial cannot do without, and so no template may change.
fn check_ours(spec: &Node, key: &str, container: &str, report: &mut Report<'_>) {
    if let Some(policy) = spec.get("restartPolicy") {
        report.problem(
            policy,
            &format!("{key}.restartPolicy"),
            "whether a container is started again is ours to decide: one that failed and was started in place would keep its \
             trial running for ever",
            "remove the key; `tsctl.retry` says how often a failed trial is repeated",
        );
    }
    refuse_directive(spec, key, report);
    let Some(Value::Seq(items)) = spec.get("containers").map(|list| &list.value) else {
        return;
    };
    for (at, item) in items.iter().enumerate() {
        if text(item, "name") != Some(container) {
            continue;
        }
        let key = format!("{key}.containers[{at}]");
        refuse_directive(item, &key, report);
        for ours in ["command", "args"] {
            if let Some(node) = item.get(ours) {
                report.problem(
                    node,
                    &format!("{key}.{ours}"),
                    format!(
                        "`{ours}` of the container `{container}` is ours: it starts the trial and reports its metrics"
                    ),
                    "write the command of the trial as `command` of its role",
                );
            }
        }
    }
}

fn refuse_directive(node: &Node, key: &str, report: &mut Report<'_>) {
    if let Some(directive) = node.get(DIRECTIVE) {
        report.problem(
            directive,
            &format!("{key}.{DIRECTIVE}"),
            "this would remove what the trial consists of",
            "remove the key; what the template says is merged into the pod",
        );
    }
}

/// Volumes: named, unlike, of a known kind. Gives their names.
pub(super) fn check_volumes(list: Option<&Node>, key: &str, report: &mut Report<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (at, item) in items_of(list, key, report).iter().enumerate() {
        let key = format!("{key}[{at}]");
        found.extend(check_name(item, &key, "a volume", report));
        let mut unknown = Vec::new();
        for entry in item.entries().unwrap_or_default() {
            if entry.key != "name" && !entry.key.starts_with('$') && !VOLUME_SOURCES.contains(&entry.key.as_str()) {
                let help = match nearest(&entry.key, VOLUME_SOURCES.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "a volume is a `persistentVolumeClaim`, an `emptyDir`, a `hostPath`, …".to_owned(),
                };
                let message = format!("a volume cannot be of the kind `{}`", entry.key);
                report.problem(&entry.value, &format!("{key}.{}", entry.key), message, help);
                unknown.push(entry.key.as_str());
            }
        }
        typed::<Volume>(item, &key, &unknown, report);
    }
    check_unique(list, key, "name", report);
    found
}

/// Mounts of a container: named, at unlike absolute paths.
pub(super) fn check_mounts(list: Option<&Node>, key: &str, report: &mut Report<'_>) {
    for (at, item) in items_of(list, key, report).iter().enumerate() {
        let key = format!("{key}[{at}]");
        check_name(item, &key, "a volume", report);
        match item.get("mountPath").map(|path| (path, &path.value)) {
            Some((node, Value::String(path))) => {
                if let Err(rule) = names::mount_path(path) {
                    let message = format!("`{}` cannot be where a volume is mounted", path.escape_debug());
                    report.problem(node, &format!("{key}.mountPath"), message, rule);
                }
            }
            Some(_) => {} // The types tell.
            None => report.problem(
                item,
                &key,
                "the key `mountPath` is missing",
                "say where the container sees the volume",
            ),
        }
        typed::<VolumeMount>(item, &key, &[], report);
    }
    check_unique(list, key, "mountPath", report);
}

/// Tolerations of taints.
///
/// Source: kubernetes v1.20, `pkg/apis/core/validation/validation.go`, `ValidateTolerations`; newer versions compare numbers too.
pub(super) fn check_tolerations(list: Option<&Node>, key: &str, report: &mut Report<'_>) {
    const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
    const OPERATORS: [&str; 4] = ["Exists", "Equal", "Lt", "Gt"];
    for (at, item) in items_of(list, key, report).iter().enumerate() {
        let key = format!("{key}[{at}]");
        typed::<Toleration>(item, &key, &[], report);
        let text = |name| text(item, name);
        for (name, allowed) in [("effect", &EFFECTS[..]), ("operator", &OPERATORS[..])] {
            if let Some(given) = text(name).filter(|given| !allowed.contains(given)) {
                let list = allowed.iter().map(|a| format!("`{a}`")).collect::<Vec<_>>().join(", ");
                let message = format!("`{}` is none of {list}", given.escape_debug());
                let help = nearest(given, allowed.iter().copied()).unwrap_or(allowed[0]);
                report.problem(item, &format!("{key}.{name}"), message, format!("write, say, `{help}`"));
            }
        }
        let tolerates_all = text("operator") == Some("Exists");
        if let Some(given) = text("key").filter(|given| !given.is_empty()) {
            if let Err(rule) = names::label_key(given) {
                let message = format!("`{}` cannot be the key of a taint", given.escape_debug());
                report.problem(item, &format!("{key}.key"), message, rule);
            }
        } else if item.entries().is_some() && !tolerates_all {
            report.problem(
                item,
                &key,
                "a toleration without `key` must have `operator: Exists`",
                "name the taint's key, or add `operator: Exists` to tolerate every taint",
            );
        }
        if tolerates_all && text("value").is_some_and(|value| !value.is_empty()) {
            let help = "remove `value`, or write `operator: Equal`";
            report.problem(item, &key, "`operator: Exists` goes without `value`", help);
        }
        if item.get("tolerationSeconds").is_some_and(|node| !node.is_null()) && text("effect") != Some("NoExecute") {
            let help = "add `effect: NoExecute`, or remove `tolerationSeconds`";
            report.problem(item, &key, "`tolerationSeconds` needs `effect: NoExecute`", help);
        }
    }
}

/// The text at a key of a map.
pub(super) fn text<'a>(item: &'a Node, key: &str) -> Option<&'a str> {
    match &item.get(key)?.value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// The entries of a map. `None` for null, and for something else, which is reported.
pub(super) fn entries_of<'a>(node: &'a Node, key: &str, report: &mut Report<'_>) -> Option<&'a [Entry]> {
    let entries = node.entries();
    if entries.is_none() && !node.is_null() {
        let message = format!("a map of keys and values is expected, found {}", node.describe());
        report.problem(node, key, message, "write one `key: value` a line");
    }
    entries
}

/// The items of a list, each a map. Something else is reported.
pub(super) fn items_of<'a>(list: Option<&'a Node>, key: &str, report: &mut Report<'_>) -> &'a [Node] {
    let Some(list) = list.filter(|list| !list.is_null()) else {
        return &[];
    };
    let Value::Seq(items) = &list.value else {
        let message = format!("a list is expected, found {}", list.describe());
        report.problem(list, key, message, "write one `- …` an item");
        return &[];
    };
    for (at, item) in items.iter().enumerate() {
        if item.entries().is_none() {
            let message = format!("a map of keys and values is expected, found {}", item.describe());
            report.problem(item, &format!("{key}[{at}]"), message, "write one `key: value` a line");
        }
    }
    items
}

/// The name of an item, by which it is merged.
fn check_name(item: &Node, key: &str, what: &str, report: &mut Report<'_>) -> Option<String> {
    item.entries()?;
    match item.get("name").map(|name| (name, &name.value)) {
        Some((node, Value::String(name))) => {
            if let Err(rule) = names::dns_label(name) {
                let message = format!("`{}` cannot be the name of {what}", name.escape_debug());
                report.problem(node, &format!("{key}.name"), message, rule);
            }
            Some(name.clone())
        }
        Some((node, _)) => {
            let message = format!("a text is expected, found {}", node.describe());
            report.problem(
                node,
                &format!("{key}.name"),
                message,
                "put it in quotes to make it a text",
            );
            None
        }
        None => {
            report.problem(item, key, "the key `name` is missing", format!("name {what}"));
            None
        }
    }
}

/// Reports the second of two items that have the same value at `field`.
fn check_unique(list: Option<&Node>, key: &str, field: &str, report: &mut Report<'_>) {
    let Some(Value::Seq(items)) = list.map(|list| &list.value) else {
        return;
    };
    for (at, item) in items.iter().enumerate() {
        let Some(value) = item.get(field).map(|node| &node.value) else {
            continue;
        };
        let is_twice = items[..at]
            .iter()
            .any(|other| other.get(field).map(|node| &node.value) == Some(value));
        if let Value::String(text) = value
            && is_twice
        {
            let message = format!("`{}` is listed twice", text.escape_debug());
            report.problem(item, &format!("{key}[{at}].{field}"), message, "remove one of the two");
        }
    }
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
