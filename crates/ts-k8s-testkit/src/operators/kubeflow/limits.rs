//! The limits of a job: failures and time.
//!
//! Source: kubeflow/training-operator `release-1.9`, `pkg/controller.v1/common/job.go`, `ReconcileJobs`, and `pkg/core/job.go`;
//! kubeflow/pytorch-operator, `pkg/controller.v1/pytorch/controller.go`.

use super::{dialect::Dialect, spec::Training};
use crate::operators::{
    Generation, pods,
    value::{elapsed, label, members, name, number},
};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;

/// Why a job is over a limit, if it is.
pub(super) fn exceeded(
    dialect: Dialect,
    generation: Generation,
    job: &Value,
    training: &Training,
    status: &Value,
    pods: &[Arc<Value>],
    now: Timestamp,
) -> Option<String> {
    let subject = match generation {
        Generation::Old => dialect.kind_name(),
        Generation::TrainingOperator => "Job",
    };
    let what = if past_backoff_limit(dialect, generation, training, status, pods) {
        "it has reached the specified backoff limit"
    } else if past_deadline(training, status, now) {
        "it was active longer than specified deadline"
    } else {
        return None;
    };
    Some(format!("{subject} {} has failed because {what}", name(job)))
}

fn past_deadline(training: &Training, status: &Value, now: Timestamp) -> bool {
    let Some(allowed) = training.deadline else { return false };
    elapsed(now, &status["startTime"]).is_some_and(|elapsed| elapsed >= allowed)
}

fn past_backoff_limit(
    dialect: Dialect,
    generation: Generation,
    training: &Training,
    status: &Value,
    pods: &[Arc<Value>],
) -> bool {
    let Some(limit) = training.backoff_limit else {
        return false;
    };
    let count = |wanted: &dyn Fn(&Value) -> bool| {
        i64::try_from(pods.iter().filter(|pod| wanted(pod)).count()).unwrap_or(i64::MAX)
    };
    let failed = count(&|pod| pods::phase(pod) == "Failed");
    let active = count(&|pod| pods::is_active(pod));
    let known: i64 = members(status, "/replicaStatuses")
        .filter_map(|(_, role)| number(role, "/failed"))
        .sum();
    // The retries that are compared with the limit are those of the operator's queue, which are none: only a limit of 0 acts.
    let new_failure = failed > known && active != training.total() && limit < 1;
    new_failure || past_limit_in_place(dialect, generation, training, pods, limit)
}

/// Containers that were started again in place, for the policies that do so.
fn past_limit_in_place(
    dialect: Dialect,
    generation: Generation,
    training: &Training,
    pods: &[Arc<Value>],
    limit: i64,
) -> bool {
    let (role_label, _) = dialect.replica_labels(generation);
    let counts = |role: &str| match role {
        "OnFailure" | "Always" => true,
        "ExitCode" => generation == Generation::TrainingOperator,
        _ => false,
    };
    let restarts: i64 = training
        .roles
        .iter()
        .filter(|role| counts(&role.restart_policy))
        .flat_map(|role| pods.iter().filter(move |pod| label(pod, role_label) == role.lower()))
        .filter(|pod| match pods::phase(pod) {
            "Running" => true,
            "Pending" => generation == Generation::Old,
            _ => false,
        })
        .map(|pod| pods::restarts(pod))
        .sum();
    match limit {
        0 => restarts > 0,
        limit => restarts >= limit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn training(policy: &str, limits: Value) -> Training {
        let mut spec = json!({ "pytorchReplicaSpecs": { "Master": {
            "restartPolicy": policy, "template": { "spec": { "containers": [{ "name": "pytorch", "image": "i" }] } },
        } } });
        spec["runPolicy"] = limits;
        Training::read(Dialect::PyTorch, Generation::TrainingOperator, &json!({ "spec": spec })).unwrap()
    }

    fn pod(phase: &str, restarts: i64) -> Arc<Value> {
        Arc::new(json!({
            "metadata": { "labels": { "training.kubeflow.org/replica-type": "master" } },
            "status": { "phase": phase, "containerStatuses": [{ "restartCount": restarts }] },
        }))
    }

    fn exceeds(policy: &str, limits: Value, status: &Value, pods: &[Arc<Value>]) -> Option<String> {
        let job = json!({ "metadata": { "name": "j" } });
        let now = "2026-01-01T00:01:00Z".parse().unwrap();
        let training = training(policy, limits);
        exceeded(
            Dialect::PyTorch,
            Generation::TrainingOperator,
            &job,
            &training,
            status,
            pods,
            now,
        )
    }

    #[test]
    fn failures() {
        let over = Some("Job j has failed because it has reached the specified backoff limit".to_owned());
        for (policy, limit, status, pod, expected) in [
            ("Never", 0, json!({}), pod("Failed", 0), over.clone()),
            ("Never", 1, json!({}), pod("Failed", 0), None),
            (
                "Never",
                0,
                json!({ "replicaStatuses": { "Master": { "failed": 1 } } }),
                pod("Failed", 0),
                None,
            ),
            ("OnFailure", 0, json!({}), pod("Running", 1), over.clone()),
            ("OnFailure", 2, json!({}), pod("Running", 1), None),
            ("OnFailure", 2, json!({}), pod("Running", 2), over.clone()),
            ("OnFailure", 2, json!({}), pod("Pending", 2), None),
            ("Never", 2, json!({}), pod("Running", 2), None),
        ] {
            let limits = json!({ "backoffLimit": limit });
            assert_eq!(
                exceeds(policy, limits, &status, std::slice::from_ref(&pod)),
                expected,
                "{policy} {limit} {pod}"
            );
        }
    }

    #[test]
    fn time() {
        let started = json!({ "startTime": "2026-01-01T00:00:00Z" });
        let over = Some("Job j has failed because it was active longer than specified deadline".to_owned());
        assert_eq!(
            exceeds("Never", json!({ "activeDeadlineSeconds": 60 }), &started, &[]),
            over
        );
        assert_eq!(
            exceeds("Never", json!({ "activeDeadlineSeconds": 61 }), &started, &[]),
            None
        );
        assert_eq!(
            exceeds("Never", json!({ "activeDeadlineSeconds": 0 }), &json!({}), &[]),
            None
        );
    }
}
