//! The rules of one container: name, image, environment, mounts, ports, resources.
//!
//! Source: kubernetes v1.20, `validateContainers` and `ValidateResourceRequirements` in `pkg/apis/core/validation/validation.go`.

use super::super::failure::Cause;
use super::super::names;
use super::super::quantity::Quantity;
use super::{list, text};
use serde_json::Value;

pub(super) fn check(container: &Value, path: &str, volumes: &[String], causes: &mut Vec<Cause>) {
    if text(container, "image").is_empty() {
        causes.push(Cause::required(format!("{path}.image"), ""));
    }
    for (index, port) in list(container, "ports") {
        ports(port, &format!("{path}.ports[{index}]"), causes);
    }
    for (index, variable) in list(container, "env") {
        environment(variable, &format!("{path}.env[{index}]"), causes);
    }
    let mut taken: Vec<&str> = Vec::new();
    for (index, mount) in list(container, "volumeMounts") {
        let at = format!("{path}.volumeMounts[{index}]");
        let (name, place) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            causes.push(Cause::required(format!("{at}.name"), ""));
        } else if !volumes.iter().any(|volume| volume == name) {
            causes.push(Cause::not_found(format!("{at}.name"), name));
        }
        if place.is_empty() {
            causes.push(Cause::required(format!("{at}.mountPath"), ""));
        } else if taken.contains(&place) {
            causes.push(Cause::text(format!("{at}.mountPath"), place, "must be unique"));
        }
        taken.push(place);
        let inside = text(mount, "subPath");
        if inside.starts_with('/') {
            causes.push(Cause::text(format!("{at}.subPath"), inside, "must be a relative path"));
        } else if inside.split('/').any(|part| part == "..") {
            causes.push(Cause::text(format!("{at}.subPath"), inside, "must not contain '..'"));
        }
    }
    let policy = text(container, "imagePullPolicy");
    let known = ["Always", "IfNotPresent", "Never"];
    if !known.contains(&policy) {
        causes.push(Cause::not_supported(format!("{path}.imagePullPolicy"), policy, &known));
    }
    resources(&container["resources"], &format!("{path}.resources"), causes);
}

fn ports(port: &Value, path: &str, causes: &mut Vec<Cause>) {
    match port["containerPort"].as_i64().unwrap_or_default() {
        0 => causes.push(Cause::required(format!("{path}.containerPort"), "")),
        1..=65535 => {}
        number => {
            causes.push(Cause::invalid(
                format!("{path}.containerPort"),
                number,
                "must be between 1 and 65535, inclusive",
            ));
        }
    }
    let protocol = text(port, "protocol");
    let known = ["SCTP", "TCP", "UDP"];
    if !known.contains(&protocol) {
        causes.push(Cause::not_supported(format!("{path}.protocol"), protocol, &known));
    }
}

fn environment(variable: &Value, path: &str, causes: &mut Vec<Cause>) {
    let name = text(variable, "name");
    if name.is_empty() {
        causes.push(Cause::required(format!("{path}.name"), ""));
    } else {
        causes.extend(
            names::env_name(name)
                .iter()
                .map(|why| Cause::text(format!("{path}.name"), name, why)),
        );
    }
    if variable.get("valueFrom").is_some() && !text(variable, "value").is_empty() {
        let why = "may not be specified when `value` is not empty";
        causes.push(Cause::text(format!("{path}.valueFrom"), "", why));
    }
}

/// Names of resources that need no prefix.
fn standard(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")
}

/// Resources with a prefix of their own, such as `nvidia.com/gpu`: whole, and never promised twice.
fn extended(name: &str) -> bool {
    name.split_once('/')
        .is_some_and(|(prefix, _)| prefix != "kubernetes.io" && !prefix.ends_with(".kubernetes.io"))
}

fn resources(resources: &Value, path: &str, causes: &mut Vec<Cause>) {
    let amounts = |side: &str| resources[side].as_object().cloned().unwrap_or_default();
    let parse = |amount: &Value| amount.as_str().and_then(Quantity::parse);
    let (limits, requests) = (amounts("limits"), amounts("requests"));
    for (name, amount) in &limits {
        amount_rules(name, amount, &format!("{path}.limits[{name}]"), causes);
    }
    for (name, amount) in &requests {
        amount_rules(name, amount, &format!("{path}.requests[{name}]"), causes);
        let shown = amount.as_str().unwrap_or_default();
        match (limits.get(name).map(parse), parse(amount)) {
            (Some(limit), request) if extended(name) && limit != request => {
                let why = format!("must be equal to {name} limit");
                causes.push(Cause::text(format!("{path}.requests"), shown, &why));
            }
            (Some(limit), request) if request > limit => {
                let why = format!("must be less than or equal to {name} limit");
                causes.push(Cause::text(format!("{path}.requests"), shown, &why));
            }
            (None, _) if extended(name) => {
                let why = "Limit must be set for non overcommitable resources";
                causes.push(Cause::required(format!("{path}.limits"), why));
            }
            _ => {}
        }
    }
}

fn amount_rules(name: &str, amount: &Value, path: &str, causes: &mut Vec<Cause>) {
    if !standard(name) && !name.contains('/') {
        causes.push(Cause::text(
            path,
            name,
            "must be a standard resource type or fully qualified",
        ));
        causes.push(Cause::text(path, name, "must be a standard resource for containers"));
        return;
    }
    causes.extend(names::label_key(name).iter().map(|why| Cause::text(path, name, why)));
    let shown = amount.as_str().unwrap_or_default();
    let Some(quantity) = Quantity::parse(shown) else { return };
    if quantity < Quantity::ZERO {
        causes.push(Cause::text(path, shown, "must be greater than or equal to 0"));
    } else if extended(name) && !quantity.is_whole() {
        causes.push(Cause::text(path, shown, "must be an integer"));
    }
}
