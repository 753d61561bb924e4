//! What `doctor` tells of each step on the way to a workspace, from a file that says nothing of the cloud.

use crate::world::World;
use std::sync::Arc;
use ts_aml::PLATFORM;
use ts_aml_testkit::{Area, Fault, Matcher};
use ts_core::{
    Ctx, Finding, FindingState,
    config::{ConfigSource, PlatformSection, Problems, Schema, Shortcuts},
};
use ts_testkit::{Environment, conformance::Fixture as _};

/// A section of this text, which may have mistakes.
fn section(world: &World, text: &str) -> PlatformSection {
    let source = ConfigSource {
        file: "exp.yml".into(),
        base_dir: world.directory.path().into(),
        home: None,
    };
    let mut problems = Problems::new();
    let section = PlatformSection::from_text("aml", Schema::V2, text, &source, Shortcuts::default(), &mut problems);
    section.expect("YAML")
}

fn keys(world: &World, compute: &str) -> String {
    let setting = world.server.setting();
    format!(
        "{{subscriptionId: {}, resourceGroup: {}, workspaceName: {}, computeTarget: {compute}, tenantId: {}, clientId: {}, clientSecret: \
         '${{env:SECRET}}'}}",
        setting.subscription, setting.resource_group, setting.workspace, setting.tenant, setting.client_id
    )
}

/// Everything that only the environment knows.
fn ctx(world: &World) -> Ctx {
    let mut ctx = world.ctx();
    ctx.secrets = Arc::new(Environment(vec![
        ("ARM_CLOUD_METADATA_URL", world.server.cloud_metadata_url()),
        ("SECRET", world.server.setting().client_secret.clone()),
    ]));
    ctx
}

async fn findings(world: &World, text: &str) -> Vec<Finding> {
    (PLATFORM.diagnose)(Some(&section(world, text)), &ctx(world)).await
}

#[tokio::test]
async fn all_is_well_where_all_is_well() {
    let world = World::fresh().await;
    let found = findings(&world, &keys(&world, "cpu-cluster")).await;
    let subjects: Vec<&str> = found.iter().map(|one| one.subject.as_str()).collect();
    assert_eq!(subjects, ["workspace", "compute target", "storage"], "{found:?}");
    assert!(found.iter().all(|one| one.state == FindingState::Good), "{found:?}");
}

#[tokio::test]
async fn what_is_wrong_is_told_with_what_to_do() {
    let world = World::fresh().await;
    let found = findings(&world, &keys(&world, "no-cluster")).await;
    assert_eq!((found.len(), found[1].state), (3, FindingState::Bad), "{found:?}");
    let down = Fault::Status {
        code: 403,
        retry_after: None,
    };
    world.server.fault(Matcher::any().area(Area::Arm), down, 1);
    let found = findings(&world, &keys(&world, "cpu-cluster")).await;
    assert_eq!((found.len(), found[0].state), (1, FindingState::Bad), "{found:?}");
    assert!(
        found[0]
            .help
            .as_ref()
            .expect("advice")
            .contains("AzureML Data Scientist"),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_section_that_cannot_be_read_is_no_section_that_is_not_there() {
    let world = World::fresh().await;
    let found = findings(&world, "{subscriptionId: 'a/b'}").await;
    assert!(
        !found.is_empty() && found.iter().all(|one| one.state == FindingState::Bad),
        "{found:?}"
    );
    assert_eq!(found[0].subject, "configuration");
    let found = (PLATFORM.diagnose)(None, &ctx(&world)).await;
    assert_eq!((found.len(), found[0].state), (1, FindingState::Good), "{found:?}");
}
