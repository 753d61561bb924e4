//! After a crash: compares what is stored and what is in the cluster with the trials that the store knows as not ended.

use crate::{
    cancel,
    core::{Place, Running, Spawner},
    files::Job,
    names, push, reuse, submit,
};
use std::{collections::HashSet, sync::Arc};
use ts_core::{
    Reason, ReasonCode, Recovered, Result, TrialId, TrialRecord,
    follow::{
        Known, load_cancel,
        mounted::{load_request, was_begun},
    },
};

/// Takes up a claimed trial whose request is stored; `false` if none is. Blocks.
pub(crate) fn resume_stored(spawner: &Spawner, trial: &TrialId) -> Result<bool> {
    let core = &spawner.core;
    let paths = core.folders.paths(trial);
    let Some(job) = load_request::<Job>(&paths)? else {
        return Ok(false);
    };
    let is_created = job.is_created;
    let stored_cancel = load_cancel(&paths);
    let now = core.ctx.clock.monotonic();
    let cancel = core.registry.update(trial, |known| {
        let mut place = Place::new(job);
        place.is_stored = true;
        place.created_at = is_created.then_some(now);
        known.extra = place;
        known.cancel = known.cancel.or(stored_cancel);
        known.cancel
    });
    if core.config.reuse {
        // What no worker has begun is where they look, unless it is not wanted.
        if !was_begun(&paths) && cancel.flatten().is_none() {
            reuse::enqueue(core, trial)?;
        }
        core.bell.notify_one();
        return Ok(true);
    }
    match (is_created, cancel.flatten()) {
        (true, Some(_)) => cancel::stop_later(spawner, trial.clone()),
        (true, None) => {}
        // It may have been sent all the same; then it is found by its name.
        (false, _) => submit::begin(spawner, trial.clone(), true),
    }
    core.bell.notify_one();
    Ok(true)
}

/// Takes up a trial of an earlier manager; `false` if nothing of it is stored.
async fn resume(running: &Running, trial: &TrialId) -> Result<bool> {
    let core = &running.core;
    let (spawner, trial) = (running.spawner(), trial.clone());
    core.ctx
        .tasks
        .blocking(move || {
            let core = &spawner.core;
            let Some(job) = load_request::<Job>(&core.folders.paths(&trial))? else {
                return Ok(false);
            };
            let now = core.ctx.clock.now();
            let why = Reason::new(ReasonCode::Starting, "it is looked for in the cluster", now);
            let known = Known::waiting(now, why, Place::new(job));
            let take_up = || resume_stored(&spawner, &trial);
            core.claims.take_up(&core.registry, &trial, known, take_up)
        })
        .await
}

/// Looks on at a trial that another service has, because somebody wants its logs. Nothing of it is changed.
pub(crate) async fn look_on(running: &Running, trial: &TrialId) {
    let core = &running.core;
    let own = trial.clone();
    let stored = core
        .on_storage(move |core| load_request::<Job>(&core.folders.paths(&own)))
        .await;
    let job = match stored {
        Ok(Some(job)) => job,
        Ok(None) => return,
        Err(error) => return tracing::warn!(%trial, %error, "its stored request cannot be read"),
    };
    let now = core.ctx.clock.now();
    let mut place = Place::new(job);
    (place.is_stored, place.is_looked_on) = (true, true);
    place.created_at = Some(core.ctx.clock.monotonic());
    let why = Reason::new(ReasonCode::Starting, "the cluster is being asked", now);
    if core.registry.claim(trial, Known::waiting(now, why, place)) {
        core.bell.notify_one();
    }
}

/// Compares what the storage and the cluster hold with the trials that the store knows as not ended.
pub(crate) async fn recover(running: &Arc<Running>, known: &[TrialRecord]) -> Result<Recovered> {
    let core = &running.core;
    push::open(&running.spawner()).await?;
    let listing = core.api.live(&names::prefix(&core.experiment)).await?;
    let mut recovered = Recovered::new();
    for record in known {
        let trial = &record.spec.id;
        let is_ours = core.registry.with(trial, |known| !known.extra.is_looked_on) == Some(true);
        if core.registry.with(trial, |known| known.extra.is_looked_on) == Some(true) {
            core.registry.remove(trial);
        }
        let list = if is_ours || resume(running, trial).await? {
            &mut recovered.adopted
        } else {
            &mut recovered.lost
        };
        list.push(trial.clone());
    }
    let known: HashSet<&TrialId> = known.iter().map(|record| &record.spec.id).collect();
    let ours = listing
        .jobs
        .iter()
        .filter(|item| item.username == core.config.user_name);
    let mut found: Vec<TrialId> = ours
        .filter_map(|item| names::trial_of(&core.experiment, &item.name))
        .collect();
    if core.config.reuse {
        found.extend(reuse::unfinished(core).await?);
    }
    found.retain(|trial| !known.contains(trial) && core.registry.with(trial, |_| ()).is_none());
    recovered.strays = found;
    recovered.strays.sort();
    recovered.strays.dedup();
    Ok(recovered)
}

/// Takes up every trial of the experiment that has a folder and is not known here, so that it can be ended.
pub(crate) async fn resume_all(running: &Running, trials: &[TrialId]) {
    for trial in trials {
        if running.core.registry.with(trial, |_| ()).is_none()
            && let Err(error) = resume(running, trial).await
        {
            tracing::warn!(%trial, %error, "its stored request cannot be read");
        }
    }
}
