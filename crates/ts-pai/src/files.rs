//! What lies on the storage: `{mount}/{experiment}/{trial}`, as with NNI, and beside the trials the packages of code.
//!
//! Files only; who reads and writes them when is the lifecycle's business.

use crate::{
    PaiConfig,
    seats::{self, Role},
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};
use ts_core::{
    Error, ErrorKind, ExperimentId, GpuCount, LogKind, Prepared, Result, Timestamp, TrialId, TrialSpec,
    follow::{STDERR_TAIL, load_cancel, write_whole},
    launch::{
        LaunchScript, StateClock, TrialContext, TrialExit, TrialPaths, parse_state, quote, trial_environment,
        visible_devices,
    },
    push::{AGAIN, READY, STARTED},
};

/// Folder of the packages of code.
pub(crate) const CODE: &str = "code";
/// The script that a container runs.
pub(crate) const START: &str = "start.sh";
/// Carries a command whose templates the server fills in.
pub(crate) const TEMPLATE_VARIABLE: &str = "NNI_TS_COMMAND";
/// Files in `.nni`: the right to begin, and what `start.sh` leaves.
const WITHDRAWN: &str = "withdrawn";
const FAILURE: &str = "failure";
const ENDED: &str = "ended";
const JOB: &str = "job";
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

/// The trials' folders as this machine sees them.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    root: PathBuf,
}

impl Folders {
    /// `work_dir`: where the folders are that trials push to.
    pub(crate) fn new(config: &PaiConfig, work_dir: &Path, experiment: &ExperimentId) -> Self {
        let root = match config.push {
            Some(_) => work_dir.join("trials"),
            None => config.local_mount.join(experiment.as_str()),
        };
        Self { root }
    }
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
    pub(crate) fn code(&self) -> PathBuf {
        self.root.join(CODE)
    }
    pub(crate) fn paths(&self, trial: &TrialId) -> TrialPaths {
        TrialPaths::new(self.root.join(trial.as_str()))
    }
    /// Trials that have a folder.
    pub(crate) fn trials(&self) -> Result<Vec<TrialId>> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io("list", &self.root, e)),
        };
        let mut trials = Vec::new();
        for entry in entries {
            let name = entry.map_err(|e| Error::io("list", &self.root, e))?.file_name();
            trials.extend(
                name.to_str()
                    .filter(|name| ![CODE, crate::reuse::WORKERS].contains(name))
                    .and_then(|name| TrialId::new(name).ok()),
            );
        }
        Ok(trials)
    }
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
    format!(
        "#!/bin/sh\nts_dir={}\nts_code={}\nts_output={}\nts_main={}\nts_grace={grace}\n{}",
        quote(dir),
        quote(&code),
        quote(&format!("{dir}/nnioutput")),
        quote(main),
        include_str!("worker/start.sh")
    )
}

fn script(trial: &TrialSpec, role: &Role, seat: &str, dir: &str, clock: StateClock) -> Result<String> {
    let code = format!("{seat}/code");
    let environment = trial_environment(&TrialContext {
        platform: SDK_PLATFORM,
        experiment: &trial.experiment,
        trial: &trial.id,
        sequence_id: trial.sequence_id,
        sys_dir: seat,
        output_dir: &format!("{dir}/nnioutput"),
        code_dir: &code,
    });
    let command = match &role.command {
        None => trial.command.clone(),
        Some(_) if role.is_template() => {
            format!("nni_text=${TEMPLATE_VARIABLE}\nunset {TEMPLATE_VARIABLE}\neval \"$nni_text\"")
        }
        Some(command) => command.clone(),
    };
    // The platform makes the GPUs of a trial visible; only none must be said.
    let devices = match trial.gpus {
        GpuCount::Exactly(0) => visible_devices(trial.gpus, &[]),
        _ => None,
    };
    LaunchScript::new(seat, code.as_str(), command)
        .with_env(environment)
        .with_visible_devices(devices)
        .with_clock(clock)
        .render()
}

/// Writes a trial's folder anew, whatever an interrupted try has left of it; the stored request comes last.
pub(crate) fn store(folders: &Folders, files: &[TrialFile], roles: &[Role], job: &Job) -> Result<()> {
    let paths = folders.paths(&job.spec.id);
    let seats = roles
        .iter()
        .flat_map(|role| (0..role.instances).map(move |index| seats::folder(roles, role, index).unwrap_or_default()));
    for seat in seats {
        let exchange = paths.dir().join(&seat).join(TrialPaths::EXCHANGE);
        fs::create_dir_all(&exchange).map_err(|e| Error::io("make", &exchange, e))?;
        write(&exchange.join(READY), "")?;
    }
    for file in files {
        write(&paths.dir().join(&file.name), &file.text)?;
    }
    // There before the trial starts, as with NNI.
    write(&paths.metrics(), "")?;
    save(&paths, job)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|e| Error::io("write", path, e))
}

/// Stores the request.
pub(crate) fn save(paths: &TrialPaths, job: &Job) -> Result<()> {
    let path = paths.exchange().join(JOB);
    let text = serde_json::to_vec(job).map_err(|e| {
        Error::new(
            ErrorKind::Internal,
            format!("cannot write `{}` as JSON", path.display()),
        )
        .with_source(e)
    })?;
    write_whole(&path, &text)
}

/// The stored request; `None` if there is none.
pub(crate) fn load(paths: &TrialPaths) -> Result<Option<Job>> {
    let path = paths.exchange().join(JOB);
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|e| Error::io("understand", &path, e.into())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", &path, e)),
    }
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

/// Takes the right to begin from a trial that is not wanted any more.
pub(crate) fn withdraw(paths: &TrialPaths) {
    let exchange = paths.exchange();
    // Who has it already is asked to end.
    let _ = fs::rename(exchange.join(READY), exchange.join(WITHDRAWN));
}

/// Who has the right to begin a trial.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Begin {
    /// No container has come to take it.
    #[default]
    Free,
    /// Nobody: the trial is not wanted any more.
    Withdrawn,
    /// A container.
    Taken,
}

/// What a trial has left about its end.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Traces {
    /// How its command ended.
    pub(crate) exit: Option<(TrialExit, Timestamp)>,
    /// The end of its standard error, unless it succeeded.
    pub(crate) tail: String,
    /// Who has the right to begin.
    pub(crate) begin: Begin,
    /// Whether the platform started it a second time.
    pub(crate) was_repeated: bool,
    /// Why its container could not begin it.
    pub(crate) failure: Option<String>,
    /// Whether its container ended it on our request.
    pub(crate) was_ended: bool,
}

/// Looks at what a trial has left.
pub(crate) fn traces(paths: &TrialPaths, now: Timestamp) -> Traces {
    let exchange = paths.exchange();
    // Reading the folder makes NFS ask its server what is in it.
    let names = fs::read_dir(&exchange)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name());
    let was_taken = names.filter(|name| name.to_string_lossy().starts_with(STARTED)).count() > 0;
    let begin = match (was_taken, was_begun(paths)) {
        (true, _) => Begin::Taken,
        (false, true) => Begin::Withdrawn,
        (false, false) => Begin::Free,
    };
    let exit = exit(paths).map(|exit| (exit, exit.at.or_else(|| modified(&paths.state())).unwrap_or(now)));
    let tail = match exit {
        Some((TrialExit { code: 0, .. }, _)) => String::new(),
        _ => tail_of(&paths.log(LogKind::Stderr)).unwrap_or_default(),
    };
    Traces {
        exit,
        tail,
        begin,
        was_repeated: exchange.join(AGAIN).exists(),
        failure: fs::read_to_string(exchange.join(FAILURE))
            .ok()
            .map(|text| text.trim().to_owned()),
        was_ended: exchange.join(ENDED).exists(),
    }
}

/// Whether a container has taken the right to begin, or nobody may any more.
pub(crate) fn was_begun(paths: &TrialPaths) -> bool {
    !paths.exchange().join(READY).exists()
}

/// How the command of a trial ended, if it has.
pub(crate) fn exit(paths: &TrialPaths) -> Option<TrialExit> {
    parse_state(&fs::read_to_string(paths.state()).ok()?)
}

/// The stored wish to end a trial.
pub(crate) fn cancel(paths: &TrialPaths) -> Option<ts_core::CancelReason> {
    load_cancel(paths)
}

fn modified(path: &Path) -> Option<Timestamp> {
    let modified = fs::metadata(path).ok()?.modified().ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(Timestamp)
}

fn tail_of(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    if file.seek(SeekFrom::End(-i64::from(STDERR_TAIL))).is_err() {
        file.rewind()?; // shorter than that
    }
    let mut tail = Vec::new();
    file.take(u64::from(STDERR_TAIL)).read_to_end(&mut tail)?;
    Ok(String::from_utf8_lossy(&tail).into_owned())
}
