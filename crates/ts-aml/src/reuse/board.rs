//! What workers and we tell each other: names of blobs in `nni/EXPERIMENT/.workers/WORKER`, so that one list tells all.

use super::{gpus, placing::Share};
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
    /// Numbers of its reports about the GPUs of its node, ascending; the last one counts.
    pub(super) reports: Vec<u64>,
    /// What it was given, and what became of that.
    pub(super) trials: BTreeMap<TrialId, Turn>,
}

/// A trial that was given to a worker.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    /// What it may use of the node.
    pub(super) share: Share,
    pub(super) is_begun: bool,
    /// Whether it was asked to end.
    pub(super) is_canceled: bool,
    /// Exit code of its script.
    pub(super) over: Option<i32>,
}

impl Worker {
    /// The trials that use its node now, or are about to, and what of it.
    pub(super) fn shares(&self) -> BTreeMap<TrialId, Share> {
        let present = self.trials.iter().filter(|(_, turn)| turn.over.is_none());
        present
            .map(|(trial, turn)| (trial.clone(), turn.share.clone()))
            .collect()
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
            "gpus" => worker.reports.extend(rest.parse::<u64>().ok()),
            "next" => {
                let (trial, share) = rest.split_once('.').unwrap_or((rest, ""));
                note(worker, trial, |turn| turn.share = Share::parse(share));
            }
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
    for worker in board.values_mut() {
        worker.reports.sort_unstable();
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
        "#!/bin/sh\nts_me={}\nts_experiment={}\nts_idle={}\nts_grace={}\n{}{}",
        quote(worker),
        quote(experiment.as_str()),
        config.idle_timeout.as_secs().max(1),
        config.grace_period.as_secs(),
        gpus::asking(),
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

/// Gives a trial to a worker: what it may use of the node stands in the name, so that whoever looks knows what is in use.
pub(super) async fn give(core: &Core, worker: &str, trial: &TrialId, share: &Share) -> Result<()> {
    let place = path(&core.experiment, worker, &next(trial, share));
    core.api.store.put(&place, b"yes\n".to_vec()).await
}

fn next(trial: &TrialId, share: &Share) -> String {
    format!("next.{trial}{}", share.suffix())
}

/// Removes all that is told of a trial: what gives it to the worker first, so that it is not begun again.
pub(super) async fn wipe(core: &Core, worker: &str, trial: &TrialId, turn: &Turn) -> Result<()> {
    let over = turn.over.map(|code| format!("over.{code}.{trial}"));
    let files = ["cancel", "begun"].map(|kind| format!("{kind}.{trial}"));
    for file in [next(trial, &turn.share)].into_iter().chain(files).chain(over) {
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
            "a/next.T2.0-3",
            "a/gpus.10",
            "a/gpus.9",
            "a/cancel.T2",
            "a/over.-3.T3",
            "b/code.7",
            "x",
        ];
        let board = read(names.into_iter());
        let a = &board["a"];
        assert!(a.is_alive && a.code == "12ab");
        assert_eq!(a.reports, [9, 10]);
        let turn = |trial: &str| &a.trials[&TrialId::new(trial).unwrap()];
        assert_eq!((turn("T1").is_begun, turn("T1").over), (true, None));
        assert!(turn("T2").is_canceled && !turn("T2").is_begun);
        assert_eq!(turn("T2").share, Share::Gpus(vec![0, 3]));
        let shares: Vec<_> = a.shares().into_keys().map(|trial| trial.to_string()).collect();
        assert_eq!(shares, ["T1", "T2"], "what is over uses nothing");
        assert_eq!(turn("T3").over, Some(-3));
        assert!(!board["b"].is_alive);
        assert_eq!(board.len(), 2);
    }
}
