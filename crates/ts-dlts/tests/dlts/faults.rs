//! Whatever goes wrong between here and the dashboard: one job, one end, no metric lost or doubled, nothing left.

use crate::{
    server::{Asked, Fault},
    world::World,
};
use axum::http::Method;
use std::time::Duration;
use ts_core::{CancelReason, CleanupScope, Reason, ReasonCode, TrialStatus};
use ts_testkit::conformance::{Behavior, Client, Fixture as _};

const LIST: &str = "/teams/platform/jobs";

#[tokio::test]
async fn lists_that_fail_for_a_while_lose_nothing() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    world
        .server
        .fail(Method::GET, "/teams/platform/jobs", Fault::Page(502), 3);
    let trial = client.submit(&Behavior::quick()).await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.bodies(), Behavior::values(0, 1));
    assert!(world.server.count("GET", "/teams/platform/jobs") > 3);
    client.finish().await;
}

#[tokio::test]
async fn what_the_cluster_refuses_in_a_successful_answer_ends_that_trial_only() {
    let world = World::fresh().await;
    let mut config = world.config();
    config.work_path = "../other".to_owned();
    let ctx = world.ctx();
    let service = world.service_of(&ctx, config);
    let client = Client::with(&world, ctx, service).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::quick()).await;
    let why = watch.until_end(&trial.id).await.why.expect("a reason");
    assert_eq!(why.code, ReasonCode::StartRefused, "{why:?}");
    assert!(why.message.contains("work directory"), "the cluster's words: {why:?}");
    client.finish().await;
}

/// Faults that heal by themselves.
fn passing() -> Vec<Fault> {
    vec![
        Fault::Page(200),
        Fault::Page(502),
        Fault::Upstream,
        Fault::CutBefore,
        Fault::HalfAnswer,
        Fault::Slow(Duration::from_millis(300)),
        Fault::Forbidden,
        Fault::Refused(401, "Unauthorized"),
        Fault::Refused(500, "INTERNAL SERVER ERROR"),
        Fault::Refused(200, ""),
        Fault::Refused(200, "{\"error\": \"something\"}"),
        Fault::Limited(1),
    ]
}

#[tokio::test]
async fn lists_and_details_that_fail_in_any_way_heal() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::gated("go")).await;
    watch.until_metrics(&trial.id, 1).await;
    for fault in passing() {
        world.server.fail(Method::GET, LIST, fault.clone(), 1);
        world.server.fail_below(Method::GET, "/clusters/c1/jobs/", fault, 1);
    }
    world.open_gate("go").await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{history:?}");
    assert_eq!(history.bodies(), Behavior::values(0, 2));
    client.finish().await;
}

#[tokio::test]
async fn a_dashboard_that_stays_away_is_told_and_ends_no_trial() {
    for (fault, advice) in [
        (Fault::Forbidden, "copy both from the dashboard"),
        (Fault::Page(200), "a login page"),
    ] {
        let world = World::fresh().await;
        let client = Client::start(&world).await;
        let mut watch = client.watch();
        let trial = client.submit(&Behavior::gated("go")).await;
        watch.until_metrics(&trial.id, 1).await;
        world.server.fail(Method::GET, LIST, fault.clone(), u32::MAX);
        let id = trial.id.clone();
        let is_told = |why: Option<Reason>| {
            why.is_some_and(|why| {
                why.code == ReasonCode::Unreachable && why.unblock.is_some_and(|help| help.contains(advice))
            })
        };
        watch.until("a reason", |seen| is_told(seen.of(&id).why)).await;
        assert_eq!(watch.of(&id).status(), Some(TrialStatus::Running), "{fault:?}");
        world.server.heal();
        watch.until("no reason", |seen| seen.of(&id).why.is_none()).await;
        world.open_gate("go").await;
        let history = watch.until_end(&id).await;
        assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{fault:?}");
        client.finish().await;
    }
}

#[tokio::test]
async fn a_request_to_kill_that_fails_is_repeated() {
    for fault in [
        Fault::Page(502),
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::Limited(1),
        Fault::Forbidden,
        Fault::Refused(200, "{\"result\": \"Cannot Kill the job. Job ID:x\"}"),
    ] {
        let world = World::fresh().await;
        let client = Client::start(&world).await;
        let mut watch = client.watch();
        let trial = client.submit(&Behavior::gated("never")).await;
        watch.until_metrics(&trial.id, 1).await;
        world.server.fail(Method::PUT, "/status", fault.clone(), 1);
        client.cancel(&trial.id, CancelReason::User).await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::UserCanceled), "{fault:?}");
        client.finish().await;
    }
}

/// Jobs without a folder here: what a manager whose storage is gone has left.
#[tokio::test]
async fn jobs_that_nobody_knows_are_killed_in_whichever_way_works() {
    let faults = [
        None,
        // A dashboard of before 2020 has no such route.
        Some(Fault::Refused(404, "Not Found")),
        Some(Fault::Upstream),
        Some(Fault::Page(200)),
        Some(Fault::Refused(200, "{\"killing\": \"{\\\"result\\\": {}}\"}")),
    ];
    for fault in faults {
        let world = World::fresh().await;
        let client = Client::start(&world).await;
        world.hold_queue(true).await;
        let cluster = &world.server.shared.cluster;
        // More than one request takes.
        for n in 0..23 {
            let name = format!("nni_exp_{}_trial_stray{n}", world.spec.id);
            cluster.begin(serde_json::json!({"jobName": name})).expect("a new job");
        }
        let of_another = serde_json::json!({"jobName": "nni_exp_other_trial_a"});
        let other = cluster.begin(of_another).expect("a new job");
        if let Some(fault) = fault.clone() {
            world.server.fail(Method::POST, "/jobs/status", fault, u32::MAX);
        }
        let report = client.service.cleanup(&CleanupScope::Experiment).await;
        assert!(report.is_clean(), "{fault:?}: {report:?}");
        assert_eq!(cluster.live(), ["nni_exp_other_trial_a"], "{fault:?}");
        let one_by_one = world.server.count("PUT", "/status");
        assert_eq!(one_by_one, if fault.is_some() { 23 } else { 0 }, "{fault:?}");
        cluster.job(&other).expect("it is there").ask(Asked::Kill);
        while !cluster.live().is_empty() {
            tokio::task::yield_now().await;
        }
        client.finish().await;
    }
}
