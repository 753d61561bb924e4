//! A cloud that only a document describes: `ARM_CLOUD_METADATA_URL` and `AZUREML_CURRENT_CLOUD` of the environment.

use crate::world::World;
use std::sync::Arc;
use ts_aml::{AmlConfig, Cloud, Lookup};
use ts_aml_testkit::{Area, Fault, Matcher};
use ts_core::{Ctx, ErrorKind, TrainingService, TrialStatus};
use ts_testkit::{
    Environment,
    conformance::{Behavior, Client, Fixture as _},
};

/// The addresses are those of the public cloud; only the environment knows better.
async fn world() -> World {
    let mut world = World::fresh().await;
    world.tune = |config: &mut AmlConfig| {
        let imds = config.cloud.imds.take();
        config.cloud = Cloud::named("AzureCloud").expect("known");
        config.cloud.imds = imds;
        config.lookup = Some(Lookup::default());
    };
    world
}

fn service(
    world: &World,
    config: AmlConfig,
    environment: Vec<(&'static str, String)>,
) -> (Ctx, Arc<dyn TrainingService>) {
    let mut ctx = world.ctx();
    ctx.secrets = Arc::new(Environment(environment));
    let service = world.service_of(&ctx, config);
    (ctx, service)
}

fn metadata(world: &World) -> (&'static str, String) {
    ("ARM_CLOUD_METADATA_URL", world.server.cloud_metadata_url())
}

#[tokio::test]
async fn trials_run_in_a_cloud_that_the_environment_names() {
    for is_named in [false, true] {
        let world = world().await;
        let mut environment = vec![metadata(&world)];
        if is_named {
            environment.push(("AZUREML_CURRENT_CLOUD", "FakeCloud".to_owned()));
        }
        let (ctx, service) = service(&world, world.config(), environment);
        let client = Client::with(&world, ctx, service).await;
        assert!(client.service.validate(&client.spec).await.expect("valid").is_empty());
        let mut watch = client.watch();
        let trial = client.submit(&Behavior::quick()).await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{history:?}");
        assert_eq!(history.bodies(), Behavior::values(0, 1));
        let asked = world.server.requests();
        let asked = asked
            .iter()
            .filter(|one| one.area == Area::Open && one.path == "/metadata/endpoints");
        assert_eq!(asked.count(), 1, "once is enough");
        client.finish().await;
    }
}

#[tokio::test]
async fn a_document_that_does_not_come_is_asked_for_again() {
    let world = world().await;
    let clouds = || Matcher::any().area(Area::Open).path("/metadata/endpoints");
    for fault in [
        Fault::Html,
        Fault::ResetAfter,
        Fault::CutBody,
        Fault::Status {
            code: 503,
            retry_after: Some(1),
        },
    ] {
        world.server.fault(clouds(), fault.clone(), 1);
        let (ctx, service) = service(&world, world.config(), vec![metadata(&world)]);
        assert!(service.validate(&world.spec).await.is_ok(), "{fault:?}");
        assert_eq!(world.server.faults_left(), 0);
        drop(service);
        ctx.tasks.close().await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_cloud_is_said() {
    let world = world().await;
    let error = async |name: Option<&str>, environment| {
        let mut config = world.config();
        let mut lookup = Lookup::default();
        lookup.name = name.map(str::to_owned);
        config.lookup = Some(lookup);
        let (ctx, service) = service(&world, config, environment);
        let error = service.validate(&world.spec).await.expect_err("no such cloud");
        drop(service);
        ctx.tasks.close().await;
        (
            error.kind(),
            error.to_string(),
            error.help().unwrap_or_default().to_owned(),
        )
    };
    let (kind, text, help) = error(Some("Mine"), vec![metadata(&world)]).await;
    assert_eq!((kind, text.as_str()), (ErrorKind::Config, "there is no cloud `Mine`"));
    assert!(help.ends_with("has: FakeCloud"), "{help}");
    let (kind, _, help) = error(Some("Mine"), Vec::new()).await;
    assert_eq!(kind, ErrorKind::Config);
    assert!(help.contains("ARM_CLOUD_METADATA_URL"), "{help}");
    let (kind, text, _) = error(None, vec![("ARM_CLOUD_METADATA_URL", "clouds.json".to_owned())]).await;
    assert_eq!(kind, ErrorKind::Config);
    assert!(text.contains("no address"), "{text}");
    // The version of the interface is part of the address.
    let bare = world
        .server
        .cloud_metadata_url()
        .split('?')
        .next()
        .unwrap_or_default()
        .to_owned();
    let (_, text, _) = error(None, vec![("ARM_CLOUD_METADATA_URL", bare)]).await;
    assert!(text.contains("api-version"), "{text}");
}

#[tokio::test]
async fn addresses_of_the_file_count_more_than_the_document() {
    let world = world().await;
    let mut config = world.config();
    let mut lookup = Lookup::default();
    lookup.arm = ts_core::http::Url::parse(&format!("{}/elsewhere", world.server.arm())).ok();
    config.lookup = Some(lookup);
    let (ctx, service) = service(&world, config, vec![metadata(&world)]);
    service.validate(&world.spec).await.expect_err("nothing is there");
    let requests = world.server.requests();
    assert!(
        requests
            .iter()
            .any(|one| one.path.starts_with("/elsewhere/subscriptions/")),
        "{requests:?}"
    );
    drop(service);
    ctx.tasks.close().await;
}
