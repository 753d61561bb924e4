//! What workers and we exchange: `{mount}/{experiment}/envs`, with the inbox and a folder for each worker.

use crate::{PaiConfig, job, names, seats};
use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
};
use ts_core::{
    Error, ExperimentId, Result, Timestamp, TrialId,
    follow::mounted::{Begin, Folders, Traces, traces},
    launch::quote,
};

/// Folder of the workers. Source of the name: nni v2.10, `reusable/environments/openPaiEnvironmentService.ts`.
pub(crate) const WORKERS: &str = "envs";
const INBOX: &str = "inbox";
/// Beside the workers' folders: they are to leave.
const DRAIN: &str = "drain";
const LOOP: &str = "loop.sh";
const BUSY: &str = "busy";
/// In a worker's folder: its job has ended.
const ENDED: &str = "ended";
/// In a trial's exchange folder: its script has returned, and nothing of it is left.
const OVER: &str = "over";

fn inbox(folders: &Folders) -> PathBuf {
    folders.root().join(WORKERS).join(INBOX)
}

fn home(folders: &Folders, worker: &str) -> PathBuf {
    folders.root().join(WORKERS).join(worker)
}

fn make(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(|e| Error::io("make", dir, e))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|e| Error::io("write", path, e))
}

pub(super) fn enqueue(folders: &Folders, trial: &TrialId) -> Result<()> {
    let inbox = inbox(folders);
    make(&inbox)?;
    write(&inbox.join(trial.as_str()), "")
}

pub(super) fn take_back(folders: &Folders, trial: &TrialId) -> bool {
    fs::remove_file(inbox(folders).join(trial.as_str())).is_ok()
}

/// Stores that a worker is to be started.
pub(super) fn store_worker(
    config: &PaiConfig,
    experiment: &ExperimentId,
    folders: &Folders,
    worker: &str,
) -> Result<()> {
    let home = home(folders, worker);
    make(&home)?;
    make(&inbox(folders))?;
    // Of a clean-up that was not completed.
    let _ = fs::remove_file(folders.root().join(WORKERS).join(DRAIN));
    let root = format!("{}/{experiment}", config.container_mount);
    let script = format!(
        "#!/bin/sh\nts_root={}\nts_experiment={}\nts_me={}\nts_idle={}\nts_role={}\n{}",
        quote(&root),
        quote(experiment.as_str()),
        quote(worker),
        config.idle_timeout.as_secs().max(1),
        quote(seats::ONLY_ROLE),
        include_str!("../worker/loop.sh")
    );
    write(&home.join(LOOP), &script)
}

/// The job of a worker.
///
/// # Errors
/// `Config` if no server would read it.
pub(crate) fn worker_document(config: &PaiConfig, experiment: &ExperimentId, worker: &str) -> Result<String> {
    let script = format!("{}/{experiment}/{WORKERS}/{worker}/{LOOP}", config.container_mount);
    let command = |_: &seats::Role| format!("sh {}", quote(&script));
    job::document_of(config, None, &names::worker(experiment, worker), command)
}

/// Has workers leave when they are idle.
pub(super) fn drain(folders: &Folders) -> Result<()> {
    let workers = folders.root().join(WORKERS);
    if workers.is_dir() {
        write(&workers.join(DRAIN), "")
    } else {
        Ok(())
    }
}

/// Notes that the job of a worker has ended.
pub(super) fn note_end(folders: &Folders, worker: &str) -> Result<()> {
    write(&home(folders, worker).join(ENDED), "")
}

/// What lies on the storage of a worker that has not ended.
#[derive(Debug, Default)]
pub(super) struct Worker {
    pub(super) busy: Option<TrialId>,
}

/// What lies on the storage of a trial.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) is_queued: bool,
    /// What the trial has left, and the exit code of its script once that has returned.
    pub(super) left: Traces,
    pub(super) over: Option<i32>,
}

/// One look at workers and trials.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) workers: HashMap<String, Worker>,
    pub(super) trials: HashMap<TrialId, Sight>,
    /// Everything in the inbox, whoever put it there.
    pub(super) inbox: HashSet<TrialId>,
}

pub(super) fn look(folders: &Folders, trials: &[TrialId], now: Timestamp) -> Result<View> {
    let mut view = View::default();
    for name in list(&inbox(folders))? {
        view.inbox.extend(TrialId::new(&name).ok());
    }
    for name in list(&folders.root().join(WORKERS))? {
        let home = home(folders, &name);
        if [INBOX, DRAIN].contains(&name.as_str()) || home.join(ENDED).exists() {
            continue;
        }
        let busy = fs::read_to_string(home.join(BUSY)).ok();
        let busy = busy.and_then(|text| TrialId::new(text.trim()).ok());
        view.workers.insert(name, Worker { busy });
    }
    for trial in trials {
        let paths = folders.paths(trial);
        let over = fs::read_to_string(paths.exchange().join(OVER)).ok();
        let over = over.and_then(|text| text.trim().parse().ok());
        view.trials.insert(
            trial.clone(),
            Sight {
                is_queued: view.inbox.contains(trial),
                left: traces(&paths, now),
                over,
            },
        );
    }
    Ok(view)
}

/// Trials of the experiment that wait or run, whoever submitted them.
pub(super) fn unfinished(folders: &Folders, now: Timestamp) -> Result<Vec<TrialId>> {
    let view = look(folders, &folders.trials()?, now)?;
    let is_unfinished = |sight: &Sight| sight.over.is_none() && (sight.is_queued || sight.left.begin == Begin::Taken);
    let found = view.trials.into_iter().filter(|(_, sight)| is_unfinished(sight));
    Ok(found.map(|(trial, _)| trial).collect())
}

fn list(dir: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("list", dir, e)),
    };
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect())
}
