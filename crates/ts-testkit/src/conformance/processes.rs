//! Finds processes of this machine by the stamp in their environment, for fixtures whose trials are real processes.

use std::{fs, process::Stdio};
use ts_core::{ExperimentId, TrialId};

/// Processes of this machine that carry the stamp of an experiment, or of one of its trials, as `pid: command line`.
///
/// The stamp is what every trial's environment holds: `NNI_EXP_ID` and `NNI_TRIAL_JOB_ID`. Processes whose environment may
/// not be read belong to somebody else, and those that have ended but were not waited for hold none. Linux only: without
/// `/proc` there is nothing to find.
pub fn stamped_processes(experiment: &ExperimentId, trial: Option<&TrialId>) -> Vec<String> {
    let experiment = format!("NNI_EXP_ID={experiment}");
    let trial = trial.map(|trial| format!("NNI_TRIAL_JOB_ID={trial}"));
    pids()
        .filter_map(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
            let is_it =
                holds(&environment, &experiment) && trial.as_deref().is_none_or(|trial| holds(&environment, trial));
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            is_it.then(|| format!("{pid}: {}", String::from_utf8_lossy(&command).replace('\0', " ")))
        })
        .collect()
}

/// Kills every process of this machine with this `NAME=value` in its environment, until there is none: as the end of a container
/// takes all that is in it. Gives up after a hundred rounds. Linux only.
pub fn kill_marked(mark: &str) {
    for _ in 0..100 {
        let is_marked =
            |pid: &u32| fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| holds(&environment, mark));
        let pids: Vec<String> = pids().filter(is_marked).map(|pid| pid.to_string()).collect();
        if pids.is_empty() {
            return;
        }
        // One that has ended meanwhile is no failure.
        let _ = std::process::Command::new("kill")
            .arg("-KILL")
            .args(&pids)
            .stderr(Stdio::null())
            .status();
    }
}

fn pids() -> impl Iterator<Item = u32> {
    let listing = fs::read_dir("/proc").into_iter().flatten();
    listing.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn holds(environment: &[u8], entry: &str) -> bool {
    environment.split(|byte| *byte == 0).any(|one| one == entry.as_bytes())
}
