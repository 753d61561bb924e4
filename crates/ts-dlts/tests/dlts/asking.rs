//! What is asked of the cluster before the first trial.

use crate::world::World;
use ts_core::{ErrorKind, Secret, config::SecretRef};
use ts_dlts::DltsConfig;
use ts_testkit::conformance::Fixture as _;

async fn validated(world: &World, change: impl FnOnce(&mut DltsConfig)) -> ts_core::Result<ts_core::Warnings> {
    let mut config = world.config();
    change(&mut config);
    let ctx = world.ctx();
    let result = world.service_of(&ctx, config).validate(&world.spec).await;
    ctx.tasks.close().await;
    result
}

#[tokio::test]
async fn names_amounts_and_the_token_are_checked_against_the_cluster() {
    let world = World::fresh().await;
    assert!(validated(&world, |_| {}).await.expect("good").is_empty());
    let key = async |change: fn(&mut DltsConfig)| {
        let error = validated(&world, change).await.expect_err("wrong");
        assert!(error.help().is_some(), "{error:?}");
        (error.kind(), error.key().expect("a key").to_owned())
    };
    let auth = (ErrorKind::Auth, "password".to_owned());
    let wrong = |config: &mut DltsConfig| config.password = SecretRef::Literal(Secret::new("0".repeat(32)));
    assert_eq!(key(wrong).await, auth);
    assert_eq!(key(|c| c.team = Some("x".into())).await.1, "team");
    assert_eq!(key(|c| c.team = None).await, (ErrorKind::Config, "team".to_owned()));
    assert_eq!(key(|c| c.cluster = "x".into()).await.1, "cluster");
    assert_eq!(key(|c| c.dashboard.set_path("/x")).await.1, "dashboard");
    assert_eq!(key(|c| c.gpu_type = Some("user_quota".into())).await.1, "gpuType");
    assert_eq!(key(|c| c.gpus = 5).await.1, "trialGpuNumber");
    *world.server.shared.quota.lock().expect("no panic") = "{\"P40\": 4, \"V100\": 4}";
    assert_eq!(key(|c| c.gpus = 1).await.1, "gpuType");
}
