//! What workers and we tell each other: names of blobs in `nni/EXPERIMENT/.workers/WORKER`, so that one list tells all.

use crate::{AmlConfig, core::Core, names};
use std::collections::BTreeMap;
use ts_core::{ExperimentId, Result, TrialId, launch::quote};

/// Folder of the workers below that of the experiment; no trial has this name.
const WORKERS: &str = ".workers";
pub(super) const LOOP: &str = "loop.sh";

/// What lies in a worker's folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Worker {
    /// Version of the code that its job has.
    pub(super) code: String,
    /// Whether its job has begun.
    pub(super) is_alive: bool,
    /// What it was given, and what became of that.
    pub(super) trials: BTreeMap<TrialId, Turn>,
}

/// A trial that was given to a worker.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) is_begun: bool,
    /// Whether it was asked to end.
    pub(super) is_canceled: bool,
    /// Exit code of its script.
    pub(super) over: Option<i32>,
}

impl Worker {
    /// Whether it can be given a trial.
    pub(super) fn is_free(&self) -> bool {
        self.is_alive && self.trials.values().all(|turn| turn.over.is_some())
    }
}

/// Workers by their names.
pub(super) type Board = BTreeMap<String, Worker>;

/// The path of a file of a worker.
pub(super) fn path(experiment: &ExperimentId, worker: &str, file: &str) -> String {
    format!("{}/{WORKERS}/{worker}/{file}", names::folder(experiment))
}

/// One look at all workers.
pub(super) async fn look(core: &Core) -> Result<Board> {
    let folder = format!("{}/{WORKERS}", names::folder(&core.experiment));
    let names = core.api.store.list(&folder).await?;
    Ok(read(
        names
            .iter()
            .filter_map(|name| name.strip_prefix(&folder)?.strip_prefix('/')),
    ))
}

/// `names`: `WORKER/FILE` each.
fn read<'a>(names: impl Iterator<Item = &'a str>) -> Board {
    let mut board = Board::new();
    for (worker, file) in names.filter_map(|name| name.split_once('/')) {
        let worker = board.entry(worker.to_owned()).or_default();
        let (kind, rest) = file.split_once('.').unwrap_or((file, ""));
        match kind {
            "alive" => worker.is_alive = true,
            "code" => rest.clone_into(&mut worker.code),
            "next" => note(worker, rest, |_| {}),
            "begun" => note(worker, rest, |turn| turn.is_begun = true),
            "cancel" => note(worker, rest, |turn| turn.is_canceled = true),
            "over" => {
                if let Some((code, trial)) = rest.split_once('.') {
                    note(worker, trial, |turn| turn.over = Some(code.parse().unwrap_or(114)));
                }
            }
            _ => {}
        }
    }
    board
}

fn note(worker: &mut Worker, trial: &str, change: impl FnOnce(&mut Turn)) {
    if let Ok(trial) = TrialId::new(trial) {
        change(worker.trials.entry(trial).or_default());
    }
}

/// The script of a worker.
pub(crate) fn script(config: &AmlConfig, experiment: &ExperimentId, worker: &str) -> String {
    format!(
        "#!/bin/sh\nts_me={}\nts_experiment={}\nts_idle={}\nts_grace={}\n{}",
        quote(worker),
        quote(experiment.as_str()),
        config.idle_timeout.as_secs().max(1),
        config.grace_period.as_secs(),
        include_str!("../worker/loop.sh")
    )
}

/// Stores what a worker begins with.
pub(super) async fn store_worker(core: &Core, worker: &str, version: &str) -> Result<()> {
    let script = script(&core.config, &core.experiment, worker);
    let place = |file: &str| path(&core.experiment, worker, file);
    core.api.store.put(&place(LOOP), script.into_bytes()).await?;
    core.api
        .store
        .put(&place(&format!("code.{version}")), b"yes\n".to_vec())
        .await
}

/// Puts a file there that says what its name says.
pub(super) async fn tell(core: &Core, worker: &str, kind: &str, trial: &TrialId) -> Result<()> {
    let place = path(&core.experiment, worker, &format!("{kind}.{trial}"));
    core.api.store.put(&place, b"yes\n".to_vec()).await
}

/// Removes all that is told of a trial: what gives it to the worker first, so that it is not begun again.
pub(super) async fn wipe(core: &Core, worker: &str, trial: &TrialId, turn: Turn) -> Result<()> {
    let over = turn.over.map(|code| format!("over.{code}.{trial}"));
    let files = ["next", "cancel", "begun"].map(|kind| format!("{kind}.{trial}"));
    for file in files.into_iter().chain(over) {
        core.api.store.remove(&path(&core.experiment, worker, &file)).await?;
    }
    Ok(())
}

/// Removes all that is told of a worker.
pub(super) async fn forget(core: &Core, worker: &str) -> Result<()> {
    let folder = path(&core.experiment, worker, "");
    for name in core.api.store.list(folder.trim_end_matches('/')).await? {
        core.api.store.remove(&name).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_all() {
        let names = [
            "a/loop.sh",
            "a/code.12ab",
            "a/alive",
            "a/next.T1",
            "a/begun.T1",
            "a/next.T2",
            "a/cancel.T2",
            "a/over.-3.T3",
            "b/code.7",
            "x",
        ];
        let board = read(names.into_iter());
        let a = &board["a"];
        assert!(a.is_alive && a.code == "12ab" && !a.is_free());
        let turn = |trial: &str| a.trials[&TrialId::new(trial).unwrap()];
        assert_eq!((turn("T1").is_begun, turn("T1").over), (true, None));
        assert!(turn("T2").is_canceled && !turn("T2").is_begun);
        assert_eq!(turn("T3").over, Some(-3));
        assert!(!board["b"].is_free() && !board["b"].is_alive);
        assert_eq!(board.len(), 2);
    }
}
