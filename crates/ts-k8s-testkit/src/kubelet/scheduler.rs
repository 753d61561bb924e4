//! Binds pods that no node has, oldest first, or says why it cannot. `fit` decides.
//!
//! Sources: kubernetes v1.20, `pkg/scheduler/scheduler.go` and `pkg/scheduler/factory.go`; events and conditions were observed on
//! v1.20.2. A claim has to exist, but need not be bound: the node makes the volume itself.

use super::{
    clock,
    events::Report,
    fit,
    shared::{NODE, Shared},
    watch::{Pods, node, phase, reference, used},
};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

/// Tries each pod that waits.
pub(super) async fn pass(shared: &Shared, pods: &mut Pods) {
    let settings = shared.settings();
    let mut waiting: Vec<Pod> = pods
        .values()
        .filter(|pod| node(pod).is_none() && phase(pod) == "Pending" && pod.metadata.deletion_timestamp.is_none())
        .filter(|pod| {
            pod.spec
                .as_ref()
                .is_some_and(|spec| spec.scheduling_gates.as_ref().is_none_or(Vec::is_empty))
        })
        .cloned()
        .collect();
    waiting.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    for pod in waiting {
        let refusal = match missing_claim(shared, &pod).await {
            Some(reason) => Some(fit::message(&[reason])),
            None => fit::refusal(&pod, &settings, &used(pods)),
        };
        let result = match refusal {
            None => bind(shared, &pod).await.map(|()| {
                let seen = pods.get_mut(&reference(&pod).uid).and_then(|pod| pod.spec.as_mut());
                if let Some(spec) = seen {
                    spec.node_name = Some(NODE.to_owned());
                }
            }),
            Some(message) => refuse(shared, &pod, &message).await,
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a pod could not be scheduled");
        }
    }
}

/// The scheduler's words if a claim of the pod does not exist.
async fn missing_claim(shared: &Shared, pod: &Pod) -> Option<String> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(
        shared.client.clone(),
        pod.metadata.namespace.as_deref().unwrap_or_default(),
    );
    let volumes = pod.spec.as_ref()?.volumes.iter().flatten();
    for claim in volumes.filter_map(|volume| volume.persistent_volume_claim.as_ref()) {
        if let Ok(None) = api.get_opt(&claim.claim_name).await {
            return Some(format!("persistentvolumeclaim \"{}\" not found", claim.claim_name));
        }
    }
    None
}

async fn bind(shared: &Shared, pod: &Pod) -> kube::Result<()> {
    let id = reference(pod);
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": id.name, "namespace": id.namespace, "uid": id.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": NODE},
    });
    let api: Api<Pod> = Api::namespaced(shared.client.clone(), &id.namespace);
    let _answer: Value = api
        .create_subresource("binding", &id.name, &PostParams::default(), &binding)
        .await?;
    let message = format!("Successfully assigned {}/{} to {NODE}", id.namespace, id.name);
    report(shared, pod, false, "Scheduled", message);
    Ok(())
}

/// Tells why the pod waits, if that is new.
async fn refuse(shared: &Shared, pod: &Pod, message: &str) -> kube::Result<()> {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let known = conditions.iter().find(|one| one.type_ == "PodScheduled");
    if known.is_some_and(|one| one.status == "False" && one.message.as_deref() == Some(message)) {
        return Ok(());
    }
    let mut all: Vec<Value> = conditions
        .iter()
        .filter(|one| one.type_ != "PodScheduled")
        .filter_map(|one| serde_json::to_value(one).ok())
        .collect();
    all.push(json!({
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
        "lastProbeTime": null, "lastTransitionTime": clock::seconds(clock::now()),
    }));
    let id = reference(pod);
    let patch = json!({"metadata": {"uid": id.uid}, "status": {"conditions": all}});
    let api: Api<Pod> = Api::namespaced(shared.client.clone(), &id.namespace);
    api.patch_status(&id.name, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    report(shared, pod, true, "FailedScheduling", message.to_owned());
    Ok(())
}

fn report(shared: &Shared, pod: &Pod, warning: bool, reason: &'static str, message: String) {
    // The receiver is gone only when the whole node is.
    let _ = shared.events.send(Report {
        pod: reference(pod),
        field: None,
        warning,
        reason,
        message,
        scheduler: true,
    });
}
