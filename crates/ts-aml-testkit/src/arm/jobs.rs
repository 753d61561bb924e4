//! Command jobs: submission that can be repeated, lists by tag, cancel, removal.

use super::{
    asset::{self, user_error},
    rules,
};
use crate::{
    call::{Call, encode},
    clock,
    entra::tokens::Audience,
    life::{self, job::Job},
    reply::Reply,
    shared::Shared,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Creates a job, or changes the one with this name: never a second run.
pub(super) fn put(shared: &Arc<Shared>, call: &Call, id: &str) -> Result<Reply, Reply> {
    asset::check_name("job name", id)?;
    let mut properties = asset::properties(call, rules::PROPERTIES)?;
    for read_only in ["status", "parameters"] {
        properties.remove(read_only);
    }
    // An empty map says the same as none.
    properties.retain(|_, value| value.as_object().is_none_or(|map| !map.is_empty()));
    prune(&mut properties);
    asset::texts(&mut properties, &["tags", "properties", "environmentVariables"])?;
    check_identity(shared, call, &properties)?;
    let (reply, is_new) = shared.change(|world| -> Result<(Reply, bool), Reply> {
        let compute = rules::check(shared, world, &properties)?;
        let named = properties.get("experimentName").and_then(Value::as_str);
        let name = named.unwrap_or("Default").to_owned();
        properties.insert("experimentName".to_owned(), json!(name));
        if let Some(job) = world.job(id) {
            rules::check_update(id, &job.properties, &properties)?;
            let mut inner = job.map("properties");
            if let (Some(inner), Some(Value::Object(added))) = (inner.as_object_mut(), properties.get("properties")) {
                inner.extend(added.clone());
            }
            properties.insert("properties".to_owned(), inner);
            job.properties = Value::Object(properties);
            return Ok((Reply::json(200, &view(shared, job)), false));
        }
        let experiment_id = world.experiment(&name);
        let job = Job::new(shared, id, Value::Object(properties), compute, (name, experiment_id));
        let reply = Reply::json(201, &view(shared, &job));
        world.jobs.push(job);
        Ok((reply, true))
    })?;
    if is_new {
        life::begin(shared, id);
    }
    Ok(reply)
}

/// Nulls within say the same as absence.
fn prune(object: &mut Map<String, Value>) {
    object.retain(|_, value| !value.is_null());
    for value in object.values_mut() {
        if let Value::Object(inner) = value {
            prune(inner);
        }
    }
}

/// Source: azure-ai-ml 1.35.2, `operations/_job_operations.py`, `_set_headers_with_user_aml_token`.
fn check_identity(shared: &Shared, call: &Call, properties: &Map<String, Value>) -> Result<(), Reply> {
    let identity = properties.get("identity").map(|identity| &identity["identityType"]);
    if identity.is_none_or(|kind| kind != "UserIdentity") {
        return Ok(());
    }
    let token = call.header("x-azureml-token").unwrap_or_default();
    let is_good = shared.world().tokens.check(token, Audience::AzureMl).is_ok();
    is_good.then_some(()).ok_or_else(|| {
        user_error(
            "A job with the identity of its user needs a token for https://ml.azure.com in the header x-azureml-token.",
        )
    })
}

pub(super) fn get(shared: &Shared, id: &str) -> Result<Reply, Reply> {
    let mut world = shared.world();
    let job = world.job(id).ok_or_else(|| unknown(id))?;
    Ok(Reply::json(200, &view(shared, job)))
}

/// Newest first, a page at a time. A tag is matched by its key.
///
/// Source: Azure/azure-rest-api-specs, `stable/2024-10-01/mfe.json`, `Jobs_List`.
pub(super) fn list(shared: &Shared, call: &Call) -> Result<Reply, Reply> {
    let view_type = call.query("listViewType").unwrap_or("ActiveOnly");
    if !["ActiveOnly", "ArchivedOnly", "All"].contains(&view_type) {
        return Err(user_error(format!("The listViewType '{view_type}' is not known.")));
    }
    // The token of a page is the last name on the one before, so that new jobs do not move pages.
    let after = match call.query("$skip") {
        Some(token) => Some(
            token
                .strip_prefix("after.")
                .ok_or_else(|| user_error("The $skip token is invalid."))?,
        ),
        None => None,
    };
    let matches = |job: &&Job| {
        let is_archived = job.properties["isArchived"] == true;
        let is_seen = view_type == "All" || is_archived == (view_type == "ArchivedOnly");
        let kind = call.query("jobType").is_none_or(|kind| kind == "Command");
        let tag = call.query("tag").is_none_or(|tag| !job.map("tags")[tag].is_null());
        let property = call.query("properties").is_none_or(|asked| {
            let (key, value) = asked.split_once('=').unwrap_or((asked, ""));
            let found = &job.map("properties")[key];
            if value.is_empty() {
                !found.is_null()
            } else {
                found == value
            }
        });
        is_seen && kind && tag && property
    };
    let world = shared.world();
    let newest_first = world.jobs.iter().rev();
    let mut rest = newest_first.skip_while(|job| after.is_some_and(|after| job.id != after));
    if after.is_some() {
        rest.next();
    }
    let mut found = rest.filter(matches);
    let page: Vec<&Job> = found.by_ref().take(shared.setting.page_size).collect();
    let mut body = json!({"value": page.iter().map(|job| view(shared, job)).collect::<Vec<Value>>()});
    if let (Some(last), Some(_)) = (page.last(), found.next()) {
        let others = call.query.iter().filter(|(name, _)| name != "$skip");
        let mut query: Vec<String> = others
            .map(|(name, value)| format!("{name}={}", encode(value)))
            .collect();
        query.push(format!("$skip=after.{}", last.id));
        body["nextLink"] = json!(format!("{}{}/jobs?{}", shared.base, shared.scope(), query.join("&")));
    }
    Ok(Reply::json(200, &body))
}

/// Source: Azure/azure-rest-api-specs, `stable/2024-10-01/mfe.json`, `Jobs_Cancel`: 200, or 202 with `Location` and `Retry-After`.
pub(super) fn cancel(shared: &Shared, call: &Call, id: &str) -> Result<Reply, Reply> {
    let location = operation_url(shared, call, "jc", id);
    shared.change(|world| {
        let job = world.job(id).ok_or_else(|| unknown(id))?;
        match job.status.as_str() {
            "Finalizing" | "Completed" | "Failed" | "Canceled" => Err(user_error(format!(
                "Run {id} cannot be canceled, as it is in state {}.",
                job.status
            ))),
            // Nothing has been asked of the compute yet.
            "NotStarted" => {
                job.cancel = true;
                "Canceled".clone_into(&mut job.status);
                job.ended = Some(clock::now());
                Ok(Reply::empty(200))
            }
            _ => {
                job.cancel = true;
                "CancelRequested".clone_into(&mut job.status);
                Ok(Reply::empty(202)
                    .with("location", location)
                    .with("retry-after", shared.setting.pace.retry_after.to_string()))
            }
        }
    })
}

/// Only a job that has ended can be removed. One that is not there is no error.
pub(super) fn delete(shared: &Shared, call: &Call, id: &str) -> Result<Reply, Reply> {
    let location = operation_url(shared, call, "jd", id);
    shared.change(|world| match world.job(id) {
        None => Ok(Reply::empty(204)),
        Some(job) if !job.is_over() => Err(user_error(format!(
            "Run {id} cannot be deleted, as it is in state {}.",
            job.told()
        ))),
        Some(_) => {
            world.jobs.retain(|job| job.id != id);
            Ok(Reply::empty(202).with("location", location).with("retry-after", "10"))
        }
    })
}

/// How far an operation that takes long has come.
pub(super) fn operation(shared: &Shared, call: &Call, operation: &str) -> Reply {
    let mut world = shared.world();
    match operation.split_once(':') {
        Some(("jc", id)) => match world.job(id) {
            Some(job) if job.is_over() => Reply::empty(200),
            Some(_) => Reply::empty(202)
                .with("location", operation_url(shared, call, "jc", id))
                .with("retry-after", shared.setting.pace.retry_after.to_string()),
            None => unknown(id),
        },
        Some(("jd", _)) => Reply::empty(200),
        _ => Reply::aml(404, "NotFound", "The operation was not found."),
    }
}

fn operation_url(shared: &Shared, call: &Call, kind: &str, id: &str) -> String {
    let version = call.query("api-version").unwrap_or_default();
    format!(
        "{}{}/mfeOperationResults/{kind}:{id}?api-version={version}",
        shared.base,
        shared.scope()
    )
}

fn unknown(id: &str) -> Reply {
    Reply::aml(404, "UserError", format!("Not found. Run {id} was not found."))
}

/// A job as it is shown.
fn view(shared: &Shared, job: &Job) -> Value {
    let mut properties = job.properties.clone();
    let host = shared.base.split("//").nth(1).unwrap_or_default();
    let service = |kind: &str, endpoint: String| json!({"jobServiceType": kind, "endpoint": endpoint, "port": null, "status": null, "errorMessage": null, "properties": null});
    if shared.setting.default_output {
        let uri = format!("azureml://datastores/workspaceartifactstore/{}", job.artifacts());
        properties["outputs"]["default"] =
            json!({"jobOutputType": "uri_folder", "mode": "ReadWriteMount", "uri": uri, "description": null});
    }
    for (name, value) in [
        ("status", json!(job.told())),
        ("parameters", json!({})),
        ("tags", job.map("tags")),
        ("properties", job.map("properties")),
        ("environmentVariables", job.map("environmentVariables")),
        ("isArchived", json!(properties["isArchived"] == true)),
        (
            "services",
            json!({
                "Tracking": service("Tracking", format!("azureml://{host}/mlflow/v1.0{}", shared.scope())),
                "Studio": service(
                    "Studio",
                    format!("https://ml.azure.com/runs/{}?wsid={}", job.id, shared.scope()),
                ),
            }),
        ),
    ] {
        properties[name] = value;
    }
    json!({
        "id": format!("{}/jobs/{}", shared.scope(), job.id),
        "name": job.id,
        "type": "Microsoft.MachineLearningServices/workspaces/jobs",
        "properties": properties,
        "systemData": {
            "createdAt": clock::text(job.created),
            "createdBy": "Trials",
            "createdByType": "Application",
        },
    })
}
