//! The routes of the REST server, with who may use them, and every refusal in its form.
//!
//! Source: microsoft/pai v1.8, `src/rest-server/src/routes`, `src/rest-server/src/controllers/v2/job.js`, `src/rest-server/src/middlewares/token.js`.

#![expect(clippy::result_large_err, reason = "a refusal is an answer; there are few")]

use super::{Shared, answers, cluster::Job, limits, protocol};
use axum::{
    Json,
    body::Bytes,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

pub(crate) fn refused(status: StatusCode, code: &str, message: impl Into<String>) -> Response {
    (status, Json(json!({"code": code, "message": message.into()}))).into_response()
}

pub(crate) fn invalid_token() -> Response {
    refused(
        StatusCode::UNAUTHORIZED,
        "UnauthorizedUserError",
        "Your token is invalid.",
    )
}

fn not_found(code: &str, message: String) -> Response {
    refused(StatusCode::NOT_FOUND, code, message)
}

/// Who asks; applications' tokens and users' are told apart by nobody here.
fn user(shared: &Shared, headers: &HeaderMap) -> Result<String, Response> {
    let Some(header) = headers.get("authorization").and_then(|value| value.to_str().ok()) else {
        let message = "Guest is not allowed to do this operation.";
        return Err(refused(StatusCode::UNAUTHORIZED, "UnauthorizedUserError", message));
    };
    let token = header.strip_prefix("Bearer ").ok_or_else(invalid_token)?;
    let tokens = shared.cluster.tokens.lock().expect("no panic");
    match tokens.get(token) {
        Some((user, until)) if *until > limits::now() => Ok(user.clone()),
        _ => Err(invalid_token()),
    }
}

pub(crate) fn route(shared: &Arc<Shared>, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Response {
    // The limiter of all requests comes first, by address.
    let told = match shared.all.count("127.0.0.1") {
        Ok(told) => told,
        Err(refusal) => return refusal,
    };
    let mut special = None;
    let mut response = inner(shared, method, uri, headers, body, &mut special).unwrap_or_else(|refusal| refusal);
    if !response.headers().contains_key("x-ratelimit-limit") {
        // A later limiter replaces what an earlier one said.
        limits::tell(&mut response, special.unwrap_or(told));
    }
    response
}

fn inner(
    shared: &Arc<Shared>,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &Bytes,
    special: &mut Option<(u32, u32, u64)>,
) -> Result<Response, Response> {
    let path: Vec<&str> = uri.path().split('/').skip(1).collect();
    let no_api = || not_found("NoApiError", format!("API {} not found.", uri.path()));
    // Another service of the portal, with a token of its own.
    if let ("GET", ["log-manager", .., container, log]) = (method.as_str(), path.as_slice()) {
        let file = shared.setting.node_dir.join(container).join(log);
        let is_known = query(uri).get("token").is_some_and(|token| token == "t");
        return match std::fs::read(file) {
            Ok(text) if is_known => Ok(text.into_response()),
            _ => Err((StatusCode::FORBIDDEN, "").into_response()),
        };
    }
    // The proxy of the portal passes on what is below `/rest-server` only.
    let Some((&"rest-server", path)) = path.split_first() else {
        return Err((StatusCode::NOT_FOUND, "<html><title>404 Not Found</title></html>").into_response());
    };
    match (method.as_str(), path) {
        ("GET", ["api", "v2", "info"]) => Ok(Json(json!({
            "name": "PAI RESTful API", "version": "v1.8.0", "launcherType": "k8s", "authnMethod": "basic",
        }))
        .into_response()),
        ("POST", ["api", "v1", "token"] | ["api", "v1" | "v2", "authn", "basic", "login"]) => {
            login(shared, headers, body)
        }
        ("GET", ["api", "v2", "jobs"]) => {
            let user = user(shared, headers)?;
            *special = Some(shared.lists.count(&user)?);
            answers::list(shared, &query(uri))
                .map_err(|message| refused(StatusCode::BAD_REQUEST, "InvalidParametersError", message))
        }
        ("POST", ["api", "v2", "jobs"]) => {
            let user = user(shared, headers)?;
            *special = Some(shared.submits.count(&user)?);
            submit(shared, &user, headers, body)
        }
        ("GET", ["api", "v2", "jobs", key, rest @ ..]) => {
            user(shared, headers)?;
            let (job, shown) = find(shared, key)?;
            match rest {
                [] => Ok(Json(answers::detail(key, &job, &shown)).into_response()),
                ["config"] => Ok(([("content-type", "text/yaml")], job.text.clone()).into_response()),
                ["events"] => Ok(Json(answers::events(&job)).into_response()),
                [
                    "attempts",
                    _,
                    "taskRoles",
                    role,
                    "taskIndex",
                    index,
                    "attempts",
                    _,
                    "logs",
                ] => {
                    let uri = format!(
                        "/log-manager/127.0.0.1:9103/api/v1/logs/{}-0-{role}-{index}/stderr?token=t",
                        job.protocol.name
                    );
                    Ok(Json(json!({"locations": [{"name": "all", "uri": uri}]})).into_response())
                }
                _ => Err(no_api()),
            }
        }
        ("PUT", ["api", "v2", "jobs", key, "executionType"]) => {
            let user = user(shared, headers)?;
            let (job, _) = find(shared, key)?;
            execute(key, &job, &user, headers, body)
        }
        ("PUT", ["api", "v2", "jobs", key, "tag"]) => {
            user(shared, headers)?;
            let (job, _) = find(shared, key)?;
            let body: Value = serde_json::from_slice(body).unwrap_or_default();
            let tag = body["value"].as_str().unwrap_or_default().to_owned();
            job.tags.lock().expect("no panic").push(tag.clone());
            Ok(
                Json(json!({"status": 200, "message": format!("Add tag {tag} for job {key} successfully.")}))
                    .into_response(),
            )
        }
        ("GET", ["api", "v2", "storages"]) => {
            let user = user(shared, headers)?;
            Ok(Json(answers::storages(shared, &user)).into_response())
        }
        ("GET", ["api", "v2", "virtual-clusters"]) => {
            user(shared, headers)?;
            Ok(Json(answers::virtual_clusters()).into_response())
        }
        _ => Err(no_api()),
    }
}

fn query(uri: &Uri) -> HashMap<String, String> {
    let address = format!("http://x/?{}", uri.query().unwrap_or_default());
    let address = ts_core::http::Url::parse(&address).expect("an address");
    address.query_pairs().into_owned().collect()
}

/// A job that the database knows.
fn find(shared: &Shared, key: &str) -> Result<(Arc<Job>, super::cluster::Snapshot), Response> {
    let key = key.replace("%7E", "~");
    let known = shared.cluster.job(&key).and_then(|job| {
        let shown = job.shown(shared.setting.lag)?;
        Some((job, shown))
    });
    known.ok_or_else(|| not_found("NoJobError", format!("Job {key} is not found.")))
}

fn login(shared: &Shared, headers: &HeaderMap, body: &Bytes) -> Result<Response, Response> {
    let invalid = |message: &str| refused(StatusCode::BAD_REQUEST, "InvalidParametersError", message);
    if headers
        .get("content-type")
        .is_none_or(|kind| kind != "application/json")
    {
        return Err(invalid("child \"username\" fails because [\"username\" is required]"));
    }
    let form: Value = serde_json::from_slice(body).map_err(|_| invalid("Could not parse the body."))?;
    let [user, password] = ["username", "password"].map(|key| form[key].as_str().unwrap_or_default());
    if password.len() < 6 {
        return Err(invalid("\"password\" length must be at least 6 characters long"));
    }
    if form
        .get("expiration")
        .is_some_and(|n| !n.as_u64().is_some_and(|n| (60..=604_800).contains(&n)))
    {
        return Err(invalid("\"expiration\" must be between 60 and 604800"));
    }
    match shared.cluster.passwords.lock().expect("no panic").get(user) {
        None => Err(refused(
            StatusCode::BAD_REQUEST,
            "NoUserError",
            format!("User {user} is not found."),
        )),
        Some(known) if known != password => Err(refused(
            StatusCode::BAD_REQUEST,
            "IncorrectPasswordError",
            "Password is incorrect.",
        )),
        Some(_) => {
            let mut n = shared.cluster.n_logins.lock().expect("no panic");
            *n += 1;
            let token = format!("login-{user}-{n}");
            let until = limits::now() + shared.setting.login_life;
            let mut tokens = shared.cluster.tokens.lock().expect("no panic");
            tokens.insert(token.clone(), (user.to_owned(), until));
            Ok(Json(json!({"user": user, "token": token, "admin": false, "hasGitHubPAT": false})).into_response())
        }
    }
}

fn submit(shared: &Arc<Shared>, user: &str, headers: &HeaderMap, body: &Bytes) -> Result<Response, Response> {
    // body-parser reads `text/*`, up to 100 kB; anything else becomes `{}`.
    let kind = headers
        .get("content-type")
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    if body.len() > 100 * 1024 {
        return Err(refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            "UnknownError",
            "request entity too large",
        ));
    }
    let text = if kind.starts_with("text/") {
        String::from_utf8_lossy(body)
    } else {
        "{}".into()
    };
    let protocol =
        protocol::read(&text).map_err(|message| refused(StatusCode::BAD_REQUEST, "InvalidProtocolError", message))?;
    let cluster = &shared.cluster;
    let key = format!("{user}~{}", protocol.name);
    if cluster.job(&key).is_some() {
        return Err(refused(
            StatusCode::CONFLICT,
            "ConflictJobError",
            format!("Job {key} already exists."),
        ));
    }
    let (storages, clusters) = cluster.grants.lock().expect("no panic")[user].clone();
    let vc = &protocol.virtual_cluster;
    if !["default", "gpu", "secret"].contains(&vc.as_str()) {
        return Err(not_found(
            "NoVirtualClusterError",
            format!("Virtual cluster {vc} is not found."),
        ));
    }
    if !clusters.contains(vc) {
        let message = format!("User {user} is not allowed to do operation in {vc}.");
        return Err(refused(StatusCode::FORBIDDEN, "ForbiddenUserError", message));
    }
    if let Some(unknown) = protocol.storages.iter().find(|name| !storages.contains(name)) {
        return Err(not_found("NoStorageError", format!("Storage {unknown} is not found.")));
    }
    let name = protocol.name.clone();
    cluster.begin(user, &text, protocol, shared);
    let message = format!("Update job {name} for user {user} successfully.");
    Ok((StatusCode::ACCEPTED, Json(json!({"status": 202, "message": message}))).into_response())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the cluster does its work in the background; it ends with the runtime"
)]
fn execute(key: &str, job: &Arc<Job>, user: &str, headers: &HeaderMap, body: &Bytes) -> Result<Response, Response> {
    if job.user != user {
        let message = format!("User {user} is not allowed to execute job {key}.");
        return Err(refused(StatusCode::FORBIDDEN, "ForbiddenUserError", message));
    }
    let body: Value = match headers.get("content-type") {
        Some(kind) if kind == "application/json" => serde_json::from_slice(body).unwrap_or_default(),
        _ => Value::Null,
    };
    if !matches!(body["value"].as_str(), Some("START" | "STOP")) {
        let message = "child \"value\" fails because [\"value\" must be one of [START, STOP]]";
        return Err(refused(StatusCode::BAD_REQUEST, "InvalidParametersError", message));
    }
    if body["value"] == "STOP" {
        // Applied later, by the framework controller.
        let job = Arc::clone(job);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(30)).await;
            job.is_stopped.store(true, Ordering::SeqCst);
            job.bell.notify_waiters();
        });
    }
    let message = format!("Execute job {key} successfully.");
    Ok((StatusCode::ACCEPTED, Json(json!({"status": 202, "message": message}))).into_response())
}
