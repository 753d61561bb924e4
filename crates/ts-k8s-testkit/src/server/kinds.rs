//! What kinds of resources are served: those that every cluster has, and custom ones that a test installs. Their rules are in
//! `validate` and `defaults`.

use k8s_openapi::api::{batch::v1 as batch, core::v1 as core};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// A kind of custom resource, as a CustomResourceDefinition would declare it.
#[derive(Debug, Clone)]
pub struct CustomKind {
    /// Such as `kubeflow.org`.
    pub group: String,
    /// Served versions, the preferred one first.
    pub versions: Vec<String>,
    /// Such as `TFJob`.
    pub kind: String,
    /// Such as `tfjobs`.
    pub plural: String,
    /// It has no namespace.
    pub cluster: bool,
    /// `status` is a subresource: writes to the object leave it alone, and writes to it leave the object alone.
    pub status: bool,
    /// The `openAPIV3Schema` that objects are checked against and unknown fields are dropped by. `Null` takes everything.
    pub schema: Value,
}

impl CustomKind {
    /// A namespaced kind with one version, the status subresource and no schema.
    pub fn new(group: &str, version: &str, kind: &str, plural: &str) -> Self {
        Self {
            group: group.to_owned(),
            versions: vec![version.to_owned()],
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            cluster: false,
            status: true,
            schema: Value::Null,
        }
    }

    /// The same with a schema.
    #[must_use]
    pub fn with_schema(self, schema: Value) -> Self {
        Self { schema, ..self }
    }

    /// The same without a namespace.
    #[must_use]
    pub fn cluster_scoped(self) -> Self {
        Self { cluster: true, ..self }
    }

    /// `Framework` of FrameworkController.
    ///
    /// Source: microsoft/frameworkcontroller, `pkg/apis/frameworkcontroller/v1/crd.go`; it has no status subresource.
    pub fn framework() -> Self {
        let name = json!({"type": "string", "pattern": "^[a-z0-9]{1,63}$"});
        let count = json!({"type": "integer", "minimum": -1});
        let role = json!({"type": "object", "properties": {
            "name": name,
            "taskNumber": {"type": "integer", "minimum": 0, "maximum": 10000},
            "frameworkAttemptCompletionPolicy": {"type": "object", "properties": {
                "minFailedTaskCount": count, "minSucceededTaskCount": count}}}});
        let retry = json!({"type": "object", "properties": {"maxRetryCount": {"type": "integer", "minimum": -2}}});
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
            "metadata": {"type": "object", "properties": {"name": name}},
            "spec": {"type": "object", "properties": {
                "executionType": {"type": "string", "enum": ["Create", "Start", "Stop"]},
                "retryPolicy": retry,
                "taskRoles": {"type": "array", "items": role}}}}});
        let kind = Self::new("frameworkcontroller.microsoft.com", "v1", "Framework", "frameworks");
        Self { status: false, ..kind }.with_schema(schema)
    }

    /// `TFJob` of Kubeflow.
    ///
    /// Source: kubeflow/tf-operator v1, `manifests/base/crd.yaml`.
    pub fn tf_job() -> Self {
        let some = json!({"properties": {"replicas": {"type": "integer", "minimum": 1}}});
        let one = json!({"properties": {"replicas": {"type": "integer", "minimum": 1, "maximum": 1}}});
        Self::new("kubeflow.org", "v1", "TFJob", "tfjobs").with_schema(replicas(
            "tfReplicaSpecs",
            &json!({"Worker": some, "PS": some, "Chief": one}),
        ))
    }

    /// `PyTorchJob` of Kubeflow.
    ///
    /// Source: kubeflow/pytorch-operator, `manifests/base/crd.yaml`.
    pub fn pytorch_job() -> Self {
        let some = json!({"properties": {"replicas": {"type": "integer", "minimum": 1}}});
        let one = json!({"properties": {"replicas": {"type": "integer", "minimum": 1, "maximum": 1}}});
        Self::new("kubeflow.org", "v1", "PyTorchJob", "pytorchjobs")
            .with_schema(replicas("pytorchReplicaSpecs", &json!({"Master": one, "Worker": some})))
    }
}

fn replicas(field: &str, roles: &Value) -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
        "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
            field: {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": roles}}}}})
}

/// Reads an object as its Go type would, so that what the type lacks is dropped, and writes it again.
pub(crate) type Decode = fn(Value) -> Result<Value, String>;

fn through<T: Serialize + DeserializeOwned>(object: Value) -> Result<Value, String> {
    let typed: T = serde_json::from_value(object).map_err(|error| error.to_string())?;
    serde_json::to_value(typed).map_err(|error| error.to_string())
}

/// A kind that is served.
#[derive(Debug, Clone)]
#[expect(clippy::struct_field_names, reason = "`kind` is the API's own word")]
pub(crate) struct Kind {
    /// Empty for the core group.
    pub(crate) group: String,
    pub(crate) versions: Vec<String>,
    pub(crate) kind: String,
    pub(crate) plural: String,
    pub(crate) namespaced: bool,
    pub(crate) status: bool,
    /// `None` for custom kinds.
    pub(crate) decode: Option<Decode>,
    pub(crate) schema: Value,
}

impl Kind {
    /// What tells it from all others: plural and group.
    pub(crate) fn id(&self) -> String {
        super::failure::qualified(&self.plural, &self.group)
    }

    /// `v1`, `batch/v1`.
    pub(crate) fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", self.group)
        }
    }

    /// It is a custom kind.
    pub(crate) fn custom(&self) -> bool {
        self.decode.is_none()
    }

    /// Whether it is this kind of Kubernetes itself.
    pub(crate) fn is(&self, kind: &str) -> bool {
        !self.custom() && self.kind == kind
    }

    /// A deletion answers with the object rather than with a `Status`.
    ///
    /// Source: kubernetes v1.20, `ReturnDeletedObject` in `pkg/registry/core/*/storage/storage.go`.
    pub(crate) fn returns_deleted(&self) -> bool {
        ["Pod", "PersistentVolumeClaim", "ResourceQuota", "ServiceAccount"]
            .iter()
            .any(|kind| self.is(kind))
    }

    /// Collections of it can be deleted at once; observed: services and namespaces answer 405.
    pub(crate) fn deletes_collections(&self) -> bool {
        !self.is("Service") && !self.is("Namespace")
    }

    /// Subresources that are served.
    pub(crate) fn subresources(&self) -> Vec<&'static str> {
        let mut known = if self.status { vec!["status"] } else { Vec::new() };
        if self.is("Pod") {
            known.extend(["binding", "eviction", "exec", "log"]);
        }
        known
    }

    /// The same from a custom one.
    pub(crate) fn custom_from(custom: &CustomKind) -> Self {
        Self {
            group: custom.group.clone(),
            versions: custom.versions.clone(),
            kind: custom.kind.clone(),
            plural: custom.plural.clone(),
            namespaced: !custom.cluster,
            status: custom.status,
            decode: None,
            schema: custom.schema.clone(),
        }
    }
}

fn builtin(group: &str, kind: &str, plural: &str, namespaced: bool, status: bool, decode: Decode) -> Kind {
    Kind {
        group: group.to_owned(),
        versions: vec!["v1".to_owned()],
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        namespaced,
        status,
        decode: Some(decode),
        schema: Value::Null,
    }
}

/// The kinds of every cluster.
pub(crate) fn builtins() -> Vec<Kind> {
    vec![
        builtin("", "Namespace", "namespaces", false, true, through::<core::Namespace>),
        builtin("", "Node", "nodes", false, true, through::<core::Node>),
        builtin("", "Pod", "pods", true, true, through::<core::Pod>),
        builtin("", "ConfigMap", "configmaps", true, false, through::<core::ConfigMap>),
        builtin("", "Secret", "secrets", true, false, through::<core::Secret>),
        builtin("", "Service", "services", true, true, through::<core::Service>),
        builtin("", "Event", "events", true, false, through::<core::Event>),
        builtin(
            "",
            "PersistentVolumeClaim",
            "persistentvolumeclaims",
            true,
            true,
            through::<core::PersistentVolumeClaim>,
        ),
        builtin(
            "",
            "ResourceQuota",
            "resourcequotas",
            true,
            true,
            through::<core::ResourceQuota>,
        ),
        builtin(
            "",
            "LimitRange",
            "limitranges",
            true,
            false,
            through::<core::LimitRange>,
        ),
        builtin(
            "",
            "ServiceAccount",
            "serviceaccounts",
            true,
            false,
            through::<core::ServiceAccount>,
        ),
        builtin("batch", "Job", "jobs", true, true, through::<batch::Job>),
        builtin(
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            "customresourcedefinitions",
            false,
            true,
            Ok,
        ),
    ]
}

/// The CustomResourceDefinition that stands for a custom kind.
pub(crate) fn definition(custom: &CustomKind) -> Value {
    let mut first = true;
    let versions: Vec<Value> = custom
        .versions
        .iter()
        .map(|version| {
            let mut entry = json!({"name": version, "served": true, "storage": first});
            if !custom.schema.is_null() {
                entry["schema"] = json!({"openAPIV3Schema": custom.schema});
            }
            if custom.status {
                entry["subresources"] = json!({"status": {}});
            }
            first = false;
            entry
        })
        .collect();
    let scope = if custom.cluster { "Cluster" } else { "Namespaced" };
    let names = json!({"plural": custom.plural, "singular": custom.kind.to_lowercase(), "kind": custom.kind,
        "listKind": format!("{}List", custom.kind)});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{}", custom.plural, custom.group)},
        "spec": {"group": custom.group, "scope": scope, "names": names, "versions": versions},
        "status": {"acceptedNames": names, "conditions": [
            {"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}]}})
}
