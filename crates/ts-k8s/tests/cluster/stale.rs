//! Answers of the storage that come late: what they hold is older than what pods have said since, or than what is asked for now.
//!
//! Another service looks on from the beginning. What it asks waits at gates, so that all happens in one order.

use crate::{
    faults::printed,
    looking_on::talk,
    stored::{Stored, eventually},
    world::write,
};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, PostParams};
use serde_json::json;
use std::sync::Arc;
use ts_core::{Ctx, LogKind, TrialId, TrialStatus, WatchRequest};
use ts_k8s::KubernetesService;
use ts_k8s_testkit::{Gate, Matcher, User};
use ts_testkit::conformance::{Client, Fixture as _, Observer};

/// The user of the API server that looks on.
const LOOKER: &str = "looker";

fn of_looker() -> Matcher {
    Matcher::any().user(LOOKER)
}

/// Whoever looks on, on another machine.
struct Looker<'a> {
    world: &'a Stored,
    ctx: Ctx,
    client: Client<'a>,
}

impl<'a> Looker<'a> {
    async fn start(world: &'a Stored) -> Self {
        let server = &world.world.server;
        server.set_user(User::admin(LOOKER));
        let kubeconfig = world.world.path("kubeconfig-of-looker");
        write(&kubeconfig, &server.kubeconfig(LOOKER));
        let mut config = world.config();
        config.access.kubeconfig = Some(kubeconfig);
        let ctx = Ctx::new(world.world.path("elsewhere"));
        let service = KubernetesService::new(ctx.clone(), config, world.world.spec.id.clone());
        let client = Client::with(world, ctx.clone(), Arc::new(service)).await;
        Self { world, ctx, client }
    }

    fn watch(&self, trials: &[&TrialId]) -> Observer {
        let mut request = WatchRequest::new();
        request.logs = trials.iter().map(|trial| ((*trial).clone(), LogKind::Stdout)).collect();
        self.client.watch_from(request)
    }

    /// Once it reads what the trial has left on the storage, this log of it waits.
    fn hold_log(&self, trial: &TrialId, log: &str) -> Gate {
        let commands = of_looker().resource("pods/exec");
        self.world
            .world
            .server
            .hold(commands.query(&format!("{trial}%2F{log}")))
    }

    /// It sees no pod of a trial until this is opened.
    async fn hold_pods(&self) -> Gate {
        let server = &self.world.world.server;
        let pods = server.hold(of_looker().verb("watch").resource("pods").query("labelSelector"));
        server.end_watches();
        pods.until_held(1).await;
        pods
    }

    async fn stop(self) {
        drop(self.client);
        self.ctx.tasks.close().await;
    }
}

/// Until the object of a trial is seen, and none of its pods.
async fn until_seen(look: &mut Observer, trial: &TrialId) {
    let is_seen = |look: &Observer| look.of(trial).why.is_some_and(|why| why.message.contains("no pod yet"));
    look.until(&format!("the object of `{trial}`"), is_seen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_storage_held_before_a_trial_was_seen_is_not_added_to_what_its_pod_says() {
    let world = Stored::fresh().await;
    let client = Client::start(&world).await;
    let trial = talk(&world, &client);
    let looker = Looker::start(&world).await;
    let reading = looker.hold_log(&trial.id, "stdout");
    let mut look = looker.watch(&[&trial.id]);
    reading.until_held(1).await;
    let pods = looker.hold_pods().await;
    client.submit_spec(&trial).await;
    until_seen(&mut look, &trial.id).await;
    let experiment = world.volume().join(world.world.spec.id.as_str());
    let stdout = experiment.join(trial.id.as_str()).join("stdout");
    eventually("the first line on the storage", async || {
        std::fs::read(&stdout).is_ok_and(|text| text == b"first\n")
    })
    .await;
    reading.open();
    // The pod by which it read goes once the answer is told.
    eventually("the end of the reading", async || {
        let pods = world.world.names("pods");
        pods.iter().all(|name| !name.contains("stager"))
    })
    .await;
    pods.open();
    look.until("its first line", |look| {
        !printed(&look.of(&trial.id), LogKind::Stdout).is_empty()
    })
    .await;
    world.open_gate("g").await;
    let end = look.until_end(&trial.id).await;
    assert_eq!(printed(&end, LogKind::Stdout), "first\nlast\n");
    assert_eq!(end.status(), Some(TrialStatus::Succeeded), "{end:?}");
    drop(look);
    looker.stop().await;
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_answer_of_the_storage_does_not_stand_for_the_one_that_is_asked_for_now() {
    let world = Stored::fresh().await;
    let client = Client::start(&world).await;
    let (trial, other) = (talk(&world, &client), talk(&world, &client));
    let looker = Looker::start(&world).await;
    // When the second log is read, the first one was: it held nothing.
    let reading = looker.hold_log(&trial.id, "stderr");
    let mut look = looker.watch(&[&trial.id, &other.id]);
    reading.until_held(1).await;
    let _pods = looker.hold_pods().await;
    let mut watch = client.watch();
    client.submit_spec(&trial).await;
    until_seen(&mut look, &trial.id).await;
    world.open_gate("g").await;
    watch.until_end(&trial.id).await;
    eventually("the end of the object", async || {
        world.world.server.objects("jobs").is_empty()
    })
    .await;
    // Whoever sees this one has seen the end of the other before, and asks the storage again.
    let labels =
        json!({"app": "nni-kubernetes-trial", "expId": world.world.spec.id.as_str(), "trialId": other.id.as_str()});
    let job = json!({"metadata": {"name": "other", "labels": labels}, "spec": {"parallelism": 0, "template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    let jobs: Api<Job> = Api::namespaced(world.world.server.client("admin"), "default");
    let job = serde_json::from_value(job).expect("a job");
    jobs.create(&PostParams::default(), &job).await.expect("room");
    until_seen(&mut look, &other.id).await;
    reading.open();
    let end = look.until_end(&trial.id).await;
    assert_eq!(printed(&end, LogKind::Stdout), "first\nlast\n");
    assert_eq!(end.status(), Some(TrialStatus::Succeeded), "{end:?}");
    drop((look, watch));
    looker.stop().await;
    client.finish().await;
}
