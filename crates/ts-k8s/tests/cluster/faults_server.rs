//! The API server goes away, comes back, forgets, is slow, or loses answers, while trials run or begin.

use crate::{
    faults::{
        World, gated, goes_on, goes_on_without_its_manager, metrics, reborn, until, until_nothing_runs, until_reason,
    },
    world::MANAGER,
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use ts_core::{CancelReason, CleanupScope, Event, ReasonCode, TrialStatus, WatchRequest};
use ts_k8s_testkit::{Fault, Matcher, Setting};
use ts_testkit::conformance::{Client, DEADLINE, Fixture as _};

fn ours() -> Matcher {
    Matcher::any().user(MANAGER)
}

fn busy(retry_after: u32) -> Fault {
    Fault::Status {
        code: 429,
        retry_after: Some(retry_after),
    }
}

async fn stops_and_starts(world: &World) {
    world.server.pause().await;
    world.open_gate("go").await;
    until_nothing_runs(world).await;
    world.server.resume().await;
}

async fn cuts_watches(world: &World) {
    world.server.cut_watches();
    world.server.fault(ours().verb("watch"), Fault::CutAfter(700), 3);
    world.server.end_watches();
}

async fn forgets(world: &World) {
    world.server.compact();
    world.server.cut_watches();
}

async fn is_busy(world: &World) {
    world.server.fault(ours(), busy(1), 5);
    world.server.reset_connections();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_and_starts_again() {
    goes_on(World::fresh().await, stops_and_starts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_and_starts_again_and_a_manager_that_dies() {
    goes_on_without_its_manager(World::fresh().await, stops_and_starts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_that_are_cut_within_an_event_or_end() {
    goes_on(World::fresh().await, cuts_watches).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_that_are_cut_and_a_manager_that_dies() {
    goes_on_without_its_manager(World::fresh().await, cuts_watches).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_come_in_pieces() {
    let setting = Setting {
        split_frames: true,
        ..Setting::default()
    };
    goes_on(World::with(setting).await, cuts_watches).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_too_old_to_watch_from() {
    goes_on(World::fresh().await, forgets).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_too_old_and_a_manager_that_dies() {
    goes_on_without_its_manager(World::fresh().await, forgets).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_asks_to_slow_down() {
    goes_on(World::fresh().await, is_busy).await;
}

/// A job of somebody's that bears the experiment's labels, so that it is in its lists.
fn filler(world: &World, n: usize) -> Value {
    let labels =
        json!({"app": "nni-kubernetes-trial", "expId": world.spec.id.as_str(), "trialId": format!("filler{n}")});
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": format!("filler-{n}"), "labels": labels},
        "spec": {"parallelism": 0, "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}],
        }}},
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_several_pages_that_cannot_be_continued() {
    let world = World::fresh().await;
    let jobs: kube::Api<k8s_openapi::api::batch::v1::Job> =
        kube::Api::namespaced(world.server.client("admin"), "default");
    for n in 0..501 {
        let job = serde_json::from_value(filler(&world, n)).expect("a job");
        jobs.create(&kube::api::PostParams::default(), &job)
            .await
            .expect("accepted");
    }
    let gone = Fault::Status {
        code: 410,
        retry_after: None,
    };
    world
        .server
        .fault(ours().verb("list").resource("jobs").query("continue="), gone, 1);
    goes_on(world, async |world: &World| {
        let is_refused = || world.server.requests().iter().any(|request| request.status == 410);
        assert!(is_refused(), "the list has several pages");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_makes_no_second_job() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    world
        .server
        .fault(ours().verb("create").resource("jobs"), Fault::ResetAfter, 1);
    let trial = client.submit(&gated(0)).await;
    watch.until_metrics(&trial.id, 2).await;
    assert_eq!(world.server.objects("jobs").len(), 1);
    world.open_gate("go").await;
    assert_eq!(watch.until_end(&trial.id).await.bodies(), metrics(0..4));
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_whose_creation_had_no_answer_is_gone_after_a_cancel() {
    for dies in [false, true] {
        has_no_answer(World::fresh().await, dies).await;
    }
}

async fn has_no_answer(world: World, dies: bool) {
    let client = Client::start(&world).await;
    let watch = client.watch();
    // The job is made, and whoever asked for it does not hear of it before it is not wanted any more.
    world
        .server
        .fault(ours().verb("create").resource("jobs"), Fault::ResetAfter, 1);
    world
        .server
        .fault(ours().verb("create").resource("jobs"), busy(15), 100);
    let trial = client.submit(&gated(0)).await;
    until("the job", || !world.server.objects("jobs").is_empty()).await;
    let (client, mut watch) = reborn(dies, client, watch, &trial).await;
    client.cancel(&trial.id, CancelReason::User).await;
    let end = watch.until_end(&trial.id).await;
    assert_eq!(end.status(), Some(TrialStatus::UserCanceled));
    assert!(world.server.objects("jobs").is_empty(), "the job is not left behind");
    world.server.clear_faults();
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_that_was_never_created_ends_at_once_while_the_server_is_away() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let first = client.submit(&gated(0)).await;
    watch.until_status(&first.id, TrialStatus::Running).await;
    world.server.pause().await;
    // Only once it is seen that nobody is there is nothing sent that might have arrived.
    until_reason(&mut watch, &first.id, ReasonCode::Unreachable).await;
    let trial = client.submit(&gated(0)).await;
    client.cancel(&trial.id, CancelReason::User).await;
    let end = watch.until_end(&trial.id).await;
    assert_eq!(end.status(), Some(TrialStatus::UserCanceled));
    world.server.resume().await;
    client.finish().await;
    let creates = world.server.requests();
    let is_create = |request: &&ts_k8s_testkit::Request| request.resource == "jobs" && request.verb == "create";
    assert_eq!(creates.iter().filter(is_create).count(), 1, "that of the first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_of_a_manager_that_never_reached_the_server_ends_at_once() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let (code, trial) = (client.code.clone(), client.trial(&gated(0)));
    drop(client);
    world.server.pause().await;
    // The code lies on its disk since the manager before.
    let ctx = world.ctx();
    let service = world.service(&ctx);
    service.submit(&code, &trial).await.expect("taken");
    let mut statuses = service.watch(WatchRequest::new()).filter_map(|event| {
        let status = match event {
            Ok(Event::Status { status, why, .. }) => Some((status, why.map(|why| why.code))),
            _ => None,
        };
        std::future::ready(status)
    });
    let mut next = async |is_so: fn(TrialStatus, Option<ReasonCode>) -> bool| {
        while let Some((status, code)) = statuses.next().await {
            if is_so(status, code) {
                return;
            }
        }
    };
    let waits = next(|_, code| code == Some(ReasonCode::Unreachable));
    let waits = tokio::time::timeout(DEADLINE, waits).await;
    assert!(waits.is_ok(), "it does not say what it waits for");
    service.cancel(&trial.id, CancelReason::User).await.expect("taken");
    let end = tokio::time::timeout(DEADLINE, next(|status, _| status.is_terminal())).await;
    assert!(end.is_ok(), "a trial that never began does not end");
    world.server.resume().await;
    let report = service.cleanup(&CleanupScope::Experiment).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(world.leftovers().await, Vec::<String>::new());
}
