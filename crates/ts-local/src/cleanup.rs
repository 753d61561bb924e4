//! Removes what trials left: first their processes, then their directories.
//!
//! The user's code directory is never touched.

use crate::{cancel, core::Core, process_tree};
use std::{collections::BTreeSet, fs, io, path::Path};
use ts_core::{CancelReason, CleanupReport, CleanupScope, Error, TrialId, TrialStatus};

/// Ends and removes; goes on after a failure.
pub(crate) async fn cleanup(core: &Core, scope: &CleanupScope) -> CleanupReport {
    let mut report = CleanupReport::new();
    let root = core.trials_dir();
    let everything = matches!(scope, CleanupScope::Experiment);
    let trials: BTreeSet<TrialId> = match scope {
        CleanupScope::Trials(trials) => trials.iter().cloned().collect(),
        _ => match on_disk_and_alive(&root) {
            Ok(found) => core.registry.ids().into_iter().chain(found).collect(),
            Err(error) => {
                report.failures.push((root.display().to_string(), error));
                core.registry.ids().into_iter().collect()
            }
        },
    };
    settle(core).await;
    end_all(core, &trials, &mut report).await;
    for trial in &trials {
        let dir = core.paths(trial).dir().to_owned();
        match fs::remove_dir_all(&dir) {
            Ok(()) => report.removed += 1,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => {
                report.failures.push((trial.to_string(), Error::io("remove", &dir, e)));
                continue;
            }
        }
        core.registry.remove(trial);
    }
    if everything && report.is_clean() {
        remove_all(&core.ctx.work_dir.join(crate::prepare::CODE), &mut report);
        remove_all(&root, &mut report);
    }
    report
}

fn remove_all(dir: &Path, report: &mut CleanupReport) {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            report
                .failures
                .push((dir.display().to_string(), Error::io("remove", dir, e)));
        }
        _ => {}
    }
}

/// Waits until nothing is left of trees that are being ended already, leftovers of ended trials included.
async fn settle(core: &Core) {
    let mut rounds = core.endings.rounds();
    core.endings.hurry();
    while !core.endings.is_empty() {
        if rounds.changed().await.is_err() {
            return;
        }
    }
}

/// Ends every tree and waits until all are gone; a trial that nobody knew is ended by its stamp.
async fn end_all(core: &Core, trials: &BTreeSet<TrialId>, report: &mut CleanupReport) {
    let mut rounds = core.endings.rounds();
    let inbox = core.registry.subscribe();
    for trial in trials {
        match core.registry.get(trial) {
            Some(known) if known.status.is_terminal() => {}
            Some(_) => cancel::cancel(core, trial, CancelReason::User),
            None => core.endings.end_now(trial, None),
        }
    }
    let has_ended = |trial: &TrialId| {
        !core.endings.includes(trial) && core.registry.get(trial).is_none_or(|known| known.status.is_terminal())
    };
    while !trials.iter().all(has_ended) {
        tokio::select! {
            () = inbox.marked() => {}
            _ = rounds.changed() => {}
        }
    }
    for trial in trials {
        let leaked = core.registry.get(trial).is_some_and(|known| {
            known.status != TrialStatus::Succeeded
                && known.why.is_some_and(|why| why.code == ts_core::ReasonCode::Leaked)
        });
        if leaked {
            let error = Error::new(
                ts_core::ErrorKind::Io,
                format!("processes of trial `{trial}` survive SIGKILL"),
            );
            report.failures.push((trial.to_string(), error));
        }
    }
}

/// Trials that have a directory below `root`, and those whose processes carry it in their stamp.
fn on_disk_and_alive(root: &Path) -> ts_core::Result<Vec<TrialId>> {
    let mut found = Vec::new();
    match fs::read_dir(root) {
        Ok(entries) => {
            for entry in entries {
                let name = entry.map_err(|e| Error::io("list", root, e))?.file_name();
                found.extend(name.to_str().and_then(|name| TrialId::new(name).ok()));
            }
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(Error::io("list", root, e)),
    }
    let processes = crate::recover::look()?;
    let stamped = process_tree::stamped_dirs(&processes);
    let below = stamped.into_iter().filter(|dir| dir.parent() == Some(root));
    found.extend(below.filter_map(|dir| TrialId::new(dir.file_name()?.to_str()?).ok()));
    Ok(found)
}
