//! What lies on the storage: `{mount}/{experiment}/{trial}`, as with NNI, and beside the trials the packages of code.
//!
//! Files only; who reads and writes them when is the lifecycle's business.

use crate::{
    PaiConfig,
    reuse::WORKERS,
    seats::{self, Role},
};
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
/// Carries a command whose templates the server fills in.
pub(crate) const TEMPLATE_VARIABLE: &str = "NNI_TS_COMMAND";
/// Makes the SDK write its journal to a file. Source: nni v1.9, `src/sdk/pynni/nni/platform/local.py`, `send_metric`.
const SDK_PLATFORM: &str = "local";

/// A trial's request, stored before the cluster hears of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) spec: TrialSpec,
    /// The delivered code; an earlier version stored none, and had no job that needs it.
    #[serde(default = "no_code")]
    pub(crate) code: Prepared,
    /// Whether the server took it.
    pub(crate) is_created: bool,
}

fn no_code() -> Prepared {
    Prepared::new(None, "")
}

/// A file of a trial, by its name below the trial's folder.
pub(crate) struct TrialFile {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// The trials' folders as this machine sees them. `work_dir`: where those are that trials push to.
pub(crate) fn folders(config: &PaiConfig, work_dir: &Path, experiment: &ExperimentId) -> Folders {
    let root = match config.push {
        Some(_) => work_dir.join("trials"),
        None => config.local_mount.join(experiment.as_str()),
    };
    Folders::new(root, &[WORKERS])
}

/// A trial's folder as containers see it.
pub(crate) fn container_dir(config: &PaiConfig, trial: &TrialSpec) -> String {
    format!("{}/{}/{}", config.container_mount, trial.experiment, trial.id)
}

/// The package of code as containers see it.
pub(crate) fn container_code(config: &PaiConfig, code: &Prepared, trial: &TrialSpec) -> String {
    format!(
        "{}/{}/{CODE}/{}",
        config.container_mount, trial.experiment, code.location
    )
}

/// Everything that the containers of a trial read.
pub(crate) fn of_trial(config: &PaiConfig, code: &Prepared, trial: &TrialSpec) -> Result<Vec<TrialFile>> {
    let dir = container_dir(config, trial);
    let roles = seats::roles(config);
    // What is pushed may come long after the end.
    let clock = match config.push {
        Some(_) => StateClock::Date,
        None => StateClock::FileTime,
    };
    let mut files = vec![TrialFile {
        name: START.to_owned(),
        text: start(config, code, trial, &dir, &roles),
    }];
    for role in &roles {
        for index in 0..role.instances {
            let folder = seats::folder(&roles, role, index);
            let below = |name: &str| {
                folder
                    .as_ref()
                    .map_or_else(|| name.to_owned(), |folder| format!("{folder}/{name}"))
            };
            let seat = folder
                .as_ref()
                .map_or_else(|| dir.clone(), |folder| format!("{dir}/{folder}"));
            files.push(TrialFile {
                name: below(&trial.parameters.file_name()),
                text: trial.parameters.text.to_string(),
            });
            files.push(TrialFile {
                name: below(TrialPaths::SCRIPT),
                text: script(trial, role, &seat, &dir, clock)?,
            });
        }
    }
    Ok(files)
}

fn start(config: &PaiConfig, code: &Prepared, trial: &TrialSpec, dir: &str, roles: &[Role]) -> String {
    let main = roles.first().map_or(seats::ONLY_ROLE, |role| role.name.as_str());
    let code = container_code(config, code, trial);
    let grace = config.grace_period.as_millis().div_ceil(1000);
    // Its argument is the role.
    start_script(&format!(
        "ts_dir={dir}\nts_role=$1\nts_index=${{PAI_CURRENT_TASK_ROLE_CURRENT_TASK_INDEX:-${{PAI_TASK_INDEX:-0}}}}\nts_seat=$ts_dir\n\
         [ \"$ts_role-$ts_index\" = {main} ] || ts_seat=$ts_dir/$ts_role-$ts_index\n\
         ts_code={code}\nts_output={output}\nts_grace={grace}\nts_mark=${{FC_POD_UID:-}}",
        main = quote(&format!("{main}-0")),
        code = quote(&code),
        output = quote(&output_dir(dir)),
        dir = quote(dir),
    ))
}

fn script(trial: &TrialSpec, role: &Role, seat: &str, dir: &str, clock: StateClock) -> Result<String> {
    let of_template;
    let command = match &role.command {
        None => &trial.command,
        Some(_) if role.is_template() => {
            of_template = format!("nni_text=${TEMPLATE_VARIABLE}\nunset {TEMPLATE_VARIABLE}\neval \"$nni_text\"");
            &of_template
        }
        Some(command) => command,
    };
    run_script(SDK_PLATFORM, trial, dir, seat, command, clock)
}

/// Writes a trial's folder anew, whatever an interrupted try has left of it; the stored request comes last.
pub(crate) fn store(folders: &Folders, files: &[TrialFile], roles: &[Role], job: &Job) -> Result<()> {
    let paths = folders.paths(&job.spec.id);
    let seats = roles
        .iter()
        .flat_map(|role| (0..role.instances).map(move |index| seats::folder(roles, role, index).unwrap_or_default()));
    for seat in seats {
        offer(&paths.dir().join(seat))?;
    }
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

/// Gives a trial's instances their next parameters, each all of the file or none of it.
pub(crate) fn write_parameters(paths: &TrialPaths, roles: &[Role], next: &ts_core::Parameters) -> Result<()> {
    for role in roles {
        for index in 0..role.instances {
            let seat = seats::folder(roles, role, index).unwrap_or_default();
            write_whole(&paths.dir().join(seat).join(next.file_name()), next.text.as_bytes())?;
        }
    }
    Ok(())
}
