//! Every key of both schemas, and every mistake at its place with what to do.

use super::*;
use std::path::Path;
use ts_core::config::{ConfigSource, Shortcuts};

struct Read {
    config: Option<PaiConfig>,
    /// `key: message`.
    faults: Vec<String>,
    warnings: Vec<String>,
}

fn read(schema: Schema, text: &str, gpus: GpuCount) -> Read {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.pem"), "x").unwrap();
    std::fs::write(dir.path().join("job.yml"), JOB).unwrap();
    std::fs::write(dir.path().join("bad.yml"), "protocolVersion: 1\nname: a\ntype: job\n").unwrap();
    std::fs::create_dir(dir.path().join("mount")).unwrap();
    read_in(dir.path(), schema, text, gpus)
}

fn read_in(dir: &Path, schema: Schema, text: &str, gpus: GpuCount) -> Read {
    let source = ConfigSource {
        file: "exp.yml".into(),
        base_dir: dir.into(),
        home: None,
    };
    let mut shortcuts = Shortcuts::default();
    shortcuts.trial_gpu_number = gpus;
    let mut problems = Problems::new();
    let section = PlatformSection::from_text("openpai", schema, text, &source, shortcuts, &mut problems);
    let config = PaiConfig::read(&section.unwrap(), &mut problems);
    let told = |list: Vec<&ts_core::config::Problem>| {
        let told = |problem: &&ts_core::config::Problem| {
            assert!(
                problem.line > 0 && problem.help.is_some(),
                "no place or no help: {problem:?}"
            );
            format!("{}: {}", problem.key, problem.message)
        };
        list.iter().map(told).collect()
    };
    Read {
        config,
        faults: told(problems.sorted()),
        warnings: told(problems.warnings()),
    }
}

#[track_caller]
fn good(schema: Schema, text: &str, gpus: GpuCount) -> PaiConfig {
    let read = read(schema, text, gpus);
    assert!(
        read.faults.is_empty() && read.warnings.is_empty(),
        "{text}: {:#?} {:#?}",
        read.faults,
        read.warnings
    );
    read.config.unwrap()
}

const JOB: &str = "
protocolVersion: 2
name: a
type: job
prerequisites: [{type: dockerimage, uri: a, name: i}]
taskRoles:
  w: {dockerImage: i, resourcePerInstance: {gpu: 0, cpu: 1, memoryMB: 100}, commands: [run]}
";

const CLUSTER_V1: &str = "userName: alice, token: t0ken, host: pai.example.org";
const TRIAL_V1: &str =
    "nniManagerNFSMountPath: mount, containerNFSMountPath: /mnt/nfs/, paiStorageConfigName: nfs, image: 'a:1'";
const V2: &str = "username: alice, token: t0ken, host: pai.example.org, trialCpuNumber: 2, trialMemorySize: 8gb, storageConfigName: nfs, \
                  localStorageMountPoint: mount, containerStorageMountPoint: /mnt/nfs";
const ONE: GpuCount = GpuCount::Exactly(1);

fn resources(image: &str) -> Resources {
    Resources {
        gpus: 1,
        cpus: 2,
        memory_mib: 8192,
        image: image.into(),
    }
}

#[test]
fn schema_1() {
    let text = format!("{{paiConfig: {{{CLUSTER_V1}}}, trial: {{{TRIAL_V1}, cpuNum: 2, memoryMB: 8192}}}}");
    let config = good(Schema::V1, &text, ONE);
    assert_eq!(
        config.host.as_str(),
        "https://pai.example.org/",
        "https unless http is written"
    );
    assert_eq!(config.user_name, "alice");
    assert!(matches!(&config.credential, Credential::Token(SecretRef::Literal(token)) if token.expose() == "t0ken"));
    assert_eq!(config.resources, Some(resources("a:1")));
    assert_eq!(
        (config.storage_name.as_deref(), config.container_mount.as_str()),
        (Some("nfs"), "/mnt/nfs")
    );
    assert!(config.local_mount.is_absolute() && config.local_mount.ends_with("mount"));
    assert_eq!(
        (config.grace_period, config.virtual_cluster, config.ca_file),
        (DEFAULT_GRACE, None, None)
    );
}

#[test]
fn amounts_of_schema_1_fall_back_on_the_clusters() {
    let text = format!(
        "{{paiConfig: {{userName: alice, passWord: '${{env:P}}', host: 'https://h:8443/pai', gpuNum: 1, cpuNum: 2, memoryMB: 8192, \
         reuse: false, maxTrialNumPerGpu: 1, useActiveGpu: true, caFile: ca.pem, gracePeriod: 20s, jobPriority: prod}}, \
         trial: {{{TRIAL_V1}, virtualCluster: gpu}}}}"
    );
    let config = good(Schema::V1, &text, GpuCount::Unset);
    assert_eq!(config.resources, Some(resources("a:1")));
    assert!(matches!(&config.credential, Credential::Password(SecretRef::Reference(name)) if name == "${env:P}"));
    assert_eq!(config.host.as_str(), "https://h:8443/pai");
    assert_eq!(
        (config.virtual_cluster.as_deref(), config.job_priority),
        (Some("gpu"), Some(JobPriority::Prod))
    );
    assert_eq!(config.grace_period, Duration::from_secs(20));
    assert!(config.ca_file.unwrap().ends_with("ca.pem"));
}

#[test]
fn schema_2() {
    let config = good(Schema::V2, &format!("{{{V2}}}"), ONE);
    assert_eq!(config.resources, Some(resources("msranni/nni:latest")));
    let text = format!(
        "{{{V2}, docker_image: 'b:2', virtualCluster: gpu, reuseMode: false, caFile: ca.pem, gracePeriod: 1, jobPriority: oppo}}"
    );
    let config = good(Schema::V2, &text, ONE);
    assert_eq!(config.resources, Some(resources("b:2")));
    assert_eq!(config.job_priority, Some(JobPriority::Oppo));
    assert_eq!(config.virtual_cluster.as_deref(), Some("gpu"));
}

#[test]
fn a_document_of_the_users_in_all_three_ways() {
    let v1 = format!(
        "{{paiConfig: {{{CLUSTER_V1}}}, trial: {{nniManagerNFSMountPath: mount, containerNFSMountPath: /m, paiStorageConfigName: nfs, \
         paiConfigPath: job.yml}}}}"
    );
    let v2 = "username: a, token: t, host: h, storageConfigName: nfs, localStorageMountPoint: mount, containerStorageMountPoint: /m";
    let file = format!("{{{v2}, openpaiConfigFile: job.yml}}");
    let inline = format!("{v2}\n").replace(", ", "\n") + "openpaiConfig:" + &JOB.replace('\n', "\n  ");
    for (schema, text) in [(Schema::V1, v1), (Schema::V2, file), (Schema::V2, inline)] {
        let config = good(schema, &text, GpuCount::Unset);
        let document = config.document.unwrap();
        assert_eq!(document.roles().count(), 1, "{text}");
        assert_eq!(config.resources, None);
    }
}

#[test]
fn what_is_worth_a_warning() {
    let told = |schema, text: &str| {
        let read = read(schema, text, ONE);
        assert!(read.faults.is_empty(), "{text}: {:#?}", read.faults);
        read.warnings
            .iter()
            .map(|w| w.split(": ").next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let v2 = |more: &str| format!("{{{V2}, {more}}}");
    assert!(told(Schema::V2, &v2("reuseMode: true")).is_empty());
    assert!(
        good(Schema::V2, &v2("reuseMode: true"), ONE).reuse && !good(Schema::V2, &v2("reuseMode: false"), ONE).reuse
    );
    assert_eq!(
        told(
            Schema::V2,
            &V2.replace("pai.example.org", "'http://h'")
                .replace(", ", "\n")
                .replace(":  ", ": ")
        ),
        ["host"]
    );
    let text = format!(
        "{{paiConfig: {{{CLUSTER_V1}, maxTrialNumPerGpu: 2}}, trial: {{{TRIAL_V1}, cpuNum: 2, memoryMB: 8192}}}}"
    );
    assert_eq!(told(Schema::V1, &text), ["paiConfig.maxTrialNumPerGpu"]);
    assert_eq!(
        told(Schema::V2, &v2("openpaiConfigFile: job.yml")),
        ["trialCpuNumber", "trialMemorySize"],
        "the document has its own"
    );
    let own = V2.replace(
        "trialCpuNumber: 2, trialMemorySize: 8gb",
        "openpaiConfigFile: job.yml, reuseMode: true",
    );
    assert_eq!(told(Schema::V2, &format!("{{{own}}}")), ["reuseMode"]);
}

/// `(keys with a fault, what is written instead of what)`.
#[test]
fn every_mistake_is_told_at_its_key() {
    let rows: &[(&[&str], &str, &str)] = &[
        (&["host"], "host: pai.example.org", "hosts: a"),
        (&["host"], "host: pai.example.org", "host: ''"),
        (&["host"], "host: pai.example.org", "host: 'ftp://a'"),
        (&["host"], "host: pai.example.org", "host: 'https://u:p@a'"),
        (&["host"], "host: pai.example.org", "host: 'a?b=c'"),
        (&["username"], "username: alice", "username: 'a b'"),
        (&["username"], "username: alice, ", ""),
        (&["token"], "token: t0ken, ", ""),
        (&["token"], "token: t0ken", "token: ''"),
        (&["token"], "token: t0ken", "token: 5"),
        (&["password"], "token: t0ken", "token: t0ken, password: p"),
        (&["trialCpuNumber"], "trialCpuNumber: 2, ", ""),
        (&["trialCpuNumber"], "trialCpuNumber: 2", "trialCpuNumber: 0"),
        (&["trialCpuNumber"], "trialCpuNumber: 2", "trialCpuNumber: 1.5"),
        (&["trialMemorySize"], "trialMemorySize: 8gb, ", ""),
        (&["trialMemorySize"], "8gb", "8 apples"),
        (&["trialMemorySize"], "8gb", "99"),
        (&["storageConfigName"], "storageConfigName: nfs, ", ""),
        (
            &["storageConfigName"],
            "storageConfigName: nfs",
            "storageConfigName: 'a b'",
        ),
        (&["localStorageMountPoint"], "localStorageMountPoint: mount, ", ""),
        (
            &["localStorageMountPoint"],
            "localStorageMountPoint: mount",
            "localStorageMountPoint: /no/such",
        ),
        (
            &["containerStorageMountPoint"],
            "containerStorageMountPoint: /mnt/nfs",
            "containerStorageMountPoint: mnt",
        ),
        (
            &["containerStorageMountPoint"],
            "containerStorageMountPoint: /mnt/nfs",
            "containerStorageMountPoint: /",
        ),
        (
            &["containerStorageMountPoint"],
            "containerStorageMountPoint: /mnt/nfs",
            "containerStorageMountPoint: '/a<%b'",
        ),
        (&["dockerImage"], "host", "dockerImage: 'a b', host"),
        (&["virtualCluster"], "host", "virtualCluster: 'a/b', host"),
        (&["caFile"], "host", "caFile: /no/such, host"),
        (&["gracePeriod"], "host", "gracePeriod: 31s, host"),
        (&["gracePeriod"], "host", "gracePeriod: soon, host"),
        (&["jobPriority"], "host", "jobPriority: prodd, host"),
        (&["reuseMode"], "host", "reuseMode: often, host"),
        (&["paiConfigPath"], "host", "paiConfigPath: job.yml, host"),
        (
            &["openpaiConfigFile"],
            "trialCpuNumber: 2, trialMemorySize: 8gb",
            "openpaiConfigFile: /no/such",
        ),
        (
            &["protocolVersion", "taskRoles"],
            "trialCpuNumber: 2, trialMemorySize: 8gb",
            "openpaiConfigFile: bad.yml",
        ),
        (
            &["openpaiConfig", "openpaiConfig.type", "openpaiConfig.taskRoles"],
            "trialCpuNumber: 2, trialMemorySize: 8gb",
            "openpaiConfigFile: job.yml, openpaiConfig: {protocolVersion: 2}",
        ),
    ];
    for (keys, old, new) in rows {
        let text = format!("{{{}}}", V2.replacen(old, new, 1));
        let read = read(Schema::V2, &text, ONE);
        let mut found: Vec<&str> = read
            .faults
            .iter()
            .map(|fault| fault.split(": ").next().unwrap())
            .collect();
        // A key that is not known is told beside the one that is missing.
        found.retain(|key| *key != "hosts");
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        found.sort_unstable();
        found.dedup();
        if new.contains("openpaiConfig: {") {
            found.retain(|key| *key != "openpaiConfigFile");
            keys.retain(|key| found.contains(key));
            assert!(!found.is_empty());
        }
        assert_eq!(found, keys, "{text}: {:#?}", read.faults);
        let told = format!("{:?}", read.faults);
        assert!(!told.contains("t0ken"), "{told}");
    }
    let read = read(Schema::V2, &format!("{{{V2}}}"), GpuCount::Unset);
    assert_eq!(read.faults, ["trialGpuNumber: the key `trialGpuNumber` is missing"]);
}

#[test]
fn every_mistake_of_a_document_is_told_in_its_file() {
    let rows: &[(&str, &str, &str)] = &[
        ("taskRoles.w.commands", "commands: [run]", "commands: []"),
        ("taskRoles.w.commands", "commands: [run]", "commands: [5]"),
        ("taskRoles.w.commands", ", commands: [run]", ""),
        ("taskRoles.w.dockerImage", "dockerImage: i", "dockerImage: j"),
        ("taskRoles.w.dockerImage", "dockerImage: i, ", ""),
        (
            "taskRoles.w.resourcePerInstance",
            "resourcePerInstance: {gpu: 0, cpu: 1, memoryMB: 100}, ",
            "",
        ),
        ("taskRoles.w.resourcePerInstance.gpu", "gpu: 0", "gpu: 0.5"),
        ("taskRoles.w.resourcePerInstance.cpu", "cpu: 1, ", ""),
        ("taskRoles.w.instances", "commands", "instances: 0, commands"),
        ("taskRoles.w.command", "commands", "command: a, commands"),
        ("taskRoles.1w", "w: {", "1w: {"),
        ("type", "type: job", "type: data"),
        ("protocolVersion", "protocolVersion: 2", "protocolVersion: 3"),
        ("jobName", "name: a\n", "name: a\njobName: b\n"),
    ];
    for (key, old, new) in rows {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("mount")).unwrap();
        std::fs::write(dir.path().join("job.yml"), JOB.replacen(old, new, 1)).unwrap();
        let text = format!(
            "{{paiConfig: {{{CLUSTER_V1}}}, trial: {{{}, paiConfigPath: job.yml}}}}",
            TRIAL_V1.replace(", image: 'a:1'", "")
        );
        let read = read_in(dir.path(), Schema::V1, &text, ONE);
        let found: Vec<&str> = read
            .faults
            .iter()
            .map(|fault| fault.split(": ").next().unwrap())
            .collect();
        assert_eq!(found, [*key], "{new}: {:#?}", read.faults);
        assert!(read.config.is_none_or(|config| config.document.is_none()));
    }
}

#[test]
fn a_cluster_on_yarn_is_refused_with_what_to_change() {
    let text = "{paiYarnConfig: {userName: a, passWord: p, host: h}, trial: {image: i, shmMB: 5, cpuNum: 1}}";
    let source = ConfigSource {
        file: "exp.yml".into(),
        base_dir: "/base".into(),
        home: None,
    };
    let mut problems = Problems::new();
    let section = PlatformSection::from_text(
        "paiYarn",
        Schema::V1,
        text,
        &source,
        Shortcuts::default(),
        &mut problems,
    );
    (crate::PAI_YARN.check)(&section.unwrap(), &mut problems);
    let told = problems.sorted();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].message.contains("retired") && told[0].help.as_ref().unwrap().contains("trainingServicePlatform: pai")
    );
}

const PUSHED: &str = "username: alice, token: t0ken, host: pai.example.org, trialCpuNumber: 2, trialMemorySize: 8gb";

#[test]
fn push_takes_the_place_of_a_mount() {
    let config = good(
        Schema::V2,
        &format!("{{{PUSHED}, push: {{listen: '10.0.0.5:8188'}}}}"),
        ONE,
    );
    let push = config.push.expect("asked for");
    assert_eq!(
        (push.listen.to_string().as_str(), push.address.as_str()),
        ("10.0.0.5:8188", "http://10.0.0.5/")
    );
    assert_eq!(push.patience, Duration::from_hours(1));
    assert_eq!(
        (config.container_mount.as_str(), config.storage_name),
        ("/tmp/nni-ts", None)
    );
    let more = "containerStorageMountPoint: /scratch, storageConfigName: nfs, \
                push: {listen: '0.0.0.0:0', address: 'https://push.example.org/nni', patience: 10m}";
    let config = good(Schema::V2, &format!("{{{PUSHED}, {more}}}"), ONE);
    let push = config.push.expect("asked for");
    assert_eq!(
        (push.address.as_str(), push.patience),
        ("https://push.example.org/nni", Duration::from_mins(10))
    );
    assert_eq!(
        (config.container_mount.as_str(), config.storage_name.as_deref()),
        ("/scratch", Some("nfs"))
    );
    let v1 = format!(
        "{{paiConfig: {{{CLUSTER_V1}, push: {{listen: '10.0.0.5:0'}}}}, trial: {{image: a, cpuNum: 2, memoryMB: 8192}}}}"
    );
    assert!(good(Schema::V1, &v1, ONE).push.is_some());
}

#[test]
fn mistakes_of_push_are_told_at_their_place() {
    let cases = [
        ("push: {listen: '0.0.0.0:0'}", "address"),
        ("push: {listen: here}", "listen"),
        ("push: {address: 'http://a'}", "listen"),
        ("push: {listen: '10.0.0.5:0', address: 'ftp://a'}", "address"),
        ("push: {listen: '10.0.0.5:0', address: 'http://u:p@a'}", "address"),
        (
            "push: {listen: '10.0.0.5:0'}, localStorageMountPoint: mount",
            "localStorageMountPoint",
        ),
        ("push: {listen: '10.0.0.5:0'}, reuseMode: true", "push"),
    ];
    for (text, key) in cases {
        let read = read(Schema::V2, &format!("{{{PUSHED}, {text}}}"), ONE);
        assert!(
            matches!(read.faults.as_slice(), [fault] if fault.split(':').next().is_some_and(|at| at.ends_with(key))),
            "{text}: {:?}",
            read.faults
        );
    }
    let several = "prerequisites: [{type: dockerimage, uri: a, name: i}], taskRoles: {w: {instances: 2, dockerImage: i, \
                   resourcePerInstance: {gpu: 0, cpu: 1, memoryMB: 100}, commands: [run]}}";
    let text = format!(
        "{{username: a, token: t, host: h, push: {{listen: '10.0.0.5:0'}}, openpaiConfig: {{protocolVersion: 2, name: a, type: job, {several}}}}}"
    );
    let read = read(Schema::V2, &text, GpuCount::Unset);
    assert!(
        read.faults.iter().any(|fault| fault.contains("several instances")),
        "{:?}",
        read.faults
    );
}
