//! The rules of `metadata`, the same for all kinds but for the syntax of names.
//!
//! Source: kubernetes v1.20, `staging/src/k8s.io/apimachinery/pkg/api/validation/objectmeta.go`.

use super::super::failure::Cause;
use super::super::kinds::Kind;
use super::super::names;
use super::text;
use serde_json::Value;

/// Most bytes of all annotations together.
const MOST_ANNOTATIONS: usize = 256 << 10;

pub(super) fn check(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    let meta = &object["metadata"];
    let name = text(meta, "name");
    if name.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
    } else {
        let rule = match kind.kind.as_str() {
            "Service" if kind.is("Service") => names::dns_1035,
            "Namespace" if kind.is("Namespace") => names::dns_label,
            _ => names::dns_subdomain,
        };
        causes.extend(rule(name).iter().map(|why| Cause::text("metadata.name", name, why)));
    }
    labels(&meta["labels"], "metadata.labels", causes);
    let mut size = 0;
    for (key, value) in meta["annotations"].as_object().into_iter().flatten() {
        let wrong = names::label_key(&key.to_lowercase());
        causes.extend(wrong.iter().map(|why| Cause::text("metadata.annotations", key, why)));
        size += key.len() + value.as_str().unwrap_or_default().len();
    }
    if size > MOST_ANNOTATIONS {
        causes.push(Cause::too_long("metadata.annotations", MOST_ANNOTATIONS));
    }
    let known = ["kubernetes", "orphan", "foregroundDeletion"];
    for (index, finalizer) in meta["finalizers"].as_array().into_iter().flatten().enumerate() {
        let finalizer = finalizer.as_str().unwrap_or_default();
        if !finalizer.contains('/') && !known.contains(&finalizer) {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            causes.push(Cause::text(format!("metadata.finalizers[{index}]"), finalizer, why));
        }
    }
    owners(&meta["ownerReferences"], causes);
}

fn owners(references: &Value, causes: &mut Vec<Cause>) {
    let mut controller: Option<&str> = None;
    for owner in references.as_array().into_iter().flatten() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if text(owner, field).is_empty() {
                let name = if field == "apiVersion" { "version" } else { field };
                let path = format!("metadata.ownerReferences.{field}");
                causes.push(Cause::text(path, "", &format!("{name} must not be empty")));
            }
        }
        if owner["controller"] == true {
            if let Some(first) = controller {
                let why = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {}",
                    text(owner, "name")
                );
                causes.push(Cause::invalid("metadata.ownerReferences", references, &why));
            }
            controller = Some(text(owner, "name"));
        }
    }
}

/// Syntax of labels at a path.
pub(super) fn labels(labels: &Value, path: &str, causes: &mut Vec<Cause>) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        causes.extend(names::label_key(key).iter().map(|why| Cause::text(path, key, why)));
        let value = value.as_str().unwrap_or_default();
        causes.extend(
            names::label_value(value)
                .iter()
                .map(|why| Cause::text(path, value, why)),
        );
    }
}

pub(super) fn check_update(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    if old["metadata"].get("deletionTimestamp").is_none() {
        return;
    }
    let finalizers = |object: &Value| -> Vec<String> {
        object["metadata"]["finalizers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let before = finalizers(old);
    let added: Vec<String> = finalizers(new)
        .into_iter()
        .filter(|one| !before.contains(one))
        .collect();
    if !added.is_empty() {
        let shown: Vec<String> = added.iter().map(|one| format!("{one:?}")).collect();
        let why = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            shown.join(", ")
        );
        causes.push(Cause::forbidden("metadata.finalizers", &why));
    }
}
