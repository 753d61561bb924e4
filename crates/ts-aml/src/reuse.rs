//! Reuse: long-running jobs, the workers, each take trials that we give them over the storage: one after another, or several at a time.
//!
//! A trial's own script is the same as in a job of its own; what is different is who runs it, and that its end is told on the storage.
//! A mount of blobs knows no locks and no exclusive rename, so a trial is never there for whoever comes first: we give it to one worker.

mod board;
mod gpus;
mod placing;
mod pool;
mod staff;
mod worker;

pub(crate) use board::script;
pub(crate) use pool::{Pool, serve};
pub(crate) use worker::stop_all;

use crate::core::Core;
use ts_core::{Result, TrialId};

/// Trials that a worker has and that have not ended, whoever submitted them.
pub(crate) async fn unfinished(core: &Core) -> Result<Vec<TrialId>> {
    let board = board::look(core).await?;
    let all = board.into_values().flat_map(|worker| worker.trials);
    Ok(all
        .filter(|(_, turn)| turn.over.is_none())
        .map(|(trial, _)| trial)
        .collect())
}
