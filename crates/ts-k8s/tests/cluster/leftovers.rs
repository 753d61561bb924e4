//! Clean-up after a manager that died at some point, by one that knows no more than the cluster and the storage show.

use crate::{
    faults::{World, until},
    faults_access::may_all_but,
    stored::{Stored, eventually},
    world::{MANAGER, write},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams};
use std::sync::Arc;
use ts_core::{CleanupScope, Ctx, ReasonCode, Secret, TrainingService as _, TrialStatus, config::SecretRef};
use ts_k8s::{AzureKey, KubernetesService, StorageKind};
use ts_k8s_testkit::{Fault, Matcher};
use ts_testkit::conformance::{Behavior, Client, Fixture as _};

/// A service on an empty folder removes the experiment.
async fn clean(world: &Stored) {
    let ctx = Ctx::new(world.world.path("elsewhere"));
    let service = world.other(&ctx);
    for _ in 0..2 {
        let report = service.cleanup(&CleanupScope::Experiment).await;
        assert!(report.is_clean(), "{:?}", report.failures);
        let left = world.leftovers().await;
        let theirs = world.world.path("work/trials").display().to_string();
        let left: Vec<_> = left.iter().filter(|left| !left.contains(&theirs)).collect();
        assert!(left.is_empty(), "{left:#?}");
    }
    drop(service);
    ctx.tasks.close().await;
}

/// The manager begins to deliver the code and dies once `is_so`.
async fn die_while_preparing(world: &Stored, mut is_so: impl AsyncFnMut() -> bool) {
    let ctx = world.ctx();
    let service = world.service(&ctx);
    let spec = world.spec();
    tokio::select! {
        prepared = service.prepare(&spec.code) => panic!("{prepared:?}"),
        () = eventually("the moment to die", async || is_so().await) => {}
    }
    drop(service);
    ctx.tasks.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_died_while_the_pod_for_its_code_waited_leaves_nothing() {
    let world = Stored::fresh().await;
    world.hold_queue(true).await;
    die_while_preparing(&world, async || !world.world.server.objects("pods").is_empty()).await;
    world.hold_queue(false).await;
    clean(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trials_and_code_of_a_lost_experiment_go_and_those_of_others_stay() {
    let world = Stored::fresh().await;
    let client = Client::start(&world).await;
    let trial = client.submit(&Behavior::RunUntilCanceled { metrics: vec![] }).await;
    client.watch().until_status(&trial.id, TrialStatus::Running).await;
    let (experiments, own) = (world.volume(), world.world.spec.id.as_str());
    let others = experiments.join("other/nni-code/sha256-0");
    std::fs::create_dir_all(&others).expect("room");
    assert!(experiments.join(own).join("nni-code").exists() && experiments.join(own).join(trial.id.as_str()).exists());
    let client = client.crash().await;
    clean(&world).await;
    assert!(others.exists(), "the code of another experiment is gone");
    client.until_nothing_runs(&trial.id).await;
}

/// A world with a share of Azure Files.
async fn azure() -> Stored {
    let key = AzureKey::Given(SecretRef::Literal(Secret::new(STANDARD.encode([7; 64]))));
    Stored {
        storage: Some(StorageKind::AzureFiles {
            account: "account".to_owned(),
            share: "share".to_owned(),
            key,
        }),
        ..Stored::fresh().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_a_lost_experiment_go_too() {
    let world = azure().await;
    let client = Client::start(&world).await;
    assert_eq!(world.world.server.objects("secrets").len(), 1);
    drop(client.crash().await);
    // As `rbac.yaml` has it, Secrets are made and removed, and never read.
    may_all_but(&world.world, "get", &["secrets"]);
    clean(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_died_before_it_made_the_secret_leaves_nothing() {
    let world = azure().await;
    let secrets = Matcher::any().verb("create").resource("secrets");
    world.world.server.fault(secrets, Fault::Hang, 1);
    die_while_preparing(&world, async || {
        let requests = world.world.server.requests();
        requests
            .iter()
            .any(|one| one.verb == "create" && one.resource == "secrets")
    })
    .await;
    assert!(world.world.server.objects("secrets").is_empty());
    clean(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_has_removed_everything_can_begin_again() {
    let world = Stored::fresh().await;
    let client = Client::start(&world).await;
    let report = client.service.cleanup(&CleanupScope::Experiment).await;
    assert!(report.is_clean(), "{:?}", report.failures);
    let mut client = client;
    client.code = client.service.prepare(&client.spec.code).await.expect("code");
    let behavior = Behavior::Exit {
        metrics: vec!["1".to_owned()],
        code: 0,
    };
    let trial = client.submit(&behavior).await;
    let history = client.watch().until_end(&trial.id).await;
    assert_eq!(
        (history.status(), history.bodies()),
        (Some(TrialStatus::Succeeded), vec!["1"])
    );
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_of_a_trial_that_ended_goes_with_the_next_manager_if_the_one_before_did_not_come_to_it() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let ends = |code| Behavior::Exit { metrics: vec![], code };
    let kept = client.submit(&ends(3)).await;
    watch.until_end(&kept.id).await;
    let deletion = Matcher::any().user(MANAGER).verb("delete").resource("jobs");
    world.server.fault(deletion, Fault::Hang, usize::MAX);
    let trial = client.submit(&ends(0)).await;
    watch.until_end(&trial.id).await;
    drop(watch);
    let client = client.crash().await;
    assert_eq!(world.server.objects("jobs").len(), 2);
    world.server.clear_faults();
    let found = client.recover(&[]).await;
    assert!(found.strays.is_empty() && found.lost.is_empty(), "{found:?}");
    // That of the trial that failed is left for people to look at.
    until("one job is left", || world.server.objects("jobs").len() == 1).await;
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trials_go_on_after_somebody_has_removed_what_all_belongs_to() {
    let world = World::fresh().await;
    let credentials = world.path("config.json");
    write(&credentials, r#"{"auths": {"registry.example": {"auth": "dTpw"}}}"#);
    let mut config = world.config();
    config.roles[0].private_registry_auth = Some(credentials);
    let ctx = world.ctx();
    let service = KubernetesService::new(ctx.clone(), config, world.spec.id.clone());
    let client = Client::with(&world, ctx, Arc::new(service)).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::RunUntilCanceled { metrics: vec![] }).await;
    watch.until_status(&trial.id, TrialStatus::Running).await;
    let owners: Api<ConfigMap> = Api::namespaced(world.server.client("admin"), "default");
    let owner = world.names("configmaps").remove(0);
    owners
        .delete(&owner, &DeleteParams::background())
        .await
        .expect("deleted");
    // The garbage collector removes all that belongs to it. Another pod may be made before the job is seen to be gone.
    let end = watch.until_end(&trial.id).await;
    let code = end.why.map(|why| why.code);
    assert!(
        matches!(code, Some(ReasonCode::Lost | ReasonCode::Preempted)),
        "{code:?}"
    );
    until("the end of the secret", || world.names("secrets").is_empty()).await;
    let trial = client
        .submit(&Behavior::Exit {
            metrics: vec![],
            code: 0,
        })
        .await;
    let end = watch.until_end(&trial.id).await;
    assert_eq!(end.status(), Some(TrialStatus::Succeeded), "{end:?}");
    assert_eq!(
        (world.names("configmaps"), world.names("secrets").len()),
        (vec![owner], 1)
    );
    client.finish().await;
}
