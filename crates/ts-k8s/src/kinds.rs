//! The kinds of object that a trial can become: where the API has them, and which of their versions this cluster serves.

use crate::{JobKind, access::Cluster, error, object::Patches};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    api::{Api, DynamicObject},
    core::{ApiResource, GroupVersionKind},
};
use ts_core::{Error, ErrorKind, Result};

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

/// How the Trainer of this cluster takes changes of pods, by the schema that its CRD has.
pub(crate) async fn patches(cluster: &Cluster, resource: &ApiResource) -> Result<Patches> {
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    let name = format!("{}.{}", resource.plural, resource.group);
    let definition = match definitions.get(&name).await {
        Ok(definition) => definition,
        // Definitions belong to the whole cluster, and many may not read them; the newest form is the likeliest.
        Err(kube::Error::Api(status)) if status.code == 403 => return Ok(Patches::default()),
        Err(e) => return Err(error::of_api("read the definition of TrainJob", e)),
    };
    let versions = definition.spec.versions.into_iter();
    let schema = versions
        .filter(|v| v.name == resource.version)
        .find_map(|v| v.schema?.open_api_v3_schema?.properties?.remove("spec")?.properties);
    let has = |field: &str| schema.as_ref().is_some_and(|spec| spec.contains_key(field));
    Ok(
        match (
            has("runtimePatches"),
            has("podTemplateOverrides"),
            has("podSpecOverrides"),
        ) {
            (false, true, _) => Patches::PodTemplate,
            (false, false, true) => Patches::PodSpec,
            _ => Patches::Runtime,
        },
    )
}
