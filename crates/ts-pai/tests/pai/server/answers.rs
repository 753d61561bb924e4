//! What the REST server shows of jobs: lists with their filters, details with every field.
//!
//! Source: microsoft/pai v1.8, `src/rest-server/src/controllers/v2/job.js` (`list`), `src/rest-server/src/models/v2/job/k8s.js`.

use super::{
    Shared,
    cluster::{Job, Phase, Snapshot},
};
use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

pub(crate) fn list(shared: &Shared, query: &HashMap<String, String>) -> Result<Response, String> {
    let number = |key: &str, default: usize| query.get(key).and_then(|text| text.parse().ok()).unwrap_or(default);
    let limit = number("limit", 5000);
    if limit > 50_000 {
        return Err("Limit exceeds max number 50000.".to_owned());
    }
    let is_one_of = |key: &str, value: &str| {
        query
            .get(key)
            .is_none_or(|list| list.split(',').any(|one| one == value))
    };
    let jobs = shared.cluster.jobs.lock().expect("no panic");
    let mut found: Vec<(u128, Value)> = Vec::new();
    for (key, job) in jobs.iter() {
        let Some(shown) = job.shown(shared.setting.lag) else {
            continue;
        };
        let tags = job.tags.lock().expect("no panic").clone();
        let keyword = query.get("keyword");
        let fits = is_one_of("username", &job.user)
            && is_one_of("vc", &job.protocol.virtual_cluster)
            && is_one_of("state", shown.state())
            && keyword.is_none_or(|word| {
                [&job.user, &job.protocol.name, &job.protocol.virtual_cluster]
                    .iter()
                    .any(|t| t.contains(word.as_str()))
            })
            && query
                .get("tagsContain")
                .is_none_or(|list| list.split(',').any(|tag| tags.iter().any(|own| own == tag)));
        if fits {
            found.push((job.submitted, item(key, job, &shown)));
        }
    }
    // Newest first.
    found.sort_by_key(|(submitted, _)| std::cmp::Reverse(*submitted));
    let total = found.len();
    let page: Vec<Value> = found
        .into_iter()
        .skip(number("offset", 0))
        .take(limit)
        .map(|(_, item)| item)
        .collect();
    let is_counted = query.get("withTotalCount").is_some_and(|text| text == "true");
    Ok(Json(if is_counted {
        json!({"totalCount": total, "data": page})
    } else {
        Value::Array(page)
    })
    .into_response())
}

fn item(key: &str, job: &Job, shown: &Snapshot) -> Value {
    json!({
        "debugId": key, "name": job.protocol.name, "username": job.user, "state": shown.state(),
        "subState": format!("{:?}", shown.phase), "executionType": "START", "tags": [], "retries": shown.retries,
        "retryDetails": {"user": 0, "platform": shown.retries, "resource": 0}, "retryDelayTime": null,
        "submissionTime": millis(job.submitted), "createdTime": millis(job.submitted), "launchedTime": shown.launched.map(millis),
        "completedTime": shown.completed.map(millis), "appExitCode": shown.code, "virtualCluster": job.protocol.virtual_cluster,
        "totalGpuNumber": 0, "totalTaskNumber": 1, "totalTaskRoleNumber": job.protocol.roles.len(), "jobPriority": null,
    })
}

fn millis(at: u128) -> u64 {
    u64::try_from(at).expect("in this age")
}

/// The specification of an exit code; one for all positive and one for all negative codes that are not listed
/// (`generateExitSpec`).
fn spec(code: i32) -> Value {
    let (listed, phrase, kind, behavior) = match code {
        0 => (0, "Succeeded", "USER_SUCCESS", "UNKNOWN"),
        -210 => (-210, "StopFrameworkRequested", "USER_STOP", "PERMANENT"),
        -1000 => (-1000, "PodEvicted", "PLATFORM_FAILURE", "TRANSIENT"),
        -1200 => (-1200, "UserContainerDockerOOMKilled", "USER_FAILURE", "PERMANENT"),
        1.. => (256, "PAIRuntimeExitAbnormally", "PLATFORM_FAILURE", "UNKNOWN"),
        _ => (
            -8000,
            "ContainerUndefinedNegativeExitCode",
            "UNKNOWN_FAILURE",
            "UNKNOWN",
        ),
    };
    let _ = listed;
    json!({
        "code": code, "phrase": phrase, "issuer": "USER_CONTAINER", "causer": "UNKNOWN", "type": kind, "stage": "RUNNING",
        "behavior": behavior, "reaction": "RETRY_TO_MAX", "reason": null, "repro": null, "solution": ["Contact administrators"],
    })
}

pub(crate) fn detail(key: &str, job: &Job, shown: &Snapshot) -> Value {
    let is_begun = shown.launched.is_some();
    let mut roles = Map::new();
    for role in &job.protocol.roles {
        let tasks: Vec<Value> = (0..role.instances)
            .filter(|_| is_begun)
            .map(|index| json!({
                "taskIndex": index, "taskState": shown.state(), "containerId": null, "containerIp": "127.0.0.1", "containerPorts": {},
                "containerGpus": 0, "containerLog": "", "containerExitCode": shown.code, "retries": 0, "attemptId": 0,
            }))
            .collect();
        roles.insert(
            role.name.clone(),
            json!({"taskRoleStatus": {"name": role.name}, "taskStatuses": tasks}),
        );
    }
    let is_over = shown.phase == Phase::Completed;
    json!({
        "debugId": key, "name": job.protocol.name, "tags": [], "jobPriority": null,
        "jobStatus": {
            "username": job.user, "state": shown.state(), "subState": format!("{:?}", shown.phase), "executionType": "START",
            "retries": shown.retries, "retryDetails": {"user": 0, "platform": shown.retries, "resource": 0}, "retryDelayTime": null,
            "createdTime": millis(job.submitted), "submissionTime": millis(job.submitted), "launchedTime": shown.launched.map(millis),
            "completedTime": shown.completed.map(millis), "attemptId": shown.retries, "attemptState": shown.state(), "appId": key,
            "appProgress": u8::from(is_over), "appTrackingUrl": "", "appCreatedTime": shown.launched.map(millis),
            "appLaunchedTime": shown.launched.map(millis), "appCompletedTime": shown.completed.map(millis), "appExitCode": shown.code,
            "appExitSpec": shown.code.map(spec), "appExitDiagnostics": shown.diagnostics,
            "appExitMessages": shown.code.map(|_| json!({"container": null, "runtime": null, "launcher": null})),
            "appExitTriggerMessage": null, "appExitTriggerTaskRoleName": shown.trigger.as_ref().map(|t| &t.0),
            "appExitTriggerTaskIndex": shown.trigger.as_ref().map(|t| t.1), "appExitType": null,
            "virtualCluster": job.protocol.virtual_cluster,
        },
        "taskRoles": roles,
    })
}

pub(crate) fn events(job: &Job) -> Value {
    let events = job.events.lock().expect("no panic");
    let data: Vec<Value> = events.iter().enumerate().map(|(n, (reason, message))| json!({
        "uid": n.to_string(), "type": "Warning", "reason": reason, "message": message, "podUid": null, "taskroleName": null,
        "taskIndex": null, "firstTimestamp": "2026-01-01T00:00:00.000Z", "lastTimestamp": format!("2026-01-01T00:00:{n:02}.000Z"), "count": 1,
    })).collect();
    json!({"totalCount": data.len(), "data": data})
}

pub(crate) fn storages(shared: &Shared, user: &str) -> Value {
    let grants = shared.cluster.grants.lock().expect("no panic");
    let storage =
        |name: &String| json!({"name": name, "share": true, "volumeName": format!("{name}-pv"), "default": false});
    json!({"storages": grants[user].0.iter().map(storage).collect::<Vec<_>>()})
}

pub(crate) fn virtual_clusters() -> Value {
    let of = |gpus: u32| {
        json!({
            "capacity": 100, "maxCapacity": 100, "usedCapacity": 0, "numActiveJobs": 0, "numJobs": 0, "numPendingJobs": 0,
            "dedicated": false, "status": "RUNNING",
            "resourcesTotal": {"vCores": 64, "memory": 262_144, "GPUs": gpus},
            "resourcesUsed": {"vCores": 0, "memory": 0, "GPUs": 0},
        })
    };
    json!({"default": of(8), "gpu": of(4), "secret": of(4)})
}
