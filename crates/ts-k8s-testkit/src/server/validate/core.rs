//! The rules of the small kinds: config maps, secrets, services, claims, events, quotas.
//!
//! Source: kubernetes v1.20, `pkg/apis/core/validation/validation.go`; compared with answers of kube-apiserver v1.20.2.

use super::super::failure::Cause;
use super::super::kinds::Kind;
use super::super::names;
use super::super::quantity::Quantity;
use super::{list, text};
use base64::Engine as _;
use serde_json::Value;

/// Most bytes of the data of one object.
const MOST_DATA: usize = 1 << 20;

fn decoded_length(value: &Value) -> usize {
    let text = value.as_str().unwrap_or_default();
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_or(0, |bytes| bytes.len())
}

fn keys(object: &Value, field: &str, causes: &mut Vec<Cause>) {
    for key in object[field].as_object().into_iter().flat_map(|all| all.keys()) {
        causes.extend(
            names::config_key(key)
                .iter()
                .map(|why| Cause::text(format!("{field}[{key}]"), key, why)),
        );
    }
}

pub(super) fn config_map(object: &Value, causes: &mut Vec<Cause>) {
    keys(object, "data", causes);
    keys(object, "binaryData", causes);
    let texts = object["data"].as_object().into_iter().flat_map(|all| all.values());
    let bytes = object["binaryData"]
        .as_object()
        .into_iter()
        .flat_map(|all| all.values());
    let size = texts
        .map(|text| text.as_str().unwrap_or_default().len())
        .chain(bytes.map(decoded_length))
        .sum::<usize>();
    if size > MOST_DATA {
        causes.push(Cause::too_long("[]", MOST_DATA));
    }
}

pub(super) fn secret(object: &Value, causes: &mut Vec<Cause>) {
    keys(object, "data", causes);
    let size: usize = object["data"]
        .as_object()
        .into_iter()
        .flat_map(|all| all.values())
        .map(decoded_length)
        .sum();
    if size > MOST_DATA {
        causes.push(Cause::too_long("data", MOST_DATA));
    }
    let needed: &[&str] = match text(object, "type") {
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        _ => &[],
    };
    for key in needed {
        let field = format!("data[{key}]");
        match object["data"].get(*key).and_then(Value::as_str) {
            None => causes.push(Cause::required(field, "")),
            Some(value) if key.ends_with("dockerconfigjson") => {
                let bytes = base64::engine::general_purpose::STANDARD
                    .decode(value)
                    .unwrap_or_default();
                if serde_json::from_slice::<Value>(&bytes).is_err() {
                    causes.push(Cause::text(
                        field,
                        "<secret contents redacted>",
                        "invalid character in JSON",
                    ));
                }
            }
            Some(_) => {}
        }
    }
}

pub(super) fn service(object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    let headless = text(spec, "clusterIP") == "None";
    if list(spec, "ports").next().is_none() && !headless && text(spec, "type") != "ExternalName" {
        causes.push(Cause::required("spec.ports", ""));
    }
    let many = list(spec, "ports").count() > 1;
    for (index, port) in list(spec, "ports") {
        if many && text(port, "name").is_empty() {
            causes.push(Cause::required(format!("spec.ports[{index}].name"), ""));
        }
        let number = port["port"].as_i64().unwrap_or_default();
        if !(1..=65535).contains(&number) {
            let why = "must be between 1 and 65535, inclusive";
            causes.push(Cause::invalid(format!("spec.ports[{index}].port"), number, why));
        }
    }
}

pub(super) fn claim(object: &Value, causes: &mut Vec<Cause>) {
    if list(&object["spec"], "accessModes").next().is_none() {
        causes.push(Cause::required(
            "spec.accessModes",
            "at least 1 access mode is required",
        ));
    }
    if object["spec"]["resources"]["requests"].get("storage").is_none() {
        causes.push(Cause::required("spec.resources[storage]", ""));
    }
}

pub(super) fn event(object: &Value, causes: &mut Vec<Cause>) {
    let (involved, namespace) = (
        text(&object["involvedObject"], "namespace"),
        text(&object["metadata"], "namespace"),
    );
    // What has no namespace is told about in the default one.
    if involved != namespace && !(involved.is_empty() && namespace == "default") {
        causes.push(Cause::text(
            "involvedObject.namespace",
            involved,
            "does not match event.namespace",
        ));
    }
}

pub(super) fn quota(object: &Value, causes: &mut Vec<Cause>) {
    for (name, amount) in object["spec"]["hard"].as_object().into_iter().flatten() {
        let field = format!("spec.hard[{name}]");
        let shown = amount.as_str().unwrap_or_default();
        if Quantity::parse(shown).is_some_and(|amount| amount < Quantity::ZERO) {
            causes.push(Cause::text(field, shown, "must be greater than or equal to 0"));
        }
    }
}

/// A secret keeps its type; what is marked immutable keeps its data.
pub(super) fn check_data_update(kind: &Kind, old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    if kind.is("Secret") && old["type"] != new["type"] {
        causes.push(Cause::text("type", text(new, "type"), "field is immutable"));
    }
    if old["immutable"] == true {
        if new["immutable"] != true {
            causes.push(Cause::forbidden(
                "immutable",
                "field is immutable when `immutable` is set",
            ));
        }
        for field in ["data", "binaryData"] {
            if old[field] != new[field] {
                causes.push(Cause::forbidden(field, "field is immutable when `immutable` is set"));
            }
        }
    }
}
