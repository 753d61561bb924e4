//! The routes of the dashboard, and every refusal in its form: errors are plain text, and so are the answers of what writes, whose
//! content is the cluster's JSON.
//!
//! Sources: microsoft/DLWorkspace, `src/dashboard/server/api/router.js`, `v2/router.js`, `middlewares/user.js`, `services/cluster.js`,
//! `validator/*.schema.json`; `src/utils/JobRestAPIUtils.py`.

#![expect(clippy::result_large_err, reason = "a refusal is an answer; there are few")]

use super::{Asked, CLUSTER, Cluster, EMAIL, Shared, TEAM, token};
use axum::{
    Json,
    body::Bytes,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use std::{collections::HashMap, sync::atomic::Ordering};
use ts_testkit::http_server::plain;

/// States from which a job can be killed (`ACTIVE_STATUS`, `job_op.py`).
const ACTIVE: [&str; 6] = ["unapproved", "queued", "scheduling", "running", "pausing", "paused"];

/// What the cluster said, passed on as text.
fn passed_on(answer: &Value) -> Response {
    answer.to_string().into_response()
}

pub(super) fn route(shared: &Shared, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Response {
    inner(shared, method, uri, headers, body).unwrap_or_else(|refusal| refusal)
}

#[expect(clippy::too_many_lines, reason = "a table, one route per arm")]
fn inner(shared: &Shared, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Result<Response, Response> {
    let address = format!("http://x/?{}", uri.query().unwrap_or_default());
    let address = ts_core::http::Url::parse(&address).expect("an address");
    let query: HashMap<String, String> = address.query_pairs().into_owned().collect();
    let path: Vec<&str> = uri.path().split('/').skip(1).collect();
    let Some((&"api", path)) = path.split_first() else {
        return Err(plain(404, "Not Found"));
    };
    allowed(&query)?;
    let of_cluster = |name: &str| match name {
        CLUSTER | ".default" => Ok(&shared.cluster),
        _ => Err(plain(404, "Cluster is not found")),
    };
    let json = || match headers.get("content-type") {
        Some(kind) if kind == "application/json" => {
            serde_json::from_slice::<Value>(body).map_err(|_| plain(400, "Unexpected token in JSON"))
        }
        _ => Ok(json!({})),
    };
    match (method.as_str(), path) {
        ("GET", ["teams", team, "clusters", cluster]) => {
            of_cluster(cluster)?;
            if *team != TEAM {
                return Err(plain(404, "Team is not found"));
            }
            let quota = *shared.quota.lock().expect("no panic");
            // `metadata` begins with what is no model, as it may.
            let metadata = "{\"user_quota\": 4, \"P40\": {\"num_gpu_per_node\": 4}}";
            Ok(Json(json!({"vcName": team, "quota": quota, "metadata": metadata, "gpu_capacity": {}})).into_response())
        }
        ("GET", ["v2", "clusters", cluster, "teams", team, "jobs"]) => {
            let cluster = of_cluster(cluster)?;
            let limit = query.get("limit").and_then(|n| n.parse().ok()).unwrap_or(10);
            Ok(Json(list(cluster, team, limit)).into_response())
        }
        ("GET", ["v2", "clusters", cluster, "jobs", id]) => {
            let cluster = of_cluster(cluster)?;
            // `GetJobDetailV2` answers so, too, when it cannot ask the database.
            let job = cluster.job(id).filter(|_| !has_no_database(cluster));
            Ok(Json(job.map_or_else(|| json!({}), |job| job.shown(cluster, true))).into_response())
        }
        ("POST", ["clusters", cluster, "jobs"]) => {
            let cluster = of_cluster(cluster)?;
            let mut job = json()?;
            if job["team"].is_null() && job["vcName"].is_null() {
                return Err(plain(400, " should have required property 'team'"));
            }
            // The dashboard overwrites it.
            job["userName"] = EMAIL.into();
            let said = |text: &str| Ok(passed_on(&json!({"error": format!("Cannot create job!{text}")})));
            if job["jobName"].as_str().is_none_or(|name| name.trim().is_empty()) {
                return said("ERROR: Job name cannot be empty");
            }
            if job["vcName"] != TEAM {
                return said("Access Denied!");
            }
            for (key, name) in [("jobPath", "job"), ("workPath", "work"), ("dataPath", "data")] {
                let path = job[key].as_str().unwrap_or_default();
                if path.contains("..") {
                    return said(&format!("ERROR: '..' cannot be used in {name} directory"));
                }
                if path.starts_with('/') || path.starts_with('\\') {
                    return said(&format!("ERROR: {name} directory should not start with '/' or '\\' "));
                }
            }
            if has_no_database(cluster) {
                return Err(plain(500, "INTERNAL SERVER ERROR"));
            }
            match cluster.begin(job) {
                Some(id) => Ok(passed_on(&json!({"jobId": id}))),
                None => said("Cannot schedule job. Cannot add job into database."),
            }
        }
        ("PUT", ["clusters", cluster, "jobs", id, "status"]) => {
            let cluster = of_cluster(cluster)?;
            let status = json()?["status"].as_str().unwrap_or_default().to_owned();
            if !["approved", "killing", "pausing", "queued"].contains(&status.as_str()) {
                return Err(plain(400, ".status should be equal to one of the allowed values"));
            }
            let is_done = status == "killing" && kill(cluster, id);
            let result = if is_done {
                "Success, the job is scheduled to be terminated.".to_owned()
            } else {
                format!("Cannot Kill the job. Job ID:{id}")
            };
            Ok(passed_on(&json!({"result": result})))
        }
        ("POST", ["clusters", cluster, "jobs", "status"]) => {
            let cluster = of_cluster(cluster)?;
            let body = json()?;
            let Some(changes) = body["status"].as_object() else {
                return Err(plain(400, " should have required property 'status'"));
            };
            if changes.values().any(|status| status != "killing") {
                return Err(plain(400, ".status should be equal to one of the allowed values"));
            }
            // `jobIds` in an address of at most 4094 bytes: gunicorn's `limit_request_line`.
            if changes.len() > 100 {
                return Ok((StatusCode::BAD_GATEWAY, Json(json!({"killing": {}}))).into_response());
            }
            let mut results = serde_json::Map::new();
            for id in changes.keys() {
                let Some(job) = cluster.job(id) else { continue };
                let said = if kill(cluster, id) {
                    "successfully killed".to_owned()
                } else {
                    format!("cannot kill a(n) \"{}\" job", job.state())
                };
                results.insert(id.clone(), said.into());
            }
            Ok(Json(json!({"killing": json!({"result": results}).to_string()})).into_response())
        }
        ("GET", ["clusters", cluster, "jobs", id, "log"]) => {
            let cluster = of_cluster(cluster)?;
            let text = cluster.log(id).ok_or_else(|| plain(404, "Not Found"))?;
            if cluster.has_plain_logs.load(Ordering::SeqCst) {
                return Ok(Json(json!({"log": text, "cursor": null})).into_response());
            }
            let from: usize = query.get("cursor").and_then(|at| at.parse().ok()).unwrap_or(0);
            // A few bytes at a time, so that readers must follow.
            let to = (from + 4000).min(text.len());
            let mut log = serde_json::Map::new();
            if from < to {
                log.insert(format!("{id}-pod"), text.get(from..to).unwrap_or_default().into());
            }
            Ok(Json(json!({"log": log, "cursor": (to < text.len()).then(|| to.to_string())})).into_response())
        }
        _ => Err(plain(404, "Not Found")),
    }
}

fn has_no_database(cluster: &Cluster) -> bool {
    cluster.has_no_database.load(Ordering::SeqCst)
}

/// All jobs that have not ended, and the newest of the others (`get_union_job_list_v2`), newest first.
///
/// Without its database the cluster answers `{}`, and the dashboard makes a list of four nothings of it (`getJobs`).
fn list(cluster: &Cluster, team: &str, limit: usize) -> Value {
    if has_no_database(cluster) {
        return json!([null, null, null, null]);
    }
    let jobs = cluster.jobs.lock().expect("no panic");
    let mut left = limit;
    let mut shown = Vec::new();
    for job in jobs.iter().rev().filter(|_| team == TEAM) {
        if !ACTIVE.contains(&job.state()) {
            if left == 0 {
                continue;
            }
            left -= 1;
        }
        shown.push(job.shown(cluster, false));
    }
    shown.into()
}

/// Credentials are in the query, never in a body.
fn allowed(query: &HashMap<String, String>) -> Result<(), Response> {
    let shown = query.get("password").or_else(|| query.get("token"));
    match (query.get("email"), shown) {
        (Some(email), Some(shown)) if email == EMAIL && *shown == token() => Ok(()),
        (Some(_), Some(_)) => Err(plain(403, "Invalid token")),
        _ => Err(plain(403, "Forbidden")),
    }
}

fn kill(cluster: &Cluster, id: &str) -> bool {
    let job = cluster.job(id).filter(|job| ACTIVE.contains(&job.state()));
    job.inspect(|job| job.ask(Asked::Kill)).is_some()
}
