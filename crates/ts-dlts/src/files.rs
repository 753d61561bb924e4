//! What lies in the shared folder: `{mount}/{experiment}/{trial}`, and beside the trials the packages of code.
//!
//! Files only; who reads and writes them when is the lifecycle's business.

use crate::DltsConfig;
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};
use ts_core::{
    Error, ExperimentId, Prepared, Result, TrialSpec,
    follow::{
        mounted::{CODE, Folders, offer, output_dir, run_script, save_request, start_script},
        write_whole,
    },
    launch::{StateClock, TrialPaths, quote},
};

/// The script that a container runs.
pub(crate) const START: &str = "start.sh";
/// Makes the SDK write its journal to a file. Source: nni v1.9, `src/sdk/pynni/nni/platform/local.py`, `send_metric`.
const SDK_PLATFORM: &str = "local";

/// A trial's request, stored before the cluster hears of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) spec: TrialSpec,
    /// What its job is called. We choose it, so that a request that is sent twice makes one job.
    pub(crate) id: String,
    /// Whether the cluster is known to have the job.
    pub(crate) is_taken: bool,
}

/// A file of a trial, by its name below the trial's folder.
pub(crate) struct TrialFile {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// The trials' folders as this machine sees them.
pub(crate) fn folders(config: &DltsConfig, experiment: &ExperimentId) -> Folders {
    Folders::new(config.local_mount.join(experiment.as_str()), &[])
}

/// A trial's folder as containers see it.
pub(crate) fn container_dir(config: &DltsConfig, trial: &TrialSpec) -> String {
    format!("{}/{}/{}", config.container_mount, trial.experiment, trial.id)
}

/// Everything that the container of a trial reads.
pub(crate) fn of_trial(config: &DltsConfig, code: &Prepared, trial: &TrialSpec) -> Result<Vec<TrialFile>> {
    let dir = container_dir(config, trial);
    let file = |name: &str, text: String| TrialFile {
        name: name.to_owned(),
        text,
    };
    Ok(vec![
        file(START, start(config, code, trial, &dir)),
        file(&trial.parameters.file_name(), trial.parameters.text.to_string()),
        file(
            TrialPaths::SCRIPT,
            run_script(SDK_PLATFORM, trial, &dir, &dir, &trial.command, StateClock::FileTime)?,
        ),
    ])
}

fn start(config: &DltsConfig, code: &Prepared, trial: &TrialSpec, dir: &str) -> String {
    let code = format!(
        "{}/{}/{CODE}/{}",
        config.container_mount, trial.experiment, code.location
    );
    let grace = config.grace_period.as_millis().div_ceil(1000);
    // A pod that is made again may have its name again, but not in the same second with the same process.
    start_script(&format!(
        "ts_dir={dir}\nts_seat=$ts_dir\nts_code={}\nts_output={}\nts_grace={grace}\nts_mark=${{HOSTNAME:-0}}.$(date +%s).$$",
        quote(&code),
        quote(&output_dir(dir)),
        dir = quote(dir),
    ))
}

/// Writes a trial's folder anew, whatever an interrupted try has left of it; the stored request comes last.
pub(crate) fn store(folders: &Folders, files: &[TrialFile], job: &Job) -> Result<()> {
    let paths = folders.paths(&job.spec.id);
    offer(paths.dir())?;
    for file in files {
        write(&paths.dir().join(&file.name), &file.text)?;
    }
    // There before the trial starts, as with NNI.
    write(&paths.metrics(), "")?;
    save_request(&paths, job)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|e| Error::io("write", path, e))
}

/// Gives a trial its next parameters, all of the file or none of it.
pub(crate) fn write_parameters(paths: &TrialPaths, next: &ts_core::Parameters) -> Result<()> {
    write_whole(&paths.dir().join(next.file_name()), next.text.as_bytes())
}
