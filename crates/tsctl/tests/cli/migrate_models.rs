//! Every key of schema 1 on every platform: the migrated file reads as the same experiment.
//!
//! The differences that docs/migration.md names: limits of schema 1 that nobody wrote, the description, and whether a tuner wants
//! intermediate results.

use std::path::Path;
use ts_core::{
    Platform,
    config::{ConfigSource, ExperimentConfig, Problems, Schema, migrate, parse},
};

const PLATFORMS: &[Platform] = &[
    ts_local::PLATFORM,
    ts_remote::PLATFORM,
    ts_k8s::KUBEFLOW,
    ts_k8s::FRAMEWORK_CONTROLLER,
    ts_k8s::KUBERNETES,
    ts_k8s::ADL,
    ts_pai::PLATFORM,
    ts_pai::PAI_YARN,
    ts_aml::PLATFORM,
    ts_dlts::PLATFORM,
];

/// What an experiment is, without where it is written and without the named differences.
fn model(config: &ExperimentConfig) -> String {
    let mut problems = Problems::new();
    let platforms: Vec<String> = config
        .platforms
        .iter()
        .map(|section| {
            let problems = &mut problems;
            let own = match section.platform() {
                "local" => format!("{:?}", ts_local::LocalConfig::read(section, problems)),
                "remote" => format!("{:?}", ts_remote::RemoteConfig::read(section, problems)),
                "openpai" | "pai" => format!("{:?}", ts_pai::PaiConfig::read(section, problems)),
                "aml" => format!("{:?}", ts_aml::AmlConfig::read(section, problems)),
                "dlts" => format!("{:?}", ts_dlts::DltsConfig::read(section, problems)),
                _ => format!("{:?}", ts_k8s::KubernetesConfig::read(section, problems)),
            };
            let shortcuts = section.shortcuts();
            // OpenPAI's section may say the GPUs, and then says them for the trial.
            format!(
                "{} {own} {:?} {:?}",
                section.platform(),
                shortcuts.trial_command,
                shortcuts.nni_manager_ip
            )
        })
        .collect();
    assert!(problems.is_empty(), "{:?}", problems.sorted());
    let mut algorithms = [config.tuner.clone(), config.assessor.clone(), config.advisor.clone()];
    for algorithm in algorithms.iter_mut().flatten() {
        algorithm.include_intermediate_results = false;
    }
    format!(
        "{:#?}",
        (
            (
                &config.name,
                &config.search_space,
                &config.trial_command,
                &config.code,
                config.trial_concurrency,
                config
                    .max_experiment_duration
                    .filter(|limit| limit.as_secs() != 999 * 24 * 3600),
                config.max_trial_number.filter(|limit| *limit != 99_999),
                config.max_trial_duration,
            ),
            (
                algorithms,
                &config.working_dir,
                config.log_level,
                config.debug,
                &config.nni_manager_ip,
                &config.tuner_gpu_indices,
                &config.shared_storage,
            ),
            (
                platforms,
                config.retry,
                config.seed,
                &config.python,
                config.prefer_nni,
                config.multi_phase
            ),
        )
    )
}

/// Migrates `text`, compares both models, and gives the new text.
#[track_caller]
fn same(text: &str, directory: &Path) -> String {
    let source = ConfigSource {
        file: "exp.yml".into(),
        base_dir: directory.to_owned(),
        home: Some("/home/u".into()),
    };
    let read = |text: &str| {
        let parsed = parse(text, &source, PLATFORMS);
        let secrets: Vec<String> = parsed.secrets.iter().map(|s| s.secret.expose().to_owned()).collect();
        let config = parsed
            .config
            .unwrap_or_else(|| panic!("{text}\n{:#?}", parsed.problems.sorted()));
        (config.schema, model(&config), secrets)
    };
    let migrated = migrate(text, &source, PLATFORMS, None).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"));
    let (old, new) = (read(text), read(&migrated.text));
    assert_eq!((old.0, new.0), (Schema::V1, Schema::V2));
    assert_eq!(old.1, new.1, "{text}\n-----\n{}", migrated.text);
    let sorted = |mut list: Vec<String>| {
        list.sort();
        list
    };
    assert_eq!(sorted(old.2), sorted(new.2));
    migrated.text
}

fn lab() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    for (name, text) in [
        ("space.json", r#"{"x": {"_type": "choice", "_value": [1]}}"#),
        ("key", "a key"),
        ("docker.json", "{}"),
        ("ca.pem", ""),
        ("mine.py", ""),
        ("job.yml", JOB),
        ("framework.yml", FRAMEWORK),
    ] {
        std::fs::write(path.join(name), text).expect("written");
    }
    std::fs::create_dir(path.join("deep")).expect("made");
    std::fs::write(path.join("deep/assess.py"), "").expect("written");
    directory
}

const JOB: &str = "protocolVersion: 2\nname: j\ntype: job\nprerequisites: [{type: dockerimage, name: i, uri: 'a:1'}]\n\
                   taskRoles: {r: {instances: 1, dockerImage: i, commands: [x], resourcePerInstance: {gpu: 0, cpu: 1, memoryMB: 512}}}\n\
                   extras: {storages: [{name: nfs}]}\n";

const FRAMEWORK: &str = "apiVersion: frameworkcontroller.microsoft.com/v1\nkind: Framework\nmetadata: {name: f}\nspec:\n  executionType: Start\n  \
    taskRoles:\n    - name: worker\n      taskNumber: 1\n      frameworkAttemptCompletionPolicy: {minFailedTaskCount: 1, minSucceededTaskCount: 1}\n      \
    task:\n        pod:\n          spec:\n            restartPolicy: Never\n            containers:\n              - name: c\n                image: a\n                \
    volumeMounts: [{name: nni-vol, mountPath: /tmp/mount}]\n            volumes: [{name: nni-vol, persistentVolumeClaim: {claimName: nni-claim}}]\n";

/// All common keys but those of `trial`, and the tuner.
const COMMON: &str = "authorName: me\nexperimentName: all\ndescription: what\ntrialConcurrency: 3\nmaxExecDuration: 90m\n\
    maxTrialNum: 7\nmaxTrialDuration: 2h\nsearchSpacePath: space.json\nuseAnnotation: false\nmultiPhase: true\n\
    multiThread: true\nnniManagerIp: 10.0.0.9\nlogDir: logs\nlogLevel: warning\ndebug: true\nversionCheck: false\n\
    logCollection: http\n";
const TUNER: &str = "tuner: {builtinTunerName: TPE, classArgs: {optimize_mode: minimize}, includeIntermediateResults: true, gpuIndices: '0,2'}\n";
const OURS: &str = "tsctl: {seed: 3, python: ./python, preferNni: false, retry: {platform: 2}, codeLimits: {maxEntries: 9, maxBytes: 1mb}}\n";

fn file(platform: &str, trial: &str, more: &str) -> String {
    format!("{COMMON}{TUNER}{OURS}trainingServicePlatform: {platform}\ntrial:\n{trial}{more}")
}

const TRIAL: &str = "  command: python3 t.py\n  codeDir: .\n  gpuNum: 1\n  nasMode: classic_mode\n";

#[test]
fn every_key_of_local_and_remote() {
    let lab = lab();
    let local =
        "localConfig: {useActiveGpu: true, maxTrialNumPerGpu: 2, gpuIndices: '0,1', isolate: true, gracePeriod: 3s}\n";
    let new = same(&file("local", TRIAL, local), lab.path());
    assert!(!new.contains("includeIntermediateResults"), "{new}");
    same(&file("local", TRIAL, ""), lab.path());
    let remote = "remoteConfig: {reuse: true, gracePeriod: 9s, hostKeyPolicy: acceptNew}\nmachineList:\n  - ip: 10.0.0.1\n    port: 2222\n    username: bob\n    \
                  passwd: '1234'\n    gpuIndices: 0\n    maxTrialNumPerGpu: 2\n    useActiveGpu: true\n    preCommand: export A=1\n  \
                  - {ip: b, username: eve, sshKeyPath: key, passphrase: hunter2, pythonPath: /opt/bin}\n";
    let storage = "sharedStorage: {storageType: AzureBlob, localMountPoint: /mnt/a, remoteMountPoint: /mnt/b, storageAccountName: acc, \
                   storageAccountKey: kkkk, containerName: c, localMounted: usermount}\n";
    same(&file("remote", TRIAL, &format!("{remote}{storage}")), lab.path());
    let nfs = "sharedStorage: {storageType: NFS, localMountPoint: ./mnt, remoteMountPoint: /b, nfsServer: s, exportedDirectory: /e}\n";
    same(&file("remote", TRIAL, &format!("{remote}{nfs}")), lab.path());
}

#[test]
fn every_kind_of_algorithm() {
    let lab = lab();
    let with = |algorithms: &str| file("local", TRIAL, "").replace(TUNER, algorithms);
    let custom = "tuner:\n  codeDir: .\n  classFileName: mine.py\n  className: T\n  classArgs: {a: [1, 2.5, x], b: {c: 1e-3}}\n\
                  assessor: {codeDir: deep, classFileName: assess.py, className: A, includeIntermediateResults: false}\n";
    let new = same(&with(custom), lab.path());
    assert!(
        new.contains("className: mine.T") && new.contains("className: assess.A"),
        "{new}"
    );
    let deep = "tuner: {codeDir: ., classFileName: deep/assess.py, className: A}\nassessor: {builtinAssessorName: Medianstop, classArgs: {start_step: 5}}\n";
    let new = same(&with(deep), lab.path());
    assert!(new.contains("className: deep.assess.A"), "{new}");
    same(
        &with("advisor: {builtinAdvisorName: Hyperband, classArgs: {R: 60}, gpuIndices: 3}\n"),
        lab.path(),
    );
    same(
        &with("advisor: {codeDir: ., classFileName: mine.py, className: T, classArgs: {}, gpuIndices: '1'}\n"),
        lab.path(),
    );
}

#[test]
fn every_key_of_the_clouds() {
    let lab = lab();
    let storage = "  nniManagerNFSMountPath: /tmp\n  containerNFSMountPath: /mnt/nfs\n  paiStorageConfigName: nfs\n  virtualCluster: vc\n";
    let own = "  image: 'a:1'\n  cpuNum: 2\n  memoryMB: 2048\n";
    let pai = "paiConfig: {userName: alice, token: tttt-1, host: pai.example.org, reuse: true, gpuNum: 5, cpuNum: 6, memoryMB: 700, \
               maxTrialNumPerGpu: 1, useActiveGpu: true}\n";
    let new = same(&file("pai", &format!("{TRIAL}{own}{storage}"), pai), lab.path());
    assert!(!new.contains("cpuNum") && !new.contains("trialGpuNumber: 5"), "{new}");
    let fall_back = format!("{}  image: 'a:1'\n{storage}", TRIAL.replace("  gpuNum: 1\n", ""));
    let new = same(
        &file("pai", &fall_back, &pai.replace("token: tttt-1", "passWord: pppp")),
        lab.path(),
    );
    assert!(
        new.contains("trialGpuNumber: 5") && new.contains("password: pppp"),
        "{new}"
    );
    let document = format!("  codeDir: .\n{storage}  paiConfigPath: job.yml\n");
    same(&file("pai", &document, pai), lab.path());
    let aml = "amlConfig: {subscriptionId: s-1, resourceGroup: g, workspaceName: w, computeTarget: c, maxTrialNumPerGpu: 1, useActiveGpu: false}\n";
    same(&file("aml", &format!("{TRIAL}  image: 'a:1'\n"), aml), lab.path());
    let dlts = "dltsConfig: {dashboard: 'https://d.example.org/', cluster: c, team: t, email: e@x, password: 0123456789abcdef0123456789abcdef, \
                localStorageMountPoint: /tmp, containerStorageMountPoint: /work}\n";
    same(&file("dlts", &format!("{TRIAL}  image: 'a:1'\n"), dlts), lab.path());
}

#[test]
fn every_key_of_the_clusters() {
    let lab = lab();
    let role = "replicas: 1, command: a, gpuNum: 1, cpuNum: 2, memoryMB: 1024, image: 'a:1', privateRegistryAuthPath: docker.json";
    let nfs = "  storage: nfs\n  nfs: {server: 10.0.0.1, path: /var/nfs}\n";
    let azure = "  storage: azureStorage\n  keyVault: {vaultName: vault, name: kname}\n  azureStorage: {accountName: account, azureShare: share}\n  uploadRetryCount: 3\n";
    for storage in [nfs, &nfs.replace("  storage: nfs\n", ""), azure, ""] {
        let tf = format!("  codeDir: .\n  ps: {{{role}}}\n  worker: {{{role}}}\n");
        let config = format!("kubeflowConfig:\n  operator: tf-operator\n  apiVersion: v1\n  namespace: n\n{storage}");
        same(&file("kubeflow", &tf, &config), lab.path());
        let torch = format!("  codeDir: .\n  master: {{{role}}}\n  worker: {{{role}}}\n");
        same(
            &file("kubeflow", &torch, &config.replace("tf-", "pytorch-")),
            lab.path(),
        );
    }
    let tasks = "  codeDir: .\n  taskRoles:\n    - name: worker\n      taskNum: 2\n      command: a\n      gpuNum: 1\n      cpuNum: 1\n      memoryMB: 8192\n      \
                 image: 'a:1'\n      privateRegistryAuthPath: docker.json\n      frameworkAttemptCompletionPolicy: {minFailedTaskCount: 1, minSucceededTaskCount: 2}\n";
    let claim = "  storage: pvc\n  pvc: {path: /data, claimName: c}\n  nfs: {server: unused, path: /x}\n";
    for storage in [nfs, azure, claim] {
        let config = format!("frameworkcontrollerConfig:\n  serviceAccountName: sa\n{storage}");
        same(&file("frameworkcontroller", tasks, &config), lab.path());
    }
    let template =
        "frameworkcontrollerConfig:\n  configPath: framework.yml\n  storage: pvc\n  pvc: {path: /tmp/mount}\n";
    let new = same(
        &file("frameworkcontroller", "  codeDir: .\n  command: a\n", template),
        lab.path(),
    );
    assert!(
        new.contains("claimName: nni-claim") && new.contains("mountPath: /tmp/mount"),
        "{new}"
    );
}

#[test]
fn several_platforms_become_a_list() {
    let lab = lab();
    let more = "hybridConfig: {trainingServicePlatforms: [local, aml, remote]}\nlocalConfig: {gpuIndices: 1}\nmachineList: [{ip: a, username: u, passwd: pppp}]\n\
                amlConfig: {subscriptionId: s, resourceGroup: g, workspaceName: w, computeTarget: c}\n";
    let new = same(&file("hybrid", &format!("{TRIAL}  image: 'a:1'\n"), more), lab.path());
    assert!(new.contains("trainingService:\n  - platform: local\n"), "{new}");
}

#[test]
fn the_examples_of_this_repository() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for file in [
        "examples/nni-v1/config.yml",
        "examples/dlts/config_v1.yml",
        "examples/openpai/config_v1.yml",
        "examples/frameworkcontroller/config_v1.yml",
    ] {
        let path = root.join(file);
        let text = std::fs::read_to_string(&path).expect(file);
        same(&text, path.parent().expect("a directory"));
    }
}

#[test]
fn platforms_that_are_no_more_say_what_to_do() {
    let lab = lab();
    let source = ConfigSource {
        file: "exp.yml".into(),
        base_dir: lab.path().to_owned(),
        home: Some("/home/u".into()),
    };
    let adl = file(
        "adl",
        &format!("{TRIAL}  image: a\n  adaptive: true\n  namespace: n\n"),
        "",
    );
    let yarn = file(
        "paiYarn",
        &format!("{TRIAL}  image: a\n  cpuNum: 1\n  memoryMB: 1\n"),
        "paiYarnConfig: {userName: u, token: t, host: h}\n",
    );
    for (text, expected) in [(adl, "AdaptDL"), (yarn, "retired")] {
        let problems = migrate(&text, &source, PLATFORMS, None).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(
            problems[0].message.contains(expected) && problems[0].help.is_some(),
            "{problems:#?}"
        );
    }
}
