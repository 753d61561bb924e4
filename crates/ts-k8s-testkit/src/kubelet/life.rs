//! The life of a pod on the node, from its volumes to its removal. `container` runs each container, `pod` holds how it stands.

use super::{
    clock,
    container::Runner,
    pod::{PodRun, Slot},
    settings::BackOff,
    shared::{Shared, answer},
    status::Verdict,
    volumes::{self, Volumes},
};
use futures_util::future;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::{
    Api,
    api::{DeleteParams, Preconditions},
};
use std::{fs, sync::Arc, time::Duration};

/// Lives through a pod that was bound to the node.
pub(super) async fn live(shared: Arc<Shared>, pod: Arc<PodRun>) {
    let spec = pod.state().pod.spec.clone().unwrap_or_default();
    let run = async {
        run_containers(&shared, &pod, &spec).await;
        // An ended pod stays until somebody wants it gone.
        let mut orders = pod.orders.subscribe();
        let _ = orders.wait_for(|orders| orders.delete || orders.gone).await;
    };
    match spec
        .active_deadline_seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
    {
        None => run.await,
        Some(seconds) => {
            let mut run = std::pin::pin!(run);
            tokio::select! {
                () = &mut run => {}
                () = clock::sleep(Duration::from_secs(seconds)) => {
                    exceed_deadline(&shared, &pod);
                    run.await;
                }
            }
        }
    }
    pod.settled().await;
    remove(&shared, &pod).await;
    let mut orders = pod.orders.subscribe();
    let _ = orders.wait_for(|orders| orders.gone).await;
    shared.pods().remove(&pod.id.uid);
    if let Err(error) = fs::remove_dir_all(&pod.dir) {
        tracing::debug!(%error, pod = pod.id.name, "the folder of a pod stays");
    }
    shared.reschedule.notify_one();
}

/// Runs the containers until none is left, or the pod is ordered to end and they have.
async fn run_containers(shared: &Arc<Shared>, pod: &Arc<PodRun>, spec: &PodSpec) {
    let Some(volumes) = volumes(shared, pod).await else {
        return;
    };
    pod.change(|state| state.has_address = true);
    let volumes = Arc::new(volumes);
    let runner = |slot: Slot, container: &k8s_openapi::api::core::v1::Container| Runner {
        shared: shared.clone(),
        pod: pod.clone(),
        volumes: volumes.clone(),
        slot,
        container: container.clone(),
        restart_policy: spec.restart_policy.clone().unwrap_or_else(|| "Always".to_owned()),
    };
    for (index, container) in spec.init_containers.iter().flatten().enumerate() {
        let succeeded = runner(Slot { init: true, index }, container).run().await;
        if !succeeded || pod.is_stopping() {
            return;
        }
    }
    let all = spec.containers.iter().enumerate();
    let runners: Vec<Runner> = all
        .map(|(index, container)| runner(Slot { init: false, index }, container))
        .collect();
    future::join_all(runners.iter().map(Runner::run)).await;
}

/// Makes the volumes, however long that takes. Nothing: the pod is ordered to end.
async fn volumes(shared: &Shared, pod: &PodRun) -> Option<Volumes> {
    let mut tries = BackOff::new(shared.settings().back_off);
    loop {
        let object = pod.state().pod.clone();
        let dir = pod.dir.join("volumes");
        match pod
            .unless_stopped(volumes::set_up(shared, &object, &pod.ip, &dir))
            .await?
        {
            Ok(volumes) => return Some(volumes),
            Err(message) => {
                pod.report(shared, true, "FailedMount", message);
                pod.unless_stopped(clock::sleep(tries.wait())).await?;
            }
        }
    }
}

/// Ends a pod that was active for too long, unless it has ended by itself.
///
/// Source: kubernetes v1.20, `pkg/kubelet/active_deadline.go`. That version says nothing more of the containers afterwards; here
/// their ends are told, as later ones do.
fn exceed_deadline(shared: &Shared, pod: &PodRun) {
    const MESSAGE: &str = "Pod was active on the node longer than the specified deadline";
    let has_ended = pod.change(|state| {
        let has_ended = state.main.iter().all(|cell| cell.ended().is_some());
        if !has_ended && state.verdict.is_none() {
            state.verdict = Some(Verdict {
                reason: "DeadlineExceeded",
                message: MESSAGE.to_owned(),
                silent: false,
            });
        }
        has_ended
    });
    if !has_ended {
        pod.report(shared, false, "DeadlineExceeded", MESSAGE);
        pod.stop(pod.grace());
    }
}

/// Removes the object of a pod that was marked for deletion and has ended.
async fn remove(shared: &Shared, pod: &PodRun) {
    let api: Api<Pod> = Api::namespaced(shared.client.clone(), &pod.id.namespace);
    let now = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions {
            uid: Some(pod.id.uid.clone()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    while !pod.is_gone() {
        let mut lost = shared.lost.subscribe();
        if lost.wait_for(|lost| !lost).await.is_err() {
            return;
        }
        if let Some(Ok(_)) = answer(api.delete(&pod.id.name, &now)).await {
            return;
        }
        if !pod.look_if_gone(shared).await {
            clock::sleep(shared.settings().back_off).await;
        }
    }
}
