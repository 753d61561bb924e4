//! The rules of pods and of the templates of pods: containers, volumes, policies, and what of a pod may change.
//!
//! Source: kubernetes v1.20, `ValidatePodSpec`, `ValidateVolumes` and `ValidatePodUpdate` in
//! `pkg/apis/core/validation/validation.go`.

use super::super::failure::Cause;
use super::super::names;
use super::{container, list, meta, text};
use serde_json::{Value, json};

pub(super) fn check(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let volumes = volumes(spec, path, causes);
    let mut taken: Vec<&str> = Vec::new();
    if list(spec, "containers").next().is_none() {
        causes.push(Cause::required(format!("{path}.containers"), ""));
    }
    for field in ["containers", "initContainers"] {
        for (index, one) in list(spec, field) {
            let at = format!("{path}.{field}[{index}]");
            let name = text(one, "name");
            if name.is_empty() {
                causes.push(Cause::required(format!("{at}.name"), ""));
            } else if taken.contains(&name) {
                causes.push(Cause::duplicate(format!("{at}.name"), name));
            } else {
                causes.extend(
                    names::dns_label(name)
                        .iter()
                        .map(|why| Cause::text(format!("{at}.name"), name, why)),
                );
            }
            taken.push(name);
            container::check(one, &at, &volumes, causes);
        }
    }
    policies(spec, path, causes);
    meta::labels(&spec["nodeSelector"], &format!("{path}.nodeSelector"), causes);
}

fn policies(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let known: [(&str, &[&str]); 2] = [
        ("restartPolicy", &["Always", "OnFailure", "Never"]),
        (
            "dnsPolicy",
            &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
        ),
    ];
    for (field, known) in known {
        let value = text(spec, field);
        if !known.contains(&value) {
            causes.push(Cause::not_supported(format!("{path}.{field}"), value, known));
        }
    }
    if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64()
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        let why = "must be between 1 and 2147483647, inclusive";
        causes.push(Cause::invalid(format!("{path}.activeDeadlineSeconds"), seconds, why));
    }
    for (index, one) in list(spec, "tolerations") {
        let at = format!("{path}.tolerations[{index}]");
        let operator = text(one, "operator");
        match operator {
            "" | "Equal" => {}
            "Exists" if text(one, "value").is_empty() => {}
            "Exists" => causes.push(Cause::invalid(
                format!("{at}.operator"),
                one,
                "value must be empty when `operator` is 'Exists'",
            )),
            other => causes.push(Cause::not_supported(
                format!("{at}.operator"),
                other,
                &["Equal", "Exists"],
            )),
        }
        if text(one, "key").is_empty() && operator != "Exists" {
            causes.push(Cause::text(
                format!("{at}.operator"),
                operator,
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            ));
        }
    }
    for (index, secret) in list(spec, "imagePullSecrets") {
        if text(secret, "name").is_empty() {
            causes.push(Cause::required(format!("{path}.imagePullSecrets[{index}].name"), ""));
        }
    }
}

/// What a volume's source cannot do without.
const NEEDED: &[(&str, &[&str])] = &[
    ("nfs", &["server", "path"]),
    ("hostPath", &["path"]),
    ("secret", &["secretName"]),
    ("configMap", &["name"]),
    ("persistentVolumeClaim", &["claimName"]),
    ("azureFile", &["secretName", "shareName"]),
];

fn volumes(spec: &Value, path: &str, causes: &mut Vec<Cause>) -> Vec<String> {
    let mut known: Vec<String> = Vec::new();
    for (index, volume) in list(spec, "volumes") {
        let at = format!("{path}.volumes[{index}]");
        let sources: Vec<&String> = volume
            .as_object()
            .into_iter()
            .flat_map(|all| all.keys())
            .filter(|key| *key != "name")
            .collect();
        for more in sources.iter().skip(1) {
            causes.push(Cause::forbidden(
                format!("{at}.{more}"),
                "may not specify more than 1 volume type",
            ));
        }
        for (source, fields) in NEEDED.iter().filter(|(source, _)| volume.get(source).is_some()) {
            for field in fields.iter().filter(|field| text(&volume[source], field).is_empty()) {
                causes.push(Cause::required(format!("{at}.{source}.{field}"), ""));
            }
        }
        let export = volume["nfs"].get("path").and_then(Value::as_str).unwrap_or("/");
        if !export.is_empty() && !export.starts_with('/') {
            causes.push(Cause::text(
                format!("{at}.nfs.path"),
                export,
                "must be an absolute path",
            ));
        }
        let name = text(volume, "name");
        if name.is_empty() {
            causes.push(Cause::required(format!("{at}.name"), ""));
            continue;
        }
        causes.extend(
            names::dns_label(name)
                .iter()
                .map(|why| Cause::text(format!("{at}.name"), name, why)),
        );
        if known.iter().any(|one| one == name) {
            causes.push(Cause::duplicate(format!("{at}.name"), name));
        }
        known.push(name.to_owned());
    }
    known
}

/// A pod's specification stays as it is, but for images, the deadline and more tolerations.
pub(super) fn check_update(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    let mut allowed = new["spec"].clone();
    for field in ["containers", "initContainers"] {
        for (index, one) in list(&old["spec"], field) {
            if let Some(container) = allowed.pointer_mut(&format!("/{field}/{index}")) {
                container["image"] = one["image"].clone();
            }
        }
    }
    let before: Vec<&Value> = list(&old["spec"], "tolerations").map(|(_, one)| one).collect();
    let after: Vec<&Value> = list(&new["spec"], "tolerations").map(|(_, one)| one).collect();
    let mut settled = old["spec"].clone();
    if before.iter().all(|one| after.contains(one)) {
        allowed["tolerations"] = json!(null);
        settled["tolerations"] = json!(null);
    }
    allowed["activeDeadlineSeconds"] = json!(null);
    settled["activeDeadlineSeconds"] = json!(null);
    if allowed != settled {
        let why = "pod updates may not change fields other than `spec.containers[*].image`, \
                   `spec.initContainers[*].image`, `spec.activeDeadlineSeconds` or `spec.tolerations` (only additions to \
                   existing tolerations)";
        causes.push(Cause::forbidden("spec", why));
    }
}
