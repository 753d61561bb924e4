//! What `doctor` tells of each step on the way to DLTS, and what stands in for keys within a job of DLTS.

use crate::{
    server::{EMAIL, Fault, TEAM, token},
    world::World,
};
use axum::http::Method;
use ts_core::{
    Ctx, ErrorKind, Finding, FindingState, GpuCount, TrialStatus,
    config::{ConfigSource, PlatformSection, Problems, Schema, SecretRef, Shortcuts},
};
use ts_dlts::PLATFORM;
use ts_testkit::{
    Environment,
    conformance::{Behavior, Client, Fixture as _},
};

/// What a job of DLTS has.
fn of_a_job() -> Vec<(&'static str, String)> {
    vec![
        ("DLWS_VC_NAME", TEAM.to_owned()),
        ("DLWS_USER_EMAIL", EMAIL.to_owned()),
        // As a file with a line end gives it.
        ("DLTS_JOB_TOKEN", format!("{}\n", token())),
    ]
}

fn within(ctx: Ctx, environment: Vec<(&'static str, String)>) -> Ctx {
    let mut ctx = ctx;
    ctx.secrets = std::sync::Arc::new(Environment(environment));
    ctx
}

fn section(world: &World, keys: &str) -> PlatformSection {
    let text = format!(
        "{{dashboard: 'http://{}', localStorageMountPoint: share, {keys}}}",
        world.server.address
    );
    let source = ConfigSource {
        file: "exp.yml".into(),
        base_dir: world.directory.path().into(),
        home: None,
    };
    let mut problems = Problems::new();
    let mut shortcuts = Shortcuts::default();
    shortcuts.trial_gpu_number = GpuCount::Exactly(1);
    let section = PlatformSection::from_text("dlts", Schema::V2, &text, &source, shortcuts, &mut problems);
    section.expect("YAML")
}

async fn told(world: &World, keys: &str, environment: Vec<(&'static str, String)>) -> Vec<Finding> {
    let ctx = within(world.ctx(), environment);
    let findings = (PLATFORM.diagnose)(Some(&section(world, keys)), &ctx).await;
    ctx.tasks.close().await;
    assert!(!format!("{findings:?}").contains(&token()), "{findings:?}");
    findings
}

fn subjects(findings: &[Finding]) -> Vec<(&str, FindingState)> {
    findings
        .iter()
        .map(|finding| (finding.subject.as_str(), finding.state))
        .collect()
}

#[tokio::test]
async fn each_step_is_told() {
    let world = World::fresh().await;
    let findings = told(&world, "", of_a_job()).await;
    let names = ["shared folder", "user", "dashboard", "GPUs", "jobs"];
    assert_eq!(
        subjects(&findings),
        names.map(|name| (name, FindingState::Good)),
        "{findings:?}"
    );
    assert_eq!(findings[1].message, format!("`{EMAIL}` of team `{TEAM}`"));
    assert_eq!(findings[3].message, "model `P40`, quota of the team: 4");
    assert_eq!(findings[4].message, "0 jobs of NNI and ours have not ended");
    let ctx = world.ctx();
    let none = (PLATFORM.diagnose)(None, &ctx).await;
    assert_eq!(subjects(&none), [("DLTS", FindingState::Good)]);
}

#[tokio::test]
async fn the_step_that_fails_is_the_last_and_says_what_to_do() {
    let world = World::fresh().await;
    let last = async |keys: &str, environment: Vec<(&'static str, String)>| {
        let findings = told(&world, keys, environment).await;
        let (last, before) = findings.split_last().expect("one");
        assert!(before.iter().all(|one| one.state == FindingState::Good), "{findings:?}");
        assert!(last.state == FindingState::Bad && last.help.is_some(), "{last:?}");
        (last.subject.clone(), last.message.clone())
    };
    for (n, key) in ["team", "email", "password"].into_iter().enumerate() {
        let mut environment = of_a_job();
        environment.remove(n);
        let (subject, message) = last("", environment).await;
        assert!(subject == "user" && message.contains(&format!("`{key}`")), "{message}");
    }
    // A number, without quotes.
    let (subject, message) = last("password: 12345678901234567890123456789012", of_a_job()).await;
    assert!(subject == "configuration" && message.contains("text"), "{message}");
    let (subject, message) = last("team: other", of_a_job()).await;
    assert!(
        subject == "dashboard" && message.contains("Team is not found"),
        "{message}"
    );
    let (subject, message) = last("password: '00000000000000000000000000000000'", of_a_job()).await;
    assert!(subject == "dashboard" && message.contains("Invalid token"), "{message}");
    world
        .server
        .fail_below(Method::GET, "/teams/platform/jobs", Fault::Page(200), 1);
    let (subject, message) = last("", of_a_job()).await;
    assert!(subject == "jobs" && message.contains("a web page"), "{message}");
}

#[tokio::test]
async fn what_is_bad_here_hides_nothing_of_the_cluster() {
    let world = World::fresh().await;
    *world.server.shared.quota.lock().expect("no panic") = "{\"P40\": 4, \"V100\": 4}";
    std::fs::remove_dir(world.path("share")).expect("a folder");
    std::fs::write(world.path("share"), "").expect("a file");
    let findings = told(&world, "", of_a_job()).await;
    let bad: Vec<&str> = findings
        .iter()
        .filter(|one| one.state == FindingState::Bad)
        .map(|one| one.subject.as_str())
        .collect();
    assert_eq!(bad, ["shared folder", "GPUs"], "{findings:?}");
    assert_eq!(findings.last().expect("one").subject, "jobs");
}

#[tokio::test]
async fn within_a_job_of_dlts_trials_run_without_keys() {
    let world = World::fresh().await;
    let mut config = world.config();
    (config.team, config.email) = (None, None);
    config.password = SecretRef::Reference("${env:DLTS_JOB_TOKEN}".to_owned());
    let ctx = within(world.ctx(), of_a_job());
    let service = world.service_of(&ctx, config.clone());
    let client = Client::with(&world, ctx, service).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::quick()).await;
    assert_eq!(watch.until_end(&trial.id).await.status(), Some(TrialStatus::Succeeded));
    client.finish().await;
    // Elsewhere they are told to be missing.
    let ctx = within(world.ctx(), Vec::new());
    let refused = world.service_of(&ctx, config).validate(&world.spec).await;
    let error = refused.expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(
        error.help().is_some_and(|help| help.contains("job of DLTS")),
        "{error:?}"
    );
    ctx.tasks.close().await;
}
