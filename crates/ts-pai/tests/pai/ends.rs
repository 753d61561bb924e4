//! How trials end when something else than their command ends them, and how that is told.

use crate::world::World;
use std::sync::atomic::Ordering;
use ts_core::{CancelReason, ReasonCode, TrialId, TrialStatus, Verdict};
use ts_testkit::conformance::{Behavior, Client, Fixture as _};

fn accident(world: &World, trial: &TrialId, code: i32) {
    let job = world.server.shared.cluster.named(&format!("_trial_{trial}"));
    *job.accident.lock().expect("no panic") = Some(code);
    job.bell.notify_waiters();
}

#[tokio::test]
async fn a_job_that_the_platform_begins_again_reports_nothing_twice() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&trial.id, 1).await;
    world.open_gate("go").await;
    let other = client.submit(&Behavior::gated("never")).await;
    watch.until_metrics(&other.id, 1).await;
    accident(&world, &other.id, -1000);
    let history = watch.until_end(&other.id).await;
    assert_eq!(history.status(), Some(TrialStatus::SysCanceled));
    let why = history.why.clone().expect("a reason");
    assert_eq!(
        (why.code, why.code.verdict()),
        (ReasonCode::Preempted, Some(Verdict::Platform)),
        "{why:?}"
    );
    assert!(why.message.contains("not begun twice"), "{why:?}");
    assert_eq!(history.bodies(), Behavior::values(0, 1));
    assert_eq!(watch.until_end(&trial.id).await.bodies(), Behavior::values(0, 2));
    client.finish().await;
}

#[tokio::test]
async fn a_job_that_loses_its_node_before_it_began_runs_when_it_is_begun_again() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    world.server.shared.cluster.hold(true);
    let trial = client.submit(&Behavior::quick()).await;
    watch.until_status(&trial.id, TrialStatus::Waiting).await;
    while world.server.shared.cluster.live().is_empty() {
        tokio::task::yield_now().await;
    }
    let job = world.server.shared.cluster.named(&format!("_trial_{}", trial.id));
    job.change(|shown| shown.retries += 1);
    world.server.shared.cluster.hold(false);
    assert_eq!(watch.until_end(&trial.id).await.status(), Some(TrialStatus::Succeeded));
    client.finish().await;
}

#[tokio::test]
async fn memory_that_runs_out_is_told() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("never")).await;
    watch.until_metrics(&trial.id, 1).await;
    accident(&world, &trial.id, -1200);
    let history = watch.until_end(&trial.id).await;
    let why = history.why.expect("a reason");
    assert_eq!(
        (history.statuses.last(), why.code),
        (Some(&TrialStatus::Failed), ReasonCode::OutOfMemory)
    );
    assert!(why.unblock.expect("advice").contains("memoryMB"));
    client.finish().await;
}

#[tokio::test]
async fn a_job_that_somebody_else_stops_is_canceled_by_the_system() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("never")).await;
    watch.until_metrics(&trial.id, 1).await;
    let job = world.server.shared.cluster.named(&format!("_trial_{}", trial.id));
    job.is_stopped.store(true, Ordering::SeqCst);
    job.bell.notify_waiters();
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::SysCanceled));
    assert!(history.why.expect("a reason").message.contains("not by us"));
    client.finish().await;
}

#[tokio::test]
async fn a_job_that_vanishes_is_lost_after_a_while() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("never")).await;
    watch.until_metrics(&trial.id, 1).await;
    world.server.shared.cluster.jobs.lock().expect("no panic").clear();
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Failed));
    assert_eq!(history.why.expect("a reason").code, ReasonCode::Lost);
    world.server.shared.cluster.end_all();
    client.finish().await;
}

#[tokio::test]
async fn storage_that_containers_do_not_have_is_told_with_what_the_container_said() {
    let world = World::fresh().await;
    let mut config = world.config();
    config.container_mount = "/mnt/no/such/place".to_owned();
    let ctx = world.ctx();
    let service = world.service_of(&ctx, config);
    let client = Client::with(&world, ctx, service).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::quick()).await;
    let history = watch.until_end(&trial.id).await;
    let why = history.why.expect("a reason");
    assert_eq!(why.code, ReasonCode::StartFailed, "{why:?}");
    assert!(
        why.message.contains("/mnt/no/such/place"),
        "the container's own words: {why:?}"
    );
    assert!(why.unblock.expect("advice").contains("containerNFSMountPath"));
    client.finish().await;
}

#[tokio::test]
async fn a_package_that_cannot_be_unpacked_is_told() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let package = world
        .path("share")
        .join(world.spec.id.as_str())
        .join("code")
        .join(&client.code.location);
    std::fs::write(package, "no archive").expect("room");
    let trial = client.submit(&Behavior::quick()).await;
    let why = watch.until_end(&trial.id).await.why.expect("a reason");
    assert_eq!(why.code, ReasonCode::StartFailed, "{why:?}");
    assert!(why.message.contains("cannot unpack"), "{why:?}");
    client.finish().await;
}

#[tokio::test]
async fn a_trial_is_asked_to_end_before_it_is_ended() {
    let world = World::with(|setting| setting.pod_grace = std::time::Duration::from_secs(15)).await;
    let mut config = world.config();
    config.grace_period = std::time::Duration::from_secs(10);
    let ctx = world.ctx();
    let service = world.service_of(&ctx, config);
    let client = Client::with(&world, ctx, service).await;
    let mut watch = client.watch();
    let mut trial = client.trial(&Behavior::gated("never"));
    trial.command = format!(
        "trap 'echo gentle >\"$NNI_OUTPUT_DIR/model\"; exit 0' TERM\n{}",
        trial.command
    );
    client.submit_spec(&trial).await;
    watch.until_metrics(&trial.id, 1).await;
    client.cancel(&trial.id, CancelReason::User).await;
    assert_eq!(
        watch.until_end(&trial.id).await.status(),
        Some(TrialStatus::UserCanceled)
    );
    let model = std::fs::read_to_string(world.trial_dir(&trial.id).join("nnioutput/model"));
    assert_eq!(model.expect("it was saved"), "gentle\n");
    client.finish().await;
}

#[tokio::test]
async fn what_the_server_refuses_ends_that_trial_only() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let grants = |storages: &[&str]| {
        let clusters = vec!["default".to_owned()];
        let storages = storages.iter().map(|&name| name.to_owned()).collect();
        world
            .server
            .shared
            .cluster
            .grants
            .lock()
            .expect("no panic")
            .insert("alice".to_owned(), (storages, clusters));
    };
    grants(&[]);
    let refused = client.submit(&Behavior::quick()).await;
    let history = watch.until_end(&refused.id).await;
    let why = history.why.expect("a reason");
    assert_eq!(
        (why.code, why.code.verdict()),
        (ReasonCode::StartRefused, Some(Verdict::Configuration))
    );
    assert!(
        why.message.contains("Storage nfs is not found") && why.unblock.is_some(),
        "{why:?}"
    );
    grants(&["nfs"]);
    let trial = client.submit(&Behavior::quick()).await;
    assert_eq!(watch.until_end(&trial.id).await.status(), Some(TrialStatus::Succeeded));
    client.finish().await;
}

#[tokio::test]
async fn the_last_words_of_a_job_are_in_its_own_log_too() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let mut trial = client.trial(&Behavior::quick());
    trial.command = "echo 'CUDA out of memory' >&2; exit 7".to_owned();
    client.submit_spec(&trial).await;
    let why = watch.until_end(&trial.id).await.why.expect("a reason");
    assert_eq!(why.code, ReasonCode::GpuOutOfMemory);
    let name = format!("nni_exp_{}_trial_{}-0-taskrole-0", world.spec.id, trial.id);
    let said = std::fs::read_to_string(world.path("node").join(name).join("stderr")).expect("a log");
    assert!(
        said.contains("CUDA out of memory"),
        "OpenPAI looks for what went wrong in its own log: {said}"
    );
    client.finish().await;
}
