//! Finds trials of an earlier manager: by what we stored of them, and by what the machines hold.
//!
//! There is no other way to resume.

use crate::{
    board::Waiting,
    core::{Core, Place},
    job::Job,
    worker,
};
use futures_util::future::join_all;
use std::{collections::HashSet, sync::Arc};
use ts_core::{
    Reason, ReasonCode, Recovered, Result, TrialId, TrialRecord,
    follow::{Known, of_canceled},
};

/// Takes over a trial whose request is stored here; `false` if none is, or its machine is no longer listed.
pub(crate) fn resume(core: &Arc<Core>, trial: &TrialId) -> Result<bool> {
    let Some(job) = Job::load(&core.mirror.paths(trial))? else {
        return Ok(false);
    };
    let machine = match &job.machine {
        None => None,
        Some(key) => {
            let Some(machine) = core.machine_of_key(key) else {
                tracing::warn!(%trial, "its machine is no longer in the list of machines");
                return Ok(false);
            };
            Some(machine)
        }
    };
    let (now, cancel) = (core.ctx.clock.now(), core.cancel_intent(trial));
    let is_started = job.is_started;
    let waiting = Waiting {
        trial: trial.clone(),
        gpus: job.spec.gpus,
        package: job.package.clone(),
    };
    let devices = job.devices.clone();
    let place = Place {
        job: Arc::new(job),
        machine,
        own_end: None,
        is_looked_on: false,
    };
    let mut known = if is_started {
        Known::running(now, place.clone())
    } else {
        let why = Reason::new(ReasonCode::Queued, "waits for its turn", now);
        Known::waiting(now, why, place.clone())
    };
    known.cancel = cancel;
    if !core.registry.claim(trial, known.clone()) {
        core.registry.update(trial, |present| *present = known);
    }
    let Some(machine) = machine else {
        match cancel {
            Some(why) => core.conclude(trial, of_canceled(why, &[], now)),
            None => core.board().enqueue(waiting),
        }
        return Ok(true);
    };
    core.board().restore(machine, trial, &devices);
    // With a link there is nothing that will ask for it later.
    if let Some(link) = core.machines[machine].link() {
        if is_started {
            core.adopt(machine, &link, trial);
        } else {
            core.machines[machine].start_again(trial.clone());
        }
    }
    Ok(true)
}

/// Looks on at a trial that another service has, because somebody wants its logs. Nothing of it is changed.
pub(crate) fn look_on(core: &Arc<Core>, trial: &TrialId) {
    let job = match Job::load(&core.mirror.paths(trial)) {
        Ok(job) => job,
        Err(error) => return tracing::warn!(%trial, %error, "its stored request cannot be read"),
    };
    let Some(job) = job.filter(|job| job.is_started) else {
        return;
    };
    let Some(index) = job.machine.as_ref().and_then(|key| core.machine_of_key(key)) else {
        return tracing::warn!(%trial, "its machine is no longer in the list of machines");
    };
    let place = Place {
        job: Arc::new(job),
        machine: Some(index),
        own_end: None,
        is_looked_on: true,
    };
    let machine = &core.machines[index];
    let now = core.ctx.clock.now();
    let why = Reason::new(
        ReasonCode::Starting,
        format!("`{}` is being connected", machine.name()),
        now,
    );
    if core.registry.claim(trial, Known::waiting(now, why, place)) {
        machine.need();
        if let Some(link) = machine.link() {
            core.adopt(index, &link, trial);
        }
    }
}

/// Compares what we and the machines hold with the trials that the store knows as not ended.
pub(crate) async fn recover(core: &Arc<Core>, known: &[TrialRecord]) -> Result<Recovered> {
    core.first_contacts().await;
    let mut recovered = Recovered::new();
    for record in known {
        let trial = &record.spec.id;
        let is_ours = core.registry.get(trial).is_some_and(|known| !known.extra.is_looked_on);
        let is_found = is_ours || resume(core, trial)?;
        let list = if is_found {
            &mut recovered.adopted
        } else {
            &mut recovered.lost
        };
        list.push(trial.clone());
    }
    core.changed();
    let known: HashSet<&TrialId> = known.iter().map(|record| &record.spec.id).collect();
    recovered.strays = strays(core, &known).await;
    Ok(recovered)
}

/// Live trials of this experiment on the machines that nobody knows.
async fn strays(core: &Core, known: &HashSet<&TrialId>) -> Vec<TrialId> {
    let lists = join_all(core.machines.iter().map(|machine| async move {
        let link = machine.link()?;
        match link
            .shell
            .run(worker::list_snippet())
            .await
            .map(|reply| worker::parse_list(&reply))
        {
            Ok(list) => Some(list),
            Err(error) => {
                tracing::warn!(machine = machine.name(), %error, "its trials cannot be listed");
                None
            }
        }
    }))
    .await;
    let mut strays: Vec<TrialId> = lists
        .into_iter()
        .flatten()
        .flatten()
        .filter(|found| found.is_alive && !known.contains(&found.id) && core.registry.get(&found.id).is_none())
        .map(|found| found.id)
        .collect();
    strays.sort();
    strays.dedup();
    strays
}
