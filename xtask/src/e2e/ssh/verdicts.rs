//! Trials that lose what they need on their machine: they end soon, as failed, with what happened, and leave nothing behind.

use super::{
    lab::{Lab, USER},
    machine::Machine,
    study::Study,
};
use crate::{
    e2e::{
        Place,
        experiment::{Experiment, wait_until},
        processes::{nothing_runs, with_stamp},
    },
    shell,
};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Somebody cleans up on the machine.
pub(super) fn directory_removed(place: &Place, lab: &Lab) -> Result<()> {
    lost(place, lab, "removed", "directory is gone", |trial| {
        Ok(fs::remove_dir_all(&trial.directory)?)
    })
}

/// Every process of the trial gets SIGKILL at once, as when memory runs out.
pub(super) fn all_killed(place: &Place, lab: &Lab) -> Result<()> {
    lost(place, lab, "killed", "left no exit code", |trial| {
        kill(&with_stamp(&trial.stamp)?)
    })
}

/// The shells of a trial get SIGKILL; its children in sessions of their own would go on for ever.
pub(super) fn shells_killed(place: &Place, lab: &Lab) -> Result<()> {
    lost(place, lab, "shells-killed", "left no exit code", |trial| {
        let first_word = |file: &str| -> Result<u32> {
            let text = fs::read_to_string(trial.directory.join(".nni").join(file))?;
            let word = text.split_whitespace().next().context("an empty file")?;
            Ok(word.parse()?)
        };
        // The launcher first: it would note an exit code.
        kill(&[first_word("run")?])?;
        let shells = with_stamp(&trial.stamp)?.into_iter().filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            !line.starts_with("sleep")
        });
        kill(&shells.collect::<Vec<_>>())
    })
}

/// A trial that runs.
struct Victim {
    directory: PathBuf,
    /// What its processes carry in their environment.
    stamp: String,
}

/// Does this to a trial that would never end, and checks what is said of it and that nothing of it is left.
fn lost(place: &Place, lab: &Lab, name: &str, expected: &str, what: impl FnOnce(&Victim) -> Result<()>) -> Result<()> {
    let machine = Machine::new(lab, &[])?;
    let folder = lab.home(USER).join(name);
    let study = Study {
        command: "sh tree.sh",
        trials: 1,
        concurrency: 1,
        // It would never end the second time either.
        more: json!({ "tsctl": { "retry": { "platform": 0 } } }),
        ..Study::short(vec![machine.entry(lab, USER, &json!({ "directory": folder }))])
    };
    let experiment = Experiment::new(place, &format!("ssh-{name}"), None)?;
    let mut run = experiment.start(&["run", &study.file(lab, name)?.to_string_lossy()])?;
    let id = experiment.reported_once()?;
    let victim = Victim {
        directory: directory_of(&folder, &id)?,
        stamp: format!("NNI_TRIAL_JOB_ID={id}"),
    };
    what(&victim)?;
    // An experiment without a result has an exit code of its own.
    experiment.end_of(&mut run)?;
    let trial = experiment.trials()?.pop().context("no trial")?;
    let said = trial["reason"].to_string();
    ensure!(
        trial["status"] == "FAILED" && said.contains(expected),
        "the trial is {}: {said}",
        trial["status"]
    );
    nothing_runs(&victim.stamp)
}

/// Where a machine has this trial; it has one experiment.
fn directory_of(folder: &Path, trial: &str) -> Result<PathBuf> {
    let folders = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let mut directories = folders
        .iter()
        .map(|experiment| experiment.path().join("trials").join(trial));
    directories
        .find(|directory| directory.is_dir())
        .with_context(|| format!("trial {trial} is not below `{}`", folder.display()))
}

fn kill(pids: &[u32]) -> Result<()> {
    let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
    // All at once, so that none sees the end of another; some have gone by themselves.
    let _ = shell::output(Command::new("kill").arg("-KILL").args(&pids));
    wait_until("those that were killed are gone", || {
        let gone = pids.iter().all(|pid| {
            fs::read(format!("/proc/{pid}/environ")).is_ok_and(|e| e.is_empty())
                || !Path::new("/proc").join(pid).exists()
        });
        Ok(gone.then_some(()))
    })
}
