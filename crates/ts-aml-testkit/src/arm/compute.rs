//! Compute targets, and what their nodes do now.

use crate::{life::job::NodeUse, reply::Reply, setting::Compute, shared::Shared};
use serde_json::{Value, json};

pub(super) fn list(shared: &Shared) -> Reply {
    let all: Vec<Value> = shared.setting.computes.iter().map(|one| view(shared, one)).collect();
    Reply::json(200, &json!({"value": all}))
}

/// Names are matched without regard to case, as those of resources of Resource Manager are.
pub(super) fn get(shared: &Shared, name: &str) -> Result<Reply, Reply> {
    let found = shared
        .setting
        .computes
        .iter()
        .find(|one| one.name.eq_ignore_ascii_case(name));
    let compute = found.ok_or_else(|| {
        Reply::aml(
            404,
            "NotFound",
            format!("Compute with name {name} was not found in the workspace."),
        )
    })?;
    Ok(Reply::json(200, &view(shared, compute)))
}

/// Source: Azure/azure-rest-api-specs, `stable/2024-10-01/machineLearningServices.json`, `AmlComputeProperties`.
fn view(shared: &Shared, compute: &Compute) -> Value {
    if !compute.instance_types.is_empty() {
        return kubernetes(shared, compute);
    }
    let world = shared.world();
    let count = |wanted: NodeUse| {
        let jobs = world.jobs.iter().filter(|job| job.compute == compute.name);
        jobs.filter(|job| job.node_use() == Some(wanted)).count()
    };
    let (preparing, running) = (count(NodeUse::Preparing), count(NodeUse::Running));
    let nodes = preparing + running;
    // Source: the same, `ErrorResponse`.
    let errors = world
        .compute_error
        .as_ref()
        .map(|(code, message)| json!([{"error": {"code": code, "message": message}}]));
    json!({
        "id": format!("{}/computes/{}", shared.scope(), compute.name),
        "name": compute.name,
        "type": "Microsoft.MachineLearningServices/workspaces/computes",
        "location": shared.setting.location,
        "properties": {
            "computeType": "AmlCompute",
            "provisioningState": "Succeeded",
            "properties": {
                "vmSize": "STANDARD_DS3_V2",
                "vmPriority": "Dedicated",
                "osType": "Linux",
                "scaleSettings": {
                    "minNodeCount": 0,
                    "maxNodeCount": compute.max_nodes,
                    "nodeIdleTimeBeforeScaleDown": "PT120S",
                },
                "allocationState": if preparing > 0 { "Resizing" } else { "Steady" },
                "currentNodeCount": nodes,
                "targetNodeCount": nodes,
                "nodeStateCounts": {
                    "preparingNodeCount": preparing,
                    "runningNodeCount": running,
                    "idleNodeCount": 0,
                    "unusableNodeCount": 0,
                    "leavingNodeCount": 0,
                    "preemptedNodeCount": 0,
                },
                "errors": errors,
            },
        },
    })
}

/// Source: Azure/azure-rest-api-specs, `stable/2024-10-01/examples/Compute/get/KubernetesCompute.json`.
fn kubernetes(shared: &Shared, compute: &Compute) -> Value {
    let type_of = |(name, n_gpus): &(String, u32)| {
        let gpus = (*n_gpus > 0).then(|| n_gpus.to_string());
        let resources = json!({"cpu": "1", "memory": "4Gi", "nvidia.com/gpu": gpus});
        let view = json!({"nodeSelector": null, "resources": {"requests": resources, "limits": resources}});
        (name.clone(), view)
    };
    let types: serde_json::Map<String, Value> = compute.instance_types.iter().map(type_of).collect();
    json!({
        "id": format!("{}/computes/{}", shared.scope(), compute.name),
        "name": compute.name,
        "type": "Microsoft.MachineLearningServices/workspaces/computes",
        "location": shared.setting.location,
        "properties": {
            "computeType": "Kubernetes",
            "provisioningState": "Succeeded",
            "isAttachedCompute": true,
            "properties": {
                "extensionInstanceReleaseTrain": "stable",
                "namespace": "default",
                "defaultInstanceType": compute.instance_types[0].0,
                "instanceTypes": types,
            },
        },
    })
}
