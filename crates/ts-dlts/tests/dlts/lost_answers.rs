//! A submit whose answer is lost never makes a second job, whatever becomes of the request, of the looks for it, and of the manager.

use crate::{server::Fault, world::World};
use axum::http::Method;
use std::time::Duration;
use ts_core::{CancelReason, JournalCursor, Reason, TrialRecord, TrialSpec, TrialStatus};
use ts_testkit::conformance::{Behavior, Client, Fixture as _};

const SUBMIT: &str = "/clusters/c1/jobs";
const LIST: &str = "/teams/platform/jobs";

fn record(trial: &TrialSpec) -> TrialRecord {
    TrialRecord::new(trial.clone(), false, TrialStatus::Waiting, JournalCursor::default())
}

#[tokio::test]
async fn a_submit_that_fails_in_any_way_makes_one_job() {
    let faults = [
        Fault::Page(200),
        Fault::Page(500),
        Fault::Page(503),
        Fault::Upstream,
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::HalfAnswer,
        Fault::PageAfter,
        Fault::Slow(Duration::from_millis(300)),
        Fault::Late(Duration::from_millis(400)),
        Fault::Forbidden,
        Fault::Refused(200, "{}"),
        Fault::Limited(1),
    ];
    for fault in faults {
        let world = World::fresh().await;
        let client = Client::start(&world).await;
        let mut watch = client.watch();
        world.server.fail(Method::POST, SUBMIT, fault.clone(), 1);
        let trial = client.submit(&Behavior::quick()).await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{fault:?}: {history:?}");
        assert_eq!(history.bodies(), Behavior::values(0, 1), "{fault:?}");
        assert_eq!(world.server.n_jobs(), 1, "{fault:?}");
        client.finish().await;
    }
}

/// The cluster does it long after the connection broke: a look finds nothing, and what is sent again meets the first.
#[tokio::test]
async fn a_request_that_is_carried_out_late_makes_one_job() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let late = Fault::Late(Duration::from_millis(1500));
    world.server.fail(Method::POST, SUBMIT, late, 1);
    let trial = client.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&trial.id, 1).await;
    assert!(world.server.count("POST", SUBMIT) > 1, "it was sent again");
    let late = async {
        while !world.server.was_late() {
            tokio::task::yield_now().await;
        }
    };
    late.await;
    world.open_gate("go").await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.bodies(), Behavior::values(0, 2));
    assert_eq!(world.server.n_jobs(), 1);
    client.finish().await;
}

#[tokio::test]
async fn who_cannot_look_neither_sends_again_nor_gives_up() {
    for fault in [
        Fault::Page(200),
        Fault::Page(502),
        Fault::Forbidden,
        Fault::Refused(404, "Team is not found"),
    ] {
        let world = World::fresh().await;
        let client = Client::start(&world).await;
        let mut watch = client.watch();
        world.server.fail(Method::POST, SUBMIT, Fault::CutAfter, 1);
        // Every look of the first seconds.
        world
            .server
            .fail_below(Method::GET, "/clusters/c1/jobs/", fault.clone(), 2);
        let trial = client.submit(&Behavior::quick()).await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{fault:?}: {history:?}");
        assert_eq!(history.bodies(), Behavior::values(0, 1), "{fault:?}");
        assert_eq!(world.server.count("POST", SUBMIT), 1, "{fault:?}");
        client.finish().await;
    }
}

/// Without its database the cluster lists nothing and knows no job, and says so with status 200.
#[tokio::test]
async fn a_cluster_without_its_database_is_believed_nothing() {
    let world = World::fresh().await;
    let mut config = world.config();
    config.vanish_after = Duration::from_millis(300);
    let ctx = world.ctx();
    let service = world.service_of(&ctx, config);
    let client = Client::with(&world, ctx, service).await;
    let mut watch = client.watch();
    let cluster = &world.server.shared.cluster;
    let running = client.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&running.id, 1).await;
    cluster.set(&cluster.has_no_database, true);
    let waiting = client.submit(&Behavior::quick()).await;
    let listed = world.server.count("GET", LIST);
    let id = running.id.clone();
    let is_told = |why: Option<Reason>| why.is_some_and(|why| why.message.contains("database"));
    watch.until("the trouble", |seen| is_told(seen.of(&id).why)).await;
    // Longer than a job may be unknown.
    while world.server.count("GET", LIST) < listed + 6 {
        tokio::task::yield_now().await;
    }
    cluster.set(&cluster.has_no_database, false);
    world.open_gate("go").await;
    for trial in [&running, &waiting] {
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{history:?}");
    }
    assert_eq!(world.server.n_jobs(), 2);
    client.finish().await;
}

#[tokio::test]
async fn a_manager_that_dies_behind_a_lost_answer_makes_one_job() {
    for fault in [Fault::CutAfter, Fault::Late(Duration::from_millis(800))] {
        let world = World::fresh().await;
        let client = Client::start(&world).await;
        world.server.fail(Method::POST, SUBMIT, fault.clone(), 1);
        // Nobody may look at once whether it was taken.
        world
            .server
            .fail_below(Method::GET, "/clusters/c1/jobs/", Fault::Page(502), 3);
        let trial = client.submit(&Behavior::gated("go")).await;
        while world.server.count("POST", SUBMIT) == 0 {
            tokio::task::yield_now().await;
        }
        let client = client.crash().await;
        world.server.heal();
        let found = client.recover(&[record(&trial)]).await;
        assert_eq!(found.adopted, std::slice::from_ref(&trial.id), "{fault:?}");
        let mut watch = client.watch();
        world.open_gate("go").await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.bodies(), Behavior::values(0, 2), "{fault:?}");
        assert_eq!(world.server.n_jobs(), 1, "{fault:?}");
        client.finish().await;
    }
}

#[tokio::test]
async fn a_trial_that_is_canceled_behind_a_lost_answer_ends_and_leaves_nothing() {
    for fault in [
        Fault::CutAfter,
        Fault::CutBefore,
        Fault::Late(Duration::from_millis(300)),
    ] {
        let world = World::fresh().await;
        let client = Client::start(&world).await;
        let mut watch = client.watch();
        world.server.fail(Method::POST, SUBMIT, fault.clone(), 1);
        let trial = client.submit(&Behavior::gated("never")).await;
        while world.server.count("POST", SUBMIT) == 0 {
            tokio::task::yield_now().await;
        }
        client.cancel(&trial.id, CancelReason::User).await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::UserCanceled), "{fault:?}");
        assert_eq!(history.bodies(), Vec::<&str>::new(), "{fault:?}: it never began");
        client.finish().await;
    }
}
