//! `TrainJob` of Kubeflow Trainer, and the `TrainingRuntime` that each trial has for itself.
//!
//! A TrainJob alone cannot say what a trial needs. What it may change of its runtime's pods has no `restartPolicy`, so a JobSet
//! would start a failed trial again in place (kubernetes-sigs/jobset v0.8, `pkg/webhooks/jobset_webhook.go`: `OnFailure`), no
//! `backoffLimit`, no init containers with an image, and in 2.0 no labels of pods. Those fields also differ from 2.0 over 2.1 to
//! 2.2. So the configured runtime is copied with our pod in the place of its trainer's, which all of 2.x serve alike.
//!
//! Source: kubeflow/trainer, tags v2.0 to v2.3, `pkg/apis/trainer/v1alpha1/{trainjob,trainingruntime}_types.go`.

use super::{Blueprint, merge, pod};
use serde_json::{Map, Value, json};
use ts_core::{Error, ErrorKind, Result};

/// The job of a runtime that a TrainJob's `trainer` is about, by the label below or by this name.
const NODE: &str = "node";
/// Source: kubeflow/trainer v2.2, `pkg/constants/constants.go`, `LabelTrainJobAncestor` and `AncestorTrainer`.
const ANCESTOR: (&str, &str) = ("trainer.kubeflow.org/trainjob-ancestor-step", "trainer");

pub(super) fn spec(b: &Blueprint<'_>) -> Result<Value> {
    let role = &b.config.roles[0];
    let template = pod::template(b, role)?;
    let mut trainer = json!({"numNodes": role.replicas});
    if let Some(resources) = template["spec"]["containers"][0].get("resources") {
        // Torch's processes per node follow from them.
        trainer["resourcesPerNode"] = resources.clone();
    }
    Ok(json!({
        "runtimeRef": {"apiGroup": b.config.kind.group(), "kind": "TrainingRuntime", "name": b.name()},
        "trainer": trainer,
    }))
}

/// The runtime of a trial: `base`, which is the configured one, with the trial in it.
///
/// # Errors
/// `Config` for a command that no script can hold, and for a runtime without a job that trains.
pub(crate) fn runtime(b: &Blueprint<'_>, base: &Value) -> Result<Value> {
    let mut spec = base["spec"].clone();
    let job_set = &mut spec["template"]["spec"];
    let jobs = job_set["replicatedJobs"]
        .as_array_mut()
        .map(Vec::as_mut_slice)
        .unwrap_or_default();
    let Some(job) = trainer_of(jobs) else {
        let name = base["metadata"]["name"].as_str().unwrap_or_default();
        return Err(Error::new(
            ErrorKind::Config,
            format!("the training runtime `{name}` has no job that trains"),
        )
        .with_key("runtime")
        .with_help(
            "name a runtime one of whose jobs bears the label `trainer.kubeflow.org/trainjob-ancestor-step: trainer`",
        ));
    };
    let job = &mut job["template"]["spec"];
    merge::strategic(&mut job["template"], &pod::template(b, &b.config.roles[0])?);
    pod::same_user(&mut job["template"]["spec"]);
    job["backoffLimit"] = 0.into();
    // A trial runs once. A Job or JobSet that is removed after some time is made anew (kubeflow/trainer#3737).
    remove(job, "ttlSecondsAfterFinished");
    remove(job_set, "ttlSecondsAfterFinished");
    remove(job_set, "failurePolicy");
    let mut metadata = b.metadata();
    let mut labels = base["metadata"]["labels"].as_object().cloned().unwrap_or_else(Map::new);
    labels.extend(b.labels(None));
    metadata["labels"] = labels.into();
    Ok(json!({
        "apiVersion": format!("{}/{}", b.config.kind.group(), b.version),
        "kind": "TrainingRuntime",
        "metadata": metadata,
        "spec": spec,
    }))
}

/// A runtime that holds nothing but a job that trains.
pub(crate) fn bare_runtime(name: &str) -> Value {
    let job = json!({"name": NODE, "template": {
        "metadata": {"labels": {ANCESTOR.0: ANCESTOR.1}},
        "spec": {"template": {"spec": {}}},
    }});
    json!({"metadata": {"name": name}, "spec": {"template": {"spec": {"replicatedJobs": [job]}}}})
}

fn trainer_of(jobs: &mut [Value]) -> Option<&mut Value> {
    let is_labelled = |job: &Value| job["template"]["metadata"]["labels"][ANCESTOR.0] == ANCESTOR.1;
    let index = jobs
        .iter()
        .position(is_labelled)
        .or_else(|| jobs.iter().position(|job| job["name"] == NODE))?;
    jobs.get_mut(index)
}

fn remove(object: &mut Value, key: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.shift_remove(key);
    }
}
