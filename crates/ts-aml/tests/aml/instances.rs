//! Instance types of Kubernetes computes, and why other compute targets refuse them.

use crate::world::World;
use ts_aml::AmlConfig;
use ts_core::{Error, ErrorKind, ExperimentSpec, GpuCount, Result, TrialStatus, Warnings};
use ts_testkit::conformance::{Behavior, Client, Fixture as _};

async fn kubernetes() -> World {
    World::with(|setting| {
        setting.computes[0].instance_types = vec![("cpu".to_owned(), 0), ("gpu-small".to_owned(), 1)];
    })
    .await
}

/// Validates this many GPUs for each trial on this instance type.
async fn validate(world: &World, instance: Option<&str>, gpus: GpuCount) -> Result<Warnings> {
    let mut config = world.config();
    config.instance_type = instance.map(str::to_owned);
    let ctx = world.ctx();
    let service = world.service_of(&ctx, config);
    let mut spec: ExperimentSpec = world.spec();
    spec.gpus = gpus;
    let result = service.validate(&spec).await;
    drop(service);
    ctx.tasks.close().await;
    result
}

fn told(error: &Error) -> (ErrorKind, Option<&str>, String, &str) {
    (
        error.kind(),
        error.key(),
        error.to_string(),
        error.help().unwrap_or_default(),
    )
}

#[tokio::test]
async fn trials_run_on_the_instance_type_that_is_named() {
    let mut world = kubernetes().await;
    world.tune = |config: &mut AmlConfig| config.instance_type = Some("gpu-small".to_owned());
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::quick()).await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{history:?}");
    let requests = world.server.requests();
    let sent = requests
        .iter()
        .find(|one| one.method == "PUT" && one.path.contains("/jobs/"))
        .expect("a job");
    assert!(
        sent.body.contains(r#""resources":{"instanceType":"gpu-small"}"#),
        "{}",
        sent.body
    );
    client.finish().await;
}

#[tokio::test]
async fn what_the_compute_target_has_not_is_refused_with_what_it_has() {
    let world = kubernetes().await;
    let error = validate(&world, Some("gpu-large"), GpuCount::Unset)
        .await
        .expect_err("unknown");
    let (kind, key, text, help) = told(&error);
    assert_eq!((kind, key), (ErrorKind::Config, Some("instanceType")));
    assert_eq!(
        text,
        "the compute target `cpu-cluster` has no instance type `gpu-large`"
    );
    assert_eq!(help, "it has: cpu, gpu-small");
    let world = World::fresh().await;
    let error = validate(&world, Some("gpu-small"), GpuCount::Unset)
        .await
        .expect_err("virtual machines");
    let (kind, key, text, help) = told(&error);
    assert_eq!((kind, key), (ErrorKind::Config, Some("instanceType")));
    assert!(
        text.contains("of type `AmlCompute`, whose nodes are all of one size"),
        "{text}"
    );
    assert!(help.starts_with("remove `instanceType`"), "{help}");
    assert!(
        validate(&world, None, GpuCount::Exactly(8))
            .await
            .expect("valid")
            .is_empty()
    );
}

#[tokio::test]
async fn too_few_gpus_are_a_warning() {
    let world = kubernetes().await;
    for (instance, wanted, n_warnings) in [
        (Some("gpu-small"), GpuCount::Exactly(1), 0),
        (Some("gpu-small"), GpuCount::Exactly(2), 1),
        // The default has none.
        (None, GpuCount::Exactly(1), 1),
        (None, GpuCount::Exactly(0), 0),
        (None, GpuCount::Unset, 0),
    ] {
        let warnings = validate(&world, instance, wanted).await.expect("valid");
        assert_eq!(warnings.len(), n_warnings, "{instance:?} {wanted:?}: {warnings:?}");
        assert!(
            warnings
                .iter()
                .all(|warning| warning.message.contains("GPUs, and each trial wants"))
        );
    }
}

#[tokio::test]
async fn a_job_that_names_an_unknown_instance_type_is_refused_by_the_service() {
    let mut world = kubernetes().await;
    world.tune = |config: &mut AmlConfig| config.instance_type = Some("gpu-large".to_owned());
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::quick()).await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Failed), "{history:?}");
    assert!(history.why.expect("a reason").message.contains("gpu-large"));
    client.finish().await;
}
