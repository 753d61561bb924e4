//! Trials that cannot start, and rights that are missing: what is in the way is told where a user looks.

use super::{Lab, account::Account, cluster::Cluster, jobs::section, study::Study};
use crate::e2e::{
    Place,
    experiment::{Experiment, wait_until},
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// An image that does not exist, and a node that is too small: the cluster's own words, while the trial waits.
pub(super) fn waiting(place: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    let account = Account::new(place, cluster, "waiting")?;
    let one = |name, more| Study {
        trials: 1,
        concurrency: 1,
        ..Study::short(name, section(&account, more))
    };
    let study = one("job-too-large", json!({ "cpuNumber": 1000 }));
    let (experiment, mut run) = study.start(place, account.launcher())?;
    explained(&experiment, "Queued", "Insufficient cpu")?;
    experiment.run(&["stop"])?;
    experiment.end_of(&mut run)?;
    account.is_tidy_after(&experiment, "")?;
    // The kubelet of this release takes minutes to remove a pod whose image it could not pull; nobody waits for it here.
    let study = one("job-no-image", json!({ "image": "local/nothing:1" }));
    let (experiment, _run) = study.start(place, account.launcher())?;
    explained(&experiment, "ImagePull", "local/nothing:1")
}

/// A quota that has room for one pod: one trial after the other runs, and those that wait say why.
pub(super) fn quota(place: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    let account = Account::new(place, cluster, "quota")?;
    account.create(&json!({
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": { "name": "one-pod" },
        "spec": { "hard": { "pods": "1" } },
    }))?;
    let study = Study {
        trials: 2,
        concurrency: 2,
        ..Study::long("job-quota", section(&account, json!({})), 6.0)
    };
    let (experiment, mut run) = study.start(place, account.launcher())?;
    explained(&experiment, "Quota", "exceeded quota")?;
    experiment.finish(&mut run)?;
    study.check(&experiment)?;
    account.is_tidy_after(&experiment, "")
}

/// Without one of its rights an experiment does not begin, and `doctor` names the right. With all of them it is content.
pub(super) fn rights(place: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    let account = Account::new(place, cluster, "rights")?;
    let study = Study::short("job-rights", section(&account, json!({})));
    let experiment = study.home(place, account.launcher())?;
    let file = study.file(place, &experiment)?;
    let file = file.to_string_lossy();
    experiment.run(&["doctor", &file])?;
    let role = account.role()?;
    let rules = role["rules"].as_array().context("a Role without rules")?;
    let mut n_needed = 0;
    for (at, rule) in rules.iter().enumerate() {
        let [group, resource, verb] =
            ["apiGroups", "resources", "verbs"].map(|key| rule[key][0].as_str().unwrap_or(""));
        let is_needed = match group {
            "" => {
                !matches!(resource, "secrets" | "events") && verb != "create"
                    || resource == "pods/exec"
                    || resource == "configmaps"
            }
            group => group == "batch",
        };
        if !is_needed {
            continue;
        }
        n_needed += 1;
        let mut fewer = rules.clone();
        fewer.remove(at);
        account.set_rules(&Value::Array(fewer))?;
        let resource = match group {
            "" => resource.to_owned(),
            group => format!("{resource}.{group}"),
        };
        let verbs = rule["verbs"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let missing: Vec<String> = verbs.map(|verb| format!("{verb} {resource}")).collect();
        wait_until(&format!("`doctor` misses {missing:?}"), || {
            let findings = findings(&experiment, &file)?;
            let said = findings.iter().find(|finding| finding["subject"] == "permissions");
            let said = said.map(|finding| finding["message"].to_string()).unwrap_or_default();
            Ok(missing.iter().all(|right| said.contains(right)).then_some(()))
        })?;
        if n_needed == 1 {
            let said = experiment.refused(&["run", &file])?;
            ensure!(said.contains(&missing[0]), "`{}` is not named:\n{said}", missing[0]);
        }
    }
    ensure!(n_needed == 5, "{n_needed} rules are needed");
    account.set_rules(&role["rules"])
}

/// What `doctor` says of everything, good or bad.
fn findings(experiment: &Experiment, file: &str) -> Result<Vec<Value>> {
    let said = experiment.json_of_any(&["doctor", file])?;
    match &said["findings"] {
        Value::Array(findings) => Ok(findings.clone()),
        _ => anyhow::bail!("`doctor` has no findings: {said}"),
    }
}

/// Waits until some trial that waits explains it with these words, and checks that it does so under this code.
fn explained(experiment: &Experiment, code: &str, expected: &str) -> Result<()> {
    let mut last = String::new();
    wait_until(&format!("a trial explains `{expected}`"), || {
        for trial in experiment.trials().unwrap_or_default() {
            let id = trial["id"].as_str().context("a trial without id")?;
            let explained = experiment.json(&["explain", id])?["trial"].take();
            last = explained["reason"].to_string();
            if explained["status"] == "WAITING" && last.contains(expected) {
                println!("  {last}");
                ensure!(explained["reason"]["code"] == code, "not `{code}`");
                return Ok(Some(()));
            }
        }
        Ok(None)
    })
    .with_context(|| format!("last explained: {last}"))
}
