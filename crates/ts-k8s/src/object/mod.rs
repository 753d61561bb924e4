//! From a trial to the object that is created for it: pure functions, one file per family of kinds.

mod aside;
mod framework;
mod job;
mod kubeflow;
mod merge;
mod pod;
mod train_job;

pub(crate) use aside::like_trials;
pub(crate) use pod::{
    CODE_CONTAINER, POD_NAME, RECEIVE, WORK_DIR, azure_secret, code_dir, experiment_dir, ready_mark, registry_secret,
    storage_mount, storage_volume, trial_dir,
};
pub(crate) use train_job::{bare_runtime, runtime};

use crate::{JobKind, KubernetesConfig, Role, names};
use serde_json::{Map, Value, json};
use ts_core::{Result, TrialSpec};

/// Annotation that keeps a trial's sequence number for people.
const SEQUENCE: &str = "tsctl/sequence-id";
/// Label by which Kueue queues a job.
///
/// Source: kubernetes-sigs/kueue, `pkg/controller/constants/constants.go`, `QueueLabel`.
const QUEUE: &str = "kueue.x-k8s.io/queue-name";

/// The object that owns all others of the experiment, so that one deletion removes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl Owner {
    pub(crate) fn reference(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "name": self.name, "uid": self.uid})
    }
}

/// What an object is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blueprint<'a> {
    pub(crate) config: &'a KubernetesConfig,
    pub(crate) trial: &'a TrialSpec,
    /// Digest of the code.
    pub(crate) digest: &'a str,
    /// Version of the kind's group.
    pub(crate) version: &'a str,
    pub(crate) owner: Option<&'a Owner>,
}

impl Blueprint<'_> {
    pub(crate) fn name(&self) -> String {
        names::job(self.config.kind, &self.trial.experiment, &self.trial.id)
    }

    /// How many pods the trial has in all.
    fn n_pods(&self) -> u32 {
        self.config.n_pods()
    }

    /// Labels of the object, and without a role those of its pods too.
    fn labels(&self, role: Option<&Role>) -> Map<String, Value> {
        let trial = self.trial;
        let mut labels = Map::new();
        let mut add = |name: &str, value: String| labels.insert(name.to_owned(), value.into());
        add(names::APP.0, names::APP.1.to_owned());
        add(names::EXPERIMENT, names::label(trial.experiment.as_str()));
        add(names::TRIAL, names::label(trial.id.as_str()));
        add(names::MANAGED_BY.0, names::MANAGED_BY.1.to_owned());
        if let Some(role) = role {
            add(names::ROLE, role.name.clone());
        }
        labels
    }

    fn metadata(&self) -> Value {
        let mut labels = self.labels(None);
        if let Some(queue) = &self.config.pods.queue {
            labels.insert(QUEUE.to_owned(), queue.clone().into());
        }
        let mut metadata = json!({
            "name": self.name(),
            "labels": labels,
            "annotations": {SEQUENCE: self.trial.sequence_id.to_string()},
        });
        if let Some(owner) = self.owner {
            metadata["ownerReferences"] = json!([owner.reference()]);
        }
        self.with_users(metadata)
    }

    /// Ours over the labels and annotations of a Framework of the user's.
    fn with_users(&self, ours: Value) -> Value {
        let Some(users) = self
            .config
            .framework_template
            .as_ref()
            .and_then(|own| own.get("metadata"))
        else {
            return ours;
        };
        let mut metadata = json!({});
        for part in ["labels", "annotations"] {
            if let Some(map) = users.get(part).filter(|map| map.is_object()) {
                metadata[part] = map.clone();
            }
        }
        merge::strategic(&mut metadata, &ours);
        metadata
    }
}

/// The object of a trial.
///
/// # Errors
/// `Config` for a command that no script can hold, or parameters that no pod can.
pub(crate) fn object(blueprint: &Blueprint<'_>) -> Result<Value> {
    let kind = blueprint.config.kind;
    let spec = match kind {
        JobKind::Job => job::spec(blueprint)?,
        JobKind::TfJob | JobKind::PyTorchJob => kubeflow::spec(blueprint)?,
        JobKind::TrainJob => train_job::spec(blueprint)?,
        JobKind::Framework => framework::spec(blueprint)?,
    };
    Ok(json!({
        "apiVersion": format!("{}/{}", kind.group(), blueprint.version),
        "kind": kind.kind(),
        "metadata": blueprint.metadata(),
        "spec": spec,
    }))
}

/// Seconds, rounded up; Kubernetes counts in whole ones.
fn seconds(duration: std::time::Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
#[path = "object_tests.rs"]
mod tests;
