//! Copies what trials have written from the datastore to this machine, each file from where our copy ends.

use crate::{
    core::{Core, Place, Spawner},
    files, names,
};
use futures_util::{StreamExt as _, stream};
use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, Weak},
    time::Duration,
};
use ts_core::{
    LogKind, Result, TrialId, TrialStatus,
    follow::{Known, write_whole},
    launch::TrialPaths,
};

/// Trials whose files are copied at a time.
const AT_A_TIME: usize = 8;
/// Longest time between two tries while the storage cannot be used.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const LOGS: [LogKind; 3] = [LogKind::Stdout, LogKind::Stderr, LogKind::Trial];

/// Starts the task that copies while trials run.
pub(crate) fn start(spawner: &Spawner) {
    spawner.spawn(run(Arc::downgrade(&spawner.core)));
}

async fn run(core: Weak<Core>) {
    let mut failures = 0_u32;
    loop {
        let Some(core) = core.upgrade() else { return };
        let pace = core.config.pull_interval;
        core.ctx
            .clock
            .sleep((pace * 2_u32.pow(failures.min(6))).min(LONGEST_WAIT.max(pace)))
            .await;
        let is_running = |trial: &TrialId| {
            let may_run = |known: &Known<Place>| matches!(known.status, TrialStatus::Running | TrialStatus::Unknown);
            core.registry.with(trial, may_run) == Some(true)
        };
        let running: Vec<TrialId> = core.registry.ids().into_iter().filter(is_running).collect();
        let shared = &core;
        let pulls = running
            .into_iter()
            .map(|trial| async move { growth(shared, &trial).await });
        let results: Vec<Result<()>> = stream::iter(pulls).buffer_unordered(AT_A_TIME).collect().await;
        failures = match results.into_iter().find_map(Result::err) {
            Some(error) => {
                tracing::warn!(%error, "what trials have written cannot be read at present");
                failures + 1
            }
            None => 0,
        };
    }
}

/// Notes that somebody follows a log.
pub(crate) fn want(core: &Core, trial: &TrialId, log: LogKind) {
    let mut wanted = core.wanted.lock().unwrap_or_else(PoisonError::into_inner);
    wanted.entry(trial.clone()).or_default().insert(log);
}

/// Copies the journal and the logs that somebody follows.
async fn growth(core: &Arc<Core>, trial: &TrialId) -> Result<()> {
    let wanted = {
        let wanted = core.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.get(trial).cloned().unwrap_or_default()
    };
    let turn = turn(core, trial);
    let _turn = turn.lock().await;
    let paths = core.folders.paths(trial);
    let mut grew = copy(core, trial, TrialPaths::METRICS, paths.metrics()).await?;
    for log in wanted {
        grew |= copy(core, trial, log.file_name(), paths.log(log)).await?;
    }
    if grew {
        core.registry.tell(trial);
    }
    Ok(())
}

/// Copies everything of a trial. The end is read first and written last: all that came before it is here once it is.
pub(crate) async fn all(core: &Arc<Core>, trial: &TrialId) -> Result<()> {
    let turn = turn(core, trial);
    let _turn = turn.lock().await;
    let paths = core.folders.paths(trial);
    let mut ends = Vec::new();
    for (name, path) in [
        (TrialPaths::STATE, paths.state()),
        (files::AGAIN, paths.exchange().join(files::AGAIN)),
        (files::FAILURE, paths.exchange().join(files::FAILURE)),
    ] {
        ends.push((path, core.api.store.read(&remote(core, trial, name), 0).await?));
    }
    copy(core, trial, TrialPaths::METRICS, paths.metrics()).await?;
    for log in LOGS {
        copy(core, trial, log.file_name(), paths.log(log)).await?;
    }
    for (path, content) in ends {
        if !content.is_empty() {
            core.on_disk(move |_| write_whole(&path, &content)).await?;
        }
    }
    Ok(())
}

/// Copies what a file has more than ours; says whether there was any.
async fn copy(core: &Arc<Core>, trial: &TrialId, name: &str, path: PathBuf) -> Result<bool> {
    let remote = remote(core, trial, name);
    let own = path.clone();
    let mut offset = core.on_disk(move |_| files::length(&own)).await?;
    let mut grew = false;
    loop {
        let bytes = core.api.store.read(&remote, offset).await?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if length == 0 {
            return Ok(grew);
        }
        let own = path.clone();
        core.on_disk(move |_| files::add(&own, offset, &bytes)).await?;
        offset += length;
        grew = true;
    }
}

fn remote(core: &Core, trial: &TrialId, name: &str) -> String {
    format!("{}/{name}", names::trial_folder(&core.experiment, trial))
}

fn turn(core: &Core, trial: &TrialId) -> Arc<tokio::sync::Mutex<()>> {
    let mut turns = core.turns.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(turns.entry(trial.clone()).or_default())
}

/// Forgets who copies and follows a trial that is gone.
pub(crate) fn forget(core: &Core, trial: &TrialId) {
    core.turns.lock().unwrap_or_else(PoisonError::into_inner).remove(trial);
    core.wanted.lock().unwrap_or_else(PoisonError::into_inner).remove(trial);
}
