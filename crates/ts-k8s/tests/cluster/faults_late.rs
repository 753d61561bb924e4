//! What is only noticed after a while: objects that were never seen, trials that wait in vain. The service's time goes faster here.

use crate::{
    faults::{World, gated, metrics, until},
    world::MANAGER,
};
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use std::{sync::Arc, time::Duration};
use ts_core::{Ctx, ReasonCode, TrialStatus};
use ts_k8s::{KubernetesConfig, KubernetesService};
use ts_k8s_testkit::{Fault, Matcher, Request};
use ts_testkit::{
    FastClock,
    conformance::{Client, Fixture as _},
};

/// How many times faster.
const PACE: u32 = 5;

async fn fast(world: &World, config: KubernetesConfig) -> Client<'_> {
    let mut ctx: Ctx = world.ctx();
    ctx.clock = Arc::new(FastClock::new(PACE));
    let service = KubernetesService::new(ctx.clone(), config, world.spec.id.clone());
    Client::with(world, ctx, Arc::new(service)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_that_were_never_seen_are_sought_by_one_list() {
    const TRIALS: usize = 12;
    let world = World::fresh().await;
    let ours = || Matcher::any().user(MANAGER).resource("jobs");
    // The list of jobs is empty, and nothing is ever told of what comes afterwards.
    world.server.fault(ours().verb("watch"), Fault::Hang, usize::MAX);
    let client = fast(&world, world.config()).await;
    let mut watch = client.watch();
    let is_watched = || {
        world
            .server
            .requests()
            .iter()
            .any(|r| r.verb == "watch" && r.resource == "jobs")
    };
    until("the watch of jobs", is_watched).await;
    // A manager that must connect anew, because the machine is slow, does not see them either.
    let refused = Fault::Status {
        code: 503,
        retry_after: None,
    };
    world.server.fault(ours().verb("list"), refused, usize::MAX);
    let mut trials = Vec::new();
    for _ in 0..TRIALS {
        trials.push(client.submit(&gated(0)).await);
    }
    until("all jobs", || world.server.objects("jobs").len() == TRIALS).await;
    let jobs: Api<Job> = Api::namespaced(world.server.client("admin"), "default");
    let (parameters, all) = (DeleteParams::background(), ListParams::default());
    jobs.delete_collection(&parameters, &all).await.expect("deleted");
    until("no jobs", || world.server.objects("jobs").is_empty()).await;
    world.server.clear_faults();
    world.server.fault(ours().verb("watch"), Fault::Hang, usize::MAX);
    world.server.clear_requests();
    for trial in &trials {
        let end = watch.until_end(&trial.id).await;
        assert_eq!(end.status(), Some(TrialStatus::SysCanceled), "{end:?}");
        assert_eq!(end.why.map(|why| why.code), Some(ReasonCode::Lost));
    }
    let requests = world.server.requests();
    let count = |verb: &str| {
        let is_one = |r: &&Request| r.user == MANAGER && r.resource == "jobs" && r.verb == verb;
        requests.iter().filter(is_one).count()
    };
    assert_eq!(count("get"), 0, "no trial is asked for by itself");
    assert!((1..TRIALS).contains(&count("list")), "{} lists", count("list"));
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_that_waits_in_vain_is_given_up() {
    let world = World::fresh().await;
    world.kubelet.missing_image("local/busybox:1");
    let mut config = world.config();
    config.start_timeout = Duration::from_mins(1);
    let client = fast(&world, config).await;
    let mut watch = client.watch();
    let trial = client.submit(&gated(0)).await;
    let end = watch.until_end(&trial.id).await;
    assert_eq!(end.status(), Some(TrialStatus::Failed), "{end:?}");
    let why = end.why.expect("a reason");
    assert_eq!(why.code, ReasonCode::StartRefused);
    assert!(why.message.contains("the image cannot be pulled"), "{why:?}");
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_ends_though_a_container_that_others_put_beside_it_does_not() {
    for (code, status) in [(0, TrialStatus::Succeeded), (3, TrialStatus::Failed)] {
        let world = World::fresh().await;
        let mut config = world.config();
        config.start_timeout = Duration::from_secs(20);
        config.pods.template = Some(serde_json::json!({"spec": {"containers": [
            {"name": "proxy", "image": "local/busybox:1", "command": ["/bin/sh", "-c", "while :; do sleep 1; done"]},
        ]}}));
        let client = fast(&world, config).await;
        let mut watch = client.watch();
        let trial = client.submit(&gated(code)).await;
        world.open_gate("go").await;
        let end = watch.until_end(&trial.id).await;
        assert_eq!(end.status(), Some(status), "{end:?}");
        assert_eq!(end.bodies(), metrics(0..4));
        until("the end of the pods", || world.server.objects("pods").is_empty()).await;
        client.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_whose_connection_is_dropped_without_a_word_is_read_again_once_its_container_has_ended() {
    let world = World::fresh().await;
    let logs = Matcher::any().user(MANAGER).resource("pods/log");
    world.server.fault(logs, Fault::StallAfter(200), 1);
    let client = fast(&world, world.config()).await;
    let mut watch = client.watch();
    let trial = client.submit(&gated(0)).await;
    watch.until_status(&trial.id, TrialStatus::Running).await;
    world.open_gate("go").await;
    let end = watch.until_end(&trial.id).await;
    assert_eq!(end.status(), Some(TrialStatus::Succeeded), "{end:?}");
    assert_eq!(end.bodies(), metrics(0..4));
    client.finish().await;
}
