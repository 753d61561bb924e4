//! Removes what trials left: first their jobs are canceled, then their files go, on the datastore and here.
//!
//! The records of jobs stay in the workspace, as do versions of code and environments, which other experiments may use.

use crate::{
    api::Canceling,
    cancel,
    core::{Core, Place, Running},
    names,
    observe::by_trial,
    pull, recover, reuse,
    status::{self, Standing},
};
use futures_util::{StreamExt as _, stream};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use ts_core::{
    CancelReason, CleanupReport, CleanupScope, Error, ErrorKind, Result, TrialId,
    follow::{self, Known, remove_dir, remove_each, until_over},
};

/// How long the service may take to end the jobs.
const PATIENCE: Duration = Duration::from_mins(5);
/// Pace of looking whether jobs that nobody knew have ended.
const PACE: Duration = Duration::from_secs(2);
/// Blobs that are removed at a time.
const REMOVALS: usize = 8;

pub(crate) async fn cleanup(running: &Arc<Running>, scope: &CleanupScope) -> CleanupReport {
    let core = &running.core;
    let mut report = CleanupReport::new();
    match scope {
        CleanupScope::Trials(trials) if trials.is_empty() => settle(core).await,
        CleanupScope::Trials(trials) => {
            recover::resume_all(running, trials).await;
            end_all(running, trials, &mut report).await;
            remove_trials(core, trials, &mut report).await;
        }
        _ => remove_experiment(running, &mut report).await,
    }
    report
}

/// Waits until every end that was asked for is complete.
async fn settle(core: &Core) {
    if !follow::settle(&core.registry, &*core.ctx.clock, PATIENCE).await {
        tracing::warn!("the workspace has not ended all that was to be ended; `tsctl gc` does it later");
    }
}

/// Ends every trial and waits until all are over.
async fn end_all(running: &Arc<Running>, trials: &[TrialId], report: &mut CleanupReport) {
    let core = &running.core;
    for trial in trials {
        cancel::cancel(running, trial, CancelReason::User).await;
    }
    let is_ours = |known: &Known<Place>| !known.extra.is_looked_on;
    for trial in until_over(&core.registry, &*core.ctx.clock, PATIENCE, trials, is_ours).await {
        let error = still_there(&format!("the job of trial `{trial}`"));
        report.failures.push((trial.to_string(), error));
    }
}

fn still_there(what: &str) -> Error {
    Error::new(ErrorKind::TimedOut, format!("{what} did not end in time"))
        .with_help("look at it in the studio of Azure ML; then `tsctl gc` again")
}

async fn remove_trials(core: &Arc<Core>, trials: &[TrialId], report: &mut CleanupReport) {
    let remove = |trial: TrialId| async move {
        let was_there = remove_trial(core, &trial).await?;
        pull::forget(core, &trial);
        Ok(was_there)
    };
    remove_each(&core.registry, trials, report, remove).await;
}

/// The folder here goes last: it says that there is something to remove.
async fn remove_trial(core: &Arc<Core>, trial: &TrialId) -> Result<bool> {
    let removed = remove_blobs(core, &names::trial_folder(&core.experiment, trial)).await?;
    let own = trial.clone();
    let here = core.on_disk(move |core| core.folders.remove(&own)).await?;
    Ok(removed || here)
}

/// Removes a folder of the datastore; `false` if it was not there.
async fn remove_blobs(core: &Core, folder: &str) -> Result<bool> {
    let blobs = core.api.store.list(folder).await?;
    let was_there = !blobs.is_empty();
    let removals = blobs
        .into_iter()
        .map(|name| async move { core.api.store.remove(&name).await });
    let results: Vec<Result<bool>> = stream::iter(removals).buffer_unordered(REMOVALS).collect().await;
    results.into_iter().collect::<Result<Vec<bool>>>()?;
    Ok(was_there)
}

async fn remove_experiment(running: &Arc<Running>, report: &mut CleanupReport) {
    let core = &running.core;
    let mut trials: BTreeSet<TrialId> = core.registry.ids().into_iter().collect();
    match core.on_disk(|core| core.folders.trials()).await {
        Ok(found) => trials.extend(found),
        Err(error) => report.failures.push((core.folders.dir().display().to_string(), error)),
    }
    let trials: Vec<TrialId> = trials.into_iter().collect();
    recover::resume_all(running, &trials).await;
    end_all(running, &trials, report).await;
    if core.config.reuse {
        match reuse::stop_all(core).await {
            Ok(true) => {}
            Ok(false) => report.failures.push(("workers".to_owned(), still_there("the workers"))),
            Err(error) => report.failures.push(("workers".to_owned(), error)),
        }
    }
    if let Err(error) = stop_strays(core).await {
        report.failures.push(("workspace".to_owned(), error));
    }
    remove_trials(core, &trials, report).await;
    if report.is_clean() {
        let folder = names::folder(&core.experiment);
        if let Err(error) = remove_blobs(core, &folder).await {
            report.failures.push((folder, error));
        }
        let removed = core
            .on_disk(|core| {
                remove_dir(core.folders.dir())?;
                remove_dir(&core.ctx.work_dir.join("code"))
            })
            .await;
        if let Err(error) = removed {
            report.failures.push((core.folders.dir().display().to_string(), error));
        }
    }
}

/// Cancels the jobs that have no folder here, and waits until they have ended.
async fn stop_strays(core: &Core) -> Result<()> {
    let began = core.ctx.clock.monotonic();
    let mut asked = BTreeSet::new();
    loop {
        let listing = core.api.jobs(&names::tag(&core.experiment), |_| false).await?;
        let jobs = by_trial(core, &listing.jobs);
        let live: Vec<&str> = jobs
            .values()
            .filter(|job| status::standing(job.status()) != Standing::Ended)
            .map(|job| job.name.as_str())
            .collect();
        if live.is_empty() {
            return Ok(());
        }
        if core.ctx.clock.monotonic().saturating_sub(began) > PATIENCE {
            return Err(still_there(&format!("{} jobs of the experiment", live.len())));
        }
        for name in live {
            if !asked.contains(name) && core.api.cancel(name).await? == Canceling::Taken {
                asked.insert(name.to_owned());
            }
        }
        core.ctx.clock.sleep(PACE.min(core.config.poll_interval)).await;
    }
}
