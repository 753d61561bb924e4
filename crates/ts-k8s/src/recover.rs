//! After a crash: compares what is stored here and what is in the cluster with the trials that the store knows as not ended.

use crate::{
    core::{Core, News, Place, Running},
    job::{self, Job},
    kinds, names, submit,
};
use kube::api::ListParams;
use std::{collections::HashSet, sync::Arc};
use ts_core::{
    Reason, ReasonCode, Recovered, Result, TrialId, TrialRecord,
    follow::{Known, load_cancel},
};

/// Takes up a trial whose request is stored here; `false` if none is.
pub(crate) fn resume(running: &Running, trial: &TrialId) -> Result<bool> {
    let core = &running.core;
    let paths = core.mirror.paths(trial);
    let Some(job) = Job::load(&paths)? else {
        return Ok(false);
    };
    let now = core.ctx.clock.now();
    let is_created = job.is_created;
    let mut place = Place::new(job);
    // A request may have been under way when the manager before ended.
    place.may_exist = true;
    if is_created {
        place.created_at = Some(core.ctx.clock.monotonic());
    }
    let why = Reason::new(ReasonCode::Starting, "it is looked for in the cluster", now);
    let mut known = Known::waiting(now, why, place);
    known.cancel = load_cancel(&paths);
    let end = job::load_end(&paths)?;
    if let Some(end) = &end {
        known.status = end.status;
        known.at = end.at;
        known.why.clone_from(&end.why);
    }
    let cancel = known.cancel;
    if !core.registry.claim(trial, known.clone()) {
        core.registry.update(trial, |present| *present = known);
    }
    if end.is_some() {
        // Whoever watches already has not seen it.
        core.registry.tell(trial);
        return Ok(true);
    }
    if is_created {
        if cancel.is_some() {
            submit::remove_later(&running.spawner(), trial.clone());
        }
        core.tell(News::Look(trial.clone()));
    } else {
        // It may have been created all the same; then it is found by its name.
        submit::begin(&running.spawner(), trial.clone());
    }
    Ok(true)
}

/// Looks on at a trial that another service has, because somebody wants its logs. Nothing of it is changed: what its pods say is
/// kept apart, behind a copy of what is here already. Of one that has ended, all is here.
pub(crate) fn look_on(core: &Core, trial: &TrialId) {
    let known = match looked_on(core, trial) {
        Ok(known) => known,
        Err(error) => return tracing::warn!(%trial, %error, "its log cannot be kept here"),
    };
    let has_ended = known.status.is_terminal();
    if core.registry.claim(trial, known) && !has_ended {
        core.need();
        core.tell(News::Look(trial.clone()));
    }
}

fn looked_on(core: &Core, trial: &TrialId) -> Result<Known<Place>> {
    let theirs = core.mirror.paths(trial);
    let job = Job::load(&theirs)?;
    let now = core.ctx.clock.now();
    let why = Reason::new(ReasonCode::Starting, "the cluster is being asked", now);
    let mut known = Known::waiting(now, why, Place::looked_on(job));
    if let Some(end) = job::load_end(&theirs)? {
        (known.status, known.at, known.why) = (end.status, end.at, end.why);
        known.extra.is_apart = false;
        return Ok(known);
    }
    core.apart()?.copy(&theirs, trial)?;
    Ok(known)
}

/// Compares what we and the cluster hold with the trials that the store knows as not ended.
pub(crate) async fn recover(running: &Arc<Running>, known: &[TrialRecord]) -> Result<Recovered> {
    let core = &running.core;
    let ready = crate::prepare::connected(core).await?;
    core.need();
    let mut recovered = Recovered::new();
    for record in known {
        let trial = &record.spec.id;
        let is_ours = core.registry.with(trial, |known| !known.extra.is_looked_on) == Some(true);
        let is_found = is_ours || resume(running, trial)?;
        let list = if is_found {
            &mut recovered.adopted
        } else {
            &mut recovered.lost
        };
        list.push(trial.clone());
    }
    let known: HashSet<&TrialId> = known.iter().map(|record| &record.spec.id).collect();
    let api = kinds::api(&ready.cluster, &ready.served.resource);
    let ours = ListParams::default().labels(&names::experiment_selector(&core.experiment));
    let list = api
        .list_metadata(&ours)
        .await
        .map_err(|e| crate::error::of_api("list the trials", e))?;
    let mut strays = Vec::new();
    for object in list.items.iter().map(|object| &object.metadata) {
        let trial = names::trial_of(object).filter(|_| object.deletion_timestamp.is_none());
        let Some(trial) = trial else { continue };
        if let Some(end) = job::load_end(&core.mirror.paths(&trial))? {
            // Whoever had it before died before the object was removed, or has left it on purpose.
            if submit::is_removed(core.config.deletion_policy, end.status) {
                submit::remove_later(&running.spawner(), trial);
            }
        } else if !known.contains(&trial) && core.registry.with(&trial, |_| ()).is_none() {
            strays.push(trial);
        }
    }
    strays.sort();
    recovered.strays = strays;
    Ok(recovered)
}
