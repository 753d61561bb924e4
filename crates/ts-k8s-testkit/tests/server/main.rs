//! The API server of the tests, driven by the real `kube` client and, where the client hides bodies, by plain requests.

mod access;
mod deletion;
mod faults;
mod gates;
mod lists;
mod objects;
mod pods;
mod refusals;
mod watches;

use axum::body::Body;
use axum::http::Request;
use kube::Client;
use serde_json::{Value, json};
use std::time::Duration;
use ts_k8s_testkit::{ApiServer, Setting};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// A server as it is by default.
async fn server() -> ApiServer {
    ApiServer::start(Setting::default()).await.expect("a port")
}

/// Sends a request; an answer that is no JSON comes as a text.
async fn send(client: &Client, method: &str, path: &str, content_type: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type);
    let request = request.body(kube::client::Body::from(body)).expect("a request");
    let response = client.send(request).await.expect("an answer");
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(Body::new(response.into_body()), usize::MAX)
        .await
        .expect("a body");
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn get(client: &Client, path: &str) -> (u16, Value) {
    send(client, "GET", path, "application/json", &Value::Null).await
}

async fn post(client: &Client, path: &str, body: &Value) -> (u16, Value) {
    send(client, "POST", path, "application/json", body).await
}

async fn put(client: &Client, path: &str, body: &Value) -> (u16, Value) {
    send(client, "PUT", path, "application/json", body).await
}

async fn merge(client: &Client, path: &str, body: &Value) -> (u16, Value) {
    send(client, "PATCH", path, "application/merge-patch+json", body).await
}

async fn delete(client: &Client, path: &str) -> (u16, Value) {
    send(client, "DELETE", path, "application/json", &Value::Null).await
}

/// Waits until a condition holds.
async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("it never came true: {what}"));
}

const PODS: &str = "/api/v1/namespaces/default/pods";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
const FRAMEWORKS: &str = "/apis/frameworkcontroller.microsoft.com/v1/namespaces/default/frameworks";

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

fn config_map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"a": "b"}})
}

fn job(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}})
}

fn framework(name: &str) -> Value {
    json!({"apiVersion": "frameworkcontroller.microsoft.com/v1", "kind": "Framework", "metadata": {"name": name},
        "spec": {"executionType": "Start", "taskRoles": [{"name": "worker", "taskNumber": 1, "task": {"pod": {}}}]}})
}
