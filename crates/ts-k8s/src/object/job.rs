//! `batch/v1` `Job`: one pod, or several with an index each.
//!
//! Source: kubernetes/api, `batch/v1/types.go`.

use super::{Blueprint, pod, seconds};
use serde_json::{Value, json};
use ts_core::Result;

pub(super) fn spec(b: &Blueprint<'_>) -> Result<Value> {
    let role = &b.config.roles[0];
    let mut spec = json!({
        "backoffLimit": 0,
        // Has the Job say that a disruption ended it, also to a manager that comes when the pod is gone; before 1.26 it is passed over.
        "podFailurePolicy": { "rules": [
            { "action": "FailJob", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
        ]},
        "template": pod::template(b, role)?,
    });
    if role.replicas > 1 {
        spec["completions"] = role.replicas.into();
        spec["parallelism"] = role.replicas.into();
        spec["completionMode"] = "Indexed".into();
    }
    if let Some(ttl) = b.config.ttl_after_finished {
        spec["ttlSecondsAfterFinished"] = seconds(ttl).into();
    }
    Ok(spec)
}
