//! How trials end when something else than their command ends them, and what a job that waits is told to wait for.

use crate::{server::Asked, world::World};
use ts_core::{CancelReason, ReasonCode, Timestamp, TrialStatus};
use ts_testkit::conformance::{Behavior, Client, Fixture as _};

fn ask(world: &World, trial: &ts_core::TrialId, asked: Asked) {
    let job = world.server.shared.cluster.named(&format!("_trial_{trial}"));
    job.expect("such a job").ask(asked);
}

#[tokio::test]
async fn a_job_that_is_queued_again_reports_nothing_twice() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("never")).await;
    watch.until_metrics(&trial.id, 1).await;
    ask(&world, &trial.id, Asked::Requeue);
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::SysCanceled), "{history:?}");
    let why = history.why.clone().expect("a reason");
    assert!(why.message.contains("not begun twice"), "{why:?}");
    assert_eq!(history.bodies(), Behavior::values(0, 1));
    client.finish().await;
}

#[tokio::test]
async fn a_job_that_somebody_else_kills_is_canceled_by_the_system() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("never")).await;
    watch.until_metrics(&trial.id, 1).await;
    ask(&world, &trial.id, Asked::Kill);
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::SysCanceled));
    assert!(history.why.expect("a reason").message.contains("not by us"));
    client.finish().await;
}

#[tokio::test]
async fn a_job_that_cannot_be_started_says_why() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    world.hold_queue(true).await;
    let trial = client.submit(&Behavior::quick()).await;
    while world.server.shared.cluster.live().is_empty() {
        tokio::task::yield_now().await;
    }
    ask(&world, &trial.id, Asked::Refuse);
    let why = watch.until_end(&trial.id).await.why.expect("a reason");
    assert_eq!(why.code, ReasonCode::StartRefused, "{why:?}");
    assert!(why.message.contains("no such image"), "{why:?}");
    client.finish().await;
}

#[tokio::test]
async fn a_job_that_is_paused_before_it_began_goes_on_when_it_is_resumed() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    world.hold_queue(true).await;
    let trial = client.submit(&Behavior::quick()).await;
    while world.server.shared.cluster.live().is_empty() {
        tokio::task::yield_now().await;
    }
    ask(&world, &trial.id, Asked::Pause);
    let id = trial.id.clone();
    let paused = |why: Option<ts_core::Reason>| why.is_some_and(|why| why.message.contains("paused"));
    watch.until("the pause", |seen| paused(seen.of(&id).why)).await;
    world.hold_queue(false).await;
    let cluster = &world.server.shared.cluster;
    let job = cluster.named(&format!("_trial_{}", trial.id)).expect("a job");
    while job.state() != "paused" {
        tokio::task::yield_now().await;
    }
    job.resume();
    assert_eq!(watch.until_end(&trial.id).await.status(), Some(TrialStatus::Succeeded));
    client.finish().await;
}

#[tokio::test]
async fn a_job_that_waits_for_approval_says_so() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let cluster = &world.server.shared.cluster;
    cluster.set(&cluster.is_over_quota, true);
    let trial = client.submit(&Behavior::quick()).await;
    let id = trial.id.clone();
    let is_quota = |why: Option<ts_core::Reason>| why.is_some_and(|why| why.code == ReasonCode::Quota);
    watch.until("the approval", |seen| is_quota(seen.of(&id).why)).await;
    cluster.set(&cluster.is_over_quota, false);
    assert_eq!(watch.until_end(&trial.id).await.status(), Some(TrialStatus::Succeeded));
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
    let why = watch.until_end(&trial.id).await.why.expect("a reason");
    assert_eq!(why.code, ReasonCode::Lost);
    world.server.shared.cluster.end_all();
    client.finish().await;
}

#[tokio::test]
async fn a_folder_that_jobs_do_not_have_is_told_with_what_the_container_said() {
    let world = World::fresh().await;
    let mut config = world.config();
    config.container_mount = "/no/such/place".to_owned();
    let ctx = world.ctx();
    let service = world.service_of(&ctx, config);
    let client = Client::with(&world, ctx, service).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::quick()).await;
    let why = watch.until_end(&trial.id).await.why.expect("a reason");
    assert_eq!(why.code, ReasonCode::StartFailed, "{why:?}");
    assert!(why.message.contains("/no/such/place"), "{why:?}");
    client.finish().await;
}

#[tokio::test]
async fn a_job_that_runs_again_after_a_pause_is_not_begun_twice() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("never")).await;
    watch.until_metrics(&trial.id, 1).await;
    ask(&world, &trial.id, Asked::Pause);
    let id = trial.id.clone();
    let paused = |why: Option<ts_core::Reason>| why.is_some_and(|why| why.message.contains("paused"));
    watch.until("the pause", |seen| paused(seen.of(&id).why)).await;
    assert!(!watch.of(&id).has_ended(), "a pause is no end");
    let job = world
        .server
        .shared
        .cluster
        .named(&format!("_trial_{id}"))
        .expect("a job");
    while job.state() != "paused" {
        tokio::task::yield_now().await;
    }
    job.resume();
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::SysCanceled), "{history:?}");
    assert_eq!(history.bodies(), Behavior::values(0, 1));
    client.finish().await;
}

#[tokio::test]
async fn a_paused_job_ends_when_its_trial_is_canceled() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("never")).await;
    watch.until_metrics(&trial.id, 1).await;
    ask(&world, &trial.id, Asked::Pause);
    let job = world.server.shared.cluster.named(&format!("_trial_{}", trial.id));
    let job = job.expect("a job");
    while job.state() != "paused" {
        tokio::task::yield_now().await;
    }
    client.cancel(&trial.id, CancelReason::EarlyStop).await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::EarlyStopped), "{history:?}");
    assert_eq!(job.state(), "killed");
    client.finish().await;
}

#[tokio::test]
async fn a_job_that_is_being_killed_is_as_it_was() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&trial.id, 1).await;
    let listed = world.server.count("GET", "/teams/platform/jobs");
    *world.server.shared.cluster.odd_state.lock().expect("no panic") = Some("killing");
    while world.server.count("GET", "/teams/platform/jobs") < listed + 4 {
        tokio::task::yield_now().await;
    }
    let seen = watch.of(&trial.id);
    assert_eq!((seen.status(), seen.why), (Some(TrialStatus::Running), None));
    *world.server.shared.cluster.odd_state.lock().expect("no panic") = None;
    world.open_gate("go").await;
    assert_eq!(watch.until_end(&trial.id).await.status(), Some(TrialStatus::Succeeded));
    client.finish().await;
}

#[tokio::test]
async fn a_state_that_is_not_known_is_told_in_its_own_word_and_heals() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&trial.id, 1).await;
    *world.server.shared.cluster.odd_state.lock().expect("no panic") = Some("hibernating");
    let history = watch.until_status(&trial.id, TrialStatus::Unknown).await;
    let why = history.why.expect("a reason");
    assert!(why.message.contains("`hibernating`"), "{why:?}");
    *world.server.shared.cluster.odd_state.lock().expect("no panic") = None;
    let history = watch.until_status(&trial.id, TrialStatus::Running).await;
    assert_eq!(history.why, None);
    world.open_gate("go").await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded));
    assert_eq!(history.bodies(), Behavior::values(0, 2));
    client.finish().await;
}

/// `jobStatusDetail` has the cluster's clock, which may be years off.
#[tokio::test]
async fn a_clock_of_the_cluster_that_is_wrong_moves_no_end() {
    for started in [
        "2099-01-01T00:00:00+00:00",
        "1999-01-01T00:00:00Z",
        "Mon, 01 Jun 2020",
        "",
    ] {
        let world = World::fresh().await;
        *world.server.shared.cluster.started_at.lock().expect("no panic") = started;
        let client = Client::start(&world).await;
        let mut watch = client.watch();
        let trial = client.submit(&Behavior::gated("go")).await;
        watch.until_metrics(&trial.id, 1).await;
        // A file's time may be a little older than the clock.
        let now = Timestamp(world.ctx().clock.now().0 - 1000);
        world.open_gate("go").await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{started}");
        let moments = watch.events().iter().filter_map(|event| match event {
            ts_core::Event::Status { at, status, .. } => Some((*at, *status)),
            _ => None,
        });
        for (at, status) in moments {
            let is_possible = at <= world.ctx().clock.now() && (!status.is_terminal() || at >= now);
            assert!(is_possible, "{started}: {status} at {at:?}");
        }
        client.finish().await;
    }
}

#[tokio::test]
async fn a_log_without_pods_is_read_too() {
    let world = World::fresh().await;
    let cluster = &world.server.shared.cluster;
    cluster.set(&cluster.has_plain_logs, true);
    let mut config = world.config();
    config.container_mount = "/no/such/place".to_owned();
    let ctx = world.ctx();
    let service = world.service_of(&ctx, config);
    let client = Client::with(&world, ctx, service).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::quick()).await;
    let why = watch.until_end(&trial.id).await.why.expect("a reason");
    assert!(why.message.contains("/no/such/place"), "{why:?}");
    client.finish().await;
}
