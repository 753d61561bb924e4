//! Experiments on plain Jobs, from their first trial to nothing being left, with and without storage.

use super::{Lab, account::Account, cluster::Cluster, images::BUSYBOX, sandbox::STATE, study::Study};
use crate::e2e::Place;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::PathBuf};

/// Most requests that change something, for each trial.
const MOST_WRITES: usize = 4;

/// The section for trials that are Jobs of busybox.
pub(super) fn section(account: &Account<'_>, more: Value) -> Value {
    let mut section = account.section("kubernetes", json!({ "image": BUSYBOX, "gracePeriod": "1s" }));
    if let (Some(section), Value::Object(more)) = (section.as_object_mut(), more) {
        section.extend(more);
    }
    section
}

/// Trials with code of their own, many at a time.
pub(super) fn plain(place: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    let account = Account::new(place, cluster, "plain")?;
    let study = Study {
        trials: 8,
        concurrency: 4,
        ..Study::short("job", section(&account, json!({})))
    };
    let experiment = study.run(place, account.launcher())?;
    account.each_ran_once("jobs", study.trials)?;
    let requests = account.requests()?;
    let mut writes: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for request in requests.iter().filter(|request| request.is_write()) {
        *writes.entry((&request.verb, &request.resource)).or_default() += 1;
    }
    let n_writes: usize = writes.values().sum();
    ensure!(
        n_writes <= MOST_WRITES * study.trials,
        "{n_writes} writes for {} trials: {writes:?}",
        study.trials
    );
    let refused: Vec<_> = requests.iter().filter(|request| request.code == 403).collect();
    ensure!(refused.is_empty(), "not allowed: {refused:?}");
    account.is_tidy_after(&experiment, "")
}

/// The code comes onto a claim once, and every trial has it from there.
pub(super) fn claim(place: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    let account = Account::new(place, cluster, "claim")?;
    let volume = make_claim(cluster, &account, "claim")?;
    let storage = json!({ "storageType": "pvc", "claimName": "claim", "path": "experiments" });
    let study = Study {
        // Neither lies in the pod's own file system.
        command: "grep -q /tmp/mount /proc/self/mounts && sh trial.sh",
        ..Study::short("job-claim", section(&account, json!({ "storage": storage })))
    };
    let experiment = study.run(place, account.launcher())?;
    account.each_ran_once("jobs", study.trials)?;
    let requests = account.requests()?;
    let brought = requests
        .iter()
        .filter(|r| r.resource == "pods/exec" && r.code < 400)
        .count();
    ensure!(brought == 1, "the code was brought {brought} times");
    let folder = volume.join("experiments/nni").join(experiment.id()?);
    ensure!(folder.join("nni-code").is_dir(), "no code in `{}`", folder.display());
    account.is_tidy_after(&experiment, "")?;
    ensure!(!folder.exists(), "`{}` is left", folder.display());
    Ok(())
}

/// A claim of this name for a folder of the node, which is this folder of this machine.
pub(super) fn make_claim(cluster: &Cluster, account: &Account<'_>, name: &'static str) -> Result<PathBuf> {
    let folder = format!("volume-{name}");
    let size = "1Gi";
    cluster.create(&json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": { "name": name },
        "spec": {
            "capacity": { "storage": size },
            "accessModes": ["ReadWriteMany"],
            "storageClassName": name,
            "hostPath": { "path": format!("{STATE}/{folder}") },
        },
    }))?;
    account.create(&json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": name },
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": name,
            "resources": { "requests": { "storage": size } },
        },
    }))?;
    let path = cluster.folder_on_node(&folder)?;
    // Trials need not be root.
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    Ok(path)
}
