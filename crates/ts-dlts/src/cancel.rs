//! Takes the wish to end a trial: stored first, then asked of the cluster until the trial has ended.
//!
//! The trial's own container sees the wish in the shared folder and ends gently; the cluster kills what is left of it. The end itself is
//! seen by `observe`.

use crate::core::{Core, Running, Spawner};
use std::{sync::Arc, time::Duration};
use ts_core::{
    CancelReason, TrialId,
    follow::{mounted, save_cancel, wait_after},
};

/// Pace of asking again while the job has not ended: one that changes its state at the same moment may not take the request.
const AGAIN: Duration = Duration::from_secs(5);

/// Takes the request to end `trial`; the end itself arrives on `watch`.
pub(crate) async fn cancel(running: &Arc<Running>, trial: &TrialId, why: CancelReason) {
    let core = &running.core;
    let is_ours = core.registry.with(trial, |known| {
        !known.status.is_terminal() && known.cancel.is_none() && !known.extra.is_looked_on
    });
    if is_ours != Some(true) {
        return;
    }
    let stored = {
        let trial = trial.clone();
        core.on_storage(move |core| {
            let paths = core.folders.paths(&trial);
            mounted::withdraw(&paths);
            save_cancel(&paths, why)
        })
        .await
    };
    if let Err(error) = stored {
        tracing::warn!(%trial, %error, "the request to cancel is not stored; it is carried out all the same");
    }
    let mut is_first = false;
    let is_created = core.registry.update(trial, |known| {
        is_first = known.cancel.is_none();
        known.cancel.get_or_insert(why);
        known.extra.created_at.is_some()
    });
    // What is not sent yet is ended by whoever would send it.
    if is_first && is_created == Some(true) {
        stop_later(&running.spawner(), trial.clone());
    }
}

/// Has the job of a trial stopped, however long that takes to be possible.
pub(crate) fn stop_later(spawner: &Spawner, trial: TrialId) {
    let own = spawner.clone();
    spawner.spawn(async move { stop(&own.core, &trial).await });
}

async fn stop(core: &Core, trial: &TrialId) {
    while core.registry.with(trial, |known| known.status.is_terminal()) == Some(false) {
        let asked = {
            // Nobody closes it.
            let _turn = core.writes.acquire().await;
            match core.registry.with(trial, |known| known.extra.job.id.clone()) {
                Some(id) => core.api.kill(&id).await,
                None => Ok(false),
            }
        };
        core.bell.notify_one();
        let wait = match asked {
            // `false`: it is ending already, or over, or lost; `observe` tells.
            Ok(_) => AGAIN,
            Err(error) => {
                tracing::warn!(%trial, %error, "the job could not be stopped; trying again");
                wait_after(&error, AGAIN)
            }
        };
        core.ctx.clock.sleep(wait).await;
    }
}
