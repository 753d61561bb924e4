//! When a Job has ended, and how.
//!
//! Source: kubernetes v1.20, `pkg/controller/job/job_controller.go`, `syncJob`, `pastBackoffLimitOnFailure`.

use super::count::{Counts, parallelism_and_completions};
use crate::operators::{
    pods,
    value::{elapsed, number, text},
};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// Why a Job has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::operators) struct Verdict {
    pub(in crate::operators) reason: String,
    pub(in crate::operators) message: String,
}

impl Verdict {
    fn new(reason: &str, message: &str) -> Self {
        Self {
            reason: reason.to_owned(),
            message: message.to_owned(),
        }
    }
}

/// Why a Job that started at `start` has failed, if it has.
pub(in crate::operators) fn failure(
    spec: &Value,
    counts: &Counts<'_>,
    start: &Value,
    now: Timestamp,
) -> Option<Verdict> {
    if let Some(message) = &counts.fail_job {
        return Some(Verdict::new("PodFailurePolicy", message));
    }
    let limit = number(spec, "/backoffLimit").unwrap_or(6);
    if counts.failed > limit || past_limit_in_place(spec, counts, limit) {
        return Some(Verdict::new(
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
        ));
    }
    let deadline = Duration::from_secs(u64::try_from(number(spec, "/activeDeadlineSeconds")?).ok()?);
    (elapsed(now, start)? >= deadline)
        .then(|| Verdict::new("DeadlineExceeded", "Job was active longer than specified deadline"))
}

/// With `OnFailure`, the node starts containers again, and those starts count.
fn past_limit_in_place(spec: &Value, counts: &Counts<'_>, limit: i64) -> bool {
    if text(spec, "/template/spec/restartPolicy") != "OnFailure" {
        return false;
    }
    let restarts: i64 = counts.active.iter().map(|pod| pods::restarts(pod)).sum();
    match limit {
        0 => restarts > 0,
        limit => restarts >= limit,
    }
}

/// Whether a Job has succeeded.
pub(in crate::operators) fn is_complete(spec: &Value, counts: &Counts<'_>) -> bool {
    match parallelism_and_completions(spec) {
        (_, Some(completions)) => counts.succeeded >= completions,
        (_, None) => counts.succeeded > 0 && counts.active.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::count::count, *};
    use serde_json::json;
    use std::sync::Arc;

    fn now() -> Timestamp {
        "2026-01-01T00:01:00Z".parse().unwrap()
    }

    fn pods(phases: &[(&str, i64)]) -> Vec<Arc<Value>> {
        let pods = phases.iter().map(|(phase, restarts)| {
            json!({ "status": { "phase": phase, "containerStatuses": [{ "restartCount": restarts }] } })
        });
        pods.map(Arc::new).collect()
    }

    fn reason(spec: &Value, phases: &[(&str, i64)]) -> Option<String> {
        let pods = pods(phases);
        let counts = count(spec, &pods, 20);
        failure(spec, &counts, &json!("2026-01-01T00:00:00Z"), now()).map(|verdict| verdict.reason)
    }

    #[test]
    fn limits() {
        let backoff = Some("BackoffLimitExceeded".to_owned());
        for (spec, phases, expected) in [
            (json!({ "backoffLimit": 0 }), &[("Failed", 0)][..], backoff.clone()),
            (json!({ "backoffLimit": 1 }), &[("Failed", 0)][..], None),
            (
                json!({ "backoffLimit": 1 }),
                &[("Failed", 0), ("Failed", 0)][..],
                backoff.clone(),
            ),
            (json!({}), &[("Failed", 0); 6][..], None),
            (json!({}), &[("Failed", 0); 7][..], backoff.clone()),
            (json!({ "backoffLimit": 0 }), &[("Running", 9)][..], None),
            (
                json!({ "activeDeadlineSeconds": 60 }),
                &[][..],
                Some("DeadlineExceeded".to_owned()),
            ),
            (json!({ "activeDeadlineSeconds": 61 }), &[][..], None),
        ] {
            assert_eq!(reason(&spec, phases), expected, "{spec} {phases:?}");
        }
        let in_place =
            |limit: i64| json!({ "backoffLimit": limit, "template": { "spec": { "restartPolicy": "OnFailure" } } });
        assert_eq!(reason(&in_place(0), &[("Running", 0)]), None);
        assert_eq!(reason(&in_place(0), &[("Running", 1)]), backoff);
        assert_eq!(reason(&in_place(2), &[("Running", 1)]), None);
        assert_eq!(reason(&in_place(2), &[("Running", 1), ("Pending", 1)]), backoff);
    }

    #[test]
    fn success() {
        for (spec, phases, expected) in [
            (json!({}), &["Succeeded"][..], true),
            (json!({ "completions": 2 }), &["Succeeded"][..], false),
            (json!({ "parallelism": 2 }), &["Succeeded", "Running"][..], false),
            (json!({ "parallelism": 2 }), &["Succeeded", "Failed"][..], true),
        ] {
            let pods = pods(&phases.iter().map(|phase| (*phase, 0)).collect::<Vec<_>>());
            assert_eq!(
                is_complete(&spec, &count(&spec, &pods, 20)),
                expected,
                "{spec} {phases:?}"
            );
        }
    }
}
