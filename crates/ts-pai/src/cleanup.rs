//! Removes what trials left: first their jobs are stopped, then their folders go, and with the experiment its code.
//!
//! OpenPAI keeps the records of ended jobs; nobody can remove those.

use crate::{
    cancel,
    core::{Core, Place, Running},
    names, push, recover, reuse,
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
    // Trials hear by it that they are to end; without it the cluster ends them.
    if let Err(error) = push::open(&running.spawner()).await {
        tracing::warn!(%error, "trials cannot be told that they are to end");
    }
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
        .with_help("look at it in the web portal; then `tsctl gc` again")
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
    if core.config.reuse {
        match reuse::stop_all(core).await {
            Ok(true) => {}
            Ok(false) => report.failures.push(("workers".to_owned(), still_there("the workers"))),
            Err(error) => report.failures.push(("workers".to_owned(), error)),
        }
    }
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
        if let Err(error) = push::close(core).await {
            report.failures.push(("push".to_owned(), error));
        }
    }
}

/// Stops the jobs that have no folder, and waits until they have ended.
async fn stop_strays(core: &Core) -> Result<()> {
    let began = core.ctx.clock.monotonic();
    let mut asked = BTreeSet::new();
    loop {
        let listing = core.api.live(&names::prefix(&core.experiment)).await?;
        let live: Vec<String> = listing
            .jobs
            .into_iter()
            .filter(|item| item.username == core.config.user_name)
            .filter(|item| crate::status::standing(item) != crate::status::Standing::Ended)
            .filter(|item| names::trial_of(&core.experiment, &item.name).is_some())
            .map(|item| item.name)
            .collect();
        if live.is_empty() {
            return Ok(());
        }
        if core.ctx.clock.monotonic().saturating_sub(began) > PATIENCE {
            return Err(still_there(&format!("{} jobs of the experiment", live.len())));
        }
        for name in live {
            if !asked.contains(&name) && core.api.stop(&name).await? {
                asked.insert(name);
            }
        }
        core.ctx.clock.sleep(PACE.min(core.config.poll_interval)).await;
    }
}
