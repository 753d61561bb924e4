//! Takes the wish to end a trial: stored first, then asked of the service until the trial has ended.
//!
//! The service may take long to end a job; the end itself is seen by `observe`.

use crate::{
    api::Canceling,
    core::{Core, Running, Spawner},
    names,
};
use std::{sync::Arc, time::Duration};
use ts_core::{
    CancelReason, TrialId,
    follow::{save_cancel, wait_after},
};

/// Pace of asking again while the job has not ended, at first and at last. Source: "Jobs_Cancel": `Retry-After` is 10 to 600 s.
const AGAIN: Duration = Duration::from_secs(10);
const SELDOM: Duration = Duration::from_mins(10);

/// Takes the request to end `trial`; the end itself arrives on `watch`.
pub(crate) async fn cancel(running: &Arc<Running>, trial: &TrialId, why: CancelReason) {
    let core = &running.core;
    let is_ours = core.registry.with(trial, |known| {
        !known.status.is_terminal() && known.cancel.is_none() && !known.extra.is_looked_on
    });
    if is_ours != Some(true) {
        return;
    }
    let own = trial.clone();
    let stored = core
        .on_disk(move |core| save_cancel(&core.folders.paths(&own), why))
        .await;
    if let Err(error) = stored {
        tracing::warn!(%trial, %error, "the request to cancel is not stored; it is carried out all the same");
    }
    let mut is_first = false;
    let is_created = core.registry.update(trial, |known| {
        is_first = known.cancel.is_none();
        known.cancel.get_or_insert(why);
        known.extra.created_at.is_some()
    });
    if core.config.reuse {
        // Its worker is told with the next look.
        return core.bell.notify_one();
    }
    // What is not sent yet is ended by whoever would send it.
    if is_first && is_created == Some(true) {
        stop_later(&running.spawner(), trial.clone());
    }
}

/// Has the job of a trial canceled, however long that takes to be possible.
pub(crate) fn stop_later(spawner: &Spawner, trial: TrialId) {
    let own = spawner.clone();
    spawner.spawn(async move { stop(&own.core, &trial).await });
}

async fn stop(core: &Core, trial: &TrialId) {
    let name = names::job(&core.experiment, trial);
    let mut again = AGAIN;
    while core.registry.with(trial, |known| known.status.is_terminal()) == Some(false) {
        let asked = {
            // Nobody closes it.
            let _turn = core.writes.acquire().await;
            core.api.cancel(&name).await
        };
        core.bell.notify_one();
        let wait = match asked {
            Ok(Canceling::Taken | Canceling::TooLate) => {
                let wait = again;
                again = (again * 2).min(SELDOM);
                wait
            }
            // Not known yet; it will be, or `observe` counts it as lost.
            Ok(Canceling::Unknown) => Duration::from_secs(1),
            Err(error) => {
                tracing::warn!(%trial, %error, "the job could not be canceled; trying again");
                wait_after(&error, AGAIN)
            }
        };
        core.ctx.clock.sleep(wait).await;
    }
}
