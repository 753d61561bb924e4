//! The sweep that is still due when the service or its tasks end: leftovers of ended trials do not outlive the experiment.
//!
//! Trials that run, and trees that are being ended on request, are not touched: the one outlives us, the other is on disk
//! and `recover` completes it. While tasks run, sweeping is `cancel`'s business.

use crate::{
    cancel::Endings,
    core::Core,
    process_tree::{self, Wanted},
};
use futures_util::FutureExt as _;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    process::Signal,
};
use std::{io, path::PathBuf, sync::Arc, time::Duration};
use ts_core::{TaskScope, launch::TrialPaths};

/// How long processes may take to end after SIGKILL.
const FORCE_LIMIT: Duration = Duration::from_secs(1);
/// Most looks: a tree that forks faster than it is killed must not hold the program for ever.
const MAX_LOOKS: usize = 20;

/// Sweeps when it is dropped, which a task's end does in any case.
#[derive(Debug)]
pub(crate) struct LastSweep {
    endings: Arc<Endings>,
    tasks: TaskScope,
    trials_dir: PathBuf,
    signal: Signal,
    grace: Duration,
}

impl LastSweep {
    pub(crate) fn new(core: &Core) -> Self {
        Self {
            endings: Arc::clone(&core.endings),
            tasks: core.ctx.tasks.clone(),
            trials_dir: core.trials_dir(),
            signal: core.config.cancel_signal.into(),
            grace: core.config.grace_period,
        }
    }
}

impl Drop for LastSweep {
    fn drop(&mut self) {
        let wanted: Vec<Wanted> = self
            .endings
            .take_over()
            .into_iter()
            .map(|(trial, group)| Wanted {
                dir: TrialPaths::new(self.trials_dir.join(trial.as_str())).dir().to_owned(),
                group,
            })
            .collect();
        // Without a runtime nobody could wait for the work either.
        if wanted.is_empty() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let (signal, grace) = (self.signal, self.grace);
        // Begun by this first poll, and waited for by whoever closes the scope.
        let _begun = self
            .tasks
            .blocking(move || sweep(&wanted, signal, grace))
            .now_or_never();
    }
}

fn sweep(wanted: &[Wanted], signal: Signal, grace: Duration) {
    for look in 0..MAX_LOOKS {
        let (signal, limit) = if look == 0 {
            (signal, grace)
        } else {
            (Signal::KILL, FORCE_LIMIT)
        };
        match end_members(wanted, signal, limit) {
            Ok(0) => return,
            Ok(n) => tracing::warn!(n, "ended processes that ended trials had left behind"),
            Err(error) => {
                tracing::warn!(%error, "cannot look for processes that ended trials have left behind");
                return;
            }
        }
    }
    tracing::warn!("processes that ended trials have left behind survive SIGKILL");
}

/// Signals every member and waits until they have ended, at most `limit` for each; gives their number.
fn end_members(wanted: &[Wanted], signal: Signal, limit: Duration) -> io::Result<usize> {
    let members = process_tree::members(&process_tree::snapshot()?, wanted).concat();
    let mut handles: Vec<OwnedFd> = Vec::new();
    for member in &members {
        if let Some(handle) = process_tree::open(*member)? {
            process_tree::signal(&handle, signal)?;
            handles.push(handle);
        }
    }
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    for handle in &handles {
        // One that does not end in time is met again by the next look.
        if poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&limit))? == 0 {
            break;
        }
    }
    Ok(members.len())
}
