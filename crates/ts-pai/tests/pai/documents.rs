//! Commands come through OpenPAI as they are, and job documents of the user's with several roles run.

use crate::world::World;
use std::sync::Arc;
use ts_core::{
    ReasonCode, TrainingService, TrialStatus,
    config::{ConfigSource, PlatformSection, Problems, Schema, Shortcuts},
};
use ts_pai::PaiConfig;
use ts_testkit::conformance::{Behavior, Client, Fixture as _};

#[tokio::test]
async fn no_command_is_changed_on_its_way() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    // A template, a failing line, an unset variable, a failing pipe, quotes, a comment, a here-document.
    let command = r#"text='<% $parameters.x %> it'\''s "so"' # no end of it
false
false | true
: $UNSET_BY_US
cat >"$NNI_SYS_DIR/out" <<'END'
$HOME `id` \
END
line=$(printf '{"value": "%s"}' "$(printf %s "$text" | wc -c)")
printf 'ME%06d%s\n' $((${#line} + 1)) "$line" >>"$NNI_SYS_DIR/.nni/metrics"
test "$(pwd -P)" = "$(cd "$NNI_CODE_DIR" && pwd -P)"
"#;
    let mut trial = client.trial(&Behavior::quick());
    trial.command = command.to_owned();
    client.submit_spec(&trial).await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{history:?}");
    assert_eq!(history.bodies(), ["{\"value\": \"29\"}"]);
    let out = std::fs::read_to_string(world.trial_dir(&trial.id).join("out")).expect("written");
    assert_eq!(out, "$HOME `id` \\\n");
    client.finish().await;
}

#[tokio::test]
async fn each_trial_has_its_own_copy_of_the_code_and_nnis_folders() {
    let world = World::fresh().await;
    std::fs::write(
        world.path("code/a.sh"),
        "echo changed >a.sh; echo out >\"$NNI_OUTPUT_DIR/model\"",
    )
    .expect("room");
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    for _ in 0..2 {
        let mut trial = client.trial(&Behavior::quick());
        trial.command = "sh a.sh".to_owned();
        client.submit_spec(&trial).await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{history:?}");
        let dir = world.trial_dir(&trial.id);
        assert_eq!(
            std::fs::read_to_string(dir.join("code/a.sh")).expect("there"),
            "changed\n"
        );
        assert_eq!(
            std::fs::read_to_string(dir.join("nnioutput/model")).expect("there"),
            "out\n"
        );
    }
    let packages = world.path("share").join(world.spec.id.as_str()).join("code");
    assert_eq!(std::fs::read_dir(packages).expect("there").count(), 1, "packed once");
    client.finish().await;
}

/// A service of a configuration as users write it.
fn service(world: &World, document: &str) -> (ts_core::Ctx, Arc<dyn TrainingService>) {
    std::fs::write(world.path("job.yml"), document).expect("room");
    let text = format!(
        "paiConfig: {{userName: alice, token: token-of-alice, host: 'http://{}', gracePeriod: 1s}}\n\
         trial: {{paiConfigPath: job.yml, nniManagerNFSMountPath: share, containerNFSMountPath: {}, paiStorageConfigName: nfs}}",
        world.server.address,
        world.path("mnt").display()
    );
    let source = ConfigSource {
        file: "exp.yml".into(),
        base_dir: world.directory.path().into(),
        home: None,
    };
    let mut problems = Problems::new();
    let section = PlatformSection::from_text(
        "openpai",
        Schema::V1,
        &text,
        &source,
        Shortcuts::default(),
        &mut problems,
    );
    let config = PaiConfig::read(&section.expect("YAML"), &mut problems);
    assert!(problems.is_empty(), "{:#?}", problems.sorted());
    let mut config = config.expect("a configuration");
    config.poll_interval = std::time::Duration::from_millis(100);
    let ctx = world.ctx();
    (ctx.clone(), world.service_of(&ctx, config))
}

const TWO_ROLES: &str = r#"
protocolVersion: 2
name: replaced
type: job
jobRetryCount: 0
prerequisites:
  - {type: dockerimage, uri: "a:1", name: image}
parameters: {greeting: "it's me"}
secrets: {key: hunter2'$x}
taskRoles:
  chief:
    instances: 1
    completion: {minFailedInstances: 1, minSucceededInstances: -1}
    dockerImage: image
    resourcePerInstance: {gpu: 0, cpu: 1, memoryMB: 512}
    commands:
      - |
        text="<% $parameters.greeting %>"
        env >"$NNI_SYS_DIR/environment"
      - until [ -e "$NNI_SYS_DIR/ps_server-1/.nni/state" ]; do sleep 0.05; done
      - line='{"value":0}'
      - printf 'ME%06d%s\n' 12 "$line" >>"$NNI_SYS_DIR/.nni/metrics"
      - printf '%s' "$text" >"$NNI_SYS_DIR/text"
  ps_server:
    instances: 2
    completion: {minFailedInstances: 1, minSucceededInstances: -1}
    dockerImage: image
    resourcePerInstance: {gpu: 0, cpu: 1, memoryMB: 512}
    commands:
      - printf 'ME%06d%s\n' 12 '{"value":9}' >>"$NNI_SYS_DIR/.nni/metrics"
      - cp "$NNI_SYS_DIR/parameter.cfg" "$NNI_OUTPUT_DIR/$PAI_TASK_INDEX"
      - printf '%s' '<% $secrets.key %>' >"$NNI_SYS_DIR/secret" || true
"#;

#[tokio::test]
async fn all_roles_of_a_document_run_and_the_first_reports() {
    let world = World::fresh().await;
    let (ctx, service) = service(
        &world,
        &TWO_ROLES.replace("'<% $secrets.key %>'", "\"<% $secrets.key %>\""),
    );
    let client = Client::with(&world, ctx, service).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::quick()).await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{history:?}");
    assert_eq!(history.bodies(), ["{\"value\":0}"], "of the first role only");
    let dir = world.trial_dir(&trial.id);
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).expect(name);
    assert_eq!(read("text"), "it's me", "parameters are filled in by the server");
    assert!(!read("environment").contains("NNI_TS_COMMAND"));
    for index in ["0", "1"] {
        assert_eq!(read(&format!("nnioutput/{index}")), &*trial.parameters.text);
    }
    // Nothing secret lies on the storage but what the command itself writes.
    for file in ["start.sh", "run.sh", "ps_server-0/run.sh", ".nni/job"] {
        assert!(!read(file).contains("hunter2"), "{file}");
    }
    let rendered = client.service.render(&client.code, &trial).expect("rendered");
    let shown = format!("{rendered:?} {:?}", client.service);
    assert!(!shown.contains("hunter2"), "a secret of the document shows");
    client.finish().await;
}

#[tokio::test]
async fn a_role_that_fails_is_named() {
    let world = World::fresh().await;
    let document = TWO_ROLES.replace("      - cp \"$NNI_SYS_DIR", "      - exit 3\n      - cp \"$NNI_SYS_DIR");
    let (ctx, service) = service(&world, &document);
    let client = Client::with(&world, ctx, service).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::quick()).await;
    let history = watch.until_end(&trial.id).await;
    let why = history.why.expect("a reason");
    assert_eq!(history.statuses.last(), Some(&TrialStatus::Failed));
    assert_eq!(why.code, ReasonCode::ExitCode, "{why:?}");
    assert!(why.message.contains("of role `ps_server`"), "{why:?}");
    client.finish().await;
}
