//! After a crash: compares what is stored here and what is in the workspace with the trials that the store knows as not ended.

use crate::{
    cancel,
    core::{Core, Place, Running, Spawner},
    files::{self, Job},
    names,
    observe::by_trial,
    reuse,
    status::{self, Standing},
    submit,
};
use std::{collections::HashSet, sync::Arc};
use ts_core::{
    Reason, ReasonCode, Recovered, Result, TrialId, TrialRecord,
    follow::{Known, load_cancel},
};

/// Takes up a claimed trial whose request is stored; `false` if none is. Blocks.
pub(crate) fn resume_stored(spawner: &Spawner, trial: &TrialId) -> Result<bool> {
    let core = &spawner.core;
    let paths = core.folders.paths(trial);
    let Some(job) = files::load(&core.folders, trial)? else {
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
        // What has left an end here has run, though no worker may tell of it any more.
        let left = files::traces(&paths, core.ctx.clock.now());
        core.registry.update(trial, |known| {
            known.extra.created_at = Some(now);
            known.started = left.begun_at(core.ctx.clock.now());
        });
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

/// Takes up a trial of an earlier manager; `false` if nothing of it is stored here.
async fn resume(running: &Running, trial: &TrialId) -> Result<bool> {
    let core = &running.core;
    let (spawner, trial) = (running.spawner(), trial.clone());
    core.ctx
        .tasks
        .blocking(move || {
            let core = &spawner.core;
            let Some(job) = files::load(&core.folders, &trial)? else {
                return Ok(false);
            };
            let now = core.ctx.clock.now();
            let why = Reason::new(ReasonCode::Starting, "it is looked for in the workspace", now);
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
    let stored = core.on_disk(move |core| files::load(&core.folders, &own)).await;
    let job = match stored {
        Ok(Some(job)) => job,
        Ok(None) => return,
        Err(error) => return tracing::warn!(%trial, %error, "its stored request cannot be read"),
    };
    let now = core.ctx.clock.now();
    let mut place = Place::new(job);
    (place.is_stored, place.is_looked_on) = (true, true);
    place.created_at = Some(core.ctx.clock.monotonic());
    let why = Reason::new(ReasonCode::Starting, "the workspace is being asked", now);
    if core.registry.claim(trial, Known::waiting(now, why, place)) {
        core.bell.notify_one();
    }
}

/// Stores a job that only the workspace knows, as if an earlier manager had done so here.
async fn store_found(core: &Arc<Core>, record: &TrialRecord) -> Result<()> {
    let job = Job {
        spec: record.spec.clone(),
        // It is there; nobody sends it again.
        code: String::new(),
        is_created: true,
    };
    core.on_disk(move |core| files::save(&core.folders, &job)).await
}

/// Compares what is stored here and what is in the workspace with the trials that the store knows as not ended.
pub(crate) async fn recover(running: &Arc<Running>, known: &[TrialRecord]) -> Result<Recovered> {
    let core = &running.core;
    let listing = core.api.jobs(&names::tag(&core.experiment), |_| false).await?;
    let jobs = by_trial(core, &listing.jobs);
    let mut recovered = Recovered::new();
    for record in known {
        let trial = &record.spec.id;
        let is_ours = core.registry.with(trial, |known| !known.extra.is_looked_on) == Some(true);
        if core.registry.with(trial, |known| known.extra.is_looked_on) == Some(true) {
            core.registry.remove(trial);
        }
        let mut is_there = is_ours || resume(running, trial).await?;
        if !is_there && jobs.contains_key(trial) {
            store_found(core, record).await?;
            is_there = resume(running, trial).await?;
        }
        let list = if is_there {
            &mut recovered.adopted
        } else {
            &mut recovered.lost
        };
        list.push(trial.clone());
    }
    let known: HashSet<&TrialId> = known.iter().map(|record| &record.spec.id).collect();
    let live = jobs
        .iter()
        .filter(|(_, job)| status::standing(job.status()) != Standing::Ended);
    let mut strays: Vec<TrialId> = live.map(|(trial, _)| trial.clone()).collect();
    if core.config.reuse {
        strays.extend(reuse::unfinished(core).await?);
    }
    strays.retain(|trial| !known.contains(trial) && core.registry.with(trial, |_| ()).is_none());
    strays.sort();
    recovered.strays = strays;
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
