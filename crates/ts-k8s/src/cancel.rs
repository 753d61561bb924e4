//! Takes the wish to end a trial: stored here, then its object is removed; the end is told once nothing of it is left.

use crate::{
    core::{News, Running},
    submit,
};
use ts_core::{CancelReason, TrialId, follow::save_cancel};

/// Takes the request to end `trial`; the end itself arrives on `watch`.
pub(crate) fn cancel(running: &Running, trial: &TrialId, why: CancelReason) {
    let core = &running.core;
    let Some(known) = core.registry.get(trial).filter(|known| !known.status.is_terminal()) else {
        return;
    };
    if known.cancel.is_some() {
        return;
    }
    // The intent goes to disk first: should we die now, `recover` completes it.
    if let Err(error) = save_cancel(&core.mirror.paths(trial), why) {
        tracing::warn!(%trial, %error, "the request to cancel is not on disk; it is carried out all the same");
    }
    let created = core.registry.update(trial, |known| {
        known.cancel.get_or_insert(why);
        known.extra.wish.cancel();
        known.extra.created_at.is_some()
    });
    // What is not created yet is ended by whoever would create it, who sees the wish.
    if created == Some(true) {
        submit::remove_later(&running.spawner(), trial.clone());
    }
    core.tell(News::Look(trial.clone()));
}
