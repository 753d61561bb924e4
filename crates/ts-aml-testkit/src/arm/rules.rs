//! What a command job must look like, and what of it may change.
//!
//! Source: Azure/azure-rest-api-specs, `stable/2024-10-01/mfe.json`, `CommandJob` and what it is made of; "Manage and increase
//! quotas and limits for resources with Azure Machine Learning", Microsoft Learn, for the numbers.

use super::asset::{is_name, refuse_unknown, user_error};
use crate::{reply::Reply, shared::Shared, world::World};
use serde_json::{Map, Value};

/// Properties of a command job. The last ones are read-only and left out.
pub(super) const PROPERTIES: &[&str] = &[
    "jobType",
    "command",
    "environmentId",
    "codeId",
    "computeId",
    "componentId",
    "experimentName",
    "displayName",
    "description",
    "tags",
    "properties",
    "environmentVariables",
    "resources",
    "distribution",
    "limits",
    "identity",
    "inputs",
    "outputs",
    "services",
    "queueSettings",
    "notificationSetting",
    "secretsConfiguration",
    "autologgerSettings",
    "isArchived",
    "status",
    "parameters",
];
/// What cannot be changed by a second PUT.
const FIXED: &[&str] = &[
    "jobType",
    "command",
    "environmentId",
    "codeId",
    "computeId",
    "experimentName",
    "environmentVariables",
    "resources",
    "distribution",
    "limits",
    "inputs",
    "outputs",
    "queueSettings",
];

/// Checks a job's properties, and gives the name of its compute target.
pub(super) fn check(shared: &Shared, world: &World, properties: &Map<String, Value>) -> Result<String, Reply> {
    let text = |name: &str| properties.get(name).and_then(Value::as_str).unwrap_or_default();
    match text("jobType") {
        "Command" => {}
        "" => return Err(user_error("The property 'jobType' is required.")),
        other => return Err(user_error(format!("Jobs of type '{other}' are not served here."))),
    }
    if text("command").trim().is_empty() {
        return Err(user_error("The property 'command' is required and must not be empty."));
    }
    if !text("command").contains(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        return Err(user_error(
            "The property 'command' does not match the regular expression '[a-zA-Z0-9_]'.",
        ));
    }
    let environment = versioned(shared, "environmentId", "environments", text("environmentId"))?;
    let environment = environment.ok_or_else(|| user_error("The property 'environmentId' is required."))?;
    if !world.environments.contains_key(&environment) {
        let text = format!("Environment {}:{} was not found.", environment.0, environment.1);
        return Err(user_error(text));
    }
    if let Some(code) = versioned(shared, "codeId", "codes", text("codeId"))?
        && !world.codes.contains_key(&code)
    {
        return Err(user_error(format!("Code {}:{} was not found.", code.0, code.1)));
    }
    let compute = compute(shared, text("computeId"))?;
    instance_type(shared, &compute, properties)?;
    let experiment = text("experimentName");
    if !experiment.is_empty() && !is_name(experiment) {
        return Err(user_error(format!("The experiment name '{experiment}' is invalid.")));
    }
    limits(properties, text("displayName"))?;
    parts(properties)?;
    references(properties, text("command"))?;
    Ok(compute)
}

/// Name and version of an id of Resource Manager. Names of types are matched without regard to case.
fn versioned(shared: &Shared, field: &str, kind: &str, id: &str) -> Result<Option<(String, String)>, Reply> {
    if id.is_empty() {
        return Ok(None);
    }
    let wrong = || {
        user_error(format!(
            "The {field} '{id}' is not the id of a resource of this workspace."
        ))
    };
    let rest = in_workspace(shared, id).ok_or_else(wrong)?;
    let parts: Vec<&str> = rest.split('/').collect();
    match parts[..] {
        [found, name, versions, version]
            if found.eq_ignore_ascii_case(kind) && versions.eq_ignore_ascii_case("versions") && is_name(version) =>
        {
            Ok(Some((name.to_owned(), version.to_owned())))
        }
        _ => Err(wrong()),
    }
}

/// What follows the workspace in an id.
fn in_workspace<'a>(shared: &Shared, id: &'a str) -> Option<&'a str> {
    let scope = shared.scope();
    let head = id.get(..scope.len())?;
    head.eq_ignore_ascii_case(&scope)
        .then(|| id[scope.len()..].strip_prefix('/'))?
}

fn compute(shared: &Shared, id: &str) -> Result<String, Reply> {
    // Without one the job is serverless, which has no limit here.
    if id.is_empty() {
        return Ok(String::new());
    }
    let rest = in_workspace(shared, id).unwrap_or_default();
    let name = match rest.split_once('/') {
        Some((kind, name)) if kind.eq_ignore_ascii_case("computes") => name,
        _ => {
            return Err(user_error(format!(
                "The computeId '{id}' is not the id of a compute of this workspace."
            )));
        }
    };
    let found = shared
        .setting
        .computes
        .iter()
        .find(|one| one.name.eq_ignore_ascii_case(name));
    let found = found.ok_or_else(|| user_error(format!("Unknown compute target '{name}'.")))?;
    Ok(found.name.clone())
}

/// Source: "CLI (v2) command job YAML schema", `resources.instance_type`, Microsoft Learn: for Kubernetes computes. What the service
/// says of others could not be looked up; refusing them is a guess.
fn instance_type(shared: &Shared, compute: &str, properties: &Map<String, Value>) -> Result<(), Reply> {
    let wanted = properties
        .get("resources")
        .and_then(|resources| resources["instanceType"].as_str());
    let (Some(wanted), Some(compute)) = (wanted, shared.setting.computes.iter().find(|one| one.name == compute)) else {
        return Ok(());
    };
    if compute.instance_types.iter().any(|(name, _)| name == wanted) {
        return Ok(());
    }
    let text = format!(
        "The instance type '{wanted}' is not available on the compute target '{}'.",
        compute.name
    );
    Err(user_error(text))
}

fn limits(properties: &Map<String, Value>, display_name: &str) -> Result<(), Reply> {
    if display_name.len() > 256 {
        return Err(user_error("The displayName is longer than 256 characters."));
    }
    for (field, what) in [("tags", "tag"), ("properties", "property")] {
        let Some(map) = properties.get(field).and_then(Value::as_object) else {
            continue;
        };
        if map.len() > 50 {
            return Err(user_error(format!(
                "A run can have 50 {field}, and {} were given.",
                map.len()
            )));
        }
        for (key, value) in map {
            let length = value.as_str().unwrap_or_default().chars().count();
            if key.chars().count() > 100 || length > 1000 {
                let text = format!("The {what} '{key}' is too long: a key can have 100 characters, a value 1000.");
                return Err(user_error(text));
            }
        }
    }
    Ok(())
}

fn parts(properties: &Map<String, Value>) -> Result<(), Reply> {
    let part = |name: &str, known: &[&str]| -> Result<Option<&Map<String, Value>>, Reply> {
        let Some(value) = properties.get(name) else {
            return Ok(None);
        };
        let object = value.as_object();
        let object = object.ok_or_else(|| user_error(format!("The value of '{name}' must be an object.")))?;
        refuse_unknown(&format!("properties.{name}."), object, known)?;
        Ok(Some(object))
    };
    if let Some(resources) = part(
        "resources",
        &[
            "instanceCount",
            "instanceType",
            "shmSize",
            "dockerArgs",
            "dockerArgsList",
            "properties",
            "locations",
            "maxInstanceCount",
        ],
    )? {
        let shm = resources.get("shmSize").and_then(Value::as_str);
        if let Some(size) = shm.filter(|size| !is_shm_size(size)) {
            let text = format!("The shmSize '{size}' does not match the regular expression '\\d+[bBkKmMgG]'.");
            return Err(user_error(text));
        }
        let count = resources.get("instanceCount").filter(|count| !count.is_null());
        if count.is_some_and(|count| count.as_u64().is_none_or(|count| count == 0)) {
            return Err(user_error("The instanceCount must be at least 1."));
        }
    }
    if let Some(limits) = part("limits", &["jobLimitsType", "timeout"])? {
        if limits.get("jobLimitsType").and_then(Value::as_str) != Some("Command") {
            return Err(user_error("The jobLimitsType must be 'Command'."));
        }
        let timeout = limits.get("timeout").filter(|value| !value.is_null());
        if let Some(value) = timeout {
            let seconds = value.as_str().and_then(timeout_seconds);
            seconds
                .ok_or_else(|| user_error(format!("The timeout {value} is not an ISO 8601 duration in seconds.")))?;
        }
    }
    if let Some(distribution) = part(
        "distribution",
        &[
            "distributionType",
            "processCountPerInstance",
            "workerCount",
            "parameterServerCount",
        ],
    )? {
        let kind = distribution
            .get("distributionType")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if !["PyTorch", "Mpi", "TensorFlow"].contains(&kind) {
            return Err(user_error(format!("The distributionType '{kind}' is not known.")));
        }
    }
    if let Some(identity) = part("identity", &["identityType", "clientId", "objectId", "resourceId"])? {
        let kind = identity.get("identityType").and_then(Value::as_str).unwrap_or_default();
        if !["AMLToken", "Managed", "UserIdentity"].contains(&kind) {
            return Err(user_error(format!("The identityType '{kind}' is not known.")));
        }
    }
    if let Some(queue) = part("queueSettings", &["jobTier", "priority"])? {
        let tier = queue.get("jobTier").and_then(Value::as_str).unwrap_or("Null");
        if !["Null", "Spot", "Basic", "Standard", "Premium"].contains(&tier) {
            return Err(user_error(format!("The jobTier '{tier}' is not known.")));
        }
    }
    Ok(())
}

/// Each `${{inputs.x}}` and `${{outputs.x}}` of the command is one of the job's, and what these are is known.
fn references(properties: &Map<String, Value>, command: &str) -> Result<(), Reply> {
    let empty = Map::new();
    let map = |name: &str| properties.get(name).and_then(Value::as_object).unwrap_or(&empty);
    // Source: `JobInputType` and `InputDeliveryMode`, `JobOutputType` and `OutputDeliveryMode` there. Kinds of models are left out.
    for (kind, field, types, modes) in [
        (
            "input",
            "jobInputType",
            "literal uri_file uri_folder mltable",
            "ReadOnlyMount ReadWriteMount Download Direct EvalMount EvalDownload",
        ),
        (
            "output",
            "jobOutputType",
            "uri_file uri_folder mltable",
            "ReadWriteMount Upload Direct",
        ),
    ] {
        for (name, value) in map(&format!("{kind}s")) {
            let found = value[field].as_str().unwrap_or_default();
            if !types.split(' ').any(|known| known == found) {
                return Err(user_error(format!(
                    "The {kind} '{name}' has the unknown {field} '{found}'."
                )));
            }
            let mode = value["mode"].as_str();
            if let Some(mode) = mode.filter(|mode| !modes.split(' ').any(|known| known == *mode)) {
                return Err(user_error(format!(
                    "The {kind} '{name}' has the unknown mode '{mode}'."
                )));
            }
            // Source: `AssetJobInput`, `required`.
            if kind == "input" && found != "literal" && value["uri"].as_str().is_none_or(str::is_empty) {
                return Err(user_error(format!("The input '{name}' has no uri.")));
            }
        }
    }
    let mut rest = command;
    while let Some(at) = rest.find("${{") {
        let Some(end) = rest[at..].find("}}") else { break };
        let expression = rest[at + 3..at + end].trim();
        let is_known = match expression.split_once('.') {
            Some(("inputs", name)) => map("inputs").contains_key(name),
            Some(("outputs", name)) => map("outputs").contains_key(name),
            _ => false,
        };
        if !is_known {
            let text =
                format!("The command refers to '{expression}', which is neither an input nor an output of the job.");
            return Err(user_error(text));
        }
        rest = &rest[at + end..];
    }
    Ok(())
}

fn is_shm_size(size: &str) -> bool {
    let digits = size.trim_end_matches(['b', 'B', 'k', 'K', 'm', 'M', 'g', 'G']);
    size.len() == digits.len() + 1 && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Seconds of a timeout.
pub(crate) fn timeout_seconds(text: &str) -> Option<u64> {
    if !text.starts_with('P') || text.contains('.') {
        return None;
    }
    let duration: jiff::SignedDuration = text.parse().ok()?;
    u64::try_from(duration.as_secs()).ok().filter(|seconds| *seconds > 0)
}

/// Whether a second PUT of a job changes only what may change.
///
/// Source: azure-ai-ml 1.35.2, `operations/_job_operations.py`, `create_or_update`, for `properties`; the schema for the rest.
pub(super) fn check_update(id: &str, known: &Value, new: &Map<String, Value>) -> Result<(), Reply> {
    for field in FIXED {
        if known[*field] != *new.get(*field).unwrap_or(&Value::Null) {
            let text = format!("Job {id} already exists, and its {field} cannot be changed.");
            return Err(user_error(text));
        }
    }
    let properties = new.get("properties").and_then(Value::as_object);
    for (key, value) in properties.into_iter().flatten() {
        let before = &known["properties"][key];
        if !before.is_null() && before != value {
            let text = format!("The property '{key}' of job {id} exists already and cannot be changed.");
            return Err(user_error(text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_shared_memory() {
        for good in ["2g", "512M", "1b", "10K"] {
            assert!(is_shm_size(good), "{good}");
        }
        for bad in ["", "g", "2", "2gb", "2.5g", "-1g", "2 g", "2t"] {
            assert!(!is_shm_size(bad), "{bad}");
        }
    }

    #[test]
    fn timeouts() {
        assert_eq!(timeout_seconds("PT3600S"), Some(3600));
        assert_eq!(timeout_seconds("PT1H30M"), Some(5400));
        for bad in ["3600", "1h", "PT0S", "PT1.5S", "-PT5S", ""] {
            assert_eq!(timeout_seconds(bad), None, "{bad}");
        }
    }
}
