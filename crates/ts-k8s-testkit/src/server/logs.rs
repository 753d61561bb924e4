//! `GET …/pods/{name}/log`: which container is meant, whether the request makes sense, then the node's answer.
//!
//! Source: kubernetes v1.20, `LogLocation` in `pkg/registry/core/pod/strategy.go`, `ValidatePodLogOptions`; kube-apiserver
//! v1.20.2, observed.

use super::call::Call;
use super::failure::{Cause, Failure};
use super::shared::Shared;
use crate::PodRef;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// Answers it.
pub(crate) fn answer(shared: &Arc<Shared>, call: &Call) -> Result<Response, Failure> {
    check(call)?;
    let (pod, node) = {
        let world = shared.world();
        (world.find(&call.kind, &call.key())?, world.node.clone())
    };
    let container = container(&pod, call)?;
    if pod["spec"]["nodeName"].as_str().unwrap_or_default().is_empty() {
        let mut nothing = Response::new(Body::empty());
        *nothing.status_mut() = StatusCode::NO_CONTENT;
        return Ok(nothing);
    }
    let node = node.ok_or_else(|| no_node(&pod))?;
    let mut query: HashMap<String, String> = call.query.0.iter().cloned().collect();
    query.insert("container".to_owned(), container);
    let stream = node
        .log(&pod_ref(&pod), &query)
        .map_err(|(code, message)| from_node(code, &message, "pods/log", call))?;
    let stop = shared.stop.clone();
    let body = Body::from_stream(stream.map(Ok::<_, std::io::Error>).take_until(stop.cancelled_owned()));
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, "text/plain".parse().expect("a header value"));
    Ok(response)
}

fn check(call: &Call) -> Result<(), Failure> {
    let mut causes = Vec::new();
    for field in ["tailLines", "limitBytes", "sinceSeconds"] {
        let least = i64::from(field != "tailLines");
        let why = if least == 0 {
            "must be greater than or equal to 0"
        } else {
            "must be greater than 0"
        };
        if let Some(number) = call.query.number(field)?.filter(|number| *number < least) {
            causes.push(Cause::invalid(field, number, why));
        }
    }
    if !call.query.get("sinceSeconds").is_empty() && !call.query.get("sinceTime").is_empty() {
        causes.push(Cause::forbidden(
            "",
            "at most one of `sinceTime` or `sinceSeconds` may be specified",
        ));
    }
    if causes.is_empty() {
        return Ok(());
    }
    Err(Failure::invalid("", "PodLogOptions", &call.place.name, &causes))
}

/// The container that is meant: the named one, or the only one.
pub(crate) fn container(pod: &Value, call: &Call) -> Result<String, Failure> {
    let names = |list: &str| -> Vec<String> {
        let all = pod["spec"][list].as_array().into_iter().flatten();
        all.filter_map(|one| one["name"].as_str()).map(str::to_owned).collect()
    };
    let (first, mains) = (names("initContainers"), names("containers"));
    let all: Vec<String> = first.iter().chain(&mains).cloned().collect();
    let asked = call.query.get("container");
    let name = &call.place.name;
    if all.iter().any(|one| one == asked) {
        return Ok(asked.to_owned());
    }
    if !asked.is_empty() {
        return Err(Failure::bad_request(format!(
            "container {asked} is not valid for pod {name}"
        )));
    }
    if let [only] = all.as_slice() {
        return Ok(only.clone());
    }
    let all = all.join(" ");
    Err(Failure::bad_request(format!(
        "a container name must be specified for pod {name}, choose one of: [{all}]"
    )))
}

/// The pod as nodes know it.
pub(crate) fn pod_ref(pod: &Value) -> PodRef {
    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
    PodRef {
        namespace: text("namespace"),
        name: text("name"),
        uid: text("uid"),
    }
}

/// The pod is on a node that nobody plays.
pub(crate) fn no_node(pod: &Value) -> Failure {
    Failure::not_found("", "pods", pod["spec"]["nodeName"].as_str().unwrap_or_default())
}

/// What the server makes of a kubelet's refusal.
///
/// Source: kubernetes v1.20, `NewGenericServerResponse` in `apimachinery/pkg/api/errors`, used by `GenericHttpResponseChecker`.
pub(crate) fn from_node(code: u16, message: &str, resource: &str, call: &Call) -> Failure {
    let name = &call.place.name;
    let (reason, text) = match code {
        400 => ("BadRequest", message.to_owned()),
        404 => (
            "NotFound",
            format!("the server could not find the requested resource ( {resource} {name})"),
        ),
        _ => (
            "InternalError",
            format!("an error on the server ({message:?}) has prevented the request from succeeding"),
        ),
    };
    let mut failure = Failure::new(code, reason, text);
    if code != 400 {
        let cause = json!({"reason": "UnexpectedServerResponse", "message": message});
        failure = failure.with(json!({"name": name, "kind": resource, "causes": [cause]}));
    }
    failure
}
