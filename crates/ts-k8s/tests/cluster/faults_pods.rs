//! What befalls pods: evicted, pre-empted, out of memory, on a node that is lost, without an image, without room.

use crate::faults::{World, gated, metrics, pod_of, reborn, record, until, until_reason};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams};
use ts_core::{ReasonCode, TrialStatus, WatchRequest};
use ts_k8s_testkit::Setting;
use ts_testkit::conformance::{Client, Fixture as _};

/// A cluster whose Job controller counts a pod that was deleted as failed; that of 1.20 starts another.
async fn new_cluster() -> World {
    let setting = Setting {
        version: "1.29.0".to_owned(),
        ..Setting::default()
    };
    World::with(setting).await
}

/// One trial of two is hurt. It ends for this reason with the metrics that it had said; the other goes on.
async fn ends(world: World, hurt: impl AsyncFnOnce(&World, &str), status: TrialStatus, code: ReasonCode, words: &str) {
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let (trial, other) = (client.submit(&gated(0)).await, client.submit(&gated(0)).await);
    for trial in [&trial, &other] {
        watch.until_metrics(&trial.id, 2).await;
    }
    hurt(&world, &pod_of(&world, &trial.id)).await;
    let end = watch.until_end(&trial.id).await;
    assert_eq!(end.status(), Some(status), "{end:?}");
    assert_eq!(end.bodies(), metrics(0..2));
    let why = end.why.expect("a reason");
    assert_eq!(why.code, code, "{why:?}");
    assert!(why.message.contains(words), "{why:?}");
    world.open_gate("go").await;
    let end = watch.until_end(&other.id).await;
    assert_eq!(end.bodies(), metrics(0..4));
    assert_eq!(end.status(), Some(TrialStatus::Succeeded), "{end:?}");
    client.finish().await;
}

/// The same while no manager is there to see it.
async fn ends_unseen(world: World, hurt: impl AsyncFnOnce(&World, &str), status: TrialStatus, codes: &[ReasonCode]) {
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&gated(0)).await;
    let cursor = watch.until_metrics(&trial.id, 2).await.cursor();
    drop(watch);
    hurt(&world, &pod_of(&world, &trial.id)).await;
    let client = client.crash().await;
    let found = client.recover(&[record(&trial, cursor)]).await;
    assert_eq!(found.adopted, std::slice::from_ref(&trial.id), "{found:?}");
    let mut watch = client.watch_from(WatchRequest::new().resuming(trial.id.clone(), cursor));
    let end = watch.until_end(&trial.id).await;
    assert_eq!(end.bodies(), Vec::<&str>::new());
    assert_eq!(end.status(), Some(status), "{end:?}");
    let why = end.why.clone().expect("a reason");
    assert!(codes.contains(&why.code), "{why:?}");
    client.finish().await;
}

const LOW: &str = "The node was low on resource: ephemeral-storage.";

async fn evict(world: &World, pod: &str) {
    world.kubelet.evict("default", pod, LOW);
}

async fn preempt(world: &World, pod: &str) {
    world.kubelet.preempt("default", pod).await.expect("deleted");
}

async fn delete(world: &World, pod: &str) {
    let pods: Api<Pod> = Api::namespaced(world.server.client("admin"), "default");
    pods.delete(pod, &DeleteParams::default()).await.expect("deleted");
}

async fn oom_kill(world: &World, pod: &str) {
    world.kubelet.oom_kill("default", pod);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evicted() {
    ends(
        new_cluster().await,
        evict,
        TrialStatus::SysCanceled,
        ReasonCode::Preempted,
        LOW,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evicted_while_the_manager_is_dead() {
    ends_unseen(
        new_cluster().await,
        evict,
        TrialStatus::SysCanceled,
        &[ReasonCode::Preempted],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preempted() {
    ends(
        new_cluster().await,
        preempt,
        TrialStatus::SysCanceled,
        ReasonCode::Preempted,
        "preempting",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preempted_while_the_manager_is_dead() {
    ends_unseen(
        new_cluster().await,
        preempt,
        TrialStatus::SysCanceled,
        &[ReasonCode::Preempted],
    )
    .await;
}

/// The Job controller of 1.20 makes another pod, which must not run the trial again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_and_replaced() {
    let world = World::fresh().await;
    ends(
        world,
        delete,
        TrialStatus::SysCanceled,
        ReasonCode::Preempted,
        "not by us",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_and_replaced_while_the_manager_is_dead() {
    // As it happens: its pod is seen to have failed by then, or another one is made.
    let codes = [ReasonCode::Preempted, ReasonCode::Lost];
    ends_unseen(World::fresh().await, delete, TrialStatus::SysCanceled, &codes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_memory() {
    ends(
        new_cluster().await,
        oom_kill,
        TrialStatus::Failed,
        ReasonCode::OutOfMemory,
        "memory limit",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_memory_while_the_manager_is_dead() {
    ends_unseen(
        new_cluster().await,
        oom_kill,
        TrialStatus::Failed,
        &[ReasonCode::OutOfMemory],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_lost_ends_nothing_before_it_is_gone() {
    let world = new_cluster().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&gated(0)).await;
    watch.until_metrics(&trial.id, 2).await;
    world.kubelet.lose_node().await.expect("told");
    let is_unready = || {
        let pods = world.server.objects("pods");
        let conditions = pods
            .iter()
            .filter_map(|pod| pod["status"]["conditions"].as_array().cloned());
        let mut conditions = conditions.flatten();
        conditions.any(|one| one["type"] == "Ready" && one["status"] == "False")
    };
    until("the pod not to be ready", is_unready).await;
    assert!(!watch.of(&trial.id).has_ended(), "nobody said so");
    world.kubelet.node_gone().await.expect("deleted");
    let end = watch.until_end(&trial.id).await;
    assert_eq!(end.bodies(), metrics(0..2));
    let why = end.why.clone().expect("a reason");
    assert_eq!(end.status(), Some(TrialStatus::SysCanceled), "{why:?}");
    assert_eq!(why.code, ReasonCode::Preempted);
    assert!(why.message.contains("node no longer exists"), "{why:?}");
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_cannot_be_pulled_is_waited_for() {
    for dies in [false, true] {
        waits_for_the_image(World::fresh().await, dies).await;
    }
}

async fn waits_for_the_image(world: World, dies: bool) {
    world.kubelet.missing_image("local/busybox:1");
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&gated(0)).await;
    let why = until_reason(&mut watch, &trial.id, ReasonCode::ImagePull).await;
    assert!(why.contains("local/busybox:1"), "{why}");
    let (client, mut watch) = reborn(dies, client, watch, &trial).await;
    until_reason(&mut watch, &trial.id, ReasonCode::ImagePull).await;
    world.kubelet.provide_image("local/busybox:1");
    world.open_gate("go").await;
    assert_eq!(watch.until_end(&trial.id).await.bodies(), metrics(0..4));
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_without_room_says_what_it_waits_for() {
    let world = World::fresh().await;
    world.kubelet.hold_scheduling(true);
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&gated(0)).await;
    let why = until_reason(&mut watch, &trial.id, ReasonCode::GpuBusy).await;
    assert!(why.contains("Insufficient nvidia.com/gpu"), "{why}");
    assert_eq!(watch.of(&trial.id).status(), Some(TrialStatus::Waiting));
    world.kubelet.hold_scheduling(false);
    world.open_gate("go").await;
    assert_eq!(watch.until_end(&trial.id).await.bodies(), metrics(0..4));
    client.finish().await;
}
