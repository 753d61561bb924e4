//! Finds trials of an earlier manager by their directories and stamps, and takes them over.
//!
//! There is no other way to resume: what `submit` leaves on disk and in `/proc` is all that is asked.

use crate::{
    core::{Core, Known},
    gpus::Assignment,
    observe::handle_on,
    process_tree::{self, Process, ProcessId},
    status,
};
use std::{collections::HashSet, fs, io, path::Path};
use ts_core::{Error, Reason, ReasonCode, Recovered, Result, TrialId, TrialRecord, launch::TrialPaths};

/// What is found of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trace {
    /// Its shell runs.
    Live(ProcessId),
    /// Its shell is gone; its state says how it ended, or nothing does.
    Ended,
    /// Its directory is there, and its command was never started; with GPUs wished for it waits.
    Unlaunched,
    /// Nothing is found.
    Absent,
}

/// All processes, once for any number of trials.
pub(crate) fn look() -> Result<Vec<Process>> {
    process_tree::snapshot().map_err(|e| Error::io("read", Path::new("/proc"), e))
}

/// What is found of the trial of these files. `processes` must be newer than the claim of its directory.
pub(crate) fn trace_of(paths: &TrialPaths, processes: &[Process]) -> Trace {
    // A pid from a file proves nothing, it may be another process by now: the stamp does.
    let stamped = || processes.iter().filter(|p| p.trial_dir.as_deref() == Some(paths.dir()));
    let pid = fs::read_to_string(paths.job_pid())
        .ok()
        .and_then(|text| text.trim().parse::<i32>().ok());
    let has_state = paths.state().exists();
    let shell = match pid {
        Some(pid) => stamped().find(|p| p.id.pid.as_raw_nonzero().get() == pid),
        None => stamped().find(|p| p.leads_group()),
    };
    match shell {
        Some(shell) => Trace::Live(shell.id),
        None if has_state || pid.is_some() || stamped().next().is_some() => Trace::Ended,
        None if paths.dir().is_dir() => Trace::Unlaunched,
        None => Trace::Absent,
    }
}

/// Takes over a trial that was started or has ended; one that is in the registry already is only given its state.
pub(crate) fn adopt(core: &Core, trial: &TrialId, trace: Trace) -> Result<()> {
    let paths = core.paths(trial);
    let now = core.ctx.clock.now();
    let cancel = status::cancel_intent(&paths);
    let gpus = Assignment::load(&paths).unwrap_or_else(|error| {
        tracing::warn!(%trial, %error, "which GPUs the trial holds is not known; they count as used while its processes are on them");
        None
    });
    if let Some(gpus) = &gpus {
        core.gpus.restore(trial, gpus);
    }
    core.registry.claim(trial, Known::running(now, None));
    let shell = match trace {
        Trace::Live(process) => Some(process),
        Trace::Ended | Trace::Unlaunched | Trace::Absent => None,
    };
    core.registry.update(trial, |known| {
        // The shell writes its pid first of all.
        let started = status::modified(&paths.job_pid()).unwrap_or(now);
        *known = Known {
            cancel,
            ..Known::running(started, shell.map(|process| process.pid))
        };
    });
    if let Some(process) = shell {
        if let Err(error) = core.observer.await_change(&paths.metrics(), trial) {
            tracing::warn!(%trial, %error, "metrics arrive at the end only; raise `fs.inotify.max_user_watches` (sysctl)");
        }
        let failed = |e: io::Error| Error::io("watch the shell of the trial in", paths.dir(), e);
        // Opened by pid, so checked once more behind it: a handle never changes its process.
        if let Some(handle) = handle_on(process.pid).map_err(failed)?
            && process_tree::open(process).map_err(failed)?.is_some()
        {
            core.observer.await_end(handle, Some(trial.clone())).map_err(failed)?;
            if cancel.is_some() {
                core.endings.end_now(trial, Some(process.pid));
            }
            return Ok(());
        }
    }
    if cancel.is_some() {
        core.endings.end_now(trial, None); // concludes when the tree is gone
    } else {
        core.conclude(trial, status::of_ended(&paths, None, now));
        core.endings.sweep_now(trial, None);
    }
    Ok(())
}

/// Compares the trials on disk and in `/proc` with those that the store knows as not ended.
pub(crate) fn recover(core: &Core, known: &[TrialRecord]) -> Result<Recovered> {
    let processes = look()?;
    let mut recovered = Recovered::new();
    for record in known {
        let trial = &record.spec.id;
        if core.registry.get(trial).is_some() {
            recovered.adopted.push(trial.clone());
            continue;
        }
        let paths = core.paths(trial);
        let found = match trace_of(&paths, &processes) {
            Trace::Absent => false,
            Trace::Unlaunched => resume_waiting(core, trial, &paths)?,
            trace => adopt(core, trial, trace).map(|()| true)?,
        };
        if found {
            &mut recovered.adopted
        } else {
            &mut recovered.lost
        }
        .push(trial.clone());
    }
    let known: HashSet<&TrialId> = known.iter().map(|record| &record.spec.id).collect();
    recovered.strays = strays(core, &processes, &known);
    Ok(recovered)
}

/// Takes over a trial that was never started: it goes on waiting for GPUs, or ends if it was asked to.
///
/// `false` if its submit did not come that far; submitting it again finishes the work.
fn resume_waiting(core: &Core, trial: &TrialId, paths: &TrialPaths) -> Result<bool> {
    let cancel = status::cancel_intent(paths);
    let wish = Assignment::load(paths)?;
    if cancel.is_none() && wish.is_none() {
        return Ok(false);
    }
    let now = core.ctx.clock.now();
    let reason = Reason::new(ReasonCode::Queued, "waits for its turn", now);
    let mut waiting = Known::waiting(now, reason, None);
    waiting.cancel = cancel;
    core.registry.claim(trial, waiting);
    match (cancel, wish) {
        (Some(_), _) => core.conclude_cancel(trial, &[]),
        (None, Some(wish)) => core.gpus.enqueue(trial, wish.without_devices()),
        (None, None) => {}
    }
    Ok(true)
}

/// Live trials of this experiment that nobody knows, by their processes.
///
/// Where the state of a trial is there, its command has ended, and an earlier manager died before it had swept what the
/// command left behind: that is no stray, and it is swept now.
fn strays(core: &Core, processes: &[Process], known: &HashSet<&TrialId>) -> Vec<TrialId> {
    let root = core.trials_dir();
    let unknown = process_tree::stamped_dirs(processes)
        .into_iter()
        .filter(|dir| dir.parent() == Some(root.as_path()))
        .filter_map(|dir| TrialId::new(dir.file_name()?.to_str()?).ok())
        .filter(|trial| !known.contains(trial) && core.registry.get(trial).is_none());
    let (ended, mut strays): (Vec<TrialId>, Vec<TrialId>) =
        unknown.partition(|trial| core.paths(trial).state().exists());
    for trial in ended {
        core.endings.sweep(&trial);
    }
    strays.sort();
    strays
}
