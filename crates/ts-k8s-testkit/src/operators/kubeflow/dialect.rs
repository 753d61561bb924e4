//! Names that differ between the kinds and between the old operators and their successor.
//!
//! Source: kubeflow/tf-operator v1.0 and kubeflow/pytorch-operator v1, `pkg/controller.v1/*/controller.go`, `pod.go`;
//! kubeflow/training-operator `release-1.9`, `pkg/apis/kubeflow.org/v1/common_types.go`, `pkg/controller.v1/common/pod.go`.

use crate::operators::{Generation, plan::Kind};
use std::collections::BTreeMap;

/// The kind of training job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::operators) enum Dialect {
    Tf,
    PyTorch,
}

impl Dialect {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Tf => Kind::TfJob,
            Self::PyTorch => Kind::PyTorchJob,
        }
    }

    pub(super) fn kind_name(self) -> &'static str {
        match self {
            Self::Tf => "TFJob",
            Self::PyTorch => "PyTorchJob",
        }
    }

    /// Where the roles stand in the spec.
    pub(super) fn roles_key(self) -> &'static str {
        match self {
            Self::Tf => "tfReplicaSpecs",
            Self::PyTorch => "pytorchReplicaSpecs",
        }
    }

    /// Roles there are, in the order in which the status is made up.
    pub(super) fn roles(self) -> &'static [&'static str] {
        match self {
            Self::Tf => &["Chief", "Evaluator", "Master", "PS", "Worker"],
            Self::PyTorch => &["Master", "Worker"],
        }
    }

    /// The container that counts.
    pub(super) fn container(self) -> &'static str {
        match self {
            Self::Tf => "tensorflow",
            Self::PyTorch => "pytorch",
        }
    }

    /// The port that is added where a template has none of that name.
    pub(super) fn port(self) -> (&'static str, i64) {
        match self {
            Self::Tf => ("tfjob-port", 2222),
            Self::PyTorch => ("pytorchjob-port", 23456),
        }
    }

    pub(super) fn default_restart_policy(self) -> &'static str {
        match self {
            Self::Tf => "Never",
            Self::PyTorch => "OnFailure",
        }
    }

    pub(super) fn default_clean_pod_policy(self, generation: Generation) -> &'static str {
        match (self, generation) {
            (Self::Tf, Generation::Old) => "Running",
            _ => "None",
        }
    }

    pub(super) fn component(self, generation: Generation) -> &'static str {
        match (self, generation) {
            (Self::Tf, Generation::Old) => "tf-operator",
            (Self::PyTorch, Generation::Old) => "pytorch-operator",
            (Self::Tf, Generation::TrainingOperator) => "tfjob-controller",
            (Self::PyTorch, Generation::TrainingOperator) => "pytorchjob-controller",
        }
    }

    /// Labels of all children of a job.
    pub(super) fn job_labels(self, generation: Generation, job: &str) -> BTreeMap<String, String> {
        let component = self.component(generation);
        let labels: &[(&str, &str)] = match (self, generation) {
            (_, Generation::TrainingOperator) => &[
                ("training.kubeflow.org/operator-name", component),
                ("training.kubeflow.org/job-name", job),
            ],
            (Self::Tf, Generation::Old) => &[
                ("group-name", "kubeflow.org"),
                ("controller-name", component),
                ("job-name", job),
                ("tf-job-name", job),
            ],
            (Self::PyTorch, Generation::Old) => &[
                ("group-name", "kubeflow.org"),
                ("controller-name", component),
                ("job-name", job),
                ("pytorch-job-name", job),
            ],
        };
        labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    /// The label that holds the role, in lower case, and the one that holds the index.
    pub(super) fn replica_labels(self, generation: Generation) -> (&'static str, &'static str) {
        match (self, generation) {
            (_, Generation::TrainingOperator) => (
                "training.kubeflow.org/replica-type",
                "training.kubeflow.org/replica-index",
            ),
            (Self::Tf, Generation::Old) => ("tf-replica-type", "tf-replica-index"),
            (Self::PyTorch, Generation::Old) => ("pytorch-replica-type", "pytorch-replica-index"),
        }
    }
}

/// The label of the replica that leads, with value `master`.
pub(super) fn role_label(generation: Generation) -> &'static str {
    match generation {
        Generation::Old => "job-role",
        Generation::TrainingOperator => "training.kubeflow.org/job-role",
    }
}

/// Reason of the event about a restart policy in a template, which never has an effect.
pub(super) fn restart_policy_reason(generation: Generation) -> &'static str {
    match generation {
        Generation::Old => "SettedPodTemplateRestartPolicy",
        Generation::TrainingOperator => "SetPodTemplateRestartPolicy",
    }
}
