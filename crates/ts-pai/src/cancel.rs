//! Takes the wish to end a trial: stored first, then asked of the cluster until the trial has ended.
//!
//! The trial's own container sees the wish on the storage and ends gently; OpenPAI ends what is left of it 30 s later. The end itself is
//! seen by `observe`.

use crate::{
    core::{Core, Running, Spawner},
    names, reuse,
};
use std::{sync::Arc, time::Duration};
use ts_core::{
    CancelReason, TrialId,
    follow::{mounted, of_canceled, save_cancel, wait_after},
};

/// Pace of asking again while the job has not ended: a request that came too early is forgotten by the cluster.
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
            let is_over = core.config.reuse && reuse::take_back(core, &trial);
            (is_over, save_cancel(&paths, why))
        })
        .await
    };
    let (is_over, stored) = stored;
    if let Err(error) = stored {
        tracing::warn!(%trial, %error, "the request to cancel is not stored; it is carried out all the same");
    }
    let mut is_first = false;
    let is_created = core.registry.update(trial, |known| {
        is_first = known.cancel.is_none();
        known.cancel.get_or_insert(why);
        known.extra.created_at.is_some()
    });
    if is_over {
        // No worker had it yet, and none will.
        return core
            .registry
            .conclude(trial, of_canceled(why, &[], core.ctx.clock.now()));
    }
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
    let name = names::job(&core.experiment, trial);
    while core.registry.with(trial, |known| known.status.is_terminal()) == Some(false) {
        let asked = {
            // Nobody closes it.
            let _turn = core.writes.acquire().await;
            core.api.stop(&name).await
        };
        core.bell.notify_one();
        let wait = match asked {
            Ok(true) => AGAIN,
            // Not known yet; it will be, or `observe` counts it as lost.
            Ok(false) => Duration::from_secs(1),
            Err(error) => {
                tracing::warn!(%trial, %error, "the job could not be stopped; trying again");
                wait_after(&error, AGAIN)
            }
        };
        core.ctx.clock.sleep(wait).await;
    }
}
