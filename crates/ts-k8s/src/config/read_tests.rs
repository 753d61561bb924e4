//! Configurations of all three platforms in both schemas: what is understood, and NNI's own examples.
//!
//! What is refused is in `read_tests_refused.rs` and its neighbors.

use super::*;
use crate::config::{AzureKey, CompletionPolicy, Role, StorageKind};
use serde_json::json;
use ts_core::{
    GpuCount,
    config::{ConfigSource, SecretRef, Shortcuts},
};

#[path = "read_tests_any.rs"]
mod any;
#[path = "read_tests_examples.rs"]
mod examples;
#[path = "read_tests_framework.rs"]
mod framework;
#[path = "read_tests_nni.rs"]
mod nni;
#[path = "read_tests_refused.rs"]
mod refused;

/// What is read of `text`, and what is said about it, as `key: message`.
struct Read {
    config: KubernetesConfig,
    faults: Vec<String>,
    warnings: Vec<String>,
}

fn read_with(platform: &'static str, schema: Schema, text: &str, base: &str, shortcuts: Shortcuts) -> Read {
    let mut problems = Problems::new();
    let source = ConfigSource {
        file: "exp.yml".into(),
        base_dir: base.into(),
        home: None,
    };
    let section = PlatformSection::from_text(platform, schema, text, &source, shortcuts, &mut problems);
    let config = KubernetesConfig::read(&section.expect("YAML"), &mut problems);
    let told = |list: Vec<&ts_core::config::Problem>| {
        list.into_iter()
            .map(|problem| {
                assert!(problem.line > 0, "no place: {problem:?}");
                format!("{}: {}", problem.key, problem.message)
            })
            .collect()
    };
    Read {
        config,
        faults: told(problems.sorted()),
        warnings: told(problems.warnings()),
    }
}

/// With a command for all roles.
fn read(platform: &'static str, schema: Schema, text: &str) -> Read {
    let mut shortcuts = Shortcuts::default();
    shortcuts.trial_command = Some("python3 trial.py".into());
    read_with(platform, schema, text, "/base", shortcuts)
}

#[track_caller]
fn good(platform: &'static str, schema: Schema, text: &str) -> KubernetesConfig {
    let read = read(platform, schema, text);
    assert!(read.faults.is_empty(), "{text}: {:#?}", read.faults);
    assert!(read.warnings.is_empty(), "{text}: {:#?}", read.warnings);
    read.config
}

#[test]
fn one_role_of_a_plain_job() {
    let config = good("kubernetes", Schema::V2, "dockerImage: busybox");
    assert_eq!(config.kind, JobKind::Job);
    assert_eq!(config.roles, [Role::new("worker", "busybox")]);
    assert!(config.storage.is_none() && config.api_version.is_none() && config.runtime.is_none());
    assert_eq!(config.start_timeout, Duration::from_mins(10));
    assert_eq!(config.access.namespace.as_deref(), Some("default"));
    assert_eq!(config.pods.gpu_resource.as_deref(), Some("nvidia.com/gpu"));

    let text = "{image: r.io/a:1, replicas: 3, command: sh t.sh, gpuNumber: 2, cpuNumber: 0.5, memorySize: 1.5Gi, \
                privateRegistryAuthPath: /etc/passwd}";
    let mut role = Role::new("worker", "r.io/a:1");
    role.replicas = 3;
    role.command = Some("sh t.sh".into());
    role.gpus = 2;
    role.cpus = Some("500m".into());
    role.memory_mib = Some(1536);
    role.private_registry_auth = Some("/etc/passwd".into());
    assert_eq!(good("kubernetes", Schema::V2, text).roles, [role]);
}

#[test]
fn nothing_of_a_resource_leaves_it_to_the_cluster() {
    let config = good(
        "kubernetes",
        Schema::V2,
        "{image: a, cpuNumber: 0, memorySize: 0, gpuNumber: 0}",
    );
    assert_eq!(config.roles, [Role::new("worker", "a")]);
    for (written, cpus) in [
        ("4", "4"),
        ("'4'", "4"),
        ("'1500m'", "1500m"),
        ("2.0", "2"),
        ("0.001", "1m"),
    ] {
        let config = good("kubernetes", Schema::V2, &format!("{{image: a, cpuNumber: {written}}}"));
        assert_eq!(config.roles[0].cpus.as_deref(), Some(cpus), "{written}");
    }
    for (written, mib) in [("8gb", 8192), ("8192", 8192), ("8Gi", 8192), ("1tb", 1 << 20)] {
        let config = good(
            "kubernetes",
            Schema::V2,
            &format!("{{image: a, memorySize: {written}}}"),
        );
        assert_eq!(config.roles[0].memory_mib, Some(mib), "{written}");
    }
}

#[test]
fn the_experiments_gpus_are_those_of_a_single_role() {
    let mut shortcuts = Shortcuts::default();
    shortcuts.trial_command = Some("a".into());
    shortcuts.trial_gpu_number = GpuCount::Exactly(4);
    let read = |platform, text| read_with(platform, Schema::V2, text, "/base", shortcuts.clone());
    assert_eq!(read("kubernetes", "image: a").config.roles[0].gpus, 4);
    assert_eq!(read("kubernetes", "{image: a, gpuNumber: 1}").config.roles[0].gpus, 1);
    let trainer = read("kubeflow", "{operator: trainer, worker: {image: a}}");
    assert_eq!((trainer.config.roles[0].gpus, trainer.warnings.len()), (4, 0));
    let nni = read(
        "kubeflow",
        "{operator: tf-operator, worker: {replicas: 1}, ps: {gpuNumber: 1}}",
    );
    assert_eq!(
        nni.config.roles.iter().map(|role| role.gpus).collect::<Vec<_>>(),
        [0, 1]
    );
    assert_eq!(nni.warnings.len(), 1, "{:#?}", nni.warnings);
    assert!(nni.warnings[0].starts_with("worker.gpuNumber: "), "{:#?}", nni.warnings);
}

/// Everything that NNI has no key for, and what it must read as.
const OURS: &str = "
kubeconfig: /etc/passwd
context: lab
namespace: team-a
serviceAccountName: trainer
nodeSelector: {accelerator: v100, example.org/Zone: ''}
tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}, {operator: Exists}]
imagePullSecrets: [one, {name: two}]
imagePullPolicy: IfNotPresent
envFromSecrets: [keys]
env: {OMP_NUM_THREADS: '4', Lower_Case: x}
volumes:
  - {name: data, persistentVolumeClaim: {claimName: data}}
  - {name: scratch, emptyDir: {sizeLimit: 1Gi}}
volumeMounts: [{name: data, mountPath: /data, readOnly: true}, {name: extra, mountPath: /extra}]
shmSize: 2gb
gpuResource: amd.com/gpu
priorityClassName: low
queueName: team-queue
podTemplate:
  metadata: {labels: {team: a}, annotations: {note: 'any text: at all'}}
  spec:
    hostNetwork: true
    volumes: [{name: extra, hostPath: {path: /extra}}]
    containers: [{name: sidecar, image: b, command: [sleep, '9'], resources: {limits: {cpu: 1, memory: 1Gi}}}]
gracePeriod: 30s
startTimeout: 1h
deletionPolicy: ended
mountPath: /mnt/nni
";

fn indented(text: &str) -> String {
    format!("  {}\n", text.trim().replace('\n', "\n  "))
}

#[test]
fn keys_beyond_nni_are_read_on_every_platform_in_both_schemas() {
    let v2 = "{storageType: pvc, claimName: data, path: nni/exp}";
    let pvc = "pvc: {claimName: data, path: nni/exp}";
    let tf = "operator: tf-operator\n";
    let tasks = "taskRoles: [{name: a, dockerImage: a}]\n";
    let v1_tasks = "trial: {taskRoles: [{name: a, image: a}]}";
    for (platform, schema, text) in [
        ("kubernetes", Schema::V2, format!("image: a\nstorage: {v2}\n{OURS}")),
        (
            "kubeflow",
            Schema::V2,
            format!("{tf}worker: {{}}\nstorage: {v2}\n{OURS}"),
        ),
        (
            "kubeflow",
            Schema::V2,
            format!("operator: trainer\nworker: {{image: a}}\nstorage: {v2}\n{OURS}"),
        ),
        (
            "frameworkcontroller",
            Schema::V2,
            format!("{tasks}storage: {v2}\n{OURS}"),
        ),
        (
            "kubeflow",
            Schema::V1,
            format!(
                "trial: {{worker: {{image: a}}}}\nkubeflowConfig:\n{}",
                indented(&format!("{tf}{pvc}\n{OURS}"))
            ),
        ),
        (
            "frameworkcontroller",
            Schema::V1,
            format!(
                "{v1_tasks}\nframeworkcontrollerConfig:\n{}",
                indented(&format!("{pvc}\n{OURS}"))
            ),
        ),
    ] {
        let config = good(platform, schema, &text);
        let said = format!("{platform} {schema:?}");
        assert_eq!(
            config.access.kubeconfig.as_deref(),
            Some("/etc/passwd".as_ref()),
            "{said}"
        );
        assert_eq!(config.access.context.as_deref(), Some("lab"), "{said}");
        assert_eq!(config.access.namespace.as_deref(), Some("team-a"), "{said}");
        let storage = config.storage.as_ref().expect("storage");
        assert_eq!(storage.mount_path, "/mnt/nni", "{said}");
        assert!(
            matches!(&storage.kind, StorageKind::Claim { name, sub_path } if name == "data" && sub_path == "nni/exp"),
            "{storage:?}"
        );
        let pods = &config.pods;
        assert_eq!(pods.service_account.as_deref(), Some("trainer"), "{said}");
        let pair = |(key, value): &(String, String)| format!("{key}={value}");
        let selector: Vec<String> = pods.node_selector.iter().map(pair).collect();
        assert_eq!(selector, ["accelerator=v100", "example.org/Zone="], "{said}");
        let env: Vec<String> = pods.env.iter().map(pair).collect();
        assert_eq!(env, ["OMP_NUM_THREADS=4", "Lower_Case=x"], "{said}");
        assert_eq!(pods.tolerations[1], json!({"operator": "Exists"}), "{said}");
        assert_eq!(pods.image_pull_secrets, ["one", "two"], "{said}");
        assert_eq!(pods.image_pull_policy.as_deref(), Some("IfNotPresent"), "{said}");
        assert_eq!(pods.env_from_secrets, ["keys"], "{said}");
        assert_eq!(
            pods.volumes[1],
            json!({"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}),
            "{said}"
        );
        assert_eq!(pods.volume_mounts.len(), 2, "{said}");
        assert_eq!(pods.shm_mib, Some(2048), "{said}");
        assert_eq!(pods.gpu_resource.as_deref(), Some("amd.com/gpu"), "{said}");
        assert_eq!(pods.priority_class.as_deref(), Some("low"), "{said}");
        assert_eq!(pods.queue.as_deref(), Some("team-queue"), "{said}");
        let template = pods.template.as_ref().expect("a template");
        assert_eq!(
            template["spec"]["containers"][0]["resources"]["limits"]["cpu"], 1,
            "{said}"
        );
        assert_eq!(config.grace_period, Duration::from_secs(30), "{said}");
        assert_eq!(config.start_timeout, Duration::from_hours(1), "{said}");
        assert_eq!(config.deletion_policy, DeletionPolicy::Ended, "{said}");
    }
}

#[test]
fn ended_jobs_go_by_themselves_where_their_kind_can() {
    let config = good("kubernetes", Schema::V2, "{image: a, ttlAfterFinished: 1d}");
    assert_eq!(config.ttl_after_finished, Some(Duration::from_hours(24)));
    let read = read(
        "frameworkcontroller",
        Schema::V2,
        "{taskRoles: [{name: a}], ttlAfterFinished: 1d}",
    );
    assert_eq!((read.faults.len(), read.warnings.len()), (0, 1), "{:#?}", read.warnings);
}

#[test]
fn trainer_has_a_runtime() {
    let config = good(
        "kubeflow",
        Schema::V2,
        "{operator: trainer, worker: {dockerImage: a, replicas: 8}}",
    );
    assert_eq!(config.kind, JobKind::TrainJob);
    assert_eq!(config.runtime.as_deref(), Some("torch-distributed"));
    assert_eq!((config.roles.len(), config.roles[0].replicas), (1, 8));
    let text = "{operator: trainer, apiVersion: v1alpha1, runtime: deepspeed, worker: {image: a}}";
    let config = good("kubeflow", Schema::V2, text);
    assert_eq!(config.runtime.as_deref(), Some("deepspeed"));
    assert_eq!(config.api_version.as_deref(), Some("v1alpha1"));
}

#[test]
fn every_source_of_an_azure_key() {
    let share = "storageType: azureStorage, azureAccount: acct, azureShare: share";
    let key = |rest: &str| {
        let text = format!("{{image: a, storage: {{{share}, {rest}}}}}");
        match good("kubernetes", Schema::V2, &text).storage.expect("storage").kind {
            StorageKind::AzureFiles { account, share, key } => {
                assert_eq!((account.as_str(), share.as_str()), ("acct", "share"));
                key
            }
            other => panic!("{other:?}"),
        }
    };
    let vault = key("keyVaultName: my-vault.vault.azure.net, keyVaultKey: k");
    assert!(
        matches!(vault, AzureKey::KeyVault { vault, secret } if (&*vault, &*secret) == ("my-vault.vault.azure.net", "k"))
    );
    assert!(matches!(key("secretName: s"), AzureKey::Existing(name) if name == "s"));
    let given = key("azureStorageKey: '${env:KEY}'");
    assert!(matches!(given, AzureKey::Given(SecretRef::Reference(name)) if name == "${env:KEY}"));
    assert!(!format!("{:?}", key("azureStorageKey: hunter2")).contains("hunter2"));
}

#[test]
fn both_spellings_of_the_storages_kind() {
    for kind in [
        "storageType: nfs",
        "storage: nfs",
        "storageType: nfs, storage: nfs",
        "storage_type: nfs",
    ] {
        let text = format!("{{image: a, storage: {{{kind}, server: 10.10.10.10, path: /exp}}}}");
        let storage = good("kubernetes", Schema::V2, &text).storage.expect("storage");
        assert_eq!(storage.mount_path, "/tmp/mount");
        assert!(
            matches!(&storage.kind, StorageKind::Nfs { server, path } if server == "10.10.10.10" && path == "/exp"),
            "{storage:?}"
        );
    }
}

#[test]
fn a_role_without_a_policy_ends_its_attempt_with_the_first_failure() {
    let text = "{taskRoles: [{name: a}, {name: b, taskNumber: 0, frameworkAttemptCompletionPolicy: {minSucceedTaskCount: 2}}]}";
    let config = good("frameworkcontroller", Schema::V2, text);
    assert_eq!(config.roles[0].completion, CompletionPolicy::default());
    assert_eq!(config.roles[1].replicas, 0);
    let expected = CompletionPolicy {
        min_failed: 1,
        min_succeeded: 2,
    };
    assert_eq!(config.roles[1].completion, expected);
}
