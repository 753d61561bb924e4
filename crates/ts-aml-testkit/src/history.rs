//! Run history: runs with their errors, log files that grow, artifacts, and the tokens of runs.
//!
//! Source: azure-ai-ml 1.35.2, `_restclient/runhistory`, for paths and fields.

use crate::{
    arm,
    blob::sas::{self, Grant},
    call::{Call, encode_path},
    clock,
    entra::tokens::Audience,
    life::job::Job,
    reply::Reply,
    shared::Shared,
    world::{ACCOUNT, ARTIFACTS, World, uuid},
};
use serde_json::{Map, Value, json};

/// Who asks.
pub(crate) enum Who {
    /// Somebody with a token for Resource Manager.
    Client,
    /// A run, with its own token.
    Run(String),
}

impl Who {
    /// Refuses a run that asks for another.
    pub(crate) fn may(&self, id: &str) -> Result<(), Reply> {
        match self {
            Self::Run(own) if own != id => Err(Reply::aml(
                403,
                "Forbidden",
                format!("The token of run {own} is not good for run {id}."),
            )),
            _ => Ok(()),
        }
    }
}

/// Who asks the services of the region: both kinds of tokens are good there.
pub(crate) fn who(shared: &Shared, call: &Call) -> Result<Who, Reply> {
    let refused = |text: &str| {
        Err(Reply::aml(401, "Unauthorized", text).with("www-authenticate", "Bearer error=\"invalid_token\""))
    };
    let Some(token) = call.bearer() else {
        return refused("Bearer token not provided.");
    };
    let world = shared.world();
    if let Some(job) = world.jobs.iter().find(|job| job.token == token) {
        if job.token_until <= clock::now() {
            return refused("The token of the run has expired.");
        }
        return Ok(Who::Run(job.id.clone()));
    }
    match world.tokens.check(token, Audience::Arm) {
        Ok(()) => Ok(Who::Client),
        Err(_) => refused("The token is invalid, has expired, or was issued for another audience."),
    }
}

/// The workspace's part of a path below a service and its version.
pub(crate) fn below_scope<'a>(shared: &Shared, call: &'a Call) -> Result<Vec<&'a str>, Reply> {
    let rest = arm::scope(shared, call.path.get(2..).unwrap_or_default())?;
    Ok(rest.iter().map(String::as_str).collect())
}

pub(crate) fn answer(shared: &Shared, call: &Call) -> Reply {
    checked(shared, call)
        .unwrap_or_else(|refusal| refusal)
        .with("x-ms-client-request-id", uuid())
}

fn checked(shared: &Shared, call: &Call) -> Result<Reply, Reply> {
    let who = who(shared, call)?;
    let rest = below_scope(shared, call)?;
    let rest = match rest[..] {
        // With the experiment by name or by id, or without.
        ["experiments" | "experimentids", experiment, ref rest @ ..] => {
            if let ["runs", id, ..] = rest {
                of_experiment(shared, experiment, id)?;
            }
            rest
        }
        ref rest => rest,
    };
    match (call.method.as_str(), rest) {
        ("POST", ["rundata"]) => {
            let body = json_body(call)?;
            let id = body["runId"].as_str().unwrap_or_default();
            who.may(id)?;
            with_job(shared, id, |job| {
                Ok(Reply::json(200, &json!({"runMetadata": run(job)})))
            })
        }
        ("POST", ["batchrundata"]) => batch(shared, &json_body(call)?),
        (method, ["runs", id, below @ ..]) => {
            who.may(id)?;
            of_run(shared, call, method, id, below)
        }
        _ => Err(Reply::aml(404, "NotFound", "The requested resource does not exist.")),
    }
}

fn of_run(shared: &Shared, call: &Call, method: &str, id: &str, below: &[&str]) -> Result<Reply, Reply> {
    match (method, below) {
        ("GET", []) => with_job(shared, id, |job| Ok(Reply::json(200, &run(job)))),
        ("PATCH", []) => change(shared, call, id),
        ("GET", ["details"]) => {
            let mut world = shared.world();
            let mut details = world.job(id).map(|job| run(job)).ok_or_else(|| unknown(id))?;
            details["logFiles"] = log_files(shared, &mut world, id);
            details["runDefinition"] = world.job(id).map_or(Value::Null, |job| job.properties.clone());
            Ok(Reply::json(200, &details))
        }
        ("GET", ["token"]) => with_job(shared, id, |job| {
            job.renew_token(shared.setting.run_token_life);
            Ok(Reply::json(
                200,
                &json!({"token": job.token, "expiryTimeUtc": clock::text(job.token_until)}),
            ))
        }),
        ("POST", ["cancel"]) => with_job(shared, id, |job| {
            if job.is_over() || job.status == "Finalizing" {
                let text = format!("Run {id} cannot be canceled, as it is in state {}.", job.status);
                return Err(Reply::aml(400, "UserError", text));
            }
            job.cancel = true;
            "CancelRequested".clone_into(&mut job.status);
            Ok(Reply::json(200, &run(job)))
        }),
        ("GET", ["artifacts"]) => {
            let names = artifact_names(shared, id)?;
            let value: Vec<Value> = names.iter().map(|name| artifact(id, name)).collect();
            Ok(Reply::json(200, &json!({"value": value})))
        }
        ("GET", ["artifacts", "path"]) => {
            let path = call.query("path").unwrap_or_default();
            let names = artifact_names(shared, id)?;
            let found = names.iter().filter(|name| name.starts_with(path));
            let value: Vec<Value> = found.map(|name| artifact(id, name)).collect();
            Ok(Reply::json(200, &json!({"value": value})))
        }
        ("GET", ["artifacts", "contentinfo"]) => {
            let path = call.query("path").unwrap_or_default();
            if !artifact_names(shared, id)?.iter().any(|name| name == path) {
                return Err(Reply::aml(
                    404,
                    "UserError",
                    format!("Artifact {path} of run {id} was not found."),
                ));
            }
            let world = shared.world();
            Ok(Reply::json(
                200,
                &json!({"path": path, "contentUri": link(shared, &world, &in_artifacts(id, path), "r")}),
            ))
        }
        ("POST", ["artifacts", "batch", "metadata"]) => upload_links(shared, call, id),
        _ => Err(Reply::aml(404, "NotFound", "The requested resource does not exist.")),
    }
}

/// The run is one of this experiment.
fn of_experiment(shared: &Shared, experiment: &str, id: &str) -> Result<(), Reply> {
    with_job(shared, id, |job| {
        let is_its = job.experiment == experiment || job.experiment_id == experiment;
        is_its.then_some(()).ok_or_else(|| unknown(id))
    })
}

/// Tags and the like; `add_or_modify_by_experiment_name` of Microsoft's client.
fn change(shared: &Shared, call: &Call, id: &str) -> Result<Reply, Reply> {
    let body = json_body(call)?;
    with_job(shared, id, |job| {
        for field in ["displayName", "description"] {
            if !body[field].is_null() {
                job.properties[field] = body[field].clone();
            }
        }
        for map in ["tags", "properties"] {
            for (key, value) in body[map].as_object().into_iter().flatten() {
                let is_fixed = map == "properties" && job.map(map).get(key).is_some_and(|known| known != value);
                if is_fixed {
                    let text = format!("The property '{key}' exists already and cannot be changed.");
                    return Err(Reply::aml(400, "UserError", text));
                }
                job.insert(map, key, value.clone());
            }
        }
        Ok(Reply::json(200, &run(job)))
    })
}

fn batch(shared: &Shared, body: &Value) -> Result<Reply, Reply> {
    let asked = body["requests"].as_array().cloned().unwrap_or_default();
    if asked.len() > 500 {
        return Err(Reply::aml(400, "UserError", "At most 500 runs can be asked for."));
    }
    let mut world = shared.world();
    let found = asked.iter().filter_map(|one| {
        world
            .job(one["runId"].as_str()?)
            .map(|job| json!({"runMetadata": run(job)}))
    });
    let results: Vec<Value> = found.collect();
    Ok(Reply::json(200, &json!({"runs": results})))
}

/// Links by which a run uploads artifacts.
fn upload_links(shared: &Shared, call: &Call, id: &str) -> Result<Reply, Reply> {
    let body = json_body(call)?;
    let world = shared.world();
    let mut artifacts = Map::new();
    let mut links = Map::new();
    for one in body["paths"].as_array().into_iter().flatten() {
        let path = one["path"].as_str().unwrap_or_default();
        if path.is_empty() || path.len() > 5000 {
            return Err(Reply::aml(
                400,
                "UserError",
                "An artifact's path has 1 to 5000 characters.",
            ));
        }
        artifacts.insert(path.to_owned(), artifact(id, path));
        let uri = link(shared, &world, &in_artifacts(id, path), "racw");
        links.insert(path.to_owned(), json!({"path": path, "contentUri": uri}));
    }
    Ok(Reply::json(
        200,
        &json!({"artifacts": artifacts, "artifactContentInformation": links, "errors": {}}),
    ))
}

fn with_job<T>(shared: &Shared, id: &str, act: impl FnOnce(&mut Job) -> Result<T, Reply>) -> Result<T, Reply> {
    shared.change(|world| act(world.job(id).ok_or_else(|| unknown(id))?))
}

fn json_body(call: &Call) -> Result<Value, Reply> {
    call.json()
        .map_err(|why| Reply::aml(400, "UserError", format!("The request is invalid: {why}")))
}

fn unknown(id: &str) -> Reply {
    Reply::aml(404, "UserError", format!("Run with runId={id} could not be found."))
}

/// A run.
fn run(job: &Job) -> Value {
    let time = |at: Option<jiff::Timestamp>| at.map(clock::text);
    json!({
        "runNumber": 1,
        "rootRunId": job.id,
        "runId": job.id,
        "runUuid": job.id,
        "experimentId": job.experiment_id,
        "status": job.told(),
        "createdUtc": clock::text(job.created),
        "startTimeUtc": time(job.started),
        "endTimeUtc": time(job.ended),
        "error": job.error,
        "warnings": Value::Null,
        "tags": job.map("tags"),
        "properties": job.map("properties"),
        "displayName": job.properties["displayName"],
        "description": job.properties["description"],
        "dataContainerId": format!("dcid.{}", job.id),
        "runType": "azureml.scriptrun",
        "target": job.compute,
        "hidden": false,
        "queueingInfo": if job.told() == "Queued" {
            json!({"code": "Queued", "message": "The job waits for a node.", "lastRefreshTimestamp": clock::text(clock::now())})
        } else {
            Value::Null
        },
    })
}

/// Addresses of the log files, each with a SAS to read it.
fn log_files(shared: &Shared, world: &mut World, id: &str) -> Value {
    let Some(names) = world.job(id).map(|job| job.log_files.clone()) else {
        return json!({});
    };
    let links = names.into_iter().map(|name| {
        let uri = link(shared, world, &in_artifacts(id, &name), "r");
        (name, json!(uri))
    });
    Value::Object(links.collect())
}

fn in_artifacts(id: &str, path: &str) -> String {
    format!("ExperimentRun/dcid.{id}/{path}")
}

fn link(shared: &Shared, world: &World, name: &str, permissions: &'static str) -> String {
    let grant = Grant::blob(ARTIFACTS, name, permissions, shared.setting.sas_life);
    let sas = sas::sign(&world.blobs, &grant);
    format!("{}/{ACCOUNT}/{ARTIFACTS}/{}?{sas}", shared.base, encode_path(name))
}

fn artifact_names(shared: &Shared, id: &str) -> Result<Vec<String>, Reply> {
    let mut world = shared.world();
    let folder = world.job(id).map(|job| job.artifacts()).ok_or_else(|| unknown(id))?;
    let names = world.blobs.names(ARTIFACTS, &folder);
    let names = names.map(|name| name[folder.len()..].trim_start_matches('/').to_owned());
    Ok(names.collect())
}

fn artifact(id: &str, path: &str) -> Value {
    json!({
        "artifactId": format!("ExperimentRun/dcid.{id}/{path}"),
        "origin": "ExperimentRun",
        "container": format!("dcid.{id}"),
        "path": path,
        "etag": null,
        "createdTime": null,
    })
}
