//! The cluster will not have an object: its name is taken, the quota is used up, a webhook says no.

use crate::{
    faults::{World, gated, metrics, reborn, until_reason},
    world::MANAGER,
};
use k8s_openapi::api::{batch::v1::Job, core::v1::ResourceQuota};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use ts_core::{CleanupScope, ReasonCode, TrialStatus};
use ts_k8s_testkit::{Fault, Matcher};
use ts_testkit::conformance::{Client, Fixture as _};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_that_name_that_is_not_ours_is_left_alone() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.trial(&gated(0));
    let shown = client.service.render(&client.code, &trial).expect("rendered");
    let name = shown.documents.iter().find_map(|(_, text)| {
        let object: serde_json::Value = serde_json::from_str(text).ok()?;
        object["metadata"]["name"].as_str().map(str::to_owned)
    });
    let name = name.expect("a name");
    let jobs: Api<Job> = Api::namespaced(world.server.client("admin"), "default");
    let foreign = json!({
        "metadata": {"name": name},
        "spec": {"parallelism": 0, "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}],
        }}},
    });
    let foreign = serde_json::from_value(foreign).expect("a job");
    jobs.create(&PostParams::default(), &foreign).await.expect("accepted");
    client.submit_spec(&trial).await;
    let end = watch.until_end(&trial.id).await;
    assert_eq!(end.status(), Some(TrialStatus::Failed));
    let why = end.why.expect("a reason");
    assert_eq!(why.code, ReasonCode::StartRefused);
    assert!(why.message.contains("not ours"), "{}", why.message);
    for scope in [CleanupScope::Trials(vec![trial.id.clone()]), CleanupScope::Experiment] {
        let report = client.service.cleanup(&scope).await;
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(world.server.objects("jobs").len(), 1, "somebody else's job was deleted");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_waits_for_the_quota_and_runs_once_it_is_raised() {
    for dies in [false, true] {
        waits_for_the_quota(World::fresh().await, dies).await;
    }
}

async fn waits_for_the_quota(world: World, dies: bool) {
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let quotas: Api<ResourceQuota> = Api::namespaced(world.server.client("admin"), "default");
    let quota = json!({"metadata": {"name": "tight"}, "spec": {"hard": {"count/jobs.batch": "0"}}});
    let quota = serde_json::from_value(quota).expect("a quota");
    quotas.create(&PostParams::default(), &quota).await.expect("accepted");
    let trial = client.submit(&gated(0)).await;
    let why = until_reason(&mut watch, &trial.id, ReasonCode::Quota).await;
    assert!(why.contains("exceeded quota: tight"), "{why}");
    assert_eq!(watch.of(&trial.id).status(), Some(TrialStatus::Waiting));
    let (client, mut watch) = reborn(dies, client, watch, &trial).await;
    until_reason(&mut watch, &trial.id, ReasonCode::Quota).await;
    let raised = Patch::Merge(json!({"spec": {"hard": {"count/jobs.batch": "1"}}}));
    quotas
        .patch("tight", &PatchParams::default(), &raised)
        .await
        .expect("accepted");
    world.open_gate("go").await;
    let end = watch.until_end(&trial.id).await;
    assert_eq!(
        (end.status(), end.bodies().len()),
        (Some(TrialStatus::Succeeded), metrics(0..4).len())
    );
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_refuses_ends_the_trial_in_its_own_words() {
    for code in [400, 403] {
        let world = World::fresh().await;
        let client = Client::start(&world).await;
        let mut watch = client.watch();
        world.server.deny("jobs", code, "every job needs a cost centre");
        let trial = client.submit(&gated(0)).await;
        let end = watch.until_end(&trial.id).await;
        assert_eq!(end.status(), Some(TrialStatus::Failed));
        let why = end.why.expect("a reason");
        assert_eq!(why.code, ReasonCode::StartRefused);
        assert!(why.message.contains("every job needs a cost centre"), "{}", why.message);
        client.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_does_not_answer_is_waited_for() {
    for dies in [false, true] {
        waits_for_the_webhook(World::fresh().await, dies).await;
    }
}

async fn waits_for_the_webhook(world: World, dies: bool) {
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    world.server.break_webhook("jobs");
    let trial = client.submit(&gated(0)).await;
    let why = until_reason(&mut watch, &trial.id, ReasonCode::Unreachable).await;
    assert!(why.contains("webhook"), "{why}");
    let (client, mut watch) = reborn(dies, client, watch, &trial).await;
    world.server.allow("jobs");
    world.open_gate("go").await;
    assert_eq!(watch.until_end(&trial.id).await.bodies(), metrics(0..4));
    client.finish().await;
}

/// Google's clusters count the jobs of each namespace by a quota, whose status all who create something write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_quota_others_write_at_the_same_moment_is_created_a_moment_later() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let creation = Matcher::any().user(MANAGER).verb("create").resource("jobs");
    let conflict = Fault::Status {
        code: 409,
        retry_after: None,
    };
    world.server.fault(creation, conflict, 2);
    let trial = client.submit(&gated(0)).await;
    world.open_gate("go").await;
    let end = watch.until_end(&trial.id).await;
    assert_eq!(
        (end.status(), end.bodies()),
        (
            Some(TrialStatus::Succeeded),
            metrics(0..4).iter().map(String::as_str).collect()
        )
    );
    client.finish().await;
}

/// Source of the words: kubernetes v1.20, `apiserver/pkg/admission/plugin/webhook/errors/statuserror.go`, `NewDryRunUnsupportedErr`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_takes_no_dry_run_hinders_no_experiment() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    world
        .server
        .deny("jobs", 400, "admission webhook \"x\" does not support dry run");
    let warnings = client.service.validate(&client.spec).await;
    assert!(warnings.is_ok(), "{warnings:?}");
    world.server.allow("jobs");
    client.finish().await;
}
