//! The form of an engine: what it gets to see of one object, and what it asks to be done. Engines do no I/O and read no
//! clock, so that a test is a table of views and plans.

use super::value::deleting;
use k8s_openapi::jiff::Timestamp;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// What the operators watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Pod,
    Service,
    ConfigMap,
    Job,
    TfJob,
    PyTorchJob,
    Framework,
    TrainJob,
    TrainingRuntime,
    ClusterTrainingRuntime,
}

impl Kind {
    pub(super) fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::Pod => ("", "v1", "Pod", "pods"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Job => ("batch", "v1", "Job", "jobs"),
            Self::TfJob => ("kubeflow.org", "v1", "TFJob", "tfjobs"),
            Self::PyTorchJob => ("kubeflow.org", "v1", "PyTorchJob", "pytorchjobs"),
            Self::Framework => ("frameworkcontroller.microsoft.com", "v1", "Framework", "frameworks"),
            Self::TrainJob => ("trainer.kubeflow.org", "v1alpha1", "TrainJob", "trainjobs"),
            Self::TrainingRuntime => (
                "trainer.kubeflow.org",
                "v1alpha1",
                "TrainingRuntime",
                "trainingruntimes",
            ),
            Self::ClusterTrainingRuntime => (
                "trainer.kubeflow.org",
                "v1alpha1",
                "ClusterTrainingRuntime",
                "clustertrainingruntimes",
            ),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    /// Itself and what has to be watched to bring its objects along.
    pub(super) fn watched_for(self) -> &'static [Self] {
        match self {
            Self::Job => &[Self::Job, Self::Pod],
            Self::TfJob => &[Self::TfJob, Self::Pod, Self::Service],
            Self::PyTorchJob => &[Self::PyTorchJob, Self::Pod, Self::Service],
            Self::Framework => &[Self::Framework, Self::Pod, Self::ConfigMap],
            Self::TrainJob => &[
                Self::TrainJob,
                Self::Pod,
                Self::Service,
                Self::TrainingRuntime,
                Self::ClusterTrainingRuntime,
            ],
            Self::Pod | Self::Service | Self::ConfigMap | Self::TrainingRuntime | Self::ClusterTrainingRuntime => &[],
        }
    }

    /// Whether its status has an address of its own, to which a write of the rest does nothing.
    pub(super) fn has_status_subresource(self) -> bool {
        self != Self::Framework
    }
}

/// One object and what belongs to it, at one moment.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// The object itself.
    pub(super) object: Arc<Value>,
    /// Pods it owns, by name.
    pub(super) pods: Vec<Arc<Value>>,
    /// Services it owns.
    pub(super) services: Vec<Arc<Value>>,
    /// ConfigMaps it owns.
    pub(super) config_maps: Vec<Arc<Value>>,
    /// The training runtime it refers to.
    pub(super) runtime: Option<Arc<Value>>,
    /// What the server refused when the previous plan was carried out.
    pub(super) refused: Vec<Refusal>,
    /// When this is.
    pub(super) now: Timestamp,
}

impl View {
    /// The status that the object has, null at first.
    pub(super) fn status(&self) -> &Value {
        self.object.get("status").unwrap_or(&Value::Null)
    }

    /// Whether the object itself is on its way out, so that nothing more is to be made for it.
    pub(super) fn deleting(&self) -> bool {
        deleting(&self.object)
    }
}

/// An object that the server would not create.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) kind: Kind,
    pub(super) name: String,
    /// HTTP status, 0 if there was no answer.
    pub(super) code: u16,
    pub(super) message: String,
}

/// What is to be done: the actions in their order, then the status.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) actions: Vec<Action>,
    /// The status from now on. `None`: as it is.
    pub(super) status: Option<Value>,
    /// When to look again, even if nothing happens.
    pub(super) wake: Option<Duration>,
}

impl Plan {
    pub(super) fn event(&mut self, warning: bool, reason: impl Into<String>, message: impl Into<String>) {
        self.actions.push(Action::Event {
            warning,
            reason: reason.into(),
            message: message.into(),
        });
    }

    /// Looks again after `delay`, or earlier if that was already wanted.
    pub(super) fn wake(&mut self, delay: Duration) {
        self.wake = Some(self.wake.map_or(delay, |earlier| earlier.min(delay)));
    }
}

/// One request to the server.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Creates a child. It carries its owner reference.
    Create(Kind, Value),
    /// Deletes a child, if it is still the one with this uid.
    Delete { kind: Kind, name: String, uid: String },
    /// Deletes the object itself.
    DeleteSelf,
    /// Tells what happened, on the object.
    Event {
        warning: bool,
        reason: String,
        message: String,
    },
}

impl Action {
    pub(super) fn delete(kind: Kind, child: &Value) -> Self {
        Self::Delete {
            kind,
            name: super::value::name(child).to_owned(),
            uid: super::value::uid(child).to_owned(),
        }
    }
}

/// The rules of one kind.
pub(super) trait Engine: Send + Sync + 'static {
    /// The kind whose objects it brings along.
    fn kind(&self) -> Kind;

    /// Name under which it tells events.
    fn component(&self) -> &'static str;

    /// What is to be done about an object.
    fn plan(&self, view: &View) -> Plan;
}
