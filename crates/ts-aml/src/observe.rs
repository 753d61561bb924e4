//! The one loop that looks at the jobs of all trials: one list per interval, by the experiment's tag.
//!
//! It asks nothing while no trial is in the workspace. The interval is that of the configuration; it grows while nothing changes, and
//! where others use up the hour's requests.

use crate::{
    api::Job,
    core::{Core, Place, Spawner, wait_of},
    files, names, pull,
    status::{self, Standing},
    verdict,
};
use futures_util::{StreamExt as _, stream};
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};
use ts_core::{ReasonCode, Result, TrialId, TrialStatus, follow};

/// Jobs that are looked at more closely at a time.
const DETAILS: usize = 6;
/// Most that the interval grows to, as a multiple.
const MOST_GROWTH: u32 = 4;
/// Looks without news until the interval has grown by its own length.
const QUIET: u32 = 8;

/// Starts the loop.
pub(crate) fn start(spawner: &Spawner) {
    spawner.spawn(observe(Arc::downgrade(&spawner.core)));
}

/// Looks until the service is gone.
async fn observe(core: Weak<Core>) {
    let (mut quiet, mut pace, mut failures) = (0_u32, Duration::ZERO, 0_u32);
    loop {
        let Some(strong) = core.upgrade() else { return };
        let least = strong.config.poll_interval.max(pace);
        rest(&strong, least, least * (1 + quiet / QUIET).min(MOST_GROWTH)).await;
        let before = strong.registry.ids().len();
        match look(&strong).await {
            Ok(seen) => {
                (pace, failures) = (seen.pace, 0);
                let has_news = seen.has_news || before != strong.registry.ids().len();
                quiet = if has_news { 0 } else { quiet + 1 };
                strong.end_trouble();
            }
            Err(error) => {
                failures += 1;
                // One failure is an accident; the next list comes soon.
                if failures > 1 || !error.is_retryable() {
                    strong.set_trouble(&error);
                }
                pace = wait_of(&error, strong.config.poll_interval * 2_u32.pow(failures.min(4)));
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
    let is_watched = |known: &follow::Known<Place>| !known.status.is_terminal() && known.extra.created_at.is_some();
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
                standing => has_news |= enter(core, &trial, standing),
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
        standing => Ok(enter(core, trial, standing)),
    }
}

/// Enters how a trial is that has not ended; says whether that is news.
fn enter(core: &Core, trial: &TrialId, standing: Standing) -> bool {
    if let Standing::Waiting(what) = standing {
        core.waits(trial, ReasonCode::Queued, what, None);
    }
    let changes = core.registry.with(trial, |known| {
        let begins = standing == Standing::Running && known.status == TrialStatus::Waiting;
        (begins, begins || known.extra.missing_since.is_some())
    });
    let Some((begins, true)) = changes else { return false };
    let now = core.ctx.clock.now();
    core.registry.update(trial, |known| {
        known.extra.missing_since = None;
        if begins {
            known.status = TrialStatus::Running;
            (known.at, known.started, known.why) = (now, Some(now), None);
        }
    });
    begins
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
    core.conclude(trial, verdict::of_job(status, &left, told.as_ref(), cancel, now));
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
    core.conclude(trial, verdict::vanished(&left, cancel, core.ctx.clock.now()));
    Ok(true)
}
