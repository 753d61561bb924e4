//! Follows all pods: wakes the scheduler, and hands the pods of this node to their lives, with what is wanted of them.

use super::{
    clock,
    fit::{self, Amounts},
    life,
    pod::{self, PodRun},
    shared::{NODE, Objects, Shared},
};
use crate::PodRef;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    runtime::watcher::{self, Event},
};
use std::{collections::HashSet, sync::Arc, time::Duration};

/// Follows the pods for ever. Whatever goes wrong heals.
pub(super) async fn follow(shared: Arc<Shared>) {
    let api: Api<Pod> = Api::all(shared.client.clone());
    let mut events = std::pin::pin!(watcher::watcher(api, watcher::Config::default()));
    let mut listed = HashSet::new();
    while let Some(event) = events.next().await {
        match event {
            Err(error) => {
                tracing::debug!(%error, "the pods cannot be followed");
                clock::sleep(shared.settings().back_off).await;
            }
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(pod)) => {
                listed.insert(pod.metadata.uid.clone().unwrap_or_default());
                seen(&shared, pod);
            }
            Ok(Event::InitDone) => {
                let known: Vec<String> = shared.objects().keys().cloned().collect();
                for uid in known.iter().filter(|uid| !listed.contains(*uid)) {
                    vanished(&shared, uid);
                }
            }
            Ok(Event::Apply(pod)) => seen(&shared, pod),
            Ok(Event::Delete(pod)) => vanished(&shared, pod.metadata.uid.as_deref().unwrap_or_default()),
        }
        shared.reschedule.notify_one();
    }
}

/// A pod is there, or has changed.
fn seen(shared: &Arc<Shared>, pod: Pod) {
    let id = reference(&pod);
    shared.objects().insert(id.uid.clone(), pod.clone());
    if node(&pod) != Some(NODE) || shared.is_lost() {
        return;
    }
    let known = shared.pods().get(&id.uid).cloned();
    match known {
        Some(run) => update(&run, pod),
        None if phase(&pod) == "Pending" => begin(shared, id, pod),
        // One that an earlier node of this name has run.
        None => {}
    }
}

fn begin(shared: &Arc<Shared>, id: PodRef, pod: Pod) {
    let dir = shared.dir.join("pods").join(&id.uid);
    let run = Arc::new(PodRun::new(id.clone(), pod.clone(), dir));
    shared.pods().insert(id.uid, run.clone());
    shared.spawn(run.clone().keep_reporting(shared.clone()));
    shared.spawn(life::live(shared.clone(), run.clone()));
    update(&run, pod);
}

/// Takes over what has changed, above all the wish that the pod ends.
fn update(run: &PodRun, pod: Pod) {
    let is_deleted = pod.metadata.deletion_timestamp.is_some();
    {
        let mut state = run.state();
        state.foreign = pod::foreign(&pod);
        state.pod = pod;
    }
    if is_deleted {
        run.stop(run.grace());
        run.orders
            .send_if_modified(|orders| !std::mem::replace(&mut orders.delete, true));
    }
}

/// A pod is gone. If it was not asked first, as with a deletion by force, its containers still get the least time there is.
fn vanished(shared: &Shared, uid: &str) {
    shared.objects().remove(uid);
    let run = shared.pods().get(uid).cloned();
    if let Some(run) = run.filter(|_| !shared.is_lost()) {
        run.stop(Duration::from_secs(2));
        run.orders.send_modify(|orders| orders.gone = true);
    }
}

/// What the pods of the node take of it.
pub(super) fn used(pods: &Objects) -> Amounts {
    let mut used = Amounts::new();
    let active = pods
        .values()
        .filter(|pod| node(pod) == Some(NODE) && !matches!(phase(pod), "Succeeded" | "Failed"));
    for spec in active.filter_map(|pod| pod.spec.as_ref()) {
        for (name, amount) in fit::requests(spec) {
            *used.entry(name).or_default() += amount;
        }
    }
    used
}

/// The node that a pod was bound to.
pub(super) fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
}

/// The phase of a pod.
pub(super) fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or("Pending")
}

/// Which pod it is.
pub(super) fn reference(pod: &Pod) -> PodRef {
    PodRef {
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
    }
}
