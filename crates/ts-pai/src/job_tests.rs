//! What is sent: the document that NNI makes, and the user's own with what is ours in it.

use super::*;
use crate::{Credential, JobPriority};
use ts_core::{
    CodeDirectory, ExperimentId, ExperimentSpec, Parameters, Secret, TrialId,
    config::{ConfigSource, PlatformSection, Problems, Schema, SecretRef, Shortcuts},
    http::Url,
};

fn config() -> PaiConfig {
    let resources = Resources {
        gpus: 2,
        cpus: 4,
        memory_mib: 8192,
        image: "msranni/nni:latest".into(),
    };
    let credential = Credential::Token(SecretRef::Literal(Secret::new("hunter2")));
    let host = Url::parse("https://pai.example.org").unwrap();
    PaiConfig::new(
        host,
        "alice",
        credential,
        ("nfs", "/home/alice/mnt", "/mnt/nfs/al'ice"),
        resources,
    )
}

fn trial() -> TrialSpec {
    let experiment = ExperimentSpec::new(
        ExperimentId::new("abcd1234").unwrap(),
        CodeDirectory::new("/code"),
        "python3 t.py <% $parameters.x %>",
    );
    TrialSpec::new(&experiment, TrialId::new("x1Y2z").unwrap(), 0, Parameters::new("{}"))
}

fn sent(config: &PaiConfig) -> Json {
    serde_json::from_str(&document(config, None, &Prepared::new(None, "c.tar"), &trial()).unwrap()).unwrap()
}

#[test]
fn the_document_is_nnis() {
    let expected = json!({
        "protocolVersion": 2,
        "name": "nni_exp_abcd1234_trial_x1Y2z",
        "type": "job",
        "jobRetryCount": 0,
        "prerequisites": [{"type": "dockerimage", "uri": "msranni/nni:latest", "name": "docker_image_0"}],
        "taskRoles": {"taskrole": {
            "instances": 1,
            "completion": {"minFailedInstances": 1, "minSucceededInstances": -1},
            "taskRetryCount": 0,
            "dockerImage": "docker_image_0",
            "resourcePerInstance": {"gpu": 2, "cpu": 4, "memoryMB": 8192},
            "commands": ["sh '/mnt/nfs/al'\\''ice/abcd1234/x1Y2z/start.sh' 'taskrole'"],
        }},
        "extras": {"submitFrom": "submit-job-v2", "storages": [{"name": "nfs"}]},
    });
    assert_eq!(sent(&config()), expected);
    let mut more = config();
    more.virtual_cluster = Some("gpu".into());
    more.job_priority = Some(JobPriority::Oppo);
    let sent = sent(&more);
    assert_eq!(sent["defaults"], json!({"virtualCluster": "gpu"}));
    assert_eq!(
        sent["extras"]["hivedScheduler"],
        json!({"taskRoles": {}, "jobPriorityClass": "oppo"})
    );
}

const OWN: &str = "
protocolVersion: '2'
name: mine
type: job
jobRetryCount: 3
contributor: me
prerequisites:
  - {type: dockerimage, uri: 'a:1', name: img, auth: {username: u, password: '<% $secrets.p %>'}}
parameters: {x: 1}
secrets: {p: hunter3}
taskRoles:
  worker:
    instances: 2
    taskRetryCount: 5
    dockerImage: img
    resourcePerInstance: {gpu: 1, cpu: 2, memoryMB: 3}
    commands: ['echo $PATH', \"it's\"]
  ps:
    dockerImage: img
    resourcePerInstance: {gpu: 0, cpu: 2, memoryMB: 3}
    commands: ['run --x <% $parameters.x %> NNI_END']
defaults: {virtualCluster: theirs}
extras: {storages: [{name: other, mountPath: /data}], tensorBoard: {a: 1}}
";

fn with_document() -> PaiConfig {
    let text = format!(
        "{{username: alice, token: hunter2, host: pai.example.org, localStorageMountPoint: /, storageConfigName: nfs, \
         containerStorageMountPoint: /mnt/nfs, openpaiConfig: {}}}",
        serde_json::to_string(&load(OWN)).unwrap()
    );
    let mut problems = Problems::new();
    let section = PlatformSection::from_text(
        "openpai",
        Schema::V2,
        &text,
        &source(),
        Shortcuts::default(),
        &mut problems,
    );
    let config = PaiConfig::read(&section.unwrap(), &mut problems);
    assert!(problems.is_empty(), "{:#?}", problems.sorted());
    assert_eq!(
        problems.warnings().len(),
        2,
        "retries have no effect: {:#?}",
        problems.warnings()
    );
    config.unwrap()
}

fn source() -> ConfigSource {
    ConfigSource {
        file: "exp.yml".into(),
        base_dir: "/base".into(),
        home: None,
    }
}

fn load(text: &str) -> Json {
    let mut problems = Problems::new();
    let node = ts_core::config::load_yaml(text, std::path::Path::new("job.yml"), &mut problems);
    node.unwrap().to_json().unwrap()
}

#[test]
fn a_document_of_the_users_is_kept_but_for_its_commands() {
    let mut config = with_document();
    let sent_now = sent(&config);
    let mut expected = load(OWN);
    expected["name"] = "nni_exp_abcd1234_trial_x1Y2z".into();
    expected["jobRetryCount"] = 0.into();
    for (role, command) in [
        ("worker", "sh '/mnt/nfs/abcd1234/x1Y2z/start.sh' 'worker'"),
        (
            "ps",
            "NNI_TS_COMMAND=$(cat <<'NNI_END_'\nrun --x <% $parameters.x %> NNI_END\nNNI_END_\n)\nexport NNI_TS_COMMAND\n\
             sh '/mnt/nfs/abcd1234/x1Y2z/start.sh' 'ps'",
        ),
    ] {
        expected["taskRoles"][role]["commands"] = json!([command]);
        expected["taskRoles"][role]["taskRetryCount"] = 0.into();
    }
    expected["extras"]["submitFrom"] = "submit-job-v2".into();
    expected["extras"]["storages"] = json!([{"name": "other", "mountPath": "/data"}, {"name": "nfs"}]);
    assert_eq!(sent_now, expected);
    config.virtual_cluster = Some("ours".into());
    assert_eq!(sent(&config)["defaults"]["virtualCluster"], "ours");
}

#[test]
fn what_is_shown_has_the_files_and_no_secret() {
    let config = with_document();
    let code = Prepared::new(Some("sha256:0".into()), "0.tar");
    let shown = render(&config, &code, &trial()).unwrap();
    let names: Vec<&str> = shown.documents.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "start.sh",
            "parameter.cfg",
            "run.sh",
            "worker-1/parameter.cfg",
            "worker-1/run.sh",
            "ps-0/parameter.cfg",
            "ps-0/run.sh",
            "job.json"
        ]
    );
    let text = format!("{shown:?} {config:?}");
    assert!(!text.contains("hunter"), "{text}");
    let run = &shown.documents[2].1;
    assert!(
        run.contains("set -e")
            && run.contains("echo $PATH")
            && run.contains("export NNI_SYS_DIR='/mnt/nfs/abcd1234/x1Y2z'"),
        "{run}"
    );
    assert!(
        shown.documents[4]
            .1
            .contains("export NNI_SYS_DIR='/mnt/nfs/abcd1234/x1Y2z/worker-1'")
    );
}

#[test]
fn a_document_that_no_server_reads_is_refused() {
    let mut config = config();
    config.resources.as_mut().unwrap().image = "a".repeat(MOST_BYTES);
    let error = document(&config, None, &Prepared::new(None, "c.tar"), &trial()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}
