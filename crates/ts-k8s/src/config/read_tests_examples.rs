//! The examples of this crate, read as a whole: nothing is said about them, and what is shown as resolved reads the same.

use super::*;
use std::path::{Path, PathBuf};
use ts_core::{
    Error, ErrorKind, Platform,
    config::{Parsed, parse},
};

const KUBERNETES: Platform = Platform {
    name: "kubernetes",
    aliases: &[],
    v1_sections: &[],
    v1_trial_keys: &[],
    check: |section, problems| {
        KubernetesConfig::read(section, problems);
    },
    build: |_, _, _| Err(Error::new(ErrorKind::Unsupported, "read only")),
    diagnose: |_, _| Box::pin(std::future::ready(Vec::new())),
};
const PLATFORMS: [Platform; 3] = [
    KUBERNETES,
    Platform {
        name: "kubeflow",
        v1_sections: &["kubeflowConfig"],
        v1_trial_keys: &["worker", "ps", "master"],
        ..KUBERNETES
    },
    Platform {
        name: "frameworkcontroller",
        v1_sections: &["frameworkcontrollerConfig"],
        v1_trial_keys: &["taskRoles"],
        ..KUBERNETES
    },
];

#[track_caller]
fn unspoken(text: &str, file: &Path) -> (Parsed, KubernetesConfig) {
    let source = ConfigSource {
        file: file.to_owned(),
        base_dir: file.parent().expect("a directory").to_owned(),
        home: Some("/home/u".into()),
    };
    let parsed = parse(text, &source, &PLATFORMS);
    assert!(parsed.problems.is_empty(), "{text}: {:#?}", parsed.problems.sorted());
    assert!(parsed.warnings.is_empty(), "{text}: {:#?}", parsed.warnings);
    let experiment = parsed.config.as_ref().expect("no problem");
    let config = KubernetesConfig::read(&experiment.platforms[0], &mut Problems::new());
    (parsed, config)
}

#[track_caller]
fn reads_back(text: &str, file: &Path) -> KubernetesConfig {
    let (parsed, config) = unspoken(text, file);
    let resolved = parsed.resolved.to_yaml().expect("YAML");
    let (_, again) = unspoken(&resolved, file);
    assert_eq!(format!("{config:?}"), format!("{again:?}"), "{resolved}");
    config
}

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(path)
}

#[test]
fn every_example() {
    for (path, kind) in [
        ("kubernetes/config.yml", JobKind::Job),
        ("kubeflow-tf/config.yml", JobKind::TfJob),
        ("kubeflow-pytorch/config.yml", JobKind::PyTorchJob),
        ("frameworkcontroller/config.yml", JobKind::Framework),
        ("frameworkcontroller/config_v1.yml", JobKind::Framework),
    ] {
        let file = example(path);
        let text = std::fs::read_to_string(&file).expect("readable");
        assert_eq!(reads_back(&text, &file).kind, kind, "{path}");
    }
}

#[test]
fn every_key_beyond_nni_reads_back() {
    let common = "searchSpace: {x: {_type: choice, _value: [1]}}\ntrialConcurrency: 1\ntrialCommand: a\ntuner: {name: Random}\n\
                  trainingService:\n  platform: kubernetes\n  image: a\n  cpuNumber: 0.25\n  memorySize: 1Gi\n  \
                  storage: {storageType: pvc, claimName: data, path: nni/exp}\n";
    let config = reads_back(
        &format!("{common}{}", indented(OURS)),
        &example("kubernetes/config.yml"),
    );
    assert_eq!(config.pods.volumes.len(), 2);
    let common = common.replace("platform: kubernetes", "platform: kubeflow\n  operator: trainer");
    let role = common.replace(
        "  image: a\n  cpuNumber: 0.25\n  memorySize: 1Gi\n",
        "  worker: {image: a, replicas: 2}\n",
    );
    assert_eq!(
        reads_back(&format!("{role}{}", indented(OURS)), &example("kubernetes/config.yml")).roles[0].replicas,
        2
    );
}
