//! Whatever goes wrong between here and the server: one job, one end, no metric lost or doubled, nothing left.

use crate::{
    server::{Fault, Server},
    world::World,
};
use axum::http::Method;
use std::time::Duration;
use ts_core::{CancelReason, JournalCursor, ReasonCode, TrialRecord, TrialStatus};
use ts_testkit::conformance::{Behavior, Client, Fixture};

/// Faults that heal.
fn passing() -> [Fault; 9] {
    [
        Fault::Page(200),
        Fault::Page(502),
        Fault::Page(503),
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::HalfAnswer,
        Fault::Slow(Duration::from_millis(300)),
        Fault::Unauthorized,
        Fault::Limited(1),
    ]
}

fn n_jobs(server: &Server) -> usize {
    server.shared.cluster.jobs.lock().expect("no panic").len()
}

#[tokio::test]
async fn a_submit_that_fails_in_any_way_makes_one_job() {
    for (n, fault) in passing().into_iter().enumerate() {
        let world = World::fresh().await;
        let client = Client::start(&world).await;
        let mut watch = client.watch();
        world.server.fail(Method::POST, "/api/v2/jobs", fault.clone(), 1);
        let trial = client.submit(&Behavior::quick()).await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(
            history.status(),
            Some(TrialStatus::Succeeded),
            "{n} {fault:?}: {history:?}"
        );
        assert_eq!(history.bodies(), Behavior::values(0, 1), "{n} {fault:?}");
        assert_eq!(n_jobs(&world.server), 1, "{n} {fault:?}");
        client.finish().await;
    }
}

#[tokio::test]
async fn a_crash_behind_a_lost_answer_makes_one_job() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    world.server.fail(Method::POST, "/api/v2/jobs", Fault::CutAfter, 1);
    // Nobody may look at once whether it was taken.
    world.server.fail(Method::GET, "/api/v2/jobs/", Fault::Page(502), 3);
    let trial = client.submit(&Behavior::gated("go")).await;
    while n_jobs(&world.server) == 0 {
        tokio::task::yield_now().await;
    }
    let client = client.crash().await;
    let record = TrialRecord::new(trial.clone(), false, TrialStatus::Waiting, JournalCursor::default());
    let found = client.recover(&[record]).await;
    assert_eq!(found.adopted, std::slice::from_ref(&trial.id));
    let mut watch = client.watch();
    world.open_gate("go").await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.bodies(), Behavior::values(0, 2));
    assert_eq!(n_jobs(&world.server), 1);
    client.finish().await;
}

#[tokio::test]
async fn lists_and_details_that_fail_heal() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&trial.id, 1).await;
    for fault in passing() {
        world.server.fail(Method::GET, "/api/v2/jobs", fault.clone(), 1);
        world.server.fail(Method::GET, "/api/v2/jobs/alice~", fault, 1);
    }
    world.open_gate("go").await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded));
    assert_eq!(history.bodies(), Behavior::values(0, 2));
    client.finish().await;
}

/// A trial of `world` runs, the cluster refuses every list for a while, and the trial says so until it answers.
pub(crate) async fn stays_away(world: &impl Fixture, server: &Server) {
    let client = Client::start(world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&trial.id, 1).await;
    server.fail(Method::GET, "/api/v2/jobs", Fault::Unauthorized, u32::MAX);
    let id = trial.id.clone();
    watch
        .until("a reason", |seen| {
            seen.of(&id).why.is_some_and(|why| {
                why.code == ReasonCode::Unreachable && why.unblock.is_some_and(|help| help.contains("profile page"))
            })
        })
        .await;
    assert_eq!(watch.of(&trial.id).status(), Some(TrialStatus::Running));
    server.heal();
    watch.until("no reason", |seen| seen.of(&id).why.is_none()).await;
    world.open_gate("go").await;
    assert_eq!(watch.until_end(&trial.id).await.status(), Some(TrialStatus::Succeeded));
    client.finish().await;
}

#[tokio::test]
async fn a_cluster_that_stays_away_is_told_and_ends_no_trial() {
    let world = World::fresh().await;
    stays_away(&world, &world.server).await;
}

/// An earlier manager may have sent it: only a refusal of the job itself ends a trial.
#[tokio::test]
async fn a_look_that_is_refused_settles_nothing() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    world.server.fail(Method::POST, "/api/v2/jobs", Fault::CutAfter, 1);
    let refused = Fault::Refused(403, "ForbiddenUserError");
    world.server.fail(Method::GET, "/api/v2/jobs/", refused, 1);
    let trial = client.submit(&Behavior::quick()).await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{history:?}");
    assert_eq!(n_jobs(&world.server), 1);
    client.finish().await;
}

#[tokio::test]
async fn a_job_that_nobody_could_look_at_is_not_missing() {
    let world = World::fresh().await;
    let mut config = world.config();
    config.vanish_after = Duration::from_secs(1);
    let ctx = world.ctx();
    let service = world.service_of(&ctx, config);
    let client = Client::with(&world, ctx, service).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&trial.id, 1).await;
    let until_asked = async |path, n| {
        let before = world.server.count("GET", path);
        while world.server.count("GET", path) < before + n {
            tokio::task::yield_now().await;
        }
    };
    // The database does not know the job before and after a time without the server.
    let jobs = std::mem::take(&mut *world.server.shared.cluster.jobs.lock().expect("no panic"));
    until_asked("/api/v2/jobs/", 1).await;
    world
        .server
        .fail(Method::GET, "/api/v2/jobs", Fault::Unauthorized, u32::MAX);
    // Two requests each, for the token is asked for anew: the fourth look comes 1.4 s after the first.
    until_asked("/api/v2/jobs?", 8).await;
    world.server.heal();
    until_asked("/api/v2/jobs/", 1).await;
    *world.server.shared.cluster.jobs.lock().expect("no panic") = jobs;
    world.open_gate("go").await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{history:?}");
    client.finish().await;
}

#[tokio::test]
async fn a_request_to_stop_that_fails_is_repeated() {
    for fault in [
        Fault::Page(200),
        Fault::Page(502),
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::Limited(1),
    ] {
        let world = World::fresh().await;
        let client = Client::start(&world).await;
        let mut watch = client.watch();
        let trial = client.submit(&Behavior::gated("never")).await;
        watch.until_metrics(&trial.id, 1).await;
        world.server.fail(Method::PUT, "/executionType", fault.clone(), 1);
        client.cancel(&trial.id, CancelReason::User).await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::UserCanceled), "{fault:?}");
        client.finish().await;
    }
}

#[tokio::test]
async fn a_crash_while_canceling_is_completed() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("never")).await;
    watch.until_metrics(&trial.id, 1).await;
    world
        .server
        .fail(Method::PUT, "/executionType", Fault::CutBefore, u32::MAX);
    client.cancel(&trial.id, CancelReason::EarlyStop).await;
    drop(watch);
    let client = client.crash().await;
    world.server.heal();
    let record = TrialRecord::new(trial.clone(), true, TrialStatus::Running, JournalCursor::default());
    client.recover(&[record]).await;
    let mut watch = client.watch();
    assert_eq!(
        watch.until_end(&trial.id).await.status(),
        Some(TrialStatus::EarlyStopped)
    );
    client.finish().await;
}

#[tokio::test]
async fn no_token_follows_a_redirect() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let to = "https://elsewhere.example.org/rest-server/api/v2/jobs".to_owned();
    world.server.fail(Method::POST, "/api/v2/jobs", Fault::Redirect(to), 1);
    let trial = client.submit(&Behavior::quick()).await;
    let history = watch.until_end(&trial.id).await;
    let why = history.why.expect("a reason");
    assert_eq!(why.code, ReasonCode::StartRefused);
    assert!(why.unblock.expect("advice").contains("elsewhere.example.org"));
    assert_eq!(n_jobs(&world.server), 0);
    client.finish().await;
}
