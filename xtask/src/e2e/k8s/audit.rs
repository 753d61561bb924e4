//! What accounts of a cluster ask of its API server: each request, as the server itself writes it down.
//!
//! Administrators are left out, and so are all daemons, which are administrators here.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// Files in the cluster's folder.
pub(super) const POLICY: &str = "audit.json";
pub(super) const LOG: &str = "logs/audit.log";

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Namespace of the account that asked.
    pub(crate) account: String,
    /// Such as `create`, `watch`.
    pub(crate) verb: String,
    /// Such as `jobs`, `pods/exec`; empty for what is no resource, such as the version.
    pub(crate) resource: String,
    /// Name of the object; empty for lists and for what the server has named.
    pub(crate) name: String,
    /// HTTP status of the answer.
    pub(crate) code: u64,
    /// Whether nothing was to change, whatever the verb says.
    pub(crate) is_dry: bool,
}

impl Request {
    /// Whether something in the cluster was to change by it. A command in a pod counts, too: it costs as much.
    pub(crate) fn is_write(&self) -> bool {
        let is_review = self.resource == "selfsubjectaccessreviews";
        let changes = !matches!(self.verb.as_str(), "get" | "list" | "watch");
        (changes || self.resource == "pods/exec") && !is_review && !self.is_dry
    }
}

/// Source: kubernetes v1.20.2, `staging/src/k8s.io/apiserver/pkg/apis/audit/v1/types.go`.
pub(super) fn configure(folder: &Path) -> Result<()> {
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        // Streams are told twice, other requests once: when they are answered.
        "omitStages": ["RequestReceived"],
        "rules": [{ "level": "Metadata", "userGroups": ["system:serviceaccounts"] }, { "level": "None" }],
    });
    Ok(fs::write(folder.join(POLICY), policy.to_string())?)
}

/// All requests so far, in their order. Streams count from their beginning.
pub(super) fn read(folder: &Path) -> Result<Vec<Request>> {
    let text = fs::read_to_string(folder.join(LOG)).context("the API server has kept no record of requests")?;
    // The last line may still be on its way.
    let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
    let events = complete.lines().map(|line| Ok(serde_json::from_str::<Value>(line)?));
    let requests = events.map(|event| event.map(|event| request(&event)));
    Ok(requests.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// `None` for the end of a stream whose beginning was told.
fn request(event: &Value) -> Option<Request> {
    let is_long = event["verb"] == "watch" || event["requestURI"].as_str()?.contains("follow=true");
    let is_exec = event["objectRef"]["subresource"] == "exec";
    if event["stage"] == "ResponseComplete" && (is_long || is_exec) && event["responseStatus"]["code"].as_u64()? < 400 {
        return None;
    }
    if event["stage"] == "ResponseStarted" && !(is_long || is_exec) {
        return None;
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let reference = &event["objectRef"];
    let (resource, part) = (text(&reference["resource"]), text(&reference["subresource"]));
    Some(Request {
        account: text(&event["user"]["username"])
            .split(':')
            .nth(2)
            .unwrap_or_default()
            .to_owned(),
        verb: text(&event["verb"]),
        resource: if part.is_empty() {
            resource
        } else {
            format!("{resource}/{part}")
        },
        name: text(&reference["name"]),
        code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
        is_dry: text(&event["requestURI"]).contains("dryRun="),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(verb: &str, stage: &str, resource: &str, part: &str, uri: &str) -> Value {
        json!({
            "stage": stage, "verb": verb, "requestURI": uri, "responseStatus": { "code": 200 },
            "user": { "username": "system:serviceaccount:one:nni-manager" },
            "objectRef": { "resource": resource, "subresource": part, "name": "a" },
        })
    }

    #[test]
    fn a_stream_counts_once_and_a_rehearsal_is_no_write() {
        let watch = |stage| request(&event("watch", stage, "pods", "", "/api/v1/pods?watch=true"));
        assert!(watch("ResponseStarted").is_some_and(|r| !r.is_write() && r.account == "one"));
        assert_eq!(watch("ResponseComplete"), None);
        let create = |uri| request(&event("create", "ResponseComplete", "jobs", "", uri)).unwrap();
        assert!(create("/apis/batch/v1/jobs").is_write());
        assert!(!create("/apis/batch/v1/jobs?dryRun=All").is_write());
        let exec = event(
            "get",
            "ResponseStarted",
            "pods",
            "exec",
            "/api/v1/pods/a/exec?command=sh",
        );
        assert!(request(&exec).is_some_and(|r| r.is_write() && r.resource == "pods/exec"));
    }
}
