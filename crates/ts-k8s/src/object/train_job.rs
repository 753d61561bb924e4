//! `TrainJob` of Kubeflow Trainer: the trainer's part in its own fields, the rest of the pod as patches of the runtime.
//!
//! Source: kubeflow/trainer, tags v2.0 to v2.3, `pkg/apis/trainer/v1alpha1/trainjob_types.go`.

use super::{Blueprint, pod};
use serde_json::{Value, json};
use ts_core::Result;

/// Container and replicated job of the runtimes that come with Trainer.
const NODE: &str = "node";
/// Who we are among those that patch a runtime.
const PATCH_MANAGER: &str = "tsctl.dev/trial";

/// How the cluster's Trainer takes changes of pods; told apart by its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Patches {
    /// `podSpecOverrides`, 2.0.
    PodSpec,
    /// `podTemplateOverrides`, 2.1.
    PodTemplate,
    /// `runtimePatches`, since 2.2.
    #[default]
    Runtime,
}

pub(super) fn spec(b: &Blueprint<'_>) -> Result<Value> {
    let role = &b.config.roles[0];
    let template = pod::template(b, role)?;
    let container = &template["spec"]["containers"][0];
    let mut trainer = json!({
        "image": container["image"],
        "command": container["command"],
        "args": container["args"],
        "env": container["env"],
        "numNodes": role.replicas,
    });
    if let Some(resources) = container.get("resources") {
        trainer["resourcesPerNode"] = resources.clone();
    }
    let mut spec = json!({
        "runtimeRef": {"name": b.config.runtime.as_deref().unwrap_or("torch-distributed")},
        "trainer": trainer,
    });
    let pod_spec = pod_spec(&template);
    match b.patches {
        Patches::Runtime => {
            spec["runtimePatches"] = json!([{
                "manager": PATCH_MANAGER,
                "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [{
                    "name": NODE,
                    "template": {"spec": {"template": {"metadata": template["metadata"], "spec": pod_spec}}},
                }]}}},
            }]);
        }
        Patches::PodTemplate => {
            spec["podTemplateOverrides"] = json!([{
                "targetJobs": [{"name": NODE}],
                "metadata": template["metadata"],
                "spec": pod_spec,
            }]);
        }
        Patches::PodSpec => {
            let mut patch = pod_spec;
            patch["targetJobs"] = json!([{"name": NODE}]);
            spec["podSpecOverrides"] = json!([patch]);
            spec["labels"] = template["metadata"]["labels"].clone();
        }
    }
    Ok(spec)
}

/// What of the pod goes into a patch; `env` of the main container may not (it is the trainer's).
fn pod_spec(template: &Value) -> Value {
    let spec = &template["spec"];
    let container = &spec["containers"][0];
    let mut patch = json!({
        "containers": [{"name": NODE, "volumeMounts": container["volumeMounts"]}],
    });
    for key in [
        "volumes",
        "initContainers",
        "serviceAccountName",
        "nodeSelector",
        "tolerations",
        "affinity",
        "imagePullSecrets",
        "schedulingGates",
        "securityContext",
        "terminationGracePeriodSeconds",
    ] {
        if let Some(value) = spec.get(key) {
            patch[key] = value.clone();
        }
    }
    if let Some(context) = container.get("securityContext") {
        patch["containers"][0]["securityContext"] = context.clone();
    }
    patch
}
