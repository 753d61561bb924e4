//! Reuse: long-running jobs, the workers, each take one trial after another from an inbox on the storage.
//!
//! A trial's own script is the same as in a job of its own; what is different is who runs it, and that its end is told on the storage.

mod files;
mod pool;

pub(crate) use files::{WORKERS, worker_document};
pub(crate) use pool::{Pool, serve, stop_all};

use crate::core::Core;
use std::sync::Arc;
use ts_core::{Result, TrialId};

/// Trials of the experiment that wait or run, whoever submitted them.
pub(crate) async fn unfinished(core: &Arc<Core>) -> Result<Vec<TrialId>> {
    let now = core.ctx.clock.now();
    core.on_storage(move |core| files::unfinished(&core.folders, now)).await
}

/// Puts a trial where workers find it, unless one has it.
pub(crate) fn enqueue(core: &Core, trial: &TrialId) -> Result<()> {
    files::enqueue(&core.folders, trial)
}

/// Takes a trial away before a worker has it; `false` if one has it, or it never was there.
pub(crate) fn take_back(core: &Core, trial: &TrialId) -> bool {
    files::take_back(&core.folders, trial)
}
