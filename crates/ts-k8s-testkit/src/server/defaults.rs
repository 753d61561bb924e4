//! What the server fills in before it checks and stores an object of a kind of its own.
//!
//! Source: kubernetes v1.20, `pkg/apis/core/v1/defaults.go`, `pkg/apis/batch/v1/defaults.go`, the strategies in `pkg/registry`;
//! compared with answers of kube-apiserver v1.20.2.

use super::kinds::Kind;
use super::quantity;
use serde_json::{Value, json};

/// Fills in what is absent.
pub(crate) fn fill(kind: &Kind, object: &mut Value) {
    if kind.custom() {
        return;
    }
    match kind.kind.as_str() {
        "Pod" => {
            pod_spec(&mut object["spec"]);
            let spec = &mut object["spec"];
            default(spec, "enableServiceLinks", json!(true));
            default(spec, "serviceAccountName", json!("default"));
            spec["serviceAccount"] = spec["serviceAccountName"].clone();
        }
        "Job" => job(object),
        "Secret" => {
            default(object, "type", json!("Opaque"));
            secret_texts(object);
        }
        "Service" => service(object),
        "PersistentVolumeClaim" => default(&mut object["spec"], "volumeMode", json!("Filesystem")),
        "Namespace" => default(&mut object["spec"], "finalizers", json!(["kubernetes"])),
        "Event" => event(object),
        "LimitRange" => limit_range(object),
        _ => {}
    }
}

/// The status that a new object has, whatever its creator wrote.
pub(crate) fn first_status(kind: &Kind, object: &mut Value) {
    match kind.kind.as_str() {
        "Pod" => object["status"] = json!({"phase": "Pending", "qosClass": qos_class(&object["spec"])}),
        "Namespace" => object["status"] = json!({"phase": "Active"}),
        "PersistentVolumeClaim" => object["status"] = json!({"phase": "Pending"}),
        "Service" => object["status"] = json!({"loadBalancer": {}}),
        "Job" | "ResourceQuota" => object["status"] = json!({}),
        // A kubelet that registers writes the status of its node at once.
        _ => {}
    }
}

pub(crate) fn default(object: &mut Value, key: &str, value: Value) {
    if object.is_null() {
        *object = json!({});
    }
    if object.get(key).is_none_or(Value::is_null) {
        object[key] = value;
    }
}

fn pod_spec(spec: &mut Value) {
    default(spec, "restartPolicy", json!("Always"));
    default(spec, "terminationGracePeriodSeconds", json!(30));
    default(spec, "dnsPolicy", json!("ClusterFirst"));
    default(spec, "securityContext", json!({}));
    default(spec, "schedulerName", json!("default-scheduler"));
    for volume in spec
        .get_mut("volumes")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let sources = volume
            .as_object()
            .map_or(0, |fields| fields.len() - usize::from(fields.contains_key("name")));
        if sources == 0 {
            volume["emptyDir"] = json!({});
        }
        for source in ["secret", "configMap"] {
            if volume.get(source).is_some() {
                default(&mut volume[source], "defaultMode", json!(420));
            }
        }
    }
    let host_network = spec["hostNetwork"] == true;
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            fill_container(container, host_network);
        }
    }
}

fn fill_container(container: &mut Value, host_network: bool) {
    let image = container["image"].as_str().unwrap_or_default();
    let named = image.rsplit('/').next().unwrap_or_default();
    let latest = !image.contains('@') && (!named.contains(':') || named.ends_with(":latest"));
    default(
        container,
        "imagePullPolicy",
        json!(if latest { "Always" } else { "IfNotPresent" }),
    );
    default(container, "terminationMessagePath", json!("/dev/termination-log"));
    default(container, "terminationMessagePolicy", json!("File"));
    default(container, "resources", json!({}));
    for port in container
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        default(port, "protocol", json!("TCP"));
        if host_network && port.get("hostPort").is_none() {
            port["hostPort"] = port["containerPort"].clone();
        }
    }
    let resources = &mut container["resources"];
    for side in ["limits", "requests"] {
        for (_, amount) in resources
            .get_mut(side)
            .and_then(Value::as_object_mut)
            .into_iter()
            .flatten()
        {
            if let Some(canonical) = amount.as_str().and_then(quantity::canonical) {
                *amount = canonical.into();
            }
        }
    }
    // What is limited and not requested is requested as much.
    for (name, amount) in resources["limits"].as_object().cloned().into_iter().flatten() {
        if resources.get("requests").is_none() {
            resources["requests"] = json!({});
        }
        default(&mut resources["requests"], &name, amount);
    }
    if resources["limits"].is_null()
        && let Some(fields) = resources.as_object_mut()
    {
        fields.remove("limits");
    }
}

fn job(object: &mut Value) {
    let parallel = object["spec"].get("parallelism").is_none();
    let completions = object["spec"].get("completions").is_none();
    let spec = &mut object["spec"];
    if parallel && completions {
        spec["completions"] = json!(1);
    }
    default(spec, "parallelism", json!(1));
    default(spec, "backoffLimit", json!(6));
    pod_spec(&mut spec["template"]["spec"]);
}

/// The selector and labels that a new job gets from its uid.
///
/// Source: kubernetes v1.20, `generateSelector` in `pkg/registry/batch/job/strategy.go`.
pub(crate) fn job_selector(object: &mut Value) {
    if object["spec"]["manualSelector"] == true {
        return;
    }
    let (uid, name) = (object["metadata"]["uid"].clone(), object["metadata"]["name"].clone());
    let template = &mut object["spec"]["template"];
    default(template, "metadata", json!({}));
    default(&mut template["metadata"], "labels", json!({}));
    template["metadata"]["labels"]["controller-uid"] = uid.clone();
    template["metadata"]["labels"]["job-name"] = name;
    default(&mut object["spec"], "selector", json!({}));
    default(&mut object["spec"]["selector"], "matchLabels", json!({}));
    object["spec"]["selector"]["matchLabels"]["controller-uid"] = uid;
}

/// Without labels of its own, a job has those of its pods. It gets them after it was checked, when it is read from the store.
pub(crate) fn job_labels(object: &mut Value) {
    let labels = object["spec"]["template"]["metadata"]["labels"].clone();
    default(&mut object["metadata"], "labels", labels);
}

/// These are written though they are empty.
fn event(object: &mut Value) {
    default(object, "source", json!({}));
    for field in ["firstTimestamp", "lastTimestamp", "eventTime"] {
        default(object, field, Value::Null);
    }
    for field in ["reportingComponent", "reportingInstance"] {
        default(object, field, json!(""));
    }
}

/// The most is the limit by default, and that is what is requested by default, as is the least where there is neither.
fn limit_range(object: &mut Value) {
    for item in object["spec"]["limits"].as_array_mut().into_iter().flatten() {
        if item["type"] != "Container" {
            continue;
        }
        for (from, to) in [
            ("max", "default"),
            ("default", "defaultRequest"),
            ("min", "defaultRequest"),
        ] {
            for (resource, amount) in item.get(from).and_then(Value::as_object).cloned().into_iter().flatten() {
                default(item, to, json!({}));
                default(&mut item[to], &resource, amount);
            }
        }
    }
}

fn secret_texts(object: &mut Value) {
    use base64::Engine as _;
    let Some(texts) = object.as_object_mut().and_then(|fields| fields.remove("stringData")) else {
        return;
    };
    for (key, text) in texts.as_object().into_iter().flatten() {
        default(object, "data", json!({}));
        object["data"][key] = base64::engine::general_purpose::STANDARD
            .encode(text.as_str().unwrap_or_default())
            .into();
    }
}

fn service(object: &mut Value) {
    let spec = &mut object["spec"];
    default(spec, "type", json!("ClusterIP"));
    default(spec, "sessionAffinity", json!("None"));
    default(spec, "clusterIP", json!("10.0.0.1"));
    spec["clusterIPs"] = json!([spec["clusterIP"]]);
    for port in spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        default(port, "protocol", json!("TCP"));
        let number = port["port"].clone();
        default(port, "targetPort", number);
    }
}

/// Source: kubernetes v1.20, `pkg/apis/core/v1/helper/qos/qos.go`.
fn qos_class(spec: &Value) -> &'static str {
    let mut any = false;
    let mut guaranteed = true;
    for container in spec["containers"].as_array().into_iter().flatten() {
        let resources = &container["resources"];
        for name in ["cpu", "memory"] {
            let (limit, request) = (resources["limits"].get(name), resources["requests"].get(name));
            any |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && limit == request;
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// Fields that a server of an older minor version does not know, and when they came. Beta is when they are on without a switch.
///
/// Source: kubernetes `pkg/features/kube_features.go` and the API reference of each version.
const SINCE: &[(&str, &str, u32)] = &[
    ("Job", "/spec/suspend", 22),
    ("Job", "/spec/completionMode", 22),
    ("Job", "/spec/podFailurePolicy", 26),
    ("Job", "/spec/backoffLimitPerIndex", 29),
    ("Job", "/spec/maxFailedIndexes", 29),
    ("Job", "/spec/podReplacementPolicy", 29),
    ("Job", "/spec/successPolicy", 31),
    ("Job", "/spec/managedBy", 32),
    ("Job", "/status/ready", 24),
    ("Job", "/status/uncountedTerminatedPods", 22),
    ("Job", "/status/completedIndexes", 22),
    ("Job", "/status/failedIndexes", 29),
    ("Job", "/status/terminating", 29),
    ("Pod", "/spec/schedulingGates", 27),
    ("Pod", "/spec/os", 24),
];

/// Drops the fields that this minor version does not know.
pub(crate) fn drop_newer(kind: &Kind, minor: u32, object: &mut Value) {
    for (_, path, _) in SINCE.iter().filter(|(name, _, since)| kind.is(name) && minor < *since) {
        let Some((parent, field)) = path.rsplit_once('/') else {
            continue;
        };
        if let Some(fields) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
            fields.remove(field);
        }
    }
}
