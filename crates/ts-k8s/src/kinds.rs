//! The kinds of object that a trial can become: where the API has them, and which of their versions this cluster serves.

use crate::{JobKind, access::Cluster, error};
use kube::{
    api::{Api, DynamicObject},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::Value;
use ts_core::{Error, ErrorKind, Result};

/// Plural of the runtimes that belong to a namespace.
pub(crate) const RUNTIMES: &str = "trainingruntimes";

/// A kind as this cluster serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) resource: ApiResource,
    /// Whether it is another version than the configured one.
    pub(crate) is_other: bool,
}

impl JobKind {
    pub(crate) const fn group(self) -> &'static str {
        match self {
            Self::Job => "batch",
            Self::TfJob | Self::PyTorchJob => "kubeflow.org",
            Self::TrainJob => "trainer.kubeflow.org",
            Self::Framework => "frameworkcontroller.microsoft.com",
        }
    }

    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Job => "Job",
            Self::TfJob => "TFJob",
            Self::PyTorchJob => "PyTorchJob",
            Self::TrainJob => "TrainJob",
            Self::Framework => "Framework",
        }
    }

    pub(crate) const fn plural(self) -> &'static str {
        match self {
            Self::Job => "jobs",
            Self::TfJob => "tfjobs",
            Self::PyTorchJob => "pytorchjobs",
            Self::TrainJob => "trainjobs",
            Self::Framework => "frameworks",
        }
    }

    /// The version where none is configured and the cluster was not asked yet.
    pub(crate) const fn usual_version(self) -> &'static str {
        match self {
            Self::TrainJob => "v1alpha1",
            _ => "v1",
        }
    }

    /// Who turns such objects into pods.
    pub(crate) const fn operator(self) -> &'static str {
        match self {
            Self::Job => "Kubernetes' own job controller",
            Self::TfJob => "tf-operator or Kubeflow's training operator",
            Self::PyTorchJob => "pytorch-operator or Kubeflow's training operator",
            Self::TrainJob => "Kubeflow Trainer",
            Self::Framework => "FrameworkController",
        }
    }

    /// Whether each pod is removed as soon as it has ended, and its log with it.
    ///
    /// Source: microsoft/frameworkcontroller, `pkg/controller/controller.go`, `syncTaskState`; seen running.
    pub(crate) const fn removes_pods(self) -> bool {
        matches!(self, Self::Framework)
    }

    /// The resource in this version.
    pub(crate) fn resource(self, version: &str) -> ApiResource {
        let gvk = GroupVersionKind::gvk(self.group(), version, self.kind());
        ApiResource::from_gvk_with_plural(&gvk, self.plural())
    }
}

/// Finds the version to use: the configured one if it is served, else the one that the cluster prefers.
///
/// # Errors
/// `NotFound` if the kind is not installed; those of the API server.
pub(crate) async fn discover(cluster: &Cluster, kind: JobKind, configured: Option<&str>) -> Result<Served> {
    let what = "list the kinds of objects";
    let groups = cluster
        .client
        .list_api_groups()
        .await
        .map_err(|e| error::of_api(what, e))?;
    let Some(group) = groups.groups.into_iter().find(|group| group.name == kind.group()) else {
        return Err(missing(kind));
    };
    let preferred = group.preferred_version.map(|v| v.version);
    let served: Vec<String> = group.versions.into_iter().map(|v| v.version).collect();
    let mut candidates: Vec<&str> = Vec::new();
    candidates.extend(configured.filter(|wanted| served.iter().any(|v| v == wanted)));
    candidates.extend(preferred.as_deref());
    candidates.extend(served.iter().map(String::as_str));
    for version in candidates {
        let group_version = format!("{}/{version}", kind.group());
        let list = cluster.client.list_api_group_resources(&group_version).await;
        let list = list.map_err(|e| error::of_api(what, e))?;
        if list.resources.iter().any(|r| r.name == kind.plural()) {
            return Ok(Served {
                resource: kind.resource(version),
                is_other: configured.is_some_and(|wanted| wanted != version),
            });
        }
    }
    Err(missing(kind))
}

/// That the cluster does not know the kind.
pub(crate) fn missing(kind: JobKind) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!(
            "the cluster does not know `{}` objects of `{}`",
            kind.kind(),
            kind.group()
        ),
    )
    .with_help(format!(
        "install {} and its CRDs, or choose another platform",
        kind.operator()
    ))
}

/// The objects of a kind in our namespace.
pub(crate) fn api(cluster: &Cluster, resource: &ApiResource) -> Api<DynamicObject> {
    Api::namespaced_with(cluster.client.clone(), &cluster.namespace, resource)
}

/// The runtimes of trials in our namespace.
pub(crate) fn runtimes(cluster: &Cluster, trials: &ApiResource) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk(&trials.group, &trials.version, "TrainingRuntime");
    api(cluster, &ApiResource::from_gvk_with_plural(&gvk, RUNTIMES))
}

/// The training runtime of this name: the cluster's, else that of our namespace, as JSON.
///
/// # Errors
/// `NotFound` if there is none; those of the API server.
pub(crate) async fn runtime(cluster: &Cluster, trials: &ApiResource, name: &str) -> Result<Value> {
    let gvk = GroupVersionKind::gvk(&trials.group, &trials.version, "ClusterTrainingRuntime");
    let of_cluster = ApiResource::from_gvk_with_plural(&gvk, "clustertrainingruntimes");
    let all: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &of_cluster);
    let what = format!("read the training runtime `{name}`");
    let found = match all.get_opt(name).await {
        Ok(Some(runtime)) => Some(runtime),
        Ok(None) => runtimes(cluster, trials)
            .get_opt(name)
            .await
            .map_err(|e| error::of_api(&what, e))?,
        Err(e) => return Err(error::of_api(&what, e)),
    };
    let Some(runtime) = found else {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("the cluster has no training runtime `{name}`"),
        )
        .with_key("runtime")
        .with_help("`kubectl get clustertrainingruntimes,trainingruntimes` lists them"));
    };
    serde_json::to_value(runtime)
        .map_err(|e| Error::new(ErrorKind::Internal, "a training runtime cannot be written as JSON").with_source(e))
}
