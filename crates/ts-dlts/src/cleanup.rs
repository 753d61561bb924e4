//! Removes what trials left: first their jobs are stopped, then their folders go, and with the experiment its code.
//!
//! DLTS keeps the records of ended jobs; nobody can remove those.

use crate::{
    api::MOST_KILLED,
    cancel,
    core::{Core, Place, Running},
    names, recover,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use ts_core::{
    CancelReason, CleanupReport, CleanupScope, Error, ErrorKind, Result, TrialId,
    follow::{self, Known, remove_dir, remove_each, until_over},
};

/// How long the cluster may take to end a job, beside the grace of the trial: Kubernetes' own 30 s, and the way of the news.
const PATIENCE: Duration = Duration::from_mins(2);
/// Pace of looking whether jobs that nobody knew have ended.
const PACE: Duration = Duration::from_secs(2);

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
    if !follow::settle(&core.registry, &*core.ctx.clock, patience(core)).await {
        tracing::warn!("the cluster has not ended all that was to be ended; `tsctl gc` does it later");
    }
}

fn patience(core: &Core) -> Duration {
    core.config.grace_period + PATIENCE
}

/// Ends every trial and waits until all are over.
async fn end_all(running: &Arc<Running>, trials: &[TrialId], report: &mut CleanupReport) {
    let core = &running.core;
    for trial in trials {
        cancel::cancel(running, trial, CancelReason::User).await;
    }
    let is_ours = |known: &Known<Place>| !known.extra.is_looked_on;
    for trial in until_over(&core.registry, &*core.ctx.clock, patience(core), trials, is_ours).await {
        let error = still_there(&format!("the job of trial `{trial}`"));
        report.failures.push((trial.to_string(), error));
    }
}

fn still_there(what: &str) -> Error {
    Error::new(ErrorKind::TimedOut, format!("{what} did not end in time"))
        .with_help("look at it in the dashboard; then `tsctl gc` again")
}

async fn remove_trials(core: &Arc<Core>, trials: &[TrialId], report: &mut CleanupReport) {
    let remove = |trial: TrialId| async move {
        core.on_storage(move |core| remove_dir(core.folders.paths(&trial).dir()))
            .await
    };
    remove_each(&core.registry, trials, report, remove).await;
}

async fn remove_experiment(running: &Arc<Running>, report: &mut CleanupReport) {
    let core = &running.core;
    let mut trials: BTreeSet<TrialId> = core.registry.ids().into_iter().collect();
    match core.on_storage(|core| core.folders.trials()).await {
        Ok(found) => trials.extend(found),
        Err(error) => report.failures.push((core.folders.root().display().to_string(), error)),
    }
    let trials: Vec<TrialId> = trials.into_iter().collect();
    recover::resume_all(running, &trials).await;
    end_all(running, &trials, report).await;
    if let Err(error) = stop_strays(core).await {
        report.failures.push(("cluster".to_owned(), error));
    }
    remove_trials(core, &trials, report).await;
    if report.is_clean() {
        // The code is no trial, and neither are drafts.
        let removed = core.on_storage(|core| remove_dir(core.folders.root())).await;
        if let Err(error) = removed {
            report.failures.push((core.folders.root().display().to_string(), error));
        }
    }
}

/// Kills all jobs of the experiment that are left, those without a folder too, and waits until they have ended.
async fn stop_strays(core: &Core) -> Result<()> {
    let began = core.ctx.clock.monotonic();
    let mut asked = BTreeSet::new();
    loop {
        let mut live = core.api.jobs(&names::prefix(&core.experiment)).await?;
        live.retain(|job| !job.state.is_over() && names::trial_of(&core.experiment, &job.name).is_some());
        if live.is_empty() {
            return Ok(());
        }
        if core.ctx.clock.monotonic().saturating_sub(began) > PATIENCE {
            return Err(still_there(&format!("{} jobs of the experiment", live.len())));
        }
        let news: Vec<String> = live
            .into_iter()
            .map(|job| job.id)
            .filter(|id| !asked.contains(id))
            .collect();
        if !news.is_empty() {
            kill_all(core, &news).await?;
            asked.extend(news);
        }
        core.ctx.clock.sleep(PACE.min(core.config.poll_interval)).await;
    }
}

/// Kills jobs, many at once where the dashboard can, and one by one what is left then.
async fn kill_all(core: &Core, ids: &[String]) -> Result<()> {
    for some in ids.chunks(MOST_KILLED) {
        let left = match core.api.kill_all(some).await {
            Ok(left) => left,
            Err(error) => {
                tracing::debug!(%error, "killing jobs one by one");
                some.to_vec()
            }
        };
        for id in left {
            // One that cannot be killed is over, or ending.
            core.api.kill(&id).await?;
        }
    }
    Ok(())
}
