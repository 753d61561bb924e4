//! Finds processes of this machine by the stamp in their environment, for fixtures whose trials are real processes.

use std::fs;
use ts_core::{ExperimentId, TrialId};

/// Processes of this machine that carry the stamp of an experiment, or of one of its trials, as `pid: command line`.
///
/// The stamp is what every trial's environment holds: `NNI_EXP_ID` and `NNI_TRIAL_JOB_ID`. Processes whose environment may
/// not be read belong to somebody else, and those that have ended but were not waited for hold none. Linux only: without
/// `/proc` there is nothing to find.
pub fn stamped_processes(experiment: &ExperimentId, trial: Option<&TrialId>) -> Vec<String> {
    let experiment = format!("NNI_EXP_ID={experiment}");
    let trial = trial.map(|trial| format!("NNI_TRIAL_JOB_ID={trial}"));
    let Ok(listing) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = listing.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let holds = |stamp: &str| {
            environment
                .split(|byte| *byte == 0)
                .any(|entry| entry == stamp.as_bytes())
        };
        if !holds(&experiment) || trial.as_deref().is_some_and(|trial| !holds(trial)) {
            return None;
        }
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        Some(format!(
            "{pid}: {}",
            String::from_utf8_lossy(&command).replace('\0', " ")
        ))
    })
    .collect()
}
