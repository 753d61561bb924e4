//! `TFJob` and `PyTorchJob` of `kubeflow.org`, for the operators of all their versions.
//!
//! Sources: kubeflow/tf-operator and kubeflow/pytorch-operator (`pkg/apis`, old versions, whose run policy lies at the top);
//! kubeflow/training-operator 1.9, `pkg/apis/kubeflow.org/v1` (where it is `runPolicy`). Both are written: each server keeps
//! what it knows.

use super::{Blueprint, pod, seconds};
use crate::{JobKind, Role};
use serde_json::{Map, Value, json};
use ts_core::Result;

pub(super) fn spec(b: &Blueprint<'_>) -> Result<Value> {
    let field = match b.config.kind {
        JobKind::TfJob => "tfReplicaSpecs",
        _ => "pytorchReplicaSpecs",
    };
    let mut replicas = Map::new();
    for role in &b.config.roles {
        replicas.insert(
            replica_type(b.config.kind, role).to_owned(),
            json!({
                "replicas": role.replicas,
                // At pod level it would be overwritten, and PyTorchJob's default would restart what failed.
                "restartPolicy": "Never",
                "template": pod::template(b, role)?,
            }),
        );
    }
    // Pods that still run when the job is over would run for ever; ended ones keep their logs. No `backoffLimit`: the training
    // operator removes all pods, whatever the policy, where it is exceeded (`pkg/controller.v1/common/job.go`).
    let mut policy = json!({"cleanPodPolicy": "Running"});
    if let Some(ttl) = b.config.ttl_after_finished {
        policy["ttlSecondsAfterFinished"] = seconds(ttl).into();
    }
    let mut spec = json!({field: replicas, "runPolicy": policy});
    if let (Some(spec), Some(policy)) = (spec.as_object_mut(), policy.as_object()) {
        spec.extend(policy.clone());
    }
    Ok(spec)
}

/// The operators' spelling of a role.
fn replica_type(kind: JobKind, role: &Role) -> &'static str {
    match (kind, role.name.as_str()) {
        (JobKind::TfJob, "ps") => "PS",
        (JobKind::PyTorchJob, "master") => "Master",
        _ => "Worker",
    }
}
