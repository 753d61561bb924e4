//! What is asked of the cluster before the first trial, by `doctor`, and about trials that wait.

use crate::{server::Fault, world::World};
use axum::http::Method;
use ts_core::{
    ErrorKind, Finding, FindingState, ReasonCode,
    config::{ConfigSource, PlatformSection, Problems, Schema, Shortcuts},
};
use ts_pai::{PLATFORM, PaiConfig};
use ts_testkit::conformance::{Behavior, Client, Fixture as _};

async fn validated(world: &World, change: impl FnOnce(&mut PaiConfig)) -> ts_core::Result<ts_core::Warnings> {
    let mut config = world.config();
    change(&mut config);
    let ctx = world.ctx();
    let result = world.service_of(&ctx, config).validate(&world.spec).await;
    ctx.tasks.close().await;
    result
}

#[tokio::test]
async fn names_and_amounts_are_checked_against_the_cluster() {
    let world = World::fresh().await;
    let warnings = validated(&world, |_| {}).await.expect("good");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].help.as_deref().expect("help").contains("/mnt/nfs"));
    let error = validated(&world, |config| config.storage_name = Some("nsf".into()))
        .await
        .expect_err("no such");
    assert_eq!(
        (error.kind(), error.key()),
        (ErrorKind::Config, Some("storageConfigName"))
    );
    assert!(error.help().expect("help").contains("`nfs`"));
    let error = validated(&world, |config| config.virtual_cluster = Some("cpu".into()))
        .await
        .expect_err("no such");
    assert_eq!(error.key(), Some("virtualCluster"));
    let error = validated(&world, |config| {
        config.virtual_cluster = Some("gpu".into());
        config.resources.as_mut().expect("plain").gpus = 5;
    })
    .await
    .expect_err("too many");
    assert_eq!(error.key(), Some("trialGpuNumber"));
    let error = validated(&world, |config| config.host.set_path("/elsewhere"))
        .await
        .expect_err("not there");
    assert_eq!(error.key(), Some("host"));
    let error = validated(&world, |config| config.local_mount = "/no/such/folder".into())
        .await
        .expect_err("no folder");
    assert_eq!(error.key(), Some("localStorageMountPoint"));
}

/// `(status, code, kind, a word of the advice)`: the code decides, for the server gives the same one with several statuses.
#[tokio::test]
async fn each_refusal_of_the_server_has_its_kind_and_advice() {
    use ErrorKind as K;
    let rows = [
        (401, "UnauthorizedUserError", K::Auth, "profile page"),
        (400, "IncorrectPasswordError", K::Auth, "user name or password"),
        (400, "NoUserError", K::Auth, "user name"),
        (404, "NoUserError", K::Auth, "user name"),
        (403, "ForbiddenUserError", K::Denied, "virtual cluster"),
        (400, "NoVirtualClusterError", K::Config, "virtualCluster"),
        (404, "NoVirtualClusterError", K::Config, "virtualCluster"),
        (404, "NoStorageError", K::Config, "storage"),
        (400, "InvalidProtocolError", K::Rejected, "job document"),
        (400, "InvalidParametersError", K::Rejected, "message names"),
        (400, "BadConfigurationError", K::Rejected, "message names"),
        (404, "NoApiError", K::Unsupported, "older"),
        (404, "NoJobError", K::NotFound, "history"),
        (409, "ConflictJobError", K::Conflict, "exists"),
    ];
    let world = World::fresh().await;
    for (status, code, kind, advice) in rows {
        world
            .server
            .fail(Method::GET, "/api/v2/storages", Fault::Refused(status, code), 2);
        let error = validated(&world, |_| {}).await.expect_err("refused");
        assert_eq!(error.kind(), kind, "{status} {code}: {error:?}");
        assert!(
            error.help().expect("advice").contains(advice),
            "{status} {code}: {error:?}"
        );
        assert!(error.message().ends_with(": no"), "the server's own words: {error:?}");
        world.server.heal();
    }
    world
        .server
        .fail(Method::GET, "/api/v2/storages", Fault::Refused(418, "SomethingNew"), 1);
    let error = validated(&world, |_| {}).await.expect_err("refused");
    assert_eq!(
        (error.kind(), error.context().first()),
        (K::Rejected, Some(&("code", "SomethingNew".to_owned())))
    );
}

/// What `doctor` finds with these keys in place of good ones.
async fn diagnosed(world: &World, token: &str, storage: &str) -> Vec<Finding> {
    let text = format!(
        "{{username: alice, token: {token}, host: 'http://{}', trialCpuNumber: 1, trialMemorySize: 1gb, storageConfigName: {storage}, \
         localStorageMountPoint: share, containerStorageMountPoint: /mnt/nfs, trialGpuNumber: 0}}",
        world.server.address
    );
    let source = ConfigSource {
        file: "exp.yml".into(),
        base_dir: world.directory.path().into(),
        home: None,
    };
    let (mut problems, shortcuts) = (Problems::new(), Shortcuts::default());
    let section = PlatformSection::from_text("openpai", Schema::V2, &text, &source, shortcuts, &mut problems);
    let section = section.expect("YAML");
    (PLATFORM.diagnose)(Some(&section), &world.ctx()).await
}

#[tokio::test]
async fn doctor_names_each_step() {
    let world = World::fresh().await;
    let found = async |token: &str, storage: &str| {
        let findings = diagnosed(&world, token, storage).await;
        let told = |finding: &Finding| (finding.subject.clone(), finding.state);
        findings.iter().map(told).collect::<Vec<_>>()
    };
    let good = found("token-of-alice", "nfs").await;
    assert!(good.iter().all(|(_, state)| *state == FindingState::Good), "{good:?}");
    assert_eq!(good.len(), 6, "{good:?}");
    let bad = found("stale", "nfs").await;
    assert_eq!(bad.last().expect("one"), &("token".to_owned(), FindingState::Bad));
    let bad = found("token-of-alice", "other").await;
    assert!(bad.contains(&("storage".to_owned(), FindingState::Bad)));
    let none = (PLATFORM.diagnose)(None, &world.ctx()).await;
    assert_eq!((none.len(), none[0].state), (1, FindingState::Good));
}

#[tokio::test]
async fn doctor_says_what_is_wrong_with_keys_that_cannot_be_read() {
    let world = World::fresh().await;
    let findings = diagnosed(&world, "[]", "nfs").await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(
        (findings[0].subject.as_str(), findings[0].state),
        ("configuration", FindingState::Bad)
    );
    assert!(findings[0].message.contains("token"), "{findings:?}");
}

#[tokio::test]
async fn a_trial_that_waits_says_for_what() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    world.hold_queue(true).await;
    let trial = client.submit(&Behavior::quick()).await;
    while world.server.shared.cluster.live().is_empty() {
        tokio::task::yield_now().await;
    }
    let job = world.server.shared.cluster.named(&format!("_trial_{}", trial.id));
    let event = (
        "FailedScheduling",
        "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
    );
    job.events
        .lock()
        .expect("no panic")
        .push((event.0.to_owned(), event.1.to_owned()));
    let id = trial.id.clone();
    watch
        .until("the event", |seen| {
            seen.of(&id)
                .why
                .is_some_and(|why| why.code == ReasonCode::GpuBusy && why.message.contains("Insufficient"))
        })
        .await;
    world.hold_queue(false).await;
    watch.until_end(&trial.id).await;
    client.finish().await;
}
