//! Experiments that do not run through: the manager is killed, interrupted, told to stop; a trial is canceled.

use super::{Lab, account::Account, cluster::Cluster, jobs::section, study::Study};
use crate::e2e::{
    Place,
    experiment::{Experiment, Running, wait_until},
};
use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// The next manager goes on; trials neither end with the first one nor run twice.
pub(super) fn killed(place: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    let account = Account::new(place, cluster, "killed")?;
    let study = Study::long("job-killed", section(&account, json!({})), 3.0);
    let (experiment, mut first) = study.start(place, account.launcher())?;
    let waited = experiment.in_the_middle();
    first.kill()?;
    waited?;
    experiment.run(&["resume"])?;
    study.check(&experiment)?;
    account.each_ran_once("jobs", study.trials)?;
    account.is_tidy_after(&experiment, "")
}

/// Ctrl-C ends the trials and removes them.
pub(super) fn interrupted(place: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    ended(place, cluster, "interrupted", "job-interrupted", |_, run| {
        run.signal("INT")
    })
}

/// So does another command.
pub(super) fn stopped(place: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    ended(place, cluster, "stopped", "job-stopped", |experiment, _| {
        experiment.run(&["stop"])
    })
}

/// Ends an experiment in the middle.
fn ended(
    place: &Place,
    cluster: &Cluster,
    namespace: &'static str,
    name: &'static str,
    end: impl FnOnce(&Experiment, &Running) -> Result<()>,
) -> Result<()> {
    let account = Account::new(place, cluster, namespace)?;
    let study = Study::long(name, section(&account, json!({})), 60.0);
    let (experiment, mut run) = study.start(place, account.launcher())?;
    experiment.reported_once()?;
    end(&experiment, &run)?;
    let status = experiment.end_of(&mut run)?;
    // See `docs/exit-codes.md`.
    ensure!(
        status.code() == Some(12),
        "it ended with {status}:\n{}",
        experiment.said()?
    );
    for trial in experiment.trials()? {
        ensure!(trial["status"] == "USER_CANCELED", "a trial was not ended: {trial}");
    }
    account.is_tidy_after(&experiment, "")
}

/// One trial is canceled, the others are not concerned.
pub(super) fn canceled(place: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    let account = Account::new(place, cluster, "canceled")?;
    let study = Study {
        trials: 4,
        concurrency: 4,
        ..Study::long("job-canceled", section(&account, json!({})), 8.0)
    };
    let (experiment, mut run) = study.start(place, account.launcher())?;
    let id = experiment.reported_once()?;
    experiment.run(&["cancel", &id])?;
    experiment.finish(&mut run)?;
    let trials = experiment.trials()?;
    ensure!(trials.len() == study.trials, "{} trials", trials.len());
    for trial in &trials {
        if trial["id"] == id.as_str() {
            ensure!(trial["status"] == "USER_CANCELED", "not canceled: {trial}");
        } else {
            study.check_trial(&experiment, trial)?;
        }
    }
    account.is_tidy_after(&experiment, "")
}

/// What a manager that never came back has left in the cluster goes by `gc`.
pub(super) fn forsaken(place: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    let account = Account::new(place, cluster, "forsaken")?;
    let study = Study::long("job-forsaken", section(&account, json!({})), 60.0);
    let (experiment, mut run) = study.start(place, account.launcher())?;
    experiment.reported_once()?;
    run.kill()?;
    let left = account.left("")?;
    ensure!(
        left.iter().any(|name| name.starts_with("job.batch/")),
        "no job is left: {left:?}"
    );
    let id = experiment.id()?;
    experiment.run(&["gc", "--yes", &id])?;
    account.nothing_is_left("")
}

/// Somebody deletes a pod, and the job of another trial. The job controller of this release runs the first once more in a new
/// pod, which reports everything again behind what the first one said; the other trial ends and says why.
///
/// Source: kubernetes v1.20.2, `pkg/controller/job/job_controller.go`, `syncJob`: a pod that is gone did not fail.
pub(super) fn deleted(place: &Place, _: &Lab, cluster: &Cluster) -> Result<()> {
    let account = Account::new(place, cluster, "deleted")?;
    let study = Study {
        trials: 3,
        concurrency: 3,
        // Deleted once is enough to see.
        more: json!({ "tsctl": { "retry": { "platform": 0 } } }),
        ..Study::long("job-deleted", section(&account, json!({})), 8.0)
    };
    let (experiment, mut run) = study.start(place, account.launcher())?;
    wait_until("the trials have reported", || {
        let trials = experiment.trials().unwrap_or_default();
        let reported = |trial: &Value| trial["nMetrics"].as_u64() > Some(0);
        Ok((trials.len() == 3 && trials.iter().all(reported)).then_some(()))
    })?;
    let trials = experiment.trials()?;
    let label = |trial: &Value| format!("trialId={}", trial["id"].as_str().unwrap_or_default());
    account.output(&["delete", "pods", "--wait=false", "-l", &label(&trials[0])])?;
    account.output(&["delete", "jobs", "--wait=false", "-l", &label(&trials[1])])?;
    experiment.finish(&mut run)?;
    let trials = experiment.trials()?;
    ensure!(trials[2]["status"] == "SUCCEEDED", "the third one is {}", trials[2]);
    let said = trials[0]["reason"].to_string();
    ensure!(
        trials[0]["status"] == "SYS_CANCELED" && said.contains("not by us"),
        "a trial whose pod was deleted is {}: {said}",
        trials[0]["status"]
    );
    let metrics = experiment.metrics(trials[0]["id"].as_str().unwrap_or_default())?;
    let numbers: Vec<Option<u64>> = metrics.iter().map(|metric| metric["value"].as_u64()).collect();
    let expected: Vec<Option<u64>> = (1..=study.steps as u64).map(Some).collect();
    ensure!(expected.starts_with(&numbers), "it ran again: it has {numbers:?}");
    let said = trials[1]["reason"].to_string();
    ensure!(
        trials[1]["status"] == "SYS_CANCELED" && said.contains("not by us"),
        "a trial whose job was deleted is {}: {said}",
        trials[1]["status"]
    );
    account.is_tidy_after(&experiment, "")
}
