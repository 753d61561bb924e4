//! Binds pods that no node has, oldest first, or says why it cannot. `fit` decides.
//!
//! Sources: kubernetes v1.20, `pkg/scheduler/scheduler.go` and `pkg/scheduler/factory.go`; events and conditions were observed on
//! v1.20.2. A claim has to exist, but need not be bound: the node makes the volume itself.

use super::{
    clock,
    events::Report,
    fit,
    shared::{NODE, Shared, answer},
    watch::{node, phase, reference, used},
};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Schedules for ever, whenever something has changed.
pub(super) async fn schedule(shared: Arc<Shared>) {
    loop {
        shared.reschedule.notified().await;
        for pod in waiting(&shared) {
            if place(&shared, &pod).await.is_none() {
                // The API server did not answer.
                clock::sleep(shared.settings().back_off).await;
                shared.reschedule.notify_one();
            }
        }
    }
}

/// The pods that wait for a node, oldest first.
fn waiting(shared: &Shared) -> Vec<Pod> {
    let gated = |pod: &Pod| {
        pod.spec
            .as_ref()
            .and_then(|spec| spec.scheduling_gates.as_ref())
            .is_some_and(|all| !all.is_empty())
    };
    let objects = shared.objects();
    let waiting = objects
        .values()
        .filter(|pod| node(pod).is_none() && phase(pod) == "Pending")
        .filter(|pod| pod.metadata.deletion_timestamp.is_none() && !gated(pod));
    let mut waiting: Vec<Pod> = waiting.cloned().collect();
    waiting.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    waiting
}

/// Binds a pod or says why not. Nothing: it has to be tried again.
async fn place(shared: &Shared, pod: &Pod) -> Option<()> {
    let refusal = missing_claim(shared, pod).await?.map(|reason| fit::message(&[reason]));
    let refusal = refusal.or_else(|| {
        let used = used(&shared.objects());
        fit::refusal(pod, &shared.settings(), &used)
    });
    match refusal {
        None => bind(shared, pod).await,
        Some(message) => refuse(shared, pod, &message).await,
    }
}

/// The scheduler's words if a claim of the pod does not exist.
async fn missing_claim(shared: &Shared, pod: &Pod) -> Option<Option<String>> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(
        shared.client.clone(),
        pod.metadata.namespace.as_deref().unwrap_or_default(),
    );
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    for claim in volumes.filter_map(|volume| volume.persistent_volume_claim.as_ref()) {
        if answer(api.get(&claim.claim_name))
            .await?
            .is_err_and(|status| status.code == 404)
        {
            return Some(Some(format!(
                "persistentvolumeclaim \"{}\" not found",
                claim.claim_name
            )));
        }
    }
    Some(None)
}

/// A refusal, as for a pod that is gone by now, is no reason to try again: what changes will be seen.
async fn bind(shared: &Shared, pod: &Pod) -> Option<()> {
    let id = reference(pod);
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": id.name, "namespace": id.namespace, "uid": id.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": NODE},
    });
    let api: Api<Pod> = Api::namespaced(shared.client.clone(), &id.namespace);
    let bound =
        answer(api.create_subresource::<_, Value>("binding", &id.name, &PostParams::default(), &binding)).await?;
    if let Err(status) = bound {
        tracing::debug!(%status, pod = id.name, "a pod was not bound");
        return Some(());
    }
    // The next pod finds less room, even before this one is seen again.
    if let Some(spec) = shared.objects().get_mut(&id.uid).and_then(|pod| pod.spec.as_mut()) {
        spec.node_name = Some(NODE.to_owned());
    }
    let message = format!("Successfully assigned {}/{} to {NODE}", id.namespace, id.name);
    report(shared, pod, false, "Scheduled", message);
    Some(())
}

/// Tells why the pod waits, if that is new.
async fn refuse(shared: &Shared, pod: &Pod, message: &str) -> Option<()> {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let known = conditions.iter().find(|one| one.type_ == "PodScheduled");
    if known.is_some_and(|one| one.status == "False" && one.message.as_deref() == Some(message)) {
        return Some(());
    }
    let others = conditions.iter().filter(|one| one.type_ != "PodScheduled");
    let mut all: Vec<Value> = others.filter_map(|one| serde_json::to_value(one).ok()).collect();
    all.push(json!({
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
        "lastProbeTime": null, "lastTransitionTime": clock::seconds(clock::now()),
    }));
    let id = reference(pod);
    let patch = Patch::Merge(json!({"metadata": {"uid": id.uid}, "status": {"conditions": all}}));
    let api: Api<Pod> = Api::namespaced(shared.client.clone(), &id.namespace);
    match answer(api.patch_status(&id.name, &PatchParams::default(), &patch)).await? {
        Ok(_) => report(shared, pod, true, "FailedScheduling", message.to_owned()),
        Err(status) => tracing::debug!(%status, pod = id.name, "a condition was not taken"),
    }
    Some(())
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
