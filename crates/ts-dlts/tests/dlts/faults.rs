//! Whatever goes wrong between here and the dashboard: one job, one end, no metric lost or doubled, nothing left.

use crate::{
    server::Fault,
    world::{World, metrics, quick},
};
use axum::http::Method;
use std::time::Duration;
use ts_core::{ReasonCode, TrialStatus};
use ts_testkit::conformance::{Client, Fixture as _};

#[tokio::test]
async fn a_submit_that_fails_in_any_way_makes_one_job() {
    let faults = [
        Fault::Page(500),
        Fault::Upstream,
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::HalfAnswer,
        Fault::PageAfter,
        Fault::Slow(Duration::from_millis(300)),
        Fault::Forbidden,
    ];
    for fault in faults {
        let world = World::fresh().await;
        let client = Client::start(&world).await;
        let mut watch = client.watch();
        world.server.fail(Method::POST, "/clusters/c1/jobs", fault.clone(), 1);
        let trial = client.submit(&quick()).await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{fault:?}: {history:?}");
        assert_eq!(history.bodies(), metrics(0, 1), "{fault:?}");
        assert_eq!(
            world.server.shared.cluster.jobs.lock().expect("no panic").len(),
            1,
            "{fault:?}"
        );
        client.finish().await;
    }
}

#[tokio::test]
async fn lists_that_fail_for_a_while_lose_nothing() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    world
        .server
        .fail(Method::GET, "/teams/platform/jobs", Fault::Page(502), 3);
    let trial = client.submit(&quick()).await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.bodies(), metrics(0, 1));
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
    let trial = client.submit(&quick()).await;
    let why = watch.until_end(&trial.id).await.why.expect("a reason");
    assert_eq!(why.code, ReasonCode::StartRefused, "{why:?}");
    assert!(why.message.contains("workPath"), "the cluster's words: {why:?}");
    client.finish().await;
}
