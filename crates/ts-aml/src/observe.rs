//! The one loop that looks at the jobs of all trials: one list per interval, by the experiment's tag.
//!
//! It asks nothing while no trial is in the workspace. The interval is that of the configuration; it grows while nothing changes, and
//! where others use up the hour's requests.

use crate::{
    api::Job,
    core::{Core, Place, Spawner},
    files, names,
    nodes::{self, Shortage},
    pull,
    status::{self, Standing},
    verdict,
};
use futures_util::{StreamExt as _, stream};
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};
use ts_core::{
    Reason, ReasonCode, Result, TrialId, TrialStatus,
    follow::{Known, Pace},
};

/// Jobs that are looked at more closely at a time.
const DETAILS: usize = 6;

/// Starts the loop.
pub(crate) fn start(spawner: &Spawner) {
    spawner.spawn(observe(Arc::downgrade(&spawner.core)));
}

/// Looks until the service is gone.
async fn observe(core: Weak<Core>) {
    let Some(interval) = core.upgrade().map(|core| core.config.poll_interval) else {
        return;
    };
    let mut pace = Pace::new(interval);
    loop {
        let Some(strong) = core.upgrade() else { return };
        rest(&strong, pace.least(), pace.most()).await;
        let before = strong.registry.ids().len();
        match look(&strong).await {
            Ok(seen) => {
                pace.succeeded(seen.has_news || before != strong.registry.ids().len(), seen.pace);
                strong.end_trouble();
            }
            Err(error) => {
                if pace.failed(&error) {
                    strong.set_trouble(&error);
                }
            }
        }
    }
}

/// Waits until it is time for the next list: not before `least`, after `most` or when the bell rings.
async fn rest(core: &Arc<Core>, least: Duration, most: Duration) {
    core.ctx.clock.sleep(least).await;
    while !core.registry.ids().iter().any(|trial| is_watched(core, trial)) {
        core.bell.notified().await;
    }
    tokio::select! {
        () = core.ctx.clock.sleep(most.saturating_sub(least)) => {}
        () = core.bell.notified() => {}
    }
}

/// Whether the service has the job of a trial that has not ended.
fn is_watched(core: &Core, trial: &TrialId) -> bool {
    let is_watched = |known: &Known<Place>| !known.status.is_terminal() && known.extra.created_at.is_some();
    core.registry.with(trial, is_watched) == Some(true)
}

struct Seen {
    has_news: bool,
    pace: Duration,
}

/// The jobs of trials by their tag; what only looks like one of ours is left out.
pub(crate) fn by_trial<'a>(core: &Core, jobs: &'a [Job]) -> HashMap<TrialId, &'a Job> {
    let tag = names::tag(&core.experiment);
    let pair = |job: &'a Job| {
        let trial = TrialId::new(job.tag(&tag)?).ok()?;
        (names::job(&core.experiment, &trial) == job.name).then_some((trial, job))
    };
    jobs.iter().filter_map(pair).collect()
}

/// One look at all jobs.
async fn look(core: &Arc<Core>) -> Result<Seen> {
    let began = core.ctx.clock.monotonic();
    let watched: Vec<TrialId> = core
        .registry
        .ids()
        .into_iter()
        .filter(|trial| is_watched(core, trial))
        .collect();
    let is_enough = |jobs: &[Job]| {
        let found = by_trial(core, jobs);
        watched.iter().all(|trial| found.contains_key(trial))
    };
    let listing = core.api.jobs(&names::tag(&core.experiment), is_enough).await?;
    let jobs = by_trial(core, &listing.jobs);
    let mut has_news = false;
    let mut asked = Vec::new();
    let shortage = shortage(core, jobs.values().copied()).await;
    for trial in watched {
        match jobs.get(&trial) {
            None => {
                // A job that was taken while we listed may be missing in the list.
                if core
                    .registry
                    .with(&trial, |known| known.extra.created_at >= Some(began))
                    != Some(true)
                {
                    asked.push((trial, None));
                }
            }
            Some(job) => match status::standing(job.status()) {
                Standing::Ended => asked.push((trial, Some(job.status().to_owned()))),
                standing => has_news |= enter(core, &trial, standing, job.status(), shortage.as_ref()),
            },
        }
    }
    let settled = asked.into_iter().map(|(trial, ended)| async move {
        match ended {
            Some(status) => settle(core, &trial, &status).await,
            None => look_at(core, &trial).await,
        }
    });
    let results: Vec<Result<bool>> = stream::iter(settled).buffer_unordered(DETAILS).collect().await;
    for result in results {
        has_news |= result?;
    }
    Ok(Seen {
        has_news,
        pace: listing.pace,
    })
}

/// Looks at one job that no list holds.
async fn look_at(core: &Arc<Core>, trial: &TrialId) -> Result<bool> {
    let Some(job) = core.api.job(&names::job(&core.experiment, trial)).await? else {
        return missing(core, trial).await;
    };
    match status::standing(job.status()) {
        Standing::Ended => settle(core, trial, job.status()).await,
        standing => Ok(enter(core, trial, standing, job.status(), None)),
    }
}

/// What keeps jobs from getting a node, if any of them waits for one.
pub(crate) async fn shortage(core: &Core, mut jobs: impl Iterator<Item = &Job>) -> Option<Shortage> {
    if !jobs.any(|job| status::needs_node(job.status())) {
        return None;
    }
    let name = &core.config.compute_target;
    match core.api.compute(name).await {
        Ok(compute) => nodes::shortage(name, &compute?),
        Err(error) => {
            // It says only why; the jobs are seen without it.
            tracing::debug!(%error, "the compute target cannot be asked why jobs wait");
            None
        }
    }
}

/// Enters how a trial is that has not ended; says whether that is news.
fn enter(core: &Core, trial: &TrialId, standing: Standing, raw: &str, shortage: Option<&Shortage>) -> bool {
    let now = core.ctx.clock.now();
    let Some(known) = core.registry.get(trial) else {
        return false;
    };
    let (status, why) = match standing {
        Standing::Ended | Standing::Same => (known.status, known.why.clone()),
        Standing::Waiting(what) => {
            let short = shortage.filter(|_| status::needs_node(raw));
            let why = short.map_or_else(
                || Reason::new(ReasonCode::Queued, what, now),
                |short| Reason::new(short.code, format!("{what}; {}", short.message), now).unblocked_by(short.unblock),
            );
            // What has run waits for another node; it is not begun again.
            let has_run = known.started.is_some();
            (if has_run { known.status } else { TrialStatus::Waiting }, Some(why))
        }
        Standing::Running => (TrialStatus::Running, None),
        Standing::Silent => {
            let text = "Azure ML does not hear from the node of the trial (`NotResponding`)";
            let unblock = "most nodes come back; what the trial writes is read from the storage all the same";
            (
                known.status,
                Some(Reason::new(ReasonCode::Unreachable, text, now).unblocked_by(unblock)),
            )
        }
        Standing::Strange => {
            let text = format!("Azure ML says `{raw}` of the job, which is no status that we know");
            let why = Reason::new(ReasonCode::Unreachable, text, now)
                .unblocked_by("look at the job in the studio of Azure ML");
            (TrialStatus::Unknown, Some(why))
        }
    };
    let text = |why: &Option<Reason>| why.as_ref().map(|why| why.message.clone());
    let is_same = status == known.status && text(&why) == text(&known.why) && known.extra.missing_since.is_none();
    if known.status.is_terminal() || is_same {
        return false;
    }
    core.registry.update(trial, |known| {
        if known.status.is_terminal() {
            return;
        }
        known.extra.missing_since = None;
        if known.status != status {
            (known.status, known.at) = (status, now);
        }
        if status == TrialStatus::Running {
            known.started.get_or_insert(now);
        }
        known.why = why;
    });
    status != known.status
}

/// Enters the end of a trial, once all that it wrote is here.
async fn settle(core: &Arc<Core>, trial: &TrialId, status: &str) -> Result<bool> {
    pull::all(core, trial).await?;
    let left = traces(core, trial).await;
    if left.exit.is_none() && status == "Completed" {
        tracing::warn!(%trial, "its job has completed and left no exit code on the datastore");
    }
    let is_told = left.exit.is_some() || left.was_repeated || left.failure.is_some();
    let told = if status == "Failed" && !is_told {
        // Only the reason is missing without it.
        core.api
            .failure(&names::job(&core.experiment, trial))
            .await
            .inspect_err(|error| tracing::warn!(%trial, %error, "why its job failed cannot be asked"))
            .ok()
            .flatten()
    } else {
        None
    };
    let now = core.ctx.clock.now();
    if let Some((_, at)) = left.exit {
        // It may have begun and ended between two looks.
        core.registry.update(trial, |known| {
            known.started.get_or_insert(at);
        });
    }
    let cancel = core.registry.with(trial, |known| known.cancel).flatten();
    core.registry
        .conclude(trial, verdict::of_job(status, &left, told.as_ref(), cancel, now));
    Ok(true)
}

async fn traces(core: &Arc<Core>, trial: &TrialId) -> files::Traces {
    let now = core.ctx.clock.now();
    let own = trial.clone();
    core.on_disk(move |core| files::traces(&core.folders.paths(&own), now))
        .await
}

/// The service does not know the job: not yet, or not any more.
async fn missing(core: &Arc<Core>, trial: &TrialId) -> Result<bool> {
    let now = core.ctx.clock.monotonic();
    let Some(since) = core.registry.with(trial, |known| known.extra.missing_since) else {
        return Ok(false);
    };
    let Some(since) = since else {
        core.registry
            .update(trial, |known| known.extra.missing_since = Some(now));
        return Ok(false);
    };
    if now.saturating_sub(since) < core.config.vanish_after {
        return Ok(false);
    }
    pull::all(core, trial).await?;
    let left = traces(core, trial).await;
    let cancel = core.registry.with(trial, |known| known.cancel).flatten();
    core.registry
        .conclude(trial, verdict::vanished(&left, cancel, core.ctx.clock.now()));
    Ok(true)
}
